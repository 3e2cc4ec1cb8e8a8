#include "experiments/train_arguments.h"

namespace evenflow::experiments {

void declare_training(Options& options, TrainArguments& arguments) {
  options.files("SHARD", arguments.shards, "feature shards that `prepare` wrote; with --resume those of the run");
  options.file("--run", arguments.run, "the run folder; always needed but with --list").shown_as("FOLDER");
  options.flag("--resume", arguments.resume, "go on with the run in the folder, with its own configuration and shards");
  options.flag("--replace", arguments.replace, "replace a run that is already in the folder");
  options
      .number("--until-epoch", arguments.until_epoch, 0, 1e6,
              "stop after this epoch, to go on later; the learning rate's schedule stays that of the whole training. "
              "0: train to the end")
      .shown_as("N");
}

void declare_configuration(Options& options, TrainArguments& arguments) {
  options.config(
      arguments.config, [](const std::string&) { return true; }, true);
}

}  // namespace evenflow::experiments
