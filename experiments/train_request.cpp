#include "experiments/train_request.h"

#include <fmt/format.h>

#include <system_error>

#include "experiments/console.h"
#include "experiments/recordings.h"
#include "io/error.h"
#include "io/run_folder.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

/// What makes --run and --resume enough to go on.
std::vector<fs::path> recorded_shards(const io::RunFolder& run) {
  std::vector<fs::path> shards = run.shards();
  if (shards.empty()) {
    throw io::DataError("run folder '" + run.path().string() +
                        "' does not say what it was trained on (no data.txt); give the shards again: evenflow train "
                        "SHARD... --run " +
                        shell_word(run.path().string()) + " --resume");
  }
  return shards;
}

/// A run that takes another's place removes that one's files, so none of them may be what it is made from.
void require_inputs_elsewhere(const TrainArguments& arguments) {
  Outputs outputs(false);
  note_files(outputs, arguments);
  std::error_code error;
  const fs::path logs = fs::weakly_canonical(arguments.run / "tensorboard", error);
  for (const fs::path& shard : arguments.shards) {
    const fs::path below = fs::weakly_canonical(shard, error).lexically_relative(logs);
    if (!below.empty() && *below.begin() != "..") {
      throw io::UsageError("the shard '" + shard.string() + "' lies in the run's tensorboard/; move it elsewhere");
    }
  }
}

/// io::UsageError if the folder is that of a pack, which holds runs and is none.
void require_no_pack(const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder / "config.toml", error)) {
    return;
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().filename().string().starts_with("seed_") && fs::exists(entry.path() / "config.toml", error)) {
      throw io::UsageError(fmt::format(
          "'{}' holds runs, and is none; add --pack N to go on with all of them, or give one, such as --run {}",
          folder.string(), shell_word(entry.path().string())));
    }
  }
}

}  // namespace

train::TrainOptions options_of(const TrainArguments& arguments) {
  if (arguments.run.empty()) {
    throw io::UsageError("--run is required: the run folder");
  }
  train::TrainOptions options;
  options.run = arguments.run;
  options.resume = arguments.resume;
  options.replace = arguments.replace;
  options.remember_shards = true;
  options.until_epoch = arguments.until_epoch;
  if (arguments.resume && arguments.replace) {
    throw io::UsageError("--resume and --replace exclude each other; give one");
  }
  if (arguments.resume) {
    require_no_pack(arguments.run);
    const io::RunFolder folder = io::RunFolder::open(arguments.run);
    options.config = resolve(arguments.config, io::read_config(folder.config()));
    options.shards = arguments.shards.empty() ? recorded_shards(folder) : arguments.shards;
  } else {
    if (arguments.shards.empty()) {
      throw io::UsageError("no shard to train on; give the feature shards that `evenflow prepare` wrote");
    }
    options.config = resolve(arguments.config);
    options.shards = arguments.shards;
    require_inputs_elsewhere(arguments);
  }
  require_distinct(options.shards);
  return options;
}

void note_files(Outputs& outputs, const TrainArguments& arguments) {
  outputs.reads(arguments.config);
  for (const fs::path& shard : arguments.shards) {
    outputs.reads(shard, "a shard");
  }
  for (const char* name :
       {"config.toml", "data.txt", "model.h5", "last.h5", "checkpoint.h5", "metrics.csv", "log.txt"}) {
    outputs.writes_own(arguments.run / name);
  }
}

}  // namespace evenflow::experiments
