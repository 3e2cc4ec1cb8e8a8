#include "experiments/sweep/sweep.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "experiments/sweep/halving.h"
#include "experiments/sweep/objective.h"
#include "experiments/sweep/sampler.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/output_folder.h"
#include "io/shard.h"
#include "train/detect/config_match.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

fs::path space_of(const fs::path& folder) {
  return folder / "space.toml";
}
fs::path base_of(const fs::path& folder) {
  return folder / "base.toml";
}
fs::path settings_of(const fs::path& folder) {
  return folder / "sweep.json";
}

std::vector<std::string> data_hashes(const std::vector<fs::path>& features) {
  std::vector<std::string> hashes;
  std::transform(features.begin(), features.end(), std::back_inserter(hashes),
                 [](const fs::path& file) { return io::Shard(file).data_hash(); });
  return hashes;
}

/// What the sweep in the folder differs in; empty if it is the same.
std::string difference(const io::SweepFile& there, const io::SweepFile& now) {
  if (const auto key = train::first_difference(there.base, now.base, [](const std::string&) { return true; })) {
    return fmt::format("{} = {} in its base", key->key, key->first);
  }
  if (there.space != now.space) {
    return "another space";
  }
  if (there.sampler != now.sampler || there.seed != now.seed) {
    return fmt::format("the sampler {} with seed {}", io::name_of(there.sampler), there.seed);
  }
  if (there.objectives != now.objectives || there.labelled != now.labelled) {
    return "other objectives";
  }
  if (there.repeats != now.repeats) {
    return fmt::format("repeats = {}", there.repeats);
  }
  return there.halving != now.halving ? "another halving" : "";
}

Sweep of_file(io::SweepFile file, std::vector<fs::path> features, const fs::path& folder) {
  Sweep sweep;
  sweep.folder = fs::absolute(folder).lexically_normal();
  if (!sweep.folder.has_filename()) {
    sweep.folder = sweep.folder.parent_path();
  }
  sweep.rungs = rung_epochs(file.halving, file.base.train);
  sweep.state = SweepState(static_cast<int64_t>(sweep.rungs.size()), file.base.train.seed, file.repeats);
  if (file.sampler == io::SamplerKind::grid) {
    sweep.grid_points = static_cast<int64_t>(grid_of(file.space).size());
  }
  sweep.file = std::move(file);
  sweep.features = std::move(features);
  return sweep;
}

void require_sound(const Sweep& sweep) {
  for (const fs::path& shard : sweep.features) {
    train::require_frontend(io::Shard(shard), sweep.file.base.frontend, "the sweep's base");
  }
  require_reportable(sweep.file, sweep.features);
  if (sweep.file.sampler == io::SamplerKind::cmaes && sweep.file.objectives.size() > 1) {
    throw io::UsageError("the sampler cmaes takes one objective, and the sweep has several; choose nsga2 or tpe");
  }
  if (is_optunas(sweep.file.sampler)) {
    require_optuna();
  }
}

void write_settings(const Sweep& sweep) {
  nlohmann::json settings = {{"where", sweep.where},
                             {"trials", sweep.file.trials},
                             {"labelled", sweep.file.labelled},
                             {"data_hashes", data_hashes(sweep.features)}};
  for (const fs::path& file : sweep.features) {
    settings["features"].push_back(file.string());
  }
  io::write_text(settings_of(sweep.folder), settings.dump(2) + "\n");
}

}  // namespace

fs::path journal_of(const fs::path& folder) {
  return folder / "journal";
}

fs::path trial_config(const fs::path& folder, const std::string& hash) {
  return folder / "trials" / hash / "config.toml";
}

int64_t Sweep::trials() const {
  constexpr int64_t usual = 32;
  if (file.trials > 0) {
    return file.trials;
  }
  return grid_points > 0 ? grid_points : usual;
}

bool Sweep::maximised(size_t objective) const {
  return is_maximised(file.objectives[objective]);
}

Sweep begin_sweep(const fs::path& file, const std::vector<fs::path>& features, const fs::path& folder,
                  const std::function<void()>& claim) {
  std::vector<fs::path> absolute;
  std::transform(features.begin(), features.end(), std::back_inserter(absolute),
                 [](const fs::path& one) { return fs::absolute(one).lexically_normal(); });
  io::SweepFile read = io::read_sweep_file(file);
  if (!read.labelled.empty()) {
    read.labelled = fs::absolute(read.labelled).lexically_normal().string();
  }
  Sweep sweep = of_file(std::move(read), std::move(absolute), folder);
  require_sound(sweep);
  claim();
  if (fs::exists(settings_of(sweep.folder))) {
    Sweep there = open_sweep(sweep.folder);
    std::string differs = difference(there.file, sweep.file);
    if (differs.empty() && data_hashes(there.features) != data_hashes(sweep.features)) {
      differs = "other features";
    }
    if (!differs.empty()) {
      throw io::UsageError(
          fmt::format("the folder '{}' holds another sweep, with {}; choose another folder", folder.string(), differs));
    }
    there.file.trials = sweep.file.trials;
    there.file.slurm = sweep.file.slurm;
    sweep.where = there.where;
    sweep.state = std::move(there.state);
  }
  io::write_text(space_of(sweep.folder), io::read_text(file));
  io::write_text(base_of(sweep.folder), io::to_toml(sweep.file.base));
  write_settings(sweep);
  return sweep;
}

Sweep open_sweep(const fs::path& folder) {
  if (!fs::exists(settings_of(folder))) {
    throw io::DataError(fmt::format("'{}' holds no sweep; give the folder that `evenflow sweep SPACE.toml --out` made",
                                    folder.string()));
  }
  const io::Config base = io::read_config(base_of(folder));
  io::SweepFile file = io::read_sweep_file(space_of(folder), &base);
  std::vector<fs::path> features;
  std::string where;
  try {
    const auto settings = nlohmann::json::parse(io::read_text(settings_of(folder)));
    for (const auto& one : settings.at("features")) {
      features.emplace_back(one.get<std::string>());
    }
    file.trials = settings.at("trials").get<int64_t>();
    file.labelled = settings.at("labelled").get<std::string>();
    where = settings.at("where").get<std::string>();
  } catch (const nlohmann::json::exception& error) {
    throw io::DataError(fmt::format("'{}' is damaged ({}); start the sweep with its SPACE.toml and its features again",
                                    settings_of(folder).string(), error.what()));
  }
  Sweep sweep = of_file(std::move(file), std::move(features), folder);
  sweep.where = where;
  for (const Event& event : Journal(journal_of(sweep.folder)).read()) {
    sweep.state.apply(event);
  }
  return sweep;
}

void save_settings(const Sweep& sweep) {
  write_settings(sweep);
}

}  // namespace evenflow::experiments
