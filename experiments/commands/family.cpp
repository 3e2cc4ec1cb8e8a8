// evenflow experiment family: the same systems on many simulated rails.
#include "experiments/study/family.h"

#include <fmt/format.h>

#include "experiments/command.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "experiments/study/paper.h"
#include "io/atomic_file.h"
#include "io/output_folder.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

struct FamilyArguments {
  fs::path out;
  std::vector<double> severities, backgrounds, tonalities, variations;
  int64_t seeds = 1;
  bool quick = false, miniature = false;
  Compute compute;
  bool force = false;  ///< replace what is not evenflow's own
};

void declare(Options& options, FamilyArguments& arguments) {
  options.file("--out", arguments.out, "the folder of all rails").required().shown_as("FOLDER");
  options.force(arguments.force);
  options.numbers("--severity", arguments.severities, "of the fault; default 1.4,2");
  options.numbers("--background", arguments.backgrounds, "level of the hall; default 1");
  options.numbers("--tonality", arguments.tonalities, "how much each speed sounds its own; default 1,2,4,8");
  options.numbers("--variation", arguments.variations, "how much clips of one speed differ; default 1");
  options.number("--seeds", arguments.seeds, 1, 1000, "trainings of each system, with the seeds 1, 2, ...");
  const Option quick = options.flag("--quick", arguments.quick, "fewer clips and epochs");
  options.flag("--miniature", arguments.miniature, "the same code on next to nothing; its figures mean nothing")
      .excludes(quick);
  options.compute(arguments.compute);
}

int run(const FamilyArguments& arguments) {
  Outputs outputs(arguments.force);
  outputs.writes_below(arguments.out, "family.csv", FileKind::study_table);
  const PaperPlan plan = paper_plan(arguments.miniature ? PaperScale::miniature
                                    : arguments.quick   ? PaperScale::quick
                                                        : PaperScale::full);
  const auto given = [](const std::vector<double>& values, const std::vector<double>& usual) {
    return values.empty() ? usual : values;
  };
  FamilyOptions options;
  options.folder = arguments.out;
  options.data = plan.data;
  options.severities = given(arguments.severities, {1.4, 2});
  options.backgrounds = given(arguments.backgrounds, {1});
  options.tonalities = given(arguments.tonalities, {1, 2, 4, 8});
  options.variations = given(arguments.variations, {1});
  options.config = plan.config;
  options.config.train.device = arguments.compute.device;
  options.config.train.threads = arguments.compute.threads;
  options.seeds = arguments.seeds;
  options.stop = &stop_on_signals();
  const io::OutputFolder folder(
      arguments.out, "family of rails", [](const fs::path&) { return false; }, arguments.force);
  StatusLine status;
  options.log = [&](const std::string& line) { status.print(line); };
  options.progress = [&](const std::string& what, double fraction) { status.show_part(what, fraction); };
  const Family family = run_family(options);
  status.clear();
  if (!family.rows.empty()) {
    io::write_text(arguments.out / "family.csv", to_csv(family));
    fmt::print("{}\nTable: {}\n", to_text(family), (arguments.out / "family.csv").string());
  }
  if (family.interrupted) {
    fmt::print("Interrupted; what is done is kept. The same command goes on.\n");
    return exit_interrupted;
  }
  return exit_ok;
}

}  // namespace

Command family_command() {
  return make_command<FamilyArguments>(
      "family",
      "Compares systems over a family of simulated rails. Every combination of severity, background, tonality and "
      "variation is a rail, on which conventional and constrained flows, affine, additive and augmented, are trained "
      "and "
      "tested. The table says where which of them pays, and which rail is most like the paper's, by the conventional "
      "flows alone. Ctrl-C stops; the same command goes on, and skips what is finished.",
      "  evenflow experiment family --out family\n"
      "  evenflow experiment family --out family --tonality 1,4 --severity 2 --seeds 3",
      declare, run);
}

}  // namespace evenflow::experiments
