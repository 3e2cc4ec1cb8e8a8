// evenflow encode: what the flow makes of a shard's windows.
#include <fmt/format.h>

#include "experiments/command.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "experiments/recordings.h"
#include "io/shard.h"
#include "train/detect/score.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

struct EncodeArguments {
  fs::path model, shard, out;
  bool other_machines = false;
  Compute compute;
  bool force = false;  ///< replace what is not evenflow's own
};

void declare(Options& options, EncodeArguments& arguments) {
  options.file("--model", arguments.model, "the model").required();
  options.file("SHARD", arguments.shard, "a feature shard that `prepare` wrote").required();
  options.file("--out", arguments.out, "the latents to write (HDF5)").required();
  options.force(arguments.force);
  options.other_machines(arguments.other_machines);
  options.compute(arguments.compute);
}

int run(const EncodeArguments& arguments) {
  stop_on_signals();
  Outputs outputs(arguments.force);
  outputs.reads(arguments.model, "the model");
  outputs.reads(arguments.shard, "the shard");
  outputs.writes(arguments.out, FileKind::latents);
  train::Detector detector(arguments.model, arguments.compute.device, arguments.compute.threads);
  const io::Shard shard(arguments.shard);
  require_own_machines(count_machines(shard.clips()), detector.model().provenance.machines, arguments.other_machines);
  StatusLine status;
  detector.encode(shard, arguments.out, [&](int64_t done, int64_t total) {
    throw_if_stopped();
    status.show_clips(done, total);
  });
  status.clear();
  fmt::print("Encoded {} -> {}\n", count_text(static_cast<int64_t>(shard.clips().size()), "clip"),
             arguments.out.string());
  return exit_ok;
}

}  // namespace

Command encode_command() {
  return make_command<EncodeArguments>("encode",
                                       "Writes what a model makes of a shard, window by window. The file holds latents "
                                       "zc and zd, log-determinants, likelihoods, scores and estimates, as HDF5.",
                                       "  evenflow encode --model runs/first/model.h5 features.h5 --out latents.h5",
                                       declare, run);
}

}  // namespace evenflow::experiments
