#include "train/detect/findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <span>

#include "kernels/mel_scale.h"
#include "train/statistics/metrics.h"

namespace evenflow::train {
namespace {

// A dropout is quieter than any normal frame by this, and by so many spreads of what normal clips' quietest frames are.
// Pauses of a machine leave the room's noise, which 10 dB below is no more.
constexpr double dropout_db = 10.0, dropout_spreads = 3.0;
// Below this a band holds nothing, whatever is normal: 24 bits end at -130 dB (frontend/silence.h).
constexpr double silence_db = -130.0;
// A burst's cells are louder than the loudest that normal clips have in their band by so many spreads and decibels,
// three bands of a frame at once, as one may be so by chance, and over within half a second. Where the second before
// and after is raised too, by more than two spreads, they must stand out from that.
constexpr double burst_spreads = 2.0, burst_db = 3.0, around_spreads = 2.0, around_s = 1.0;
constexpr int64_t burst_bands = 3;
constexpr double burst_s = 0.5;
// A band's mean level is raised by so many spreads between normal clips, and by what can be heard: 2 dB.
constexpr double level_spreads = 4.0, level_db = 2.0;
constexpr int64_t level_bands = 3;
// Bands that belong together may have so many between them that are not raised.
constexpr int64_t gap_bands = 2;
// A tone rises by 6 dB more than most bands do, and what is half as high in dB is as wide as the main lobe of the Hann
// window, four bins, and two bands.
constexpr double tone_db = 6.0, main_lobe_bins = 4.0, tone_bands = 2.0;
// Half of all bands raised by three spreads are a level of the whole spectrum: so many at once are not so by chance.
constexpr double whole_share = 0.5, whole_spreads = 3.0;
constexpr size_t most_levels = 3;

struct Run {
  int64_t first, last;
  int64_t size() const { return last - first + 1; }
};

/// Runs of what holds, with at most `gap` between them that does not.
std::vector<Run> runs_of(const std::vector<bool>& holds, int64_t gap) {
  std::vector<Run> runs;
  for (int64_t i = 0; i < static_cast<int64_t>(holds.size()); ++i) {
    if (!holds[static_cast<size_t>(i)]) {
      continue;
    }
    if (!runs.empty() && i - runs.back().last <= gap + 1) {
      runs.back().last = i;
    } else {
      runs.push_back({i, i});
    }
  }
  return runs;
}

class Search {
 public:
  explicit Search(const Heard& heard)
      : heard_(heard),
        bands_(heard.frontend.mel_bands),
        frames_(static_cast<int64_t>(heard.logmel_db.size()) / bands_),
        frame_s_(static_cast<double>(heard.frontend.hop_samples) / heard.frontend.sample_rate_hz),
        taken_(static_cast<size_t>(frames_), false) {}

  std::vector<Finding> run() {
    clipping();
    dropouts();
    if (heard_.expected != nullptr) {
      bursts();
      levels(1.0);
      levels(-1.0);
    }
    std::stable_sort(out_.begin(), out_.end(), [](const Finding& a, const Finding& b) {
      return a.kind != b.kind ? a.kind < b.kind : std::abs(a.above_db) > std::abs(b.above_db);
    });
    return out_;
  }

 private:
  double cell(int64_t frame, int64_t band) const {
    return heard_.logmel_db[static_cast<size_t>(frame * bands_ + band)];
  }
  const ExpectedSound& expected() const { return *heard_.expected; }
  /// Frame t is centred on t hops; it stands for half a hop to either side.
  double begin_of(int64_t frame) const { return std::max(0.0, (static_cast<double>(frame) - 0.5) * frame_s_); }
  double end_of(int64_t frame) const {
    return (static_cast<double>(std::min(frame + 1, frames_ - 1)) - 0.5) * frame_s_;
  }

  void clipping() {
    const frontend::Clipping& c = heard_.clipping;
    if (c.found()) {
      out_.push_back({.kind = FindingKind::clipping,
                      .from_s = c.first_s,
                      .to_s = c.last_s,
                      .above_db = 20.0 * std::log10(c.level),
                      .times = c.runs});
    }
  }

  /// Mean over the bands of each frame.
  std::vector<double> frame_loudness() const {
    std::vector<double> loudness;
    for (int64_t t = 0; t < frames_; ++t) {
      double sum = 0;
      for (int64_t b = 0; b < bands_; ++b) {
        sum += cell(t, b);
      }
      loudness.push_back(sum / static_cast<double>(bands_));
    }
    return loudness;
  }

  void dropouts() {
    double limit = silence_db, normal = 0;
    const std::vector<double> loudness = frame_loudness();
    if (heard_.expected != nullptr) {
      normal =
          std::accumulate(expected().level_db.begin(), expected().level_db.end(), 0.0) / static_cast<double>(bands_);
      // A recording that is quieter throughout has quieter pauses: that is its level, and no dropout.
      const double quieter = std::min(0.0, median(loudness) - normal);
      limit = std::max(limit, expected().quietest_db + quieter -
                                  std::max(dropout_db, dropout_spreads * expected().quietest_spread_db));
    }
    std::vector<bool> quiet;
    quiet.reserve(loudness.size());
    for (const double loud : loudness) {
      quiet.push_back(loud < limit);
    }
    const std::vector<Run> runs = runs_of(quiet, 0);
    if (runs.empty()) {
      return;
    }
    const double least = *std::min_element(loudness.begin(), loudness.end());
    Finding finding = over(FindingKind::dropout, runs);
    finding.above_db = least - normal;
    out_.push_back(finding);
    // Frames beside it hold a part of it.
    take(runs, 1);
  }

  void bursts() {
    measure_excess();
    std::vector<bool> loud(static_cast<size_t>(frames_));
    for (int64_t t = 0; t < frames_; ++t) {
      int64_t count = 0;
      for (int64_t b = 0; b < bands_; ++b) {
        count += above_peak(t, b) >= burst_db ? 1 : 0;
      }
      loud[static_cast<size_t>(t)] = count >= burst_bands && !taken_[static_cast<size_t>(t)];
    }
    std::vector<Run> runs = runs_of(loud, 1);
    std::erase_if(runs, [&](const Run& run) { return static_cast<double>(run.size()) * frame_s_ > burst_s; });
    if (runs.empty()) {
      return;
    }
    Finding finding = over(FindingKind::burst, runs);
    const Run band = burst_range(runs, finding.above_db);
    set_band(band, finding);
    out_.push_back(finding);
    take(runs, 1);
  }

  double above_peak(int64_t frame, int64_t band) const { return excess_[static_cast<size_t>(frame * bands_ + band)]; }

  /// How far each cell is above the loudest that is normal in its band, the spread of that, and what the time about it
  /// is raised by: the median of it where the whole spectrum is raised, and what is beyond two spreads where not.
  void measure_excess() {
    const auto reach = static_cast<int64_t>(around_s / frame_s_);
    const double allowed = whole_raised(1.0) ? 0.0 : around_spreads;
    excess_.resize(static_cast<size_t>(frames_ * bands_));
    std::vector<double> around;
    for (int64_t b = 0; b < bands_; ++b) {
      const auto at = static_cast<size_t>(b);
      const double usual = expected().most_level_db[at] + allowed * expected().level_spread_db[at];
      const double loudest = expected().peak_db[at] + burst_spreads * expected().peak_spread_db[at];
      for (int64_t t = 0; t < frames_; ++t) {
        double above = cell(t, b) - loudest;
        if (above >= burst_db) {
          around.clear();
          for (int64_t i = std::max<int64_t>(0, t - reach); i <= std::min(frames_ - 1, t + reach); ++i) {
            around.push_back(cell(i, b));
          }
          above -= std::max(0.0, median(around) - usual);
        }
        excess_[static_cast<size_t>(t * bands_ + b)] = above;
      }
    }
  }

  static double median(std::span<const double> values) { return quantile(values, 0.5); }

  /// By how much the mean level of each band over the frames that are left is above what is normal, or below (sign).
  std::vector<double> level_excess(double sign) const {
    std::vector<double> excess;
    const auto kept = static_cast<double>(std::count(taken_.begin(), taken_.end(), false));
    for (int64_t b = 0; b < bands_; ++b) {
      const auto at = static_cast<size_t>(b);
      double sum = 0;
      for (int64_t t = 0; t < frames_; ++t) {
        sum += taken_[static_cast<size_t>(t)] ? 0.0 : cell(t, b);
      }
      const double normal = sign > 0 ? expected().most_level_db[at] : expected().least_level_db[at];
      excess.push_back(kept > 0 ? sign * (sum / kept - normal) : 0.0);
    }
    return excess;
  }

  std::vector<bool> raised(const std::vector<double>& excess, double spreads) const {
    std::vector<bool> out;
    for (size_t b = 0; b < excess.size(); ++b) {
      out.push_back(excess[b] >= std::max(level_db, spreads * expected().level_spread_db[b]));
    }
    return out;
  }

  bool whole_raised(double sign) const {
    const std::vector<bool> bands = raised(level_excess(sign), whole_spreads);
    return static_cast<double>(std::count(bands.begin(), bands.end(), true)) >=
           whole_share * static_cast<double>(bands_);
  }

  /// The bands that hold nine tenths of what is too loud, and by how much the loudest cell is above what is normal.
  Run burst_range(const std::vector<Run>& runs, double& above_db) const {
    std::vector<double> excess(static_cast<size_t>(bands_), 0.0);
    above_db = 0;
    for (const Run& run : runs) {
      for (int64_t t = run.first; t <= run.last; ++t) {
        for (int64_t b = 0; b < bands_; ++b) {
          const auto at = static_cast<size_t>(b);
          excess[at] += std::max(0.0, above_peak(t, b));
          above_db = std::max(above_db, cell(t, b) - expected().peak_db[at]);
        }
      }
    }
    const double all = std::accumulate(excess.begin(), excess.end(), 0.0);
    constexpr double tail = 0.05;
    Run range{0, bands_ - 1};
    for (double sum = excess.front(); sum < tail * all; sum += excess[static_cast<size_t>(range.first)]) {
      ++range.first;
    }
    for (double sum = excess.back(); sum < tail * all; sum += excess[static_cast<size_t>(range.last)]) {
      --range.last;
    }
    return range;
  }

  /// Bands whose mean level over the frames that are left is above what is normal, or below (sign).
  void levels(double sign) {
    const std::vector<double> excess = level_excess(sign);
    std::vector<Finding> found;
    if (whole_raised(sign)) {
      found.push_back(sustained({0, bands_ - 1}, sign, FindingKind::level));
      found.back().whole_spectrum = true;
    } else {
      for (const Run& run : runs_of(raised(excess, level_spreads), gap_bands)) {
        if (const std::optional<Run> tone = sign > 0 ? tone_in(run, excess) : std::nullopt) {
          found.push_back(sustained(*tone, sign, FindingKind::tone));
          found.back().above_db = *std::max_element(excess.begin() + tone->first, excess.begin() + tone->last + 1);
        } else if (run.size() >= level_bands) {
          found.push_back(sustained(run, sign, FindingKind::level));
        }
      }
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const Finding& a, const Finding& b) { return std::abs(a.above_db) > std::abs(b.above_db); });
    found.resize(std::min(found.size(), most_levels));
    out_.insert(out_.end(), found.begin(), found.end());
  }

  std::optional<Run> tone_in(const Run& run, const std::vector<double>& excess) const {
    const auto begin = excess.begin() + run.first;
    const int64_t top = run.first + (std::max_element(begin, excess.begin() + run.last + 1) - begin);
    const double highest = excess[static_cast<size_t>(top)];
    if (highest - median(excess) < tone_db) {
      return std::nullopt;
    }
    Run core{top, top};
    while (core.first > 0 && excess[static_cast<size_t>(core.first - 1)] >= highest / 2) {
      --core.first;
    }
    while (core.last < bands_ - 1 && excess[static_cast<size_t>(core.last + 1)] >= highest / 2) {
      ++core.last;
    }
    const Frequencies hz = frequencies_of(core.first, core.last, heard_.frontend);
    const Frequencies band = frequencies_of(top, top, heard_.frontend);
    const double bin_hz = static_cast<double>(heard_.frontend.sample_rate_hz) / heard_.frontend.n_fft;
    const double widest = main_lobe_bins * bin_hz + tone_bands * (band.high_hz - band.low_hz);
    return hz.high_hz - hz.low_hz <= widest ? std::optional(core) : std::nullopt;
  }

  /// When the bands are raised, second by second, and by how much then.
  Finding sustained(const Run& bands, double sign, FindingKind kind) const {
    const auto block = std::max<int64_t>(1, std::llround(1.0 / frame_s_));
    std::vector<double> excess;
    for (int64_t first = 0; first + block <= frames_ || first == 0; first += block) {
      double sum = 0, count = 0;
      for (int64_t t = first; t < std::min(first + block, frames_); ++t) {
        for (int64_t b = bands.first; b <= bands.last && !taken_[static_cast<size_t>(t)]; ++b) {
          sum += sign * cell(t, b) - normal_level(b, sign);
          ++count;
        }
      }
      excess.push_back(count > 0 ? sum / count : 0.0);
    }
    const double half = 0.5 * *std::max_element(excess.begin(), excess.end());
    std::vector<bool> present;
    double sum = 0, count = 0;
    for (const double value : excess) {
      present.push_back(value >= half);
      sum += value >= half ? value : 0.0;
      count += value >= half ? 1.0 : 0.0;
    }
    const auto first = std::find(present.begin(), present.end(), true) - present.begin();
    const auto last = present.rend() - std::find(present.rbegin(), present.rend(), true);
    Finding finding{
        .kind = kind,
        .from_s = begin_of(first * block),
        .to_s = static_cast<int64_t>(present.size()) == last ? end_of(frames_ - 1) : end_of(last * block - 1),
        .above_db = sign * sum / count};
    constexpr double most = 0.8;
    finding.throughout = finding.to_s - finding.from_s >= most * end_of(frames_ - 1);
    set_band(bands, finding);
    return finding;
  }

  /// What a band is measured from: sign times its normal level.
  double normal_level(int64_t band, double sign) const {
    const auto b = static_cast<size_t>(band);
    return sign > 0 ? expected().most_level_db[b] : -expected().least_level_db[b];
  }

  Finding over(FindingKind kind, const std::vector<Run>& runs) const {
    Finding finding{.kind = kind,
                    .from_s = begin_of(runs.front().first),
                    .to_s = end_of(runs.back().last),
                    .times = static_cast<int64_t>(runs.size())};
    finding.throughout = runs.size() == 1 && runs.front().size() == frames_;
    return finding;
  }

  void set_band(const Run& bands, Finding& finding) const {
    const Frequencies hz = frequencies_of(bands.first, bands.last, heard_.frontend);
    finding.low_hz = hz.low_hz;
    finding.high_hz = hz.high_hz;
  }

  /// No later rule looks at these frames, or those beside them.
  void take(const std::vector<Run>& runs, int64_t beside) {
    for (const Run& run : runs) {
      for (int64_t t = std::max<int64_t>(0, run.first - beside); t <= std::min(frames_ - 1, run.last + beside); ++t) {
        taken_[static_cast<size_t>(t)] = true;
      }
    }
  }

  const Heard& heard_;
  int64_t bands_, frames_;
  double frame_s_;
  std::vector<bool> taken_;
  std::vector<double> excess_;  // [frames, bands]
  std::vector<Finding> out_;
};

std::string hz_text(double low_hz, double high_hz) {
  return high_hz < 1000.0 ? fmt::format("between {:.0f} and {:.0f} Hz", low_hz, high_hz)
                          : fmt::format("between {:.2g} and {:.2g} kHz", low_hz / 1000.0, high_hz / 1000.0);
}

std::string when_text(const Finding& f) {
  return f.throughout ? std::string("throughout") : fmt::format("from {:.1f} to {:.1f} s", f.from_s, f.to_s);
}

std::string once_text(const Finding& f) {
  return f.times == 1 ? fmt::format("at {:.2f} s ({:.2f} s long)", f.from_s, f.to_s - f.from_s)
                      : fmt::format("between {:.2f} and {:.2f} s", f.from_s, f.to_s);
}

}  // namespace

const char* name_of(FindingKind kind) {
  constexpr const char* names[] = {"clipping", "dropout", "burst", "tone", "level"};
  return names[static_cast<size_t>(kind)];
}

Frequencies frequencies_of(int64_t first, int64_t last, const io::FrontendSettings& frontend) {
  const double step = kernels::mels_per_band(frontend.sample_rate_hz, frontend.mel_bands);
  return {kernels::mel_to_hz((static_cast<double>(first) + 0.5) * step),
          kernels::mel_to_hz((static_cast<double>(last) + 1.5) * step)};
}

std::vector<Finding> find(const Heard& heard) {
  return Search(heard).run();
}

std::string text_of(const Finding& f, const std::string& where) {
  const std::string side = f.above_db < 0 ? "below" : "above";
  const double db = std::abs(f.above_db);
  switch (f.kind) {
    case FindingKind::clipping:
      return fmt::format("the recording is clipped at {:.1f} dB of full scale, {} flat crests {}", f.above_db, f.times,
                         when_text(f));
    case FindingKind::dropout:
      return f.times == 1 ? fmt::format("the sound drops out {}, {:.0f} dB below what is normal{}",
                                        f.throughout ? when_text(f) : once_text(f), db, where)
                          : fmt::format("the sound drops out {} times {}, {:.0f} dB below what is normal{}", f.times,
                                        once_text(f), db, where);
    case FindingKind::burst:
      return fmt::format("{} {} {}, up to {:.0f} dB above the loudest that is normal{}",
                         f.times == 1 ? std::string("a burst") : fmt::format("{} bursts", f.times), once_text(f),
                         hz_text(f.low_hz, f.high_hz), db, where);
    case FindingKind::tone:
      return fmt::format("a tone {} {}, {:.0f} dB above what is normal{}", hz_text(f.low_hz, f.high_hz), when_text(f),
                         db, where);
    case FindingKind::level:
      break;
  }
  return fmt::format("the level {} is {:.0f} dB {} what is normal{}, {}",
                     f.whole_spectrum ? std::string("of the whole spectrum") : hz_text(f.low_hz, f.high_hz), db, side,
                     where, when_text(f));
}

}  // namespace evenflow::train
