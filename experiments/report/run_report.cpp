#include "experiments/report/run_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

#include "experiments/console.h"
#include "experiments/outputs.h"
#include "experiments/recordings.h"
#include "experiments/report/evaluation.h"
#include "experiments/report/page.h"
#include "experiments/report/score_notes.h"
#include "experiments/report/training_seen.h"
#include "experiments/study/figures.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/output_folder.h"
#include "io/run_folder.h"
#include "io/shard.h"
#include "train/detect/score.h"
#include "train/detect/score_set.h"
#include "train/loop/budget.h"
#include "train/loop/training_data.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;
using train::ClipScore;

std::string figure_text(double value) {
  return std::isnan(value) ? "–" : fmt::format("{:.1f}", 100 * value);
}

/// As evenflow left it before it marked its folders.
bool is_older_report(const fs::path& folder) {
  std::error_code error;
  return fs::exists(folder / "report.html", error) &&
         (fs::exists(folder / "figures" / "learning.gp", error) || is_scores_table(folder / "scores.csv"));
}

class RunReport {
 public:
  explicit RunReport(const RunReportOptions& options)
      : o_(options),
        run_(io::RunFolder::open(options.run)),
        model_(io::read_model(run_.model())),
        shards_(options.features.empty() ? trained_on() : given()),
        page_("Training " + fs::absolute(options.run).lexically_normal().filename().string(),
              "What was trained, how it learnt, and what it makes of the recordings.") {}

  void write() {
    const io::OutputFolder folder(o_.folder, "report", is_older_report, o_.force);
    describe();
    learning();
    score();
    io::write_text(o_.folder / "report.html", page_.html());
  }

 private:
  void figure(const std::string& name, const Picture& picture, const std::string& caption, const std::string& alt) {
    page_.figure(draw(picture, o_.folder / "figures" / name), caption, alt);
  }

  /// The features that the training read, or none if some are gone.
  std::vector<io::Shard> trained_on() const {
    std::vector<io::Shard> shards;
    for (const fs::path& shard : run_.shards()) {
      if (!fs::exists(shard)) {
        return {};
      }
      shards.emplace_back(shard);
    }
    std::vector<const io::Shard*> all;
    all.reserve(shards.size());
    for (const io::Shard& shard : shards) {
      all.push_back(&shard);
    }
    if (!all.empty() && train::data_hash(all) != model_.provenance.data_hash) {
      throw io::DataError(fmt::format(
          "the features that '{}' lists are no longer those the model was trained on (their data hash differs); name "
          "the features to score: evenflow report RUN FEATURES",
          run_.data().string()));
    }
    return shards;
  }

  std::vector<io::Shard> given() const {
    std::vector<io::Shard> shards;
    for (const fs::path& file : o_.features) {
      const std::vector<std::string>& names = shards.emplace_back(file).parameter_names();
      require_own_machines(count_machines(shards.back().clips()), model_.provenance.machines, o_.other_machines);
      const auto known = [&](const std::string& name) { return std::ranges::find(names, name) != names.end(); };
      if (names.empty() || !constrained() || std::ranges::any_of(model_.condition.names, known)) {
        continue;
      }
      throw io::DataError(fmt::format(
          "'{}' has other parameters than the model in '{}': it has {}, the model was trained with {}; give features "
          "of the same machine",
          file.string(), run_.path().string(), fmt::join(names, ", "), fmt::join(model_.condition.names, ", ")));
    }
    return shards;
  }

  bool constrained() const { return !model_.condition.names.empty(); }

  static std::string model_text(const io::Config& c) {
    if (c.model.kind == io::ModelKind::vae) {
      return fmt::format("autoencoder of {} layers, {} latents", c.vae.layers, c.vae.latents);
    }
    if (c.model.kind == io::ModelKind::classifier) {
      return fmt::format("classifier of {} layers, embedding of {}", c.classifier.layers, c.classifier.embedding);
    }
    return fmt::format("Glow of {} and {}, hidden width {}, coupling {}", count_text(c.model.blocks, "block"),
                       count_text(c.model.steps, "step"), c.model.hidden, io::name_of(c.model.coupling));
  }

  std::string threshold_text() const {
    const io::ThresholdData& t = model_.threshold;
    if (std::isnan(t.value)) {
      return "none yet";
    }
    return fmt::format("{:.6g} ({})", t.value, train::describe(t));
  }

  void describe() {
    const io::Config& c = model_.config;
    const io::Provenance& p = model_.provenance;
    page_.heading("The model");
    PageTable table;
    const auto row = [&](const std::string& name, const std::string& value) { table.rows.push_back({name, value}); };
    row("model", model_text(c));
    row("window", fmt::format("{} frames of {} mel bands", c.window.window_frames, c.frontend.mel_bands));
    for (size_t i = 0; i < model_.condition.names.size(); ++i) {
      if (model_.condition.is_category(i)) {
        row("carries " + model_.condition.names[i], fmt::format("k {:.4g}, trained with {}", model_.condition.k[i],
                                                                fmt::join(model_.condition.categories[i], ", ")));
        continue;
      }
      row("carries " + model_.condition.names[i],
          fmt::format("k {:.4g}, v0 {:.4g}, trained at {}", model_.condition.k[i], model_.condition.v0[i],
                      values_text(model_.condition.training_values[i])));
    }
    if (!constrained()) {
      row("condition", "none");
    }
    if (!c.train.leave_out.empty()) {
      row("left out", fmt::format("{}", fmt::join(c.train.leave_out, ", ")));
    }
    if (c.augment.any()) {
      row("augmented", train::describe_augmentation(c.augment));
    }
    row("training", fmt::format("{} at most, batches of {}, learning rate {:g} ({})", train::describe_budget(c.train),
                                c.train.batch, c.train.learning_rate, io::name_of(c.train.schedule)));
    row("decides by", fmt::format("`{}`", detector_score()));
    row("threshold", threshold_text());
    row("made", fmt::format("{}, seed {}, {}, evenflow {} ({})", p.date, p.seed, p.device, p.version, p.commit));
    row("data", p.data_hash);
    table.texts = true;
    page_.table(table);
  }

  void learning() {
    if (!fs::exists(run_.metrics())) {
      return;
    }
    page_.heading("How it learnt");
    const System system{"run", "loss per epoch", model_.config};
    const SystemScores scores{system, {}, {run_.path()}};
    figure("learning", learning_picture({&scores}),
           "Training and held-out loss, nats per dimension. The model of the epoch with the lowest held-out loss is "
           "kept. The axis leaves out first epochs that are far above the rest.",
           "Loss over epochs");
  }

  void score() {
    page_.heading("What it makes of the recordings");
    if (shards_.empty()) {
      page_.paragraph("The features it was trained on are no longer where they were; give features to score.");
      return;
    }
    train::Detector detector(model_, o_.device, o_.threads);
    std::vector<train::ScoreTable> tables;
    int64_t others = 0;
    for (const io::Shard& shard : shards_) {
      const auto progress = [&](int64_t done, int64_t total) {
        if (o_.progress) {
          o_.progress("scoring", static_cast<double>(done) / static_cast<double>(total));
        }
      };
      // The shard of a training may hold machines beside those that it was of.
      const auto is_own = [&](const io::Clip& clip) {
        return o_.other_machines || other_machines({{clip.machine, 1}}, model_.provenance.machines).empty();
      };
      others += std::count_if(shard.clips().begin(), shard.clips().end(), std::not_fn(is_own));
      tables.push_back(
          detector.table(shard.parameter_names(), detector.score(shard, is_own, progress), shard.categories()));
    }
    train::ScoreTable table = train::joined(tables);
    train::write_scores(o_.folder / "scores.csv", table);
    if (others > 0) {
      page_.paragraph(fmt::format("Left out: {} of machines that it was not trained on.", count_text(others, "clip")));
    }
    const auto without = static_cast<int64_t>(
        std::erase_if(table.clips, [](const ClipScore& clip) { return !std::isfinite(clip.score); }));
    if (without > 0) {
      page_.paragraph(fmt::format("The score of {} is not finite: no figure or table below counts {}.",
                                  count_text(without, "clip"), without == 1 ? "it" : "them"));
    }
    const std::string no_value = without_value_text(train::without_value(table, [](const ClipScore&) { return true; }));
    if (!no_value.empty()) {
      page_.paragraph(no_value);
    }
    for (const std::string& outside :
         outside_calibration_texts(train::outside_calibration(table, train::trained_names(model_.condition)))) {
      page_.paragraph(outside + ".");
    }
    histogram(table);
    evaluate_table(table);
    by_value(table, shards_.front().path());
  }

  /// Scores of each side, counted in bins of one width, and the threshold.
  void histogram(const train::ScoreTable& table) {
    std::vector<double> sides[3];
    for (const ClipScore& clip : table.clips) {
      if (!std::isfinite(clip.score)) {
        continue;
      }
      const bool training = clip.clip.split == io::Split::train;
      sides[training ? 0 : clip.clip.label == 1 ? 2 : 1].push_back(clip.score);
    }
    Picture picture{1000, 400, "", ""};
    picture.script = fmt::format("set xlabel {}\nset ylabel 'clips'\nset key outside right top Left reverse\n",
                                 gnuplot_text(detector_score() + ", nats"));
    double low = INFINITY, high = -INFINITY;
    for (const auto& side : sides) {
      for (const double value : side) {
        low = std::min(low, value);
        high = std::max(high, value);
      }
    }
    if (!(low < high)) {
      return;
    }
    constexpr int bins = 40;
    const double width = (high - low) / bins;
    picture.script += fmt::format("set style fill transparent solid 0.45 noborder\nset boxwidth {:.7g}\n", width);
    if (std::isfinite(model_.threshold.value)) {
      picture.script += fmt::format(
          "set arrow 1 from first {0:.9g}, graph 0 to first {0:.9g}, graph 1 nohead lw 1.5 dt 2 lc rgb '#333333'\n",
          model_.threshold.value);
    }
    const char* titles[] = {"training", "test, normal or unknown", "test, anomalous"};
    const char* colours[] = {"#999999", "#0072b2", "#d55e00"};
    std::string plots;
    for (int side = 0; side < 3; ++side) {
      if (sides[side].empty()) {
        continue;
      }
      std::vector<std::vector<double>> counts;
      counts.reserve(bins);
      for (int bin = 0; bin < bins; ++bin) {
        counts.push_back({low + (bin + 0.5) * width, 0.0});
      }
      for (const double value : sides[side]) {
        ++counts[static_cast<size_t>(std::min<double>(bins - 1, (value - low) / width))][1];
      }
      picture.data += data_block(fmt::format("side{}", side), counts);
      plots += fmt::format("{}$side{} using 1:2 with boxes lc rgb '{}' title '{}'", plots.empty() ? "plot " : ", ",
                           side, colours[side], titles[side]);
    }
    picture.script += plots + "\n";
    figure("scores", picture,
           "How many clips have which score. The dashed line is the threshold: what lies to its right is called an "
           "anomaly.",
           "Histogram of scores");
  }

  std::string detector_score() const { return train::decided_by(model_); }

  /// What the model was trained on; what it combined, by the training clips that were scored.
  TrainingSeen training_seen(train::ScoreTable& table) const {
    TrainingSeen seen(table);
    for (size_t i = 0; i < model_.condition.names.size(); ++i) {
      seen.add(model_.condition.names[i], model_.condition.training_values[i],
               io::categories_of(model_.condition.categories, i));
    }
    std::vector<io::Clip> clips;
    for (const ClipScore& clip : table.clips) {
      if (clip.clip.split == io::Split::train && o_.features.empty()) {
        clips.push_back(clip.clip);
      }
    }
    seen.add_combinations(clips, table.parameter_names, table.categories);
    return seen;
  }

  void evaluate_table(const train::ScoreTable& all) {
    train::ScoreTable table = all;
    const TrainingSeen seen = training_seen(table);
    std::erase_if(table.clips,
                  [](const ClipScore& clip) { return clip.clip.split == io::Split::train || clip.clip.label < 0; });
    const auto anomalous = std::count_if(table.clips.begin(), table.clips.end(),
                                         [](const ClipScore& clip) { return clip.clip.label == 1; });
    if (anomalous == 0 || anomalous == static_cast<int64_t>(table.clips.size())) {
      page_.paragraph("The test clips are not of both classes, so there is no AUC.");
      return;
    }
    const Evaluation evaluation = evaluate(table, seen.values(), seen.rows());
    PageTable aucs;
    aucs.head = {"clips", "normal", "anomalous"};
    for (const std::string& name : evaluation.score_names) {
      aucs.head.push_back("`" + name + "`");
    }
    for (const Group& group : evaluation.groups) {
      std::vector<std::string> cells = {group.name.empty() ? group.kind : group.name, std::to_string(group.normal),
                                        std::to_string(group.anomalous)};
      for (const std::string& name : evaluation.score_names) {
        const Merit& merit = group.scores.at(name);
        cells.push_back(figure_text(merit.auc) + " / " + figure_text(merit.pauc));
      }
      aucs.rows.push_back(std::move(cells));
    }
    aucs.caption =
        "AUC / partial AUC up to a false-positive rate of 0.1, in %. One training: no interval; a study has them. " +
        evaluation.seen_rule;
    page_.table(aucs);
  }

  /// What a study shows of its systems, of this one.
  void by_value(const train::ScoreTable& table, const fs::path& features) {
    if (!constrained() || table.parameter_names.empty() || model_.condition.is_category(0)) {
      return;
    }
    Study study;
    study.parameter = model_.condition.names.front();
    study.training_values = model_.condition.training_values.front();
    study.seeds = {model_.provenance.seed};
    study.features = features;
    train::ScoreTable moved = table;
    const auto column = std::find(table.parameter_names.begin(), table.parameter_names.end(), study.parameter);
    if (column == table.parameter_names.end() ||
        !io::categories_of(table.categories, static_cast<size_t>(column - table.parameter_names.begin())).empty()) {
      return;  // its pictures have an axis of values
    }
    const auto index = static_cast<size_t>(column - table.parameter_names.begin());
    for (ClipScore& clip : moved.clips) {
      std::swap(clip.clip.parameter.front(), clip.clip.parameter[index]);
    }
    study.systems.push_back({{"run", "this training", model_.config}, {moved}, {run_.path()}});
    const SystemScores& system = study.systems.front();
    page_.heading("Over " + study.parameter);
    figure("estimates", estimate_picture(study, {&system}),
           "What the latents say about it, on normal test clips: mean and standard deviation between clips.",
           "Estimated over true value");
    figure("distributions", distribution_picture(study, {{&system, detector_score(), detector_score()}}),
           "Scores by value. Boxes are quartiles, whiskers the extremes; hollow boxes are values never trained on.",
           "Box plots of scores by value");
  }

  const RunReportOptions& o_;
  io::RunFolder run_;
  io::ModelData model_;
  std::vector<io::Shard> shards_;  ///< to score
  Page page_;
};

}  // namespace

void write_run_report(const RunReportOptions& options) {
  RunReport(options).write();
}

}  // namespace evenflow::experiments
