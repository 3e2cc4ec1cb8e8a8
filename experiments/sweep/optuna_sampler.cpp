#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "experiments/process.h"
#include "experiments/sweep/optuna_source.h"
#include "experiments/sweep/sampler.h"
#include "experiments/sweep/sweep.h"
#include "io/atomic_file.h"
#include "io/error.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

json to_json(const std::vector<io::Domain>& space) {
  json all = json::array();
  for (const io::Domain& domain : space) {
    json one = {{"key", domain.key},         {"kind", io::name_of(domain.kind)},
                {"choices", domain.choices}, {"low", domain.low},
                {"high", domain.high},       {"when", json::array()}};
    for (const io::DomainCondition& condition : domain.when) {
      one["when"].push_back({condition.key, condition.values});
    }
    all.push_back(std::move(one));
  }
  return all;
}

class OptunaSampler : public Sampler {
 public:
  OptunaSampler(const io::SweepFile& sweep, const fs::path& folder, const std::vector<bool>& maximised,
                const std::vector<int64_t>& known)
      : optuna_({python(), script_in(folder)}) {
    ask_for({{"space", to_json(sweep.space)},
             {"sampler", io::name_of(sweep.sampler)},
             {"seed", sweep.seed % (uint64_t{1} << 32U)},
             {"maximised", maximised},
             {"known", known},
             {"journal", (folder / "optuna.log").string()}});
  }

  std::optional<Point> ask(int64_t) override {
    const json answer = ask_for({{"ask", true}});
    return Point{answer.at("index").get<int64_t>(), answer.at("values").get<Values>()};
  }

  void tell(const Told& told) override {
    static constexpr const char* ends[] = {"paused", "finished", "failed"};
    ask_for({{"tell", told.index},
             {"end", ends[static_cast<int>(told.end)]},
             {"epoch", told.epoch},
             {"values", told.values}});
  }

 private:
  static std::string script_in(const fs::path& folder) {
    const fs::path script = folder / "optuna_sampler.py";
    io::write_text(script, optuna_source);
    return script.string();
  }

  json ask_for(const json& request) {
    try {
      return json::parse(optuna_.ask(request.dump()));
    } catch (const json::exception& error) {
      throw io::DataError(fmt::format("Optuna gave an answer that is none: {}", error.what()));
    }
  }

  Conversation optuna_;
};

}  // namespace

void require_optuna() {
  const ProgramOutput version = run_program({python(), "-c", "import optuna.storages.journal"});
  if (version.code == 0) {
    return;
  }
  throw io::UsageError(fmt::format(
      "{}; install it (pip install optuna), name a Python that has it in $EVENFLOW_PYTHON, or choose sampler = "
      "\"sobol\", \"random\" or \"grid\", which need neither",
      version.code < 0 ? "the sampler is Optuna's, and there is no Python to run it ('" + python() + "')"
                       : "the sampler is Optuna's, and '" + python() + "' does not have Optuna 4 or later"));
}

std::unique_ptr<Sampler> make_optuna_sampler(const io::SweepFile& sweep, const fs::path& folder,
                                             const std::vector<bool>& maximised, const std::vector<int64_t>& known) {
  require_optuna();
  return std::make_unique<OptunaSampler>(sweep, folder, maximised, known);
}

}  // namespace evenflow::experiments
