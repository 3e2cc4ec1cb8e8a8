#include "experiments/study/family.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "experiments/choose/candidates.h"
#include "experiments/console.h"
#include "experiments/study/csv.h"
#include "experiments/study/tables.h"
#include "io/error.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

constexpr const char* single_conventional = "single_scale_conventional";
constexpr const char* multi_conventional = "multi_scale_conventional";

/// What is compared on every rail, by its settings.
std::vector<System> family_systems(const io::Config& base) {
  const std::vector<std::array<std::string, 3>> wanted = {
      {single_conventional, "single-scale, conventional", "model.blocks=1 condition.enabled=false"},
      {multi_conventional, "multi-scale, conventional", "condition.enabled=false"},
      {"multi_scale_constrained", "multi-scale, constrained", "condition.enabled=true"},
      {"multi_scale_additive", "multi-scale, constrained, additive", "model.coupling=additive"},
      {"multi_scale_augmented", "multi-scale, constrained, augmented", "augment.speed=60 augment.noise=0.2"},
  };
  std::vector<System> systems;
  for (const auto& [name, title, settings] : wanted) {
    System system;
    system.name = name;
    system.title = title;
    system.config = make_candidates({parse_settings(settings)}, base).front().config;
    systems.push_back(std::move(system));
  }
  return systems;
}

std::string rail_name(const RailSettings& rail) {
  return fmt::format("severity_{:g}.background_{:g}.tonality_{:g}.variation_{:g}", rail.severity, rail.background,
                     rail.tonality, rail.variation);
}

std::vector<RailSettings> rails_of(const FamilyOptions& options) {
  std::vector<RailSettings> rails;
  std::set<std::string> names;
  for (const double severity : options.severities) {
    for (const double background : options.backgrounds) {
      for (const double tonality : options.tonalities) {
        for (const double variation : options.variations) {
          RailSettings rail = options.data.rail;
          rail.severity = severity;
          rail.background = background;
          rail.tonality = tonality;
          rail.variation = variation;
          require_rail(rail);
          if (!names.insert(rail_name(rail)).second) {
            throw io::UsageError(fmt::format("the rail {} is listed twice; list each value once", rail_name(rail)));
          }
          rails.push_back(rail);
        }
      }
    }
  }
  if (rails.empty()) {
    throw io::UsageError("no rail was asked for; give a value of each of its settings");
  }
  return rails;
}

double mean_figure(const AucRow* row) {
  return row == nullptr ? std::nan("") : row->over_seeds.value;
}

class FamilyRun {
 public:
  explicit FamilyRun(const FamilyOptions& options) : o_(options), systems_(family_systems(options.config)) {}

  Family run() {
    for (const RailSettings& rail : rails_of(o_)) {
      if (!run_rail(rail)) {
        family_.interrupted = true;
        break;
      }
    }
    return std::move(family_);
  }

 private:
  /// False: stopped.
  bool run_rail(const RailSettings& rail) {
    const std::string name = rail_name(rail);
    const fs::path folder = o_.folder / name;
    if (!make_rail(rail, folder)) {
      return false;
    }
    StudyOptions options;
    options.manifest = folder / "rail" / "manifest.csv";
    options.folder = folder;
    options.systems = systems_;
    options.seeds.resize(static_cast<size_t>(o_.seeds));
    std::iota(options.seeds.begin(), options.seeds.end(), uint64_t{1});
    options.stop = o_.stop;
    options.log = [&](const std::string& line) { o_.log(name + ": " + line); };
    options.progress = [&](const std::string& what, double fraction) { o_.progress(name + ": " + what, fraction); };
    const Study study = run_study(options);
    if (study.interrupted) {
      return false;
    }
    add_rows(name, rail, study);
    return true;
  }

  /// False: stopped.
  bool make_rail(const RailSettings& rail, const fs::path& folder) const {
    SynthOptions data = o_.data;
    data.rail = rail;
    data.threads = o_.config.train.threads;
    data.stop = o_.stop;
    data.progress = [&](size_t done, size_t total) {
      o_.progress(folder.filename().string() + ": recordings", static_cast<double>(done) / static_cast<double>(total));
    };
    return make_recordings(folder, "# evenflow experiment family: the recordings of this folder\n", data);
  }

  void add_rows(const std::string& name, const RailSettings& rail, const Study& study) {
    constexpr int64_t few_resamples = 1;  // no interval is shown
    const StudyTables tables = study_tables(study, {.resamples = few_resamples});
    for (const AucRow& row : tables.auc) {
      if (row.group != "all") {
        continue;
      }
      const auto figure = [&](const char* group) {
        return mean_figure(find_auc(tables, row.system, row.score, group));
      };
      const AlarmRow* unseen = find_alarms(tables, row.system, row.score, "unseen");
      const AlarmRow* all = find_alarms(tables, row.system, row.score, "all");
      family_.rows.push_back({name, row.system, row.score, rail, figure("all"), figure("seen"), figure("unseen"),
                              unseen == nullptr ? std::nan("") : unseen->false_alarms.value,
                              all == nullptr ? std::nan("") : all->found.value});
    }
    double squares = 0;
    size_t i = 0;
    for (const char* system : {single_conventional, multi_conventional}) {
      for (const char* group : {"seen", "unseen"}) {
        squares += std::pow(mean_figure(find_auc(tables, system, "nll", group)) - paper_conventional[i++], 2);
      }
    }
    family_.distances.emplace_back(name, std::sqrt(squares / static_cast<double>(paper_conventional.size())));
  }

  const FamilyOptions& o_;
  std::vector<System> systems_;
  Family family_;
};

std::string per_cent_text(double share) {
  return std::isnan(share) ? "-" : fmt::format("{:.1f}", 100.0 * share);
}

}  // namespace

Family run_family(const FamilyOptions& options) {
  return FamilyRun(options).run();
}

std::string to_csv(const Family& family) {
  std::string text =
      "rail,severity,background,tonality,variation,system,score,all,seen,unseen,false_alarms_unseen,found\n";
  for (const FamilyRow& row : family.rows) {
    text += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{}\n", row.rail, row.settings.severity,
                        row.settings.background, row.settings.tonality, row.settings.variation, row.system, row.score,
                        csv_number(row.all), csv_number(row.seen), csv_number(row.unseen),
                        csv_number(row.false_alarms_unseen), csv_number(row.found));
  }
  return text;
}

std::string to_text(const Family& family) {
  TextTable table;
  table.add({"rail", "system", "score", "AUC all %", "seen %", "unseen %", "false alarms, unseen %", "faults found %"});
  for (const FamilyRow& row : family.rows) {
    table.add({row.rail, row.system, row.score, per_cent_text(row.all), per_cent_text(row.seen),
               per_cent_text(row.unseen), per_cent_text(row.false_alarms_unseen), per_cent_text(row.found)});
  }
  TextTable distances;
  distances.add({"rail", "conventional rows, off the paper's by %"});
  const std::pair<std::string, double>* nearest = nullptr;
  for (const auto& rail : family.distances) {
    distances.add({rail.first, per_cent_text(rail.second)});
    if (nearest == nullptr || rail.second < nearest->second) {
      nearest = &rail;
    }
  }
  std::string text = table.text() + "\n" + distances.text();
  if (nearest != nullptr) {
    text += fmt::format("\nMost like the paper's by its conventional rows: {}\n", nearest->first);
  }
  return text;
}

}  // namespace evenflow::experiments
