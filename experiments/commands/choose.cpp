// evenflow choose: settings and a score that serve operating points nobody recorded, by normal clips alone.
#include <fmt/format.h>

#include <filesystem>
#include <optional>

#include "experiments/choose/choice.h"
#include "experiments/choose/left_out.h"
#include "experiments/command.h"
#include "experiments/configuration.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "io/output_folder.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

struct ChooseArguments {
  fs::path shard, out;
  std::string parameter;
  std::vector<std::string> candidates;
  int64_t folds = 0, search_epochs = 0;
  double false_alarms = ChooseOptions{}.false_alarms;
  ConfigSource config;
  bool force = false;  ///< replace what is not evenflow's own
};

void declare(Options& options, ChooseArguments& arguments) {
  options.file("SHARD", arguments.shard, "feature shard that `prepare` wrote").required();
  options.file("--out", arguments.out, "the choice's folder").required().shown_as("FOLDER");
  options.force(arguments.force);
  options.word("--parameter", arguments.parameter, {},
               "whose values are left out; default: the first that varies in the training clips");
  options.words("--candidate", arguments.candidates,
                "settings to try, in quotes and with blanks between them; once per candidate. Default: see above");
  options.number(
      "--folds", arguments.folds, 0, 1000,
      "trainings of a candidate, each without every N-th value; 0: as many as there are values, each without one");
  options.number("--search-epochs", arguments.search_epochs, 0, 1e9,
                 "epochs of the trainings by which candidates are compared. What they choose is then trained again "
                 "without each value, as long as train.epochs or train.steps say, and these trainings decide its score "
                 "and threshold; 0: all are of that length");
  options.number("--false-alarms", arguments.false_alarms, 0.001, 0.5,
                 "the share of normal clips that the thresholds are set to");
  options.config(
      arguments.config,
      [](const std::string& key) {
        return key != "train.leave_out" && key != "score.score" && key != "score.threshold_quantile";
      },
      true, unaugmented());
}

int run(const ChooseArguments& arguments) {
  Outputs outputs(arguments.force);
  outputs.reads(arguments.shard, "the shard");
  outputs.reads(arguments.config);
  outputs.writes_below(arguments.out, "choice.csv", FileKind::study_table);
  outputs.writes_below(arguments.out, "choice.toml", FileKind::choice);
  outputs.writes_below(arguments.out, left_out_file, FileKind::scores);
  ChooseOptions options;
  options.shard = arguments.shard;
  options.folder = arguments.out;
  options.parameter = arguments.parameter;
  options.candidates = arguments.candidates;
  options.config = resolve(arguments.config, unaugmented());
  options.folds = arguments.folds;
  options.search_epochs = arguments.search_epochs;
  options.false_alarms = arguments.false_alarms;
  options.stop = &stop_on_signals();
  std::optional<io::OutputFolder> folder;
  options.claim = [&] {
    folder.emplace(
        arguments.out, "choice", [](const fs::path&) { return false; }, arguments.force);
  };
  StatusLine status;
  options.log = [&](const std::string& line) { status.print(line); };
  options.progress = [&](const std::string& what, double fraction) { status.show_part(what, fraction); };
  const Choice choice = choose(options);
  status.clear();
  if (choice.interrupted) {
    fmt::print("Interrupted; what is done is kept. The same command goes on.\n");
    return exit_interrupted;
  }
  for (const std::string& note : choice.notes) {
    print_note(note);
  }
  write_choice(choice, arguments.out);
  const fs::path settings = arguments.out / "choice.toml";
  const ChoiceRow& best = choice.best();
  fmt::print(
      "{}\nChosen: {}, decided by {} -> {}\nNext:\n  evenflow train {} --run run --config {}\n"
      "  evenflow calibrate run/model.h5 --left-out {}\n",
      to_text(choice), best.candidate, best.score, settings.string(), shell_word(arguments.shard.string()),
      shell_word(settings.string()), shell_word(arguments.out.string()));
  return exit_ok;
}

}  // namespace

Command choose_command() {
  return make_command<ChooseArguments>(
      "choose",
      "Chooses settings and a score by normal clips alone. Each candidate is trained without each value of the "
      "parameter, one at a time or (--folds) some together. The normal clips of the values left out then set "
      "thresholds, at which copies of them with a departure (probes) say how much would be missed. Of what keeps to "
      "twice the false alarms asked for, the candidate and score that miss least are chosen. No anomaly and no test "
      "clip is looked at. Without --candidate, affine and additive couplings are compared, with two slopes k if there "
      "is one parameter, and with "
      "and without augmentation if it is a speed. Ctrl-C stops; the same command goes on, and skips what is finished.",
      "  evenflow choose features.h5 --out choice\n"
      "  evenflow choose features.h5 --out choice --epochs 40 --search-epochs 12\n"
      "  evenflow choose features.h5 --out choice --epochs 40 --candidate model.coupling=sigmoid \\\n"
      "    --candidate \"model.coupling=additive condition.k=0.01\"",
      declare, run);
}

}  // namespace evenflow::experiments
