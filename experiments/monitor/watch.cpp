#include "experiments/monitor/watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "io/categories.h"

namespace evenflow::experiments::monitor {
namespace {

using nlohmann::json;

// A run of ConformalMartingale::run_length clips that stay alike is reported with a probability of at most 1 / this.
constexpr double creep_capital = 1000;
constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

Estimates named(const LoadedModel& model, std::span<const double> values) {
  Estimates out;
  const io::ConditionData& condition = model.detector.model().condition;
  for (size_t p = 0; p < std::min(condition.names.size(), values.size()); ++p) {
    out.push_back({condition.names[p], values[p]});
    if (condition.is_category(p)) {
      out.back().category = io::value_text(values[p], condition.categories[p]);
    }
  }
  return out;
}

json to_memory(const Alarm::Memory& memory) {
  return {{"raised", memory.raised},
          {"recent", memory.recent},
          {"good_in_row", memory.good_in_row},
          {"raised_times", memory.raised_times},
          {"raised_at_s", memory.raised_at_s}};
}

Alarm::Memory from_memory(const json& memory) {
  return {memory.at("raised").get<bool>(), memory.at("recent").get<uint64_t>(), memory.at("good_in_row").get<int64_t>(),
          memory.at("raised_times").get<int64_t>(), memory.at("raised_at_s").get<double>()};
}

}  // namespace

Watch::Watch(std::string machine, const MonitorSettings& settings, Listener& listener)
    : machine_(std::move(machine)), settings_(settings), listener_(&listener) {
  AlarmRule at_once = settings.alarm;
  at_once.raise = at_once.of = 1;
  at_once.hold_off_s = 0;
  alarms_.emplace(AlarmKind::sensor, Alarm(at_once));
  alarms_.emplace(AlarmKind::fault, Alarm(settings.alarm));
  alarms_.emplace(AlarmKind::shift, Alarm(settings.alarm));
}

std::string Watch::state() const {
  for (const auto& choice : io::choices<AlarmKind>) {
    if (alarms_.at(choice.value).raised()) {
      return std::string(choice.name);
    }
  }
  return "normal";
}

ClipRecord Watch::judge(const LoadedModel& model, const HeardClip& clip) const {
  ClipRecord record;
  record.machine = machine_;
  record.clip = clip.number;
  record.start_s = clip.start_s;
  record.seconds = clip.seconds;
  record.score_name = model.detector.score_name();
  record.threshold = model.detector.model().threshold.value;
  record.score = clip.score ? clip.score->score : unknown;
  record.p_value = clip.score ? clip.score->p_value : unknown;
  if (clip.score) {
    record.estimates = named(model, clip.score->estimate);
  }
  if (!clip.sensor_fault.empty()) {
    record.verdict = Verdict::sensor;
    record.reason = clip.sensor_fault;
    return record;
  }
  const bool above = record.score > record.threshold;
  if (model.tells_range && clip.score) {
    record.reason = model.points.fault_of(clip.score->estimate);
    if (!record.reason.empty()) {
      record.verdict = Verdict::shift;
      record.reason += above ? ", so that the score, which is above its threshold, cannot be judged" : "";
      return record;
    }
  }
  if (!std::isfinite(record.score)) {
    record.verdict = Verdict::undecided;
    record.reason = clip.score ? clip.score->fault : "it has no score";
  } else if (above) {
    record.verdict = Verdict::fault;
    record.reason = "the score is above its threshold";
  }
  return record;
}

/// Notes that an alarm has changed; `raised` and `cleared` say why.
void Watch::changed(AlarmKind kind, Change change, const std::string& raised, const std::string& cleared) {
  if (change != Change::none) {
    const bool is_raised = change == Change::raised;
    events_.push_back({machine_, is_raised ? EventKind::raised : EventKind::cleared, kind,
                       last_.start_s + last_.seconds, is_raised ? raised : cleared});
  }
}

void Watch::update_alarms(const LoadedModel& model) {
  const std::string good = fmt::format("{} good clips in a row", settings_.alarm.clear);
  const bool faulty_sensor = last_.verdict == Verdict::sensor;
  changed(AlarmKind::sensor, alarms_.at(AlarmKind::sensor).take(faulty_sensor, heard_s_), last_.reason, good);
  if (faulty_sensor || last_.verdict == Verdict::undecided) {
    return;
  }
  const bool moved = last_.verdict == Verdict::shift;
  if (model.tells_range) {
    changed(AlarmKind::shift, alarms_.at(AlarmKind::shift).take(moved, heard_s_), last_.reason,
            "the operating point is a trained one");
  }
  if (!moved) {
    Alarm& fault = alarms_.at(AlarmKind::fault);
    const Change change = fault.take(last_.verdict == Verdict::fault, heard_s_);
    changed(AlarmKind::fault, change,
            fmt::format("{} of the last {} clips above {:.6g}, the last at {:.6g}", fault.recent_bad(), fault.rule().of,
                        last_.threshold, last_.score),
            good);
  }
  watch_creep(model);
}

void Watch::hear(const LoadedModel& model, const HeardClip& clip, const std::string& recording) {
  last_ = judge(model, clip);
  last_.recording = recording;
  heard_s_ += last_.seconds;
  ++counts_.clips;
  ++counts_.by_verdict[last_.verdict];
  update_alarms(model);
  last_.state = state();
  listener_->say(last_);
  for (const EventRecord& event : std::exchange(events_, {})) {
    listener_->say(event);
  }
}

void Watch::watch_creep(const LoadedModel& model) {
  if (!model.tells_creep) {
    return;
  }
  // Between names nothing creeps.
  Estimates estimates = last_.estimates;
  std::erase_if(estimates, [](const Estimate& estimate) { return !estimate.category.empty(); });
  while (creep_.size() < estimates.size()) {
    creep_.emplace_back(creep_.size() + 1);
  }
  double capital = 0;
  for (size_t p = 0; p < estimates.size(); ++p) {
    if (!std::isfinite(estimates[p].value)) {
      return;
    }
    creep_[p].add(estimates[p].value);
    capital += creep_[p].capital() / static_cast<double>(estimates.size());
  }
  if (!(capital >= creep_capital)) {
    return;
  }
  std::string moved;
  for (size_t p = 0; p < estimates.size(); ++p) {
    moved += fmt::format("{}{} from about {:.5g} to {:.5g}", p == 0 ? "" : ", ", estimates[p].parameter,
                         creep_[p].earlier_level(), creep_[p].level());
    creep_[p].restart();
  }
  events_.push_back({machine_, EventKind::note, AlarmKind::shift, last_.start_s + last_.seconds,
                     fmt::format("the operating point creeps or has moved: {}", moved)});
}

void Watch::hear_windows(const LoadedModel& model, const Cutter& cutter, int64_t first) {
  const flow::WindowScores& windows = cutter.clip().windows();
  counts_.windows += windows.size() - first;
  if (!settings_.windows) {
    return;
  }
  const io::Config& config = model.detector.model().config;
  const double hop_s = static_cast<double>(config.window.window_hop_frames * config.frontend.hop_samples) /
                       config.frontend.sample_rate_hz;
  const std::vector<flow::Score>& scores = model.detector.network().scores();
  for (int64_t w = first; w < windows.size(); ++w) {
    WindowRecord record{
        machine_, cutter.clip_number(), w + 1, cutter.clip_start_s() + static_cast<double>(w) * hop_s, {}, {}};
    for (size_t s = 0; s < scores.size(); ++s) {
      record.scores.emplace_back(scores[s].name, windows.scores[w][s]);
    }
    record.estimates = named(model, windows.estimates[w]);
    listener_->say(record);
  }
}

void Watch::sensor_fault(const std::string& why) {
  if (alarms_.at(AlarmKind::sensor).raise(heard_s_) == Change::raised) {
    listener_->say(EventRecord{machine_, EventKind::raised, AlarmKind::sensor, last_.start_s + last_.seconds, why});
  } else {
    note(AlarmKind::sensor, why);
  }
}

void Watch::note(AlarmKind about, const std::string& text) {
  listener_->say(EventRecord{machine_, EventKind::note, about, last_.start_s + last_.seconds, text});
}

json Watch::memory() const {
  json alarms = json::object(), verdicts = json::object(), creep = json::array();
  for (const auto& choice : io::choices<AlarmKind>) {
    alarms[std::string(choice.name)] = to_memory(alarms_.at(choice.value).memory());
  }
  for (const auto& [verdict, count] : counts_.by_verdict) {
    verdicts[std::string(io::name_of(verdict))] = count;
  }
  for (const train::ConformalMartingale& test : creep_) {
    creep.push_back(test.values());
  }
  return {{"clips", counts_.clips}, {"windows", counts_.windows}, {"verdicts", verdicts},
          {"heard_s", heard_s_},    {"alarms", alarms},           {"creep", creep}};
}

void Watch::remember(const json& memory) {
  counts_.clips = memory.at("clips").get<int64_t>();
  counts_.windows = memory.at("windows").get<int64_t>();
  heard_s_ = memory.at("heard_s").get<double>();
  for (const auto& choice : io::choices<Verdict>) {
    counts_.by_verdict[choice.value] = memory.at("verdicts").value(std::string(choice.name), int64_t{0});
  }
  for (const auto& choice : io::choices<AlarmKind>) {
    alarms_.at(choice.value).remember(from_memory(memory.at("alarms").at(std::string(choice.name))));
  }
  creep_.clear();
  for (const json& values : memory.at("creep")) {
    creep_.emplace_back(creep_.size() + 1).replay(values.get<std::vector<double>>());
  }
}

}  // namespace evenflow::experiments::monitor
