#include "experiments/choose/left_out.h"

#include <fmt/format.h>

#include <optional>
#include <set>

#include "experiments/choose/candidates.h"
#include "io/atomic_file.h"
#include "io/config.h"
#include "io/error.h"
#include "train/detect/config_match.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

bool makes_other_scores(const std::string& key) {
  static const std::set<std::string> free = {"train.seed",         "train.device",           "train.threads",
                                             "train.precision",    "train.kernels",          "score.score",
                                             "score.threshold",    "score.threshold_value",  "score.threshold_quantile",
                                             "train.resident_mib", "train.checkpoint_epochs"};
  return !is_training_length(key) && !free.contains(key);
}

/// The hash of the data in choice.txt, "data HASH".
std::string data_of(const fs::path& choice) {
  const std::string text = io::read_text(choice / "choice.txt"), begin = "data ";
  return text.starts_with(begin) ? text.substr(begin.size(), text.find('\n') - begin.size()) : "";
}

}  // namespace

train::ScoreTable read_left_out(const fs::path& choice, const io::ModelData& model, std::vector<std::string>& notes) {
  const fs::path settings = choice / "choice.toml", scores = choice / left_out_file;
  if (!fs::exists(choice)) {
    throw io::DataError(
        fmt::format("there is no folder '{}'; give the one that evenflow choose wrote with --out", choice.string()));
  }
  if (!fs::exists(settings) || !fs::exists(scores)) {
    throw io::DataError(
        fmt::format("'{}' holds no finished choice with {}; run evenflow choose with --out {}, which goes "
                    "on where it was",
                    choice.string(), left_out_file, choice.string()));
  }
  if (const std::string data = data_of(choice); data != model.provenance.data_hash) {
    throw io::UsageError(fmt::format("the choice in '{}' was made on other recordings (data {}) than the model's ({})",
                                     choice.string(), data, model.provenance.data_hash));
  }
  const io::Config chosen = io::read_config(settings);
  if (const auto other = train::first_difference(model.config, chosen, makes_other_scores)) {
    throw io::UsageError(fmt::format("the model has {} = {}, and what '{}' chose has {}; train with --config {}",
                                     other->key, other->first, choice.string(), other->second, settings.string()));
  }
  if (const auto other = train::first_difference(model.config, chosen, is_training_length)) {
    notes.push_back(
        fmt::format("warning: the model has {} = {}, and the choice's trainings {}; false alarms at values "
                    "that were left out depend on the length",
                    other->key, other->first, other->second));
  }
  train::ScoreTable table = train::read_scores(scores);
  if (table.clips.empty()) {
    throw io::DataError(fmt::format("'{}' holds no clips; remove it and run evenflow choose again", scores.string()));
  }
  return table;
}

}  // namespace evenflow::experiments
