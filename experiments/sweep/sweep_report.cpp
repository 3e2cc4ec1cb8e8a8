#include "experiments/sweep/sweep_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "experiments/console.h"
#include "experiments/report/gnuplot.h"
#include "experiments/report/page.h"
#include "experiments/sweep/importance.h"
#include "experiments/sweep/objective.h"
#include "experiments/sweep/standing.h"
#include "io/atomic_file.h"
#include "io/output_folder.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;
using Rows = std::vector<std::vector<double>>;

/// From the best in blue to the worst in light grey.
constexpr const char* palette = "set palette defined (0 '#0b3c6f', 0.15 '#2f7fb8', 0.5 '#b9cfdc', 1 '#e4e4e4')\n";

class SweepReport {
 public:
  explicit SweepReport(const Sweep& sweep)
      : sweep_(sweep),
        order_(ranked(sweep)),
        figures_(sweep.folder / "figures"),
        page_("Sweep " + sweep.folder.filename().string(),
              "What was tried, how well it did, and which keys mattered.") {}

  void write() {
    require_gnuplot();
    io::make_folder(figures_);
    require_no_links(figures_);
    summary();
    best();
    if (!order_.empty()) {
      over_time();
      if (sweep_.file.objectives.size() > 1) {
        front();
      }
      parallel_coordinates();
      importance();
    }
    failures();
    io::write_text(sweep_.folder / "trials.csv", to_csv(sweep_));
    io::write_text(sweep_.folder / "report.html", page_.html());
  }

 private:
  const Trial& trial(size_t i) const { return sweep_.state.trials()[i]; }
  std::string objective_name(size_t o) const {
    const std::string unit = unit_of(sweep_.file.objectives[o]);
    return std::string(io::name_of(sweep_.file.objectives[o])) + (unit.empty() ? "" : ", " + unit);
  }
  void figure(const Picture& picture, const std::string& name, const std::string& caption, const std::string& alt) {
    page_.figure(draw(picture, figures_ / name), caption, alt);
  }

  void summary() {
    page_.heading("The sweep");
    PageTable table{.head = {"", ""}, .rows = {}, .caption = "", .texts = true};
    table.rows.push_back({"trials", progress_text(sweep_)});
    table.rows.push_back({"sampler", fmt::format("{}, seed {}", io::name_of(sweep_.file.sampler), sweep_.file.seed)});
    table.rows.push_back({"repeats of each", std::to_string(sweep_.file.repeats)});
    if (sweep_.rungs.size() > 1) {
      std::string rungs;
      for (const int64_t epochs : sweep_.rungs) {
        rungs += epochs > 0 ? fmt::format("{}, ", epochs) : fmt::format("{}", sweep_.file.base.train.epochs);
      }
      table.rows.push_back({"successive halving",
                            fmt::format("after {} epochs, the best 1/{} go on", rungs, sweep_.file.halving.factor)});
    }
    for (const fs::path& file : sweep_.features) {
      table.rows.push_back({"features", file.string()});
    }
    page_.table(table);
  }

  void best() {
    page_.heading(sweep_.file.objectives.size() > 1 ? "The Pareto front" : "The best");
    if (order_.empty()) {
      page_.paragraph("No trial has a value yet.");
      return;
    }
    constexpr size_t most = 20;
    PageTable table;
    table.head = {"trial"};
    for (size_t o = 0; o < sweep_.file.objectives.size(); ++o) {
      table.head.push_back(objective_name(o));
    }
    for (const io::Domain& domain : sweep_.file.space) {
      table.head.push_back(domain.key);
    }
    const size_t shown = std::max(best_of(sweep_).size(), std::min(most, order_.size()));
    for (size_t i = 0; i < shown; ++i) {
      const Trial& one = trial(order_[i]);
      std::vector<std::string> row = {one.hash};
      for (size_t o = 0; o < sweep_.file.objectives.size(); ++o) {
        row.push_back(fmt::format("{:.5g}", values_of(one)[o]));
      }
      for (const io::Domain& domain : sweep_.file.space) {
        const auto value = one.values.find(domain.key);
        row.push_back(value == one.values.end() ? "–" : value->second);
      }
      table.rows.push_back(std::move(row));
    }
    table.caption = fmt::format("{} of {} trials with a value. `trials.csv` has all of them.", shown, order_.size());
    page_.table(table);
    page_.paragraph("The configuration of the first, as `best.toml` has it:");
    page_.code(best_toml(sweep_));
  }

  // ------------------------------------------------------------------------------------------------ figures

  /// Where an axis of values ends: a few diverged trainings must not press all others to a line.
  double edge(size_t o) const {
    constexpr double kept = 0.75, margin = 0.5;
    std::vector<double> values;
    for (const size_t t : order_) {
      values.push_back(values_of(trial(t))[o]);
    }
    std::sort(values.begin(), values.end());
    if (sweep_.maximised(o)) {
      std::reverse(values.begin(), values.end());
    }
    const double reached = values[static_cast<size_t>(kept * static_cast<double>(values.size() - 1))];
    const double end = reached + margin * (reached - values.front());
    return sweep_.maximised(o) ? std::max(end, values.back()) : std::min(end, values.back());
  }

  void over_time() {
    page_.heading("Objectives over time");
    for (size_t o = 0; o < sweep_.file.objectives.size(); ++o) {
      std::vector<size_t> by_end = order_;
      std::sort(by_end.begin(), by_end.end(), [&](size_t a, size_t b) { return trial(a).ended < trial(b).ended; });
      const double begin = trial(0).begun, limit = edge(o);
      constexpr double minute = 60, hour = 3600;
      const bool in_hours = trial(by_end.back()).ended - begin > 2 * hour;
      Rows points, line;
      double leader = std::numeric_limits<double>::quiet_NaN();
      for (const size_t t : by_end) {
        const double time = (trial(t).ended - begin) / (in_hours ? hour : minute), value = values_of(trial(t))[o];
        points.push_back({time, sweep_.maximised(o) ? std::max(value, limit) : std::min(value, limit)});
        // Those of fewer epochs cannot be the best.
        if (rung_with_values(trial(t)) == rung_with_values(trial(order_.front())) &&
            !(sweep_.maximised(o) ? value <= leader : value >= leader)) {
          leader = value;
        }
        line.push_back({time, leader});
      }
      Picture picture;
      picture.height_px = 380;
      picture.data = data_block("trials", points) + data_block("best", line);
      picture.script = fmt::format(
          "set xlabel '{} since the start'\nset ylabel {}\nset key top right\n"
          "plot $trials using 1:2 with points pt 7 ps 0.6 lc rgb '#7fa6c4' title 'trials', \\\n"
          "  $best using 1:2 with steps lw 2 lc rgb '#0b3c6f' title 'best so far'\n",
          in_hours ? "hours" : "minutes", gnuplot_text(objective_name(o)));
      const std::string name(io::name_of(sweep_.file.objectives[o]));
      figure(picture, "over_time_" + name,
             std::string("Each trial at its end") +
                 (sweep_.rungs.size() > 1
                      ? ", or where it was paused, and the best so far among those that trained longest."
                      : ", and the best so far.") +
                 " Values far off are drawn at the edge.",
             name + " over time");
    }
  }

  void front() {
    Rows all, best;
    for (const size_t t : order_) {
      all.push_back({values_of(trial(t))[0], values_of(trial(t))[1]});
    }
    for (const size_t t : best_of(sweep_)) {
      best.push_back({values_of(trial(t))[0], values_of(trial(t))[1]});
    }
    Picture picture;
    picture.data = data_block("trials", all) + data_block("front", best);
    picture.script = fmt::format(
        "set xlabel {}\nset ylabel {}\n"
        "plot $trials using 1:2 with points pt 7 ps 0.6 lc rgb '#b9cfdc' title 'trials', \\\n"
        "  $front using 1:2 with linespoints pt 7 lw 2 lc rgb '#0b3c6f' title 'Pareto front'\n",
        gnuplot_text(objective_name(0)), gnuplot_text(objective_name(1)));
    figure(picture, "pareto", "The first two objectives, and the trials that no other beats in all.",
           "the Pareto front");
  }

  /// Texts at an axis: what its ends, or its choices, are.
  static std::string labels(const io::Domain& domain, size_t axis) {
    std::string text;
    const auto label = [&](double y, const std::string& words) {
      text +=
          fmt::format("set label {} at {},{} left offset 0.5,0 front tc rgb '#333333'\n", gnuplot_text(words), axis, y);
    };
    if (domain.kind == io::DomainKind::choice) {
      for (const std::string& choice : domain.choices) {
        label(place_of(domain, choice), choice);
      }
    } else {
      label(0, fmt::format("{:g}", domain.low));
      label(1, fmt::format("{:g}", domain.high));
    }
    return text;
  }

  void parallel_coordinates() {
    constexpr double left_out = -0.12;
    page_.heading("All trials, key by key");
    const std::vector<io::Domain>& space = sweep_.file.space;
    Rows segments;
    // The best are drawn last, on top.
    for (size_t place = order_.size(); place-- > 0;) {
      const Trial& one = trial(order_[place]);
      const double shade = order_.size() < 2 ? 0 : static_cast<double>(place) / static_cast<double>(order_.size() - 1);
      std::vector<double> y;
      for (const io::Domain& domain : space) {
        const auto value = one.values.find(domain.key);
        y.push_back(value == one.values.end() ? left_out : place_of(domain, value->second));
      }
      y.push_back(1.0 - shade);
      for (size_t axis = 0; axis + 1 < y.size(); ++axis) {
        segments.push_back({static_cast<double>(axis), y[axis], 1.0, y[axis + 1] - y[axis], shade});
      }
    }
    Picture picture;
    picture.width_px = std::max(960, 150 * static_cast<int>(space.size() + 1));
    picture.height_px = 460;
    picture.data = data_block("segments", segments);
    std::string axes = palette, names;
    for (size_t axis = 0; axis <= space.size(); ++axis) {
      axes += fmt::format("set arrow from {0},{1} to {0},1 nohead lw 1.5 lc rgb '#555555' front\n", axis, left_out);
      const std::string name = axis < space.size() ? space[axis].key : "rank";
      names += fmt::format("{}{} {}", axis == 0 ? "" : ", ", gnuplot_text(name), axis);
      axes += axis < space.size() ? labels(space[axis], axis)
                                  : fmt::format(
                                        "set label 'best' at {0},1 left offset 0.5,0 front\n"
                                        "set label 'worst' at {0},0 left offset 0.5,0 front\n",
                                        axis);
    }
    picture.script =
        axes + fmt::format(
                   "set xtics ({})\nunset ytics\nunset grid\nunset border\nunset colorbox\nset cbrange [0:1]\n"
                   "set xrange [-0.45:{}]\nset yrange [-0.18:1.08]\n"
                   "plot $segments using 1:2:3:4:5 with vectors nohead lw 1.4 lc palette notitle\n",
                   names, static_cast<double>(space.size()) + 0.6);
    figure(picture, "parallel_coordinates",
           "A line per trial through its values, dark the better it did. Below an axis: the key was left out.",
           "parallel coordinates of all trials");
  }

  void importance() {
    page_.heading("How much each key matters");
    for (size_t o = 0; o < sweep_.file.objectives.size(); ++o) {
      const std::vector<KeyImportance> found = importances(sweep_, o);
      if (found.empty()) {
        page_.paragraph("With fewer than 10 trials nothing can be said.");
        return;
      }
      Rows bars;
      std::string names;
      for (size_t i = 0; i < found.size(); ++i) {
        const auto y = static_cast<double>(found.size() - 1 - i);
        bars.push_back({found[i].importance.value, y, found[i].importance.low, found[i].importance.high});
        names += fmt::format("{}{} {}", i == 0 ? "" : ", ", gnuplot_text(found[i].key), y);
      }
      Picture picture;
      picture.height_px = 130 + 34 * static_cast<int>(found.size());
      picture.data = data_block("bars", bars);
      picture.script = fmt::format(
          "set lmargin at screen 0.28\nset ytics ({})\nset yrange [-0.7:{}]\nset xlabel 'importance, from 0 to 1'\n"
          "plot $bars using 1:2:3:4 with xerrorbars pt 7 ps 1 lw 2 lc rgb '#0b3c6f' notitle\n",
          names, static_cast<double>(found.size()) - 0.3);
      const std::string name(io::name_of(sweep_.file.objectives[o]));
      figure(picture, "importance_" + name,
             fmt::format("For {}: how much worse the trials' ranks are predicted once a key's values are shuffled (a "
                         "random forest's permutation importance), with 95 % of subsamples of the trials.",
                         name),
             "importance of each key for " + name);
    }
  }

  void failures() {
    PageTable table{.head = {"", ""}, .rows = {}, .caption = "", .texts = true};
    for (const Trial& one : sweep_.state.trials()) {
      if (one.failed) {
        table.rows.push_back({one.hash.empty() ? "not allowed" : one.hash, one.why});
      }
    }
    if (!table.rows.empty()) {
      page_.heading("Trials that failed");
      page_.table(table);
    }
  }

  const Sweep& sweep_;
  std::vector<size_t> order_;
  fs::path figures_;
  Page page_;
};

}  // namespace

void write_sweep_report(const Sweep& sweep) {
  SweepReport(sweep).write();
}

}  // namespace evenflow::experiments
