// evenflow evaluate: scores to figures of merit, reports and DCASE's files.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "experiments/command.h"
#include "experiments/console.h"
#include "experiments/outputs.h"
#include "experiments/recordings.h"
#include "experiments/report/dcase_files.h"
#include "experiments/report/dcase_score.h"
#include "experiments/report/evaluation.h"
#include "experiments/report/fleet_table.h"
#include "experiments/report/picture_file.h"
#include "experiments/report/training_seen.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/model_file.h"
#include "io/output_folder.h"
#include "io/shard.h"
#include "io/standard_output.h"
#include "io/temporary.h"
#include "train/detect/score.h"
#include "train/loop/scatter_picture.h"
#include "train/statistics/seen.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

struct EvaluateArguments {
  std::vector<fs::path> scores;
  std::optional<fs::path> model, out, dcase;
  std::vector<fs::path> training;
  bool each_machine = false;
  bool force = false;  ///< replace what is not evenflow's own
};

void declare(Options& options, EvaluateArguments& arguments) {
  options.files("SCORES", arguments.scores, "tables that `score` wrote, taken together").required();
  options.file("--model", arguments.model, "the model; its training values tell seen from unseen ones");
  options.files("--training", arguments.training,
                "shards the model was trained on; they tell the same for a model that knows no parameters");
  options.each_machine(arguments.each_machine,
                       "each machine by itself, as it was scored: a row each, their means, and DCASE's official score");
  options
      .file("--out", arguments.out,
            "folder for evaluation.csv, evaluation.json and a picture per parameter; with --each, for fleet.csv")
      .shown_as("FOLDER");
  options
      .file("--dcase", arguments.dcase,
            "folder for DCASE Task 2's anomaly_score_*.csv, decision_result_*.csv and result.csv, in the forms of 2021 "
            "and of 2022 and later; prints the official score")
      .shown_as("FOLDER");
  options.force(arguments.force);
}

bool is_evaluated(const train::ClipScore& clip) {
  return clip.clip.split == io::Split::test && clip.clip.label >= 0;
}

struct AllScores {
  train::ScoreTable table;
  std::vector<std::pair<std::string, int64_t>> without_value;  ///< of the clips that are evaluated
};

/// Tables of different models may have different scores: what one lacks is no missing value.
void add_counts(std::vector<std::pair<std::string, int64_t>>& all, const train::ScoreTable& table) {
  for (const auto& counted : train::without_value(table, is_evaluated)) {
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const auto& entry) { return entry.first == counted.first; });
    if (found == all.end()) {
      all.push_back(counted);
    } else {
      found->second += counted.second;
    }
  }
}

AllScores read_all(const std::vector<fs::path>& files) {
  std::vector<train::ScoreTable> tables;
  AllScores out;
  for (const fs::path& file : files) {
    tables.push_back(train::read_scores(file));
    add_counts(out.without_value, tables.back());
  }
  out.table = train::joined(tables);
  return out;
}

/// What the model was trained on, from whatever tells: the model, shards, training clips among the scores.
TrainingSeen training_seen(const EvaluateArguments& arguments, train::ScoreTable& scores) {
  TrainingSeen seen(scores);
  std::optional<io::TrainSettings> settings;
  if (arguments.model) {
    const io::ModelData model = io::read_model(*arguments.model);
    settings = model.config.train;
    seen.add(model.condition);
  }
  if (!arguments.training.empty()) {
    seen.add_shards(arguments.training, settings ? &*settings : nullptr);
  }
  if (seen.values().empty()) {
    seen.add_own_clips();
  }
  return seen;
}

/// Pictures of estimates, by parameter.
std::map<std::string, fs::path> picture_files(const train::ScoreTable& table, const fs::path& folder) {
  std::map<std::string, fs::path> files;
  std::map<fs::path, std::string> taken;
  for (const std::string& name : table.estimated_names) {
    if (std::find(table.parameter_names.begin(), table.parameter_names.end(), name) == table.parameter_names.end()) {
      continue;
    }
    std::string word = name;
    std::replace(word.begin(), word.end(), '/', '_');
    const fs::path file = folder / ("estimate_" + word + ".png");
    if (const auto [other, fresh] = taken.try_emplace(file, name); !fresh) {
      throw io::DataError(fmt::format("the parameters '{}' and '{}' would share the picture '{}'; rename one of them",
                                      other->second, name, file.string()));
    }
    files[name] = file;
  }
  return files;
}

/// True for lines of a name and a number, as all of DCASE's files but result.csv are.
bool is_dcase_list(const fs::path& file) {
  std::istringstream lines(io::read_text(file));
  for (std::string line; std::getline(lines, line);) {
    const size_t comma = line.rfind(',');
    if (comma == std::string::npos || line.find('\0') != std::string::npos) {
      return false;
    }
    double value = 0;
    const char* const end = line.data() + line.size();
    if (const auto read = std::from_chars(line.data() + comma + 1, end, value);
        read.ec != std::errc() || read.ptr != end) {
      return false;
    }
  }
  return true;
}

/// True for the table that every year's folder has.
bool is_dcase_result(const fs::path& file) {
  std::error_code error;
  return fs::is_regular_file(file, error) && io::read_beginning(file).starts_with("machine,section,");
}

/// A year's folder is DCASE's alone: its files have no header by which one of them could be known as evenflow's.
void require_own_year(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error) || io::holds_nothing(folder)) {
    return;
  }
  if (is_dcase_result(folder / "result.csv")) {
    return;
  }
  throw io::UsageError(
      fmt::format("the folder '{}' holds files that do not belong to a DCASE result ('{}'); choose another folder, or "
                  "add --force to write among them",
                  folder.string(), fs::directory_iterator(folder)->path().filename().string()));
}

/// The challenge's files, a folder a year.
class DcaseOutput {
 public:
  DcaseOutput(std::vector<DcaseFile> files, Outputs& outputs, bool force) : files_(std::move(files)) {
    for (const DcaseFile& file : files_) {
      outputs.writes_own(file.path);
      folders_.insert(file.path.parent_path());
    }
    for (const fs::path& folder : folders_) {
      if (!force) {
        require_own_year(folder);
      }
    }
    for (const DcaseFile& file : files_) {
      if (force || file.path.filename() == "result.csv" || !fs::exists(file.path) || is_dcase_list(file.path)) {
        continue;
      }
      throw io::UsageError(fmt::format(
          "'{}' exists and is not one of DCASE's lists; choose another folder, or add --force to replace it",
          file.path.string()));
    }
  }
  void make_folders() const {
    for (const fs::path& folder : folders_) {
      io::make_folder(folder);
    }
  }
  void write(std::vector<fs::path>& written) const {
    for (const DcaseFile& file : files_) {
      io::write_text(file.path, file.text);
      written.push_back(file.path);
    }
  }

 private:
  std::vector<DcaseFile> files_;
  std::set<fs::path> folders_;  // a folder a year
};

void draw_estimates(const train::ScoreTable& table, const TrainingValues& training,
                    const std::map<std::string, fs::path>& files, std::vector<fs::path>& written) {
  for (size_t e = 0; e < table.estimated_names.size(); ++e) {
    const std::string& name = table.estimated_names[e];
    const auto found = std::find(table.parameter_names.begin(), table.parameter_names.end(), name);
    if (found == table.parameter_names.end()) {
      continue;
    }
    const auto p = static_cast<size_t>(found - table.parameter_names.begin());
    if (!io::categories_of(table.categories, p).empty()) {
      continue;  // points are of numbers
    }
    train::ScatterPlot plot;
    plot.title = "What the sound says of " + name;
    plot.x_label = name;
    plot.y_label = "estimate";
    plot.series = {{.name = "normal, seen", .rgb = {31, 95, 191}},
                   {.name = "normal, unseen", .rgb = {46, 160, 67}},
                   {.name = "normal", .rgb = {110, 110, 110}},
                   {.name = "anomalous", .rgb = {208, 64, 48}}};
    const auto values = training.find(name);
    const train::OperatingPoints trained(values == training.end() ? std::vector<double>() : values->second,
                                         io::categories_of(table.categories, p));
    for (const train::ClipScore& clip : table.clips) {
      if (clip.clip.label < 0 || std::isnan(clip.clip.parameter[p])) {
        continue;
      }
      const train::Familiarity familiarity = trained.of(clip.clip.parameter[p]);
      const size_t normal = familiarity == train::Familiarity::seen     ? 0
                            : familiarity == train::Familiarity::unseen ? 1
                                                                        : 2;
      train::ScatterSeries& series = plot.series[clip.clip.label == 1 ? 3 : normal];
      series.x.push_back(clip.clip.parameter[p]);
      series.y.push_back(clip.estimate[e]);
    }
    std::erase_if(plot.series, [](const train::ScatterSeries& series) { return series.x.empty(); });
    if (plot.series.empty()) {
      continue;
    }
    const std::vector<uint8_t> png = train::draw_scatter(plot);
    written.push_back(files.at(name));
    write_picture(written.back(), png);
  }
}

void print_written(const std::vector<fs::path>& files) {
  for (const fs::path& file : files) {
    fmt::print("  {}\n", file.string());
  }
}

void print_left_out(int64_t training_clips) {
  if (training_clips > 0) {
    fmt::print("\n{} left out.\n", count_text(training_clips, "training clip"));
  }
}

/// A challenge's test clips have no labels: their files are all there is to write.
int write_dcase_alone(const DcaseOutput& dcase) {
  std::vector<fs::path> written;
  dcase.make_folders();
  dcase.write(written);
  fmt::print("No clip has a label, so there is nothing to evaluate. Written:\n");
  print_written(written);
  return exit_ok;
}

/// What `--dcase` left: a folder a year, and nothing else.
bool holds_dcase_alone(const fs::path& folder) {
  std::error_code error;
  const fs::directory_iterator entries(folder, error), end;
  const auto is_year = [](const fs::directory_entry& entry) {
    const std::string name = entry.path().filename().string();
    return (name == "2021" || name == "2022") && is_dcase_result(entry.path() / "result.csv");
  };
  return !error && entries != end && std::all_of(entries, end, is_year);
}

/// As evenflow left it before it marked its folders, or for the challenge alone.
bool is_unmarked_result(const fs::path& folder) {
  const auto begins = [&](const char* name, const char* header) {
    std::error_code error;
    return fs::is_regular_file(folder / name, error) && io::read_beginning(folder / name).starts_with(header);
  };
  return begins("evaluation.csv", "group,kind,normal,") || begins("fleet.csv", "machine,normal,anomalous,auc,") ||
         holds_dcase_alone(folder);
}

/// Claims the folder of --out, once all that is to be written was looked at.
std::optional<io::OutputFolder> claimed_out(const EvaluateArguments& arguments) {
  if (!arguments.out) {
    return std::nullopt;
  }
  return std::optional<io::OutputFolder>(std::in_place, *arguments.out, "result of evaluate", is_unmarked_result,
                                         arguments.force);
}

void require_folders(const EvaluateArguments& arguments) {
  if (arguments.dcase && io::is_standard_output(*arguments.dcase)) {
    throw io::UsageError("--dcase takes a folder, and '" + arguments.dcase->string() +
                         "' is standard output; name one");
  }
  if (arguments.out && io::is_standard_output(*arguments.out)) {
    throw io::UsageError("--out takes a folder; the tables are on standard output without it");
  }
}

/// Each machine by itself.
int evaluate_each(const EvaluateArguments& arguments, const train::ScoreTable& table, bool labelled, int64_t left_out,
                  Outputs& outputs) {
  std::optional<FleetTable> fleet;
  if (labelled || !arguments.dcase) {
    fleet = fleet_table(table.clips);
  }
  if (arguments.out && fleet) {
    outputs.writes_below(*arguments.out, "fleet.csv", FileKind::evaluation);
  }
  std::optional<DcaseOutput> dcase;
  if (arguments.dcase) {
    dcase.emplace(dcase_files(table.clips, *arguments.dcase), outputs, arguments.force);
  }
  if (!fleet) {
    return write_dcase_alone(*dcase);
  }
  const std::optional<io::OutputFolder> folder = claimed_out(arguments);
  std::vector<train::ClipScore> finite = table.clips;
  std::erase_if(finite, [](const train::ClipScore& clip) { return !std::isfinite(clip.score); });
  fmt::print("{}\n{}", to_text(*fleet), official_scores_text(finite));
  print_left_out(left_out);
  std::vector<fs::path> written;
  if (arguments.out) {
    written.push_back(*arguments.out / "fleet.csv");
    io::write_text(written.back(), to_csv(*fleet));
  }
  if (dcase) {
    dcase->make_folders();
    dcase->write(written);
  }
  if (!written.empty()) {
    fmt::print("\nWritten:\n");
  }
  print_written(written);
  return exit_ok;
}

int run(const EvaluateArguments& arguments) {
  require_distinct(arguments.scores);
  require_folders(arguments);
  if (arguments.each_machine && (arguments.model || !arguments.training.empty())) {
    throw io::UsageError(
        "--each machine shows no seen and unseen values, which --model and --training tell; leave them out");
  }
  Outputs outputs(arguments.force);
  for (const fs::path& file : arguments.scores) {
    outputs.reads(file, "a table of scores");
  }
  if (arguments.model) {
    outputs.reads(*arguments.model, "the model");
  }
  for (const fs::path& file : arguments.training) {
    outputs.reads(file, "a training shard");
  }
  AllScores scores = read_all(arguments.scores);
  train::ScoreTable& table = scores.table;
  const TrainingSeen seen = training_seen(arguments, table);
  const auto is_train = [](const train::ClipScore& clip) { return clip.clip.split == io::Split::train; };
  const auto left_out = static_cast<int64_t>(std::erase_if(table.clips, is_train));
  if (table.clips.empty()) {
    throw io::DataError("'" + arguments.scores.front().string() +
                        "' holds no test clip; score the test clips (evenflow score --split test)");
  }
  const bool labelled =
      std::any_of(table.clips.begin(), table.clips.end(), [](const auto& clip) { return clip.clip.label >= 0; });

  if (arguments.each_machine) {
    return evaluate_each(arguments, table, labelled, left_out, outputs);
  }
  std::optional<Evaluation> evaluation;
  if (labelled || !arguments.dcase) {
    evaluation = evaluate(table, seen.values(), seen.rows());
    evaluation->without_value = std::move(scores.without_value);
  }

  // All that is to be written is looked at before anything is.
  const auto table_file = [&](const char* name) { return *arguments.out / name; };
  std::map<std::string, fs::path> pictures;
  if (arguments.out && evaluation) {
    pictures = picture_files(table, *arguments.out);
    for (const char* name : {"evaluation.csv", "evaluation.json"}) {
      outputs.writes_below(*arguments.out, name, FileKind::evaluation);
    }
    for (const auto& [name, file] : pictures) {
      outputs.writes_below(*arguments.out, file.filename().string(), FileKind::picture);
    }
  }
  std::optional<DcaseOutput> dcase;
  if (arguments.dcase) {
    dcase.emplace(dcase_files(table.clips, *arguments.dcase), outputs, arguments.force);
  }
  const std::optional<io::OutputFolder> folder = evaluation ? claimed_out(arguments) : std::nullopt;
  if (dcase) {
    dcase->make_folders();
  }

  std::vector<fs::path> written;
  if (!evaluation) {
    return write_dcase_alone(*dcase);
  }
  fmt::print("{}", to_text(*evaluation));
  if (dcase) {
    fmt::print("\n{}", official_scores_text(table.clips));
  }
  print_left_out(left_out);
  if (arguments.out) {
    written.push_back(table_file("evaluation.csv"));
    io::write_text(written.back(), to_csv(*evaluation));
    written.push_back(table_file("evaluation.json"));
    io::write_text(written.back(), to_json(*evaluation));
    draw_estimates(table, seen.values(), pictures, written);
  }
  if (dcase) {
    dcase->write(written);
  }
  if (!written.empty()) {
    fmt::print("\nWritten:\n");
  }
  print_written(written);
  return exit_ok;
}

}  // namespace

Command evaluate_command() {
  return make_command<EvaluateArguments>(
      "evaluate",
      "Says how good scores are. It shows AUC and pAUC of every score, error and correlation of the estimated "
      "parameters, and the quality of the decisions, over all clips, seen and unseen parameter values, single "
      "values, domains and machines.",
      "  evenflow evaluate scores.csv --model runs/first/model.h5 --out report\n"
      "  evenflow evaluate slider.csv fan.csv --dcase submission\n"
      "  evenflow evaluate --each machine scores.csv",
      declare, run);
}

}  // namespace evenflow::experiments
