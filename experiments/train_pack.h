// Trainings side by side, as a person asks for them and sees them: which they are, how far they are, what went wrong
// with which, and a table at the end.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiments/outputs.h"
#include "experiments/train_arguments.h"
#include "train/loop/trainer.h"

namespace evenflow::experiments {

struct PackedTraining {
  TrainArguments arguments;
  train::TrainOptions options;
  std::string name;  ///< for errors: the line that asks for it, or its run
};

/// The same training `count` times, with the seeds that follow each other, in folders of their own below its run.
/// --resume goes on with those that are there. io::UsageError, io::DataError: what is wrong before any work.
std::vector<PackedTraining> seeds_of(const TrainArguments& arguments, int count);

/// The same training of every machine in the shards, in folders of their names below its run. Folders among `shards`
/// stand for the shards in them. Machines without a normal training clip are left out with a note. --resume goes on
/// with those that are there. Errors as above; require_file_names'.
std::vector<PackedTraining> machines_of(const TrainArguments& arguments);

/// A line each, with what would follow `evenflow train`; `#` begins a comment line, double quotes hold blanks together.
/// `resume`: of each that is there already. Errors name the line.
std::vector<PackedTraining> read_list(const std::filesystem::path& file, bool resume);

/// io::UsageError where a run's folder is another's, or in it, or one writes what another reads. Tells `outputs` of all
/// their files.
void require_apart(const std::vector<PackedTraining>& trainings, Outputs& outputs);

/// `threads`: of all together. Ctrl-C saves all of them. To exit_ok, exit_interrupted, or the code of the first that
/// failed; the others are trained all the same. `results`: a CSV, a row each in their order.
int run_pack(const std::vector<PackedTraining>& trainings, int threads,
             const std::optional<std::filesystem::path>& results);

}  // namespace evenflow::experiments
