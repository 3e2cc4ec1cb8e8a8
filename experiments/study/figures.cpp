#include "experiments/study/figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <limits>
#include <map>

#include "io/error.h"
#include "io/manifest.h"
#include "io/run_folder.h"
#include "io/shard.h"
#include "train/statistics/metrics.h"
#include "train/statistics/seen.h"

namespace evenflow::experiments {
namespace {

using Table = std::vector<std::vector<double>>;
using train::ClipScore;

constexpr double missing = std::numeric_limits<double>::quiet_NaN();
// Okabe and Ito's colours, which everybody can tell apart.
constexpr const char* blue = "#0072b2";
constexpr const char* orange = "#d55e00";
constexpr const char* palette[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555"};
constexpr int panel_height_px = 380;

const char* colour(size_t i) {
  return palette[i % std::size(palette)];
}

double value_of(const ClipScore& clip) {
  return clip.clip.parameter.front();
}

const std::vector<ClipScore>& clips_of(const SystemScores& system) {
  return system.runs.front().clips;
}

/// Of each row of the tables, the mean over the runs.
template <class Of>
std::vector<double> mean_over_runs(const SystemScores& system, const Of& of) {
  std::vector<double> mean(clips_of(system).size());
  for (const train::ScoreTable& run : system.runs) {
    for (size_t i = 0; i < mean.size(); ++i) {
      mean[i] += of(run, run.clips[i]) / static_cast<double>(system.runs.size());
    }
  }
  return mean;
}

/// Rows of the test clips with this label and a known value, by value.
std::map<double, std::vector<size_t>> test_rows(const SystemScores& system, int label) {
  std::map<double, std::vector<size_t>> rows;
  const std::vector<ClipScore>& clips = clips_of(system);
  for (size_t i = 0; i < clips.size(); ++i) {
    const bool wanted = clips[i].clip.split == io::Split::test && clips[i].clip.label == label;
    if (wanted && !std::isnan(value_of(clips[i]))) {
      rows[value_of(clips[i])].push_back(i);
    }
  }
  return rows;
}

/// The smallest step between values of the test clips: what widths are measured in.
double step_of(const SystemScores& system) {
  std::vector<double> values;
  for (const int label : {0, 1}) {
    for (const auto& [value, rows] : test_rows(system, label)) {
      values.push_back(value);
    }
  }
  std::sort(values.begin(), values.end());
  double step = 0;
  for (size_t i = 1; i < values.size(); ++i) {
    const double between = values[i] - values[i - 1];
    if (between > 0 && (step == 0 || between < step)) {
      step = between;
    }
  }
  return step > 0 ? step : 1.0;
}

std::string multiplot(size_t rows, size_t columns) {
  return fmt::format("set multiplot layout {},{}\n", rows, columns);
}

/// Where to end the axis of a loss, so that first epochs far above the rest do not flatten all that follows; "*" for
/// wherever the curve ends.
std::string highest_of_interest(std::vector<double> losses) {
  std::erase_if(losses, [](double loss) { return !std::isfinite(loss); });
  if (losses.size() < 8) {
    return "*";
  }
  const double low = train::quantile(losses, 0.0), usual = train::quantile(losses, 0.75);
  return fmt::format("{:.7g}", usual + 2.0 * (usual - low) + 1e-6);
}

}  // namespace

Picture logmel_picture(const Study& study) {
  const io::Shard shard(study.features);
  const std::vector<double>& values = study.training_values;
  const size_t panels = std::min<size_t>(4, values.size());
  constexpr int64_t most_frames = 400;
  const double frame_s = static_cast<double>(shard.frontend().hop_samples) / shard.frontend().sample_rate_hz;
  Picture picture{1100, 2 * 300, "", ""};
  picture.script = multiplot(panels > 2 ? 2 : 1, panels > 1 ? 2 : 1);
  picture.script +=
      "set palette defined (0 '#440154', 1 '#472d7b', 2 '#3b528b', 3 '#2c728e', 4 '#21918c', 5 '#28ae80', 6 '#5ec962', "
      "7 '#addc30', 8 '#fde725')  # viridis\nset cblabel 'dB'\nset xlabel 'time, s'\nset ylabel 'mel band'\nunset "
      "grid\nunset key\n"
      "set autoscale xfix\nset autoscale yfix\nset cbrange [-70:10]\n";
  for (size_t i = 0; i < panels; ++i) {
    const double value = values[panels == 1 ? 0 : i * (values.size() - 1) / (panels - 1)];
    const auto& clips = shard.clips();
    const auto at = [&](io::Split split) {
      return std::find_if(clips.begin(), clips.end(), [&](const io::Clip& clip) {
        return clip.split == split && clip.label == 0 && clip.parameter.front() == value;
      });
    };
    auto found = at(io::Split::test);
    if (found == clips.end()) {
      found = at(io::Split::train);
    }
    if (found == clips.end()) {
      continue;
    }
    const auto index = static_cast<size_t>(found - clips.begin());
    const int64_t first = shard.offsets()[index];
    const int64_t frames = std::min(most_frames, shard.offsets()[index + 1] - first);
    const auto bands = static_cast<size_t>(shard.mel_bands());
    std::vector<float> logmel(static_cast<size_t>(frames) * bands);
    shard.read_frames(first, frames, logmel.data());
    Table matrix(bands);
    for (size_t b = 0; b < bands; ++b) {
      for (size_t t = 0; t < static_cast<size_t>(frames); ++t) {
        matrix[b].push_back(std::round(10.0 * logmel[t * bands + b]) / 10.0);
      }
    }
    const std::string name = fmt::format("logmel{}", i);
    picture.data += data_block(name, matrix);
    picture.script += fmt::format("set title {}\nplot ${} matrix using ($1*{:.7g}):2:3 with image\n",
                                  gnuplot_text(fmt::format("{} = {:g}", study.parameter, value)), name, frame_s);
  }
  picture.script += "unset multiplot\n";
  return picture;
}

Picture estimate_picture(const Study& study, const std::vector<const SystemScores*>& systems) {
  const train::OperatingPoints trained(study.training_values);
  const size_t columns = systems.size() > 1 ? 2 : 1;
  const size_t rows = (systems.size() + columns - 1) / columns;
  Picture picture{1100, static_cast<int>(rows) * 460, "", ""};
  picture.script = multiplot(rows, columns) + "set key top left Left reverse\n";
  picture.script += fmt::format("set xlabel {}\nset ylabel {}\n", gnuplot_text("true " + study.parameter),
                                gnuplot_text("estimated " + study.parameter));
  for (size_t s = 0; s < systems.size(); ++s) {
    const SystemScores& system = *systems[s];
    const std::vector<double> estimate =
        mean_over_runs(system, [](const train::ScoreTable&, const ClipScore& clip) { return clip.estimate.front(); });
    Table seen, unseen;
    for (const auto& [value, clips] : test_rows(system, 0)) {
      double mean = 0;
      for (const size_t i : clips) {
        mean += estimate[i] / static_cast<double>(clips.size());
      }
      double squares = 0;
      for (const size_t i : clips) {
        squares += (estimate[i] - mean) * (estimate[i] - mean);
      }
      const double spread = clips.size() > 1 ? std::sqrt(squares / static_cast<double>(clips.size() - 1)) : 0.0;
      if (!std::isfinite(mean)) {
        continue;
      }
      (trained.of(value) == train::Familiarity::seen ? seen : unseen).push_back({value, mean, spread});
    }
    const auto plotted = [&](const char* name, const Table& points, const char* how, const char* title) {
      picture.data += data_block(fmt::format("{}{}", name, s), points);
      return points.empty() ? std::string()
                            : fmt::format(", ${}{} using 1:2:3 with yerrorbars {} title '{}'", name, s, how, title);
    };
    picture.script += fmt::format("set title {}\nplot x with lines lc rgb '#999999' title 'exact'",
                                  gnuplot_text(system.system.title));
    picture.script += plotted("seen", seen, "pt 7 ps 0.8 lw 1.5 lc rgb '#0072b2'", "value seen in training");
    picture.script += plotted("unseen", unseen, "pt 6 ps 1.0 lw 1.5 lc rgb '#d55e00'", "never seen");
    picture.script += "\n";
  }
  picture.script += "unset multiplot\n";
  return picture;
}

Picture distribution_picture(const Study& study, const std::vector<ScoreSeries>& series) {
  const train::OperatingPoints trained(study.training_values);
  Picture picture{1100, static_cast<int>(series.size()) * panel_height_px, "", ""};
  picture.script = multiplot(series.size(), 1) + "set key outside right top Left reverse\nset offsets graph 0.02\n";
  picture.script += fmt::format("set xlabel {}\nset ylabel 'score, nats'\n", gnuplot_text(study.parameter));
  for (size_t s = 0; s < series.size(); ++s) {
    const SystemScores& system = *series[s].system;
    const std::vector<double> score = mean_over_runs(
        system, [&](const train::ScoreTable& run, const ClipScore& clip) { return run.value(clip, series[s].score); });
    const double step = step_of(system);
    std::string plots;
    for (const int label : {0, 1}) {
      Table boxes[2];
      for (const auto& [value, clips] : test_rows(system, label)) {
        std::vector<double> own;
        for (const size_t i : clips) {
          if (std::isfinite(score[i])) {
            own.push_back(score[i]);
          }
        }
        if (own.empty()) {
          continue;
        }
        boxes[trained.of(value) == train::Familiarity::seen ? 0 : 1].push_back(
            {value + (label == 0 ? -0.18 : 0.18) * step, train::quantile(own, 0.25), train::quantile(own, 0.0),
             train::quantile(own, 1.0), train::quantile(own, 0.75)});
      }
      for (const bool seen : {true, false}) {
        const Table& rows = boxes[seen ? 0 : 1];
        if (rows.empty()) {
          continue;
        }
        const std::string name = fmt::format("{}_{}_{}", label == 0 ? "normal" : "anomalous", seen ? "seen" : "new", s);
        picture.data += data_block(name, rows);
        plots += fmt::format(
            "{}${} using 1:2:3:4:5 with candlesticks whiskerbars 0.5 lw 1.4 lc rgb '{}' fs {} title '{}, {}'",
            plots.empty() ? "plot " : ", ", name, label == 0 ? blue : orange, seen ? "solid 0.55" : "empty",
            label == 0 ? "normal" : "anomalous", seen ? "seen" : "unseen");
      }
    }
    picture.script +=
        fmt::format("set title {}\nset boxwidth {:.7g}\n{}\n", gnuplot_text(series[s].title), 0.28 * step, plots);
  }
  picture.script += "unset multiplot\n";
  return picture;
}

Picture auc_by_value_picture(const Study& study, const StudyTables& tables, const std::vector<ScoreSeries>& series) {
  Picture picture{1100, 460, "", ""};
  picture.script = "set key outside right top Left reverse\nset ylabel 'AUC, %'\nset yrange [*:102]\n";
  picture.script += fmt::format("set xlabel {}\n", gnuplot_text(study.parameter));
  const std::string prefix = study.parameter + " = ";
  std::string plots;
  for (size_t s = 0; s < series.size(); ++s) {
    const double step = step_of(*series[s].system);
    Table rows;
    for (const AucRow& row : tables.auc) {
      if (row.system != series[s].system->system.name || row.score != series[s].score) {
        continue;
      }
      if (!row.group.starts_with(prefix)) {
        continue;
      }
      const double value = std::strtod(row.group.c_str() + prefix.size(), nullptr);
      const double shift = 0.1 * step * (static_cast<double>(s) - 0.5 * static_cast<double>(series.size() - 1));
      rows.push_back({value + shift, 100 * row.over_seeds.value, 100 * row.over_clips.low, 100 * row.over_clips.high});
    }
    if (rows.empty()) {
      continue;
    }
    picture.data += data_block(fmt::format("auc{}", s), rows);
    plots += fmt::format("{}$auc{} using 1:2:3:4 with yerrorlines pt 7 ps 0.7 lw 1.4 lc rgb '{}' title {}",
                         plots.empty() ? "plot " : ", ", s, colour(s), gnuplot_text(series[s].title));
  }
  picture.script += (plots.empty() ? std::string("plot 0 notitle") : plots) + "\n";
  return picture;
}

std::vector<std::vector<double>> learning_curve(const std::filesystem::path& run) {
  const std::filesystem::path file = io::RunFolder::open(run).metrics();
  const std::vector<std::vector<std::string>> table = io::read_csv(file);
  const auto column = [&](const std::string& name) {
    const auto& head = table.front();
    const auto found = std::find(head.begin(), head.end(), name);
    if (table.empty() || found == head.end()) {
      throw io::DataError(fmt::format("'{}' has no column {}; is it from a run of evenflow?", file.string(), name));
    }
    return static_cast<size_t>(found - head.begin());
  };
  if (table.empty()) {
    throw io::DataError(fmt::format("'{}' is empty; train the run again", file.string()));
  }
  const size_t epoch = column("epoch"), training = column("train_loss"), held_out = column("validation_loss");
  Table rows;
  for (size_t i = 1; i < table.size(); ++i) {
    if (table[i].size() != table.front().size()) {
      throw io::DataError(fmt::format("'{}' has {} cells in row {}, and {} columns; train the run again", file.string(),
                                      table[i].size(), i + 1, table.front().size()));
    }
    const auto number = [&](size_t c) {
      const std::string& cell = table[i][c];
      return cell.empty() ? missing : std::strtod(cell.c_str(), nullptr);
    };
    rows.push_back({number(epoch), number(training), number(held_out)});
  }
  return rows;
}

Picture learning_picture(const std::vector<const SystemScores*>& systems) {
  const size_t columns = systems.size() > 1 ? 2 : 1;
  const size_t rows = (systems.size() + columns - 1) / columns;
  Picture picture{1100, static_cast<int>(rows) * panel_height_px, "", ""};
  picture.script =
      multiplot(rows, columns) + "set key top right\nset xlabel 'epoch'\nset ylabel 'loss, nats per dimension'\n";
  picture.script += "set style fill transparent solid 0.2 noborder\n";
  for (size_t s = 0; s < systems.size(); ++s) {
    std::vector<Table> curves;
    for (const std::filesystem::path& folder : systems[s]->folders) {
      curves.push_back(learning_curve(folder));
    }
    std::vector<double> means;
    size_t epochs = curves.front().size();
    for (const Table& curve : curves) {
      epochs = std::min(epochs, curve.size());
    }
    for (const size_t column : {size_t{1}, size_t{2}}) {
      Table band;
      for (size_t e = 0; e < epochs; ++e) {
        double sum = 0, low = curves.front()[e][column], high = low;
        for (const Table& curve : curves) {
          sum += curve[e][column];
          low = std::min(low, curve[e][column]);
          high = std::max(high, curve[e][column]);
        }
        band.push_back({curves.front()[e][0], sum / static_cast<double>(curves.size()), low, high});
      }
      for (const std::vector<double>& row : band) {
        means.push_back(row[1]);
      }
      picture.data += data_block(fmt::format("{}{}", column == 1 ? "training" : "held_out", s), band);
    }
    picture.script += fmt::format(
        "set title {0}\nset yrange [*:{4}]\n"
        "plot $training{1} using 1:3:4 with filledcurves lc rgb '{2}' notitle, "
        "$held_out{1} using 1:3:4 with filledcurves lc rgb '{3}' notitle, "
        "$training{1} using 1:2 with lines lw 2 lc rgb '{2}' title 'training', "
        "$held_out{1} using 1:2 with lines lw 2 lc rgb '{3}' title 'held-out normal clips'\n",
        gnuplot_text(systems[s]->system.title), s, blue, orange, highest_of_interest(means));
  }
  picture.script += "unset multiplot\n";
  return picture;
}

Picture score_curve_picture(const std::vector<ScoreCurve>& curves) {
  Picture picture{1100, 380 * static_cast<int>(curves.size()), "", ""};
  picture.script = multiplot(static_cast<int>(curves.size()), 1);
  picture.script += "set logscale x\nset yrange [0:100]\nset xlabel 'epochs'\nset ylabel 'AUC, %'\n";
  picture.script += "set key outside right center\n";
  for (size_t c = 0; c < curves.size(); ++c) {
    std::vector<std::string> scores;
    std::map<std::string, Table> rows;
    for (const CurvePoint& point : curves[c].points) {
      if (!rows.contains(point.score)) {
        scores.push_back(point.score);
      }
      rows[point.score].push_back({static_cast<double>(point.epochs), 100 * point.all});
    }
    std::string plots;
    for (size_t i = 0; i < scores.size(); ++i) {
      const std::string block = fmt::format("curve{}_{}", c, i);
      picture.data += data_block(block, rows[scores[i]]);
      plots += fmt::format("{}${} using 1:2 with linespoints pt {} lw 1.6 lc rgb '{}' title {}",
                           i == 0 ? "plot " : ", ", block, 5 + 2 * (i / 7), colour(i), gnuplot_text(scores[i]));
    }
    picture.script += fmt::format("set title {}\n{}\n", gnuplot_text(curves[c].system.title), plots);
  }
  picture.script += "unset multiplot\n";
  return picture;
}

}  // namespace evenflow::experiments
