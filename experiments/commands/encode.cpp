// evenflow encode: what the flow makes of a shard's windows.
#include <fmt/format.h>

#include <map>

#include "experiments/commands/commands.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "experiments/recordings.h"
#include "io/shard.h"
#include "train/detect/score.h"

namespace evenflow::experiments {

int run(const EncodeArguments& arguments) {
  stop_on_signals();
  Outputs outputs(arguments.force);
  outputs.reads(arguments.model, "the model");
  outputs.reads(arguments.shard, "the shard");
  outputs.writes(arguments.out, FileKind::latents);
  train::Detector detector(arguments.model, arguments.compute.device, arguments.compute.threads);
  const io::Shard shard(arguments.shard);
  std::map<std::string, int64_t> machines;
  for (const io::Clip& clip : shard.clips()) ++machines[clip.machine];
  const std::string others = other_machines(machines, detector.model().provenance.machines);
  if (!others.empty()) print_note(others);
  StatusLine status;
  detector.encode(shard, arguments.out, [&](int64_t done, int64_t total) {
    throw_if_stopped();
    if (!status.due()) return;
    const double fraction = static_cast<double>(done) / static_cast<double>(total);
    status.show(fmt::format("{} {} of {} clips", bar_text(fraction, 30), done, total));
  });
  status.clear();
  fmt::print("Encoded {} -> {}\n", count_text(static_cast<int64_t>(shard.clips().size()), "clip"),
             arguments.out.string());
  return exit_ok;
}

}  // namespace evenflow::experiments
