#include "experiments/sweep/standing.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "experiments/console.h"
#include "experiments/study/csv.h"
#include "experiments/sweep/objective.h"
#include "io/atomic_file.h"
#include "io/manifest.h"
#include "train/statistics/intervals.h"

namespace evenflow::experiments {
namespace {

/// Less is better.
std::vector<double> costs_of(const Sweep& sweep, size_t trial) {
  std::vector<double> costs = values_of(sweep.state.trials()[trial]);
  for (size_t i = 0; i < costs.size(); ++i) {
    costs[i] = sweep.maximised(i) ? -costs[i] : costs[i];
  }
  return costs;
}

bool beats(const std::vector<double>& a, const std::vector<double>& b) {
  bool better = false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] > b[i]) {
      return false;
    }
    better = better || a[i] < b[i];
  }
  return better;
}

struct Candidate {
  size_t trial;
  int64_t rung;
  std::vector<double> costs;
  bool on_front = false;
};

std::vector<Candidate> in_order(const Sweep& sweep) {
  std::vector<Candidate> all;
  for (size_t t = 0; t < sweep.state.trials().size(); ++t) {
    const Trial& trial = sweep.state.trials()[t];
    const int64_t rung = rung_with_values(trial);
    if (trial.failed || rung < 0) {
      continue;
    }
    std::vector<double> costs = costs_of(sweep, t);
    if (std::all_of(costs.begin(), costs.end(), [](double cost) { return std::isfinite(cost); })) {
      all.push_back({t, rung, std::move(costs)});
    }
  }
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return a.rung != b.rung ? a.rung > b.rung : a.costs < b.costs;
  });
  // Of several objectives: who comes before in the order is the only one that can beat.
  for (size_t i = 0; i < all.size() && all[i].rung == all[0].rung; ++i) {
    all[i].on_front = std::none_of(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(i),
                                   [&](const Candidate& other) { return beats(other.costs, all[i].costs); });
    all[i].on_front = all[i].on_front && (all[i].costs.size() > 1 || i == 0);
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Candidate& a, const Candidate& b) { return a.on_front && !b.on_front; });
  return all;
}

std::string epochs_text(const Sweep& sweep, const Trial& trial) {
  const int64_t rung = rung_with_values(trial);
  if (rung < 0) {
    return "";
  }
  const int64_t epochs = sweep.rungs[static_cast<size_t>(rung)];
  return epochs == 0 ? "all" : std::to_string(epochs);
}

}  // namespace

int64_t rung_with_values(const Trial& trial) {
  int64_t rung = trial.repeats.front().rung;
  for (const Repeat& repeat : trial.repeats) {
    rung = std::min(rung, repeat.rung);
  }
  return rung;
}

std::vector<double> values_of(const Trial& trial) {
  return trial.mean(rung_with_values(trial));
}

std::vector<size_t> ranked(const Sweep& sweep) {
  std::vector<size_t> trials;
  for (const Candidate& candidate : in_order(sweep)) {
    trials.push_back(candidate.trial);
  }
  return trials;
}

std::vector<size_t> best_of(const Sweep& sweep) {
  std::vector<size_t> trials;
  for (const Candidate& candidate : in_order(sweep)) {
    if (candidate.on_front) {
      trials.push_back(candidate.trial);
    }
  }
  return trials;
}

std::string progress_text(const Sweep& sweep) {
  std::string text = fmt::format("{} of {}", sweep.state.trials().size(), count_text(sweep.trials(), "trial"));
  const char* between = ": ";
  for (const auto& [state, count] : sweep.state.counts()) {
    text += fmt::format("{}{} {}", between, count, name_of(state));
    between = ", ";
  }
  return text;
}

std::string value_text(const Sweep& sweep, const Trial& trial, size_t objective) {
  const std::string unit = unit_of(sweep.file.objectives[objective]);
  const auto rung = static_cast<size_t>(rung_with_values(trial));
  std::vector<double> values;
  for (const Repeat& repeat : trial.repeats) {
    values.push_back(repeat.values[rung][objective]);
  }
  const train::Interval interval = train::mean_interval(values);
  const std::string spread =
      values.size() > 1 ? fmt::format(" ({:.5g} to {:.5g})", interval.low, interval.high) : std::string();
  return fmt::format("{:.5g}{}{}{}", interval.value, spread, unit.empty() ? "" : " ", unit);
}

std::string best_text(const Sweep& sweep, size_t most) {
  const std::vector<size_t> order = ranked(sweep);
  if (order.empty()) {
    return "No trial has a value yet.\n";
  }
  TextTable table;
  std::vector<std::string> head = {"trial", "epochs"};
  for (const io::Objective objective : sweep.file.objectives) {
    head.emplace_back(io::name_of(objective));
  }
  for (const io::Domain& domain : sweep.file.space) {
    head.push_back(domain.key);
  }
  table.add(head);
  for (size_t i = 0; i < std::min(most, order.size()); ++i) {
    const Trial& trial = sweep.state.trials()[order[i]];
    std::vector<std::string> row = {trial.hash, epochs_text(sweep, trial)};
    for (size_t o = 0; o < sweep.file.objectives.size(); ++o) {
      row.push_back(fmt::format("{:.5g}", values_of(trial)[o]));
    }
    for (const io::Domain& domain : sweep.file.space) {
      const auto value = trial.values.find(domain.key);
      row.push_back(value == trial.values.end() ? "-" : value->second);
    }
    table.add(std::move(row));
  }
  return table.text();
}

std::string to_csv(const Sweep& sweep) {
  std::string text = "trial,state,epochs";
  for (const io::Objective objective : sweep.file.objectives) {
    text += fmt::format(",{}", io::name_of(objective));
  }
  for (const io::Domain& domain : sweep.file.space) {
    text += fmt::format(",{}", domain.key);
  }
  text += ",begun,ended,why\n";
  for (const Trial& trial : sweep.state.trials()) {
    text += fmt::format("{},{},{}", trial.hash, name_of(sweep.state.state_of(trial)), epochs_text(sweep, trial));
    const bool known = rung_with_values(trial) >= 0;
    for (size_t o = 0; o < sweep.file.objectives.size(); ++o) {
      text += fmt::format(",{}", known ? csv_number(values_of(trial)[o]) : "");
    }
    for (const io::Domain& domain : sweep.file.space) {
      const auto value = trial.values.find(domain.key);
      text += fmt::format(",{}", value == trial.values.end() ? "" : io::csv_cell(value->second));
    }
    text += fmt::format(",{:.3f},{:.3f},{}\n", trial.begun, trial.ended, io::csv_cell(trial.why));
  }
  return text;
}

std::string best_toml(const Sweep& sweep) {
  const std::vector<size_t> best = best_of(sweep);
  if (best.empty()) {
    return "";
  }
  const Trial& trial = sweep.state.trials()[best.front()];
  std::string text = fmt::format("# The best of an evenflow sweep: trial {}\n", trial.hash);
  for (size_t o = 0; o < sweep.file.objectives.size(); ++o) {
    text += fmt::format("# {}: {}\n", io::name_of(sweep.file.objectives[o]), value_text(sweep, trial, o));
  }
  return text + "\n" + io::read_text(trial_config(sweep.folder, trial.hash));
}

}  // namespace evenflow::experiments
