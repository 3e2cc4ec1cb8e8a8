#include "experiments/commands/commands.h"

namespace evenflow::experiments {

// Each in the file of its name.
Command prepare_command();
Command train_command();
Command choose_command();
Command sweep_command();
Command score_command();
Command calibrate_command();
Command monitor_command();
Command evaluate_command();
Command compare_command();
Command explain_command();
Command encode_command();
Command sample_command();
Command export_command();
Command info_command();
Command synth_command();
Command profile_command();
Command report_command();
Command study_command();
Command paper_command();
Command family_command();

std::vector<Command> commands() {
  return {
      prepare_command(),
      train_command(),
      choose_command(),
      sweep_command(),
      score_command(),
      calibrate_command(),
      monitor_command(),
      evaluate_command(),
      compare_command(),
      explain_command(),
      encode_command(),
      sample_command(),
      export_command(),
      info_command(),
      synth_command(),
      profile_command(),
      report_command(),
      {.name = "experiment",
       .about = "Runs whole experiments. Many trainings end in one table.",
       .example = "  evenflow experiment study rails/manifest.csv --out studies/rails\n\n"
                  "Each experiment has its own help: evenflow experiment study --help",
       .declare = nullptr,
       .subcommands = {study_command(), paper_command(), family_command()}},
  };
}

}  // namespace evenflow::experiments
