#include "experiments/rail/rail.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "flow/random.h"
#include "io/error.h"

namespace evenflow::experiments {
namespace {

using flow::Random;
constexpr double two_pi = 2.0 * std::numbers::pi;
constexpr double reference_speed_mm_s = 400.0;  // levels are given at this speed

/// A state-variable filter (Simper's trapezoidal form): stable while its frequency moves.
class Resonator {
 public:
  /// Band-pass of unit peak gain at `frequency_hz`.
  double operator()(double x, double frequency_hz, double q, double rate_hz) {
    const double k = 1.0 / q;
    if (frequency_hz != frequency_hz_) {
      frequency_hz_ = frequency_hz;
      g_ = std::tan(std::numbers::pi * std::clamp(frequency_hz, 5.0, 0.45 * rate_hz) / rate_hz);
    }
    const double a1 = 1.0 / (1.0 + g_ * (g_ + k));
    const double v1 = a1 * (band_ + g_ * (x - low_));
    const double v2 = low_ + g_ * v1;
    band_ = 2.0 * v1 - band_;
    low_ = 2.0 * v2 - low_;
    return k * v1;
  }

 private:
  double frequency_hz_ = -1, g_ = 0;
  double band_ = 0, low_ = 0;
};

/// One-pole low-pass with a movable corner.
class LowPass {
 public:
  double operator()(double x, double corner_hz, double rate_hz) {
    const double a = 1.0 - std::exp(-two_pi * std::min(corner_hz, 0.45 * rate_hz) / rate_hz);
    state_ += a * (x - state_);
    return state_;
  }

 private:
  double state_ = 0;
};

/// Pink noise: white noise through three one-pole sections an octave and a half apart.
class PinkNoise {
 public:
  double operator()(double white) {
    slow_ = 0.99765 * slow_ + 0.0990460 * white;
    middle_ = 0.96300 * middle_ + 0.2965164 * white;
    fast_ = 0.57000 * fast_ + 1.0526913 * white;
    return 0.25 * (slow_ + middle_ + fast_ + 0.1848 * white);
  }

 private:
  double slow_ = 0, middle_ = 0, fast_ = 0;
};

void check(double value, const char* what) {
  if (!(value > 0.0) || !std::isfinite(value)) {
    throw io::UsageError(fmt::format("slide rail: {} is {}; give a positive number", what, value));
  }
}

double decibels(double value) {
  return std::pow(10.0, value / 20.0);
}

/// Bursts that ring on after the instant that starts them.
class Burst {
 public:
  explicit Burst(double decay_s, double rate_hz) : decay_(std::exp(-1.0 / (decay_s * rate_hz))) {}
  void strike(double level) { level_ += level; }
  double operator()() {
    level_ *= decay_;
    return level_;
  }

 private:
  double decay_;
  double level_ = 0;
};

struct Resonance {
  double frequency_hz, q, level;
};
constexpr std::array<Resonance, 5> nominal_frame = {
    {{420.0, 12.0, 1.0}, {980.0, 16.0, 0.8}, {1730.0, 10.0, 0.7}, {3150.0, 20.0, 0.8}, {5600.0, 14.0, 0.5}}};

/// 1 with this relative standard deviation, never further off than three of it.
double around(double deviation, Random& random) {
  return 1.0 + deviation * std::clamp(random.normal(), -3.0, 3.0);
}

/// What differs from one clip of the same condition to the next, by what a rig's day brings: the drive's tuning (speed,
/// acceleration, dwell), lubrication (level and corner of the friction), temperature and mounting (resonances), the
/// microphone's place (gain, tilt), the hall (background).
struct Variation {
  Variation(const RailSettings& s, Random& random) : Variation(s, s.variation, random) {}
  /// `by`: what every deviation is multiplied by.
  Variation(const RailSettings& s, double by, Random& random)
      : gain(decibels(s.gain_jitter_db * by * random.normal())),
        speed(1.0 + s.speed_jitter * by * random.normal()),
        acceleration(around(0.03 * by, random)),
        dwell(around(0.05 * by, random)),
        friction(decibels(by * random.normal()) * s.mass),
        friction_corner(around(0.06 * by, random)),
        rolling(decibels(by * random.normal()) * s.mass),
        tones(decibels(by * random.normal()) * s.tonality),
        motor(decibels(by * random.normal())),
        background(decibels(1.5 * by * random.normal())),
        motor_detune(1.0 + 0.0008 * by * random.normal()),
        tilt(std::clamp(0.12 * by * random.normal(), -0.5, 0.5)),
        start_s(20.0 * random.uniform()),
        frame(nominal_frame) {
    for (Resonance& resonance : frame) {
      resonance.frequency_hz *= around(0.004 * by, random) / std::sqrt(s.mass);
      resonance.q *= around(0.08 * by, random) * std::pow(s.tonality, 2.0 / 3.0);
      resonance.level *= decibels(0.7 * by * random.normal()) * std::cbrt(s.tonality);
    }
  }
  double gain, speed, acceleration, dwell, friction, friction_corner, rolling, tones, motor, background, motor_detune,
      tilt, start_s;
  std::array<Resonance, nominal_frame.size()> frame;
};

/// One clip in the making, sample by sample.
class Synthesis {
 public:
  Synthesis(const RailSettings& settings, double velocity_mm_s, double distance_mm, double severity, uint64_t seed)
      : settings_(settings),
        rate_(settings.sample_rate_hz),
        velocity_mm_s_(velocity_mm_s),
        severity_(severity),
        random_(flow::stream_of(seed, 0)),
        vary_(settings, random_),
        motion_(motion_of(settings, vary_, velocity_mm_s, distance_mm)),
        clunk_(0.012, rate_),
        defect_(0.003, rate_),
        impact_(0.03, rate_) {
    for (double& p : phase_) {
      p = two_pi * random_.uniform();
    }
    for (double& p : motor_phase_) {
      p = two_pi * random_.uniform();
    }
    drift_phase_ = two_pi * random_.uniform();
    drift_hz_ = 0.05 + 0.1 * random_.uniform();
    defect_offset_mm_ = settings.defect_spacing_mm * random_.uniform();
    last_defect_ = defects_until(0);
  }

  std::vector<float> samples() {
    constexpr double full_scale = 0.2;
    double before = 0;
    std::vector<float> out(motion_.position_mm.size());
    for (size_t i = 0; i < out.size(); ++i) {
      const double level = motion_.speed_mm_s[i] / reference_speed_mm_s;
      const double tones = tones_at(i, level);
      const double excitation = excitation_at(i, level, tones);
      double sound = 1.5 * frame_sound(excitation) + 0.35 * excitation + 0.12 * tones;
      add_worn_guide(level, sound);
      add_hall(static_cast<double>(i) / rate_, sound);
      // The microphone's place: highs against lows by a difference of neighbours.
      const double tilted = sound - vary_.tilt * before;
      before = sound;
      out[i] = static_cast<float>(std::clamp(full_scale * vary_.gain * tilted, -1.0, 1.0));
    }
    return out;
  }

 private:
  static RailMotion motion_of(const RailSettings& settings, const Variation& vary, double velocity_mm_s,
                              double distance_mm) {
    RailSettings drive = settings;
    drive.acceleration_mm_s2 *= vary.acceleration;
    drive.dwell_s *= vary.dwell;
    return rail_motion(drive, velocity_mm_s * vary.speed, distance_mm, vary.start_s);
  }

  double defects_until(size_t i) const {
    return std::floor((motion_.position_mm[i] + defect_offset_mm_) / settings_.defect_spacing_mm);
  }

  double tones_at(size_t i, double level) const {
    double tones = 0;
    for (size_t k = 0; k < phase_.size(); ++k) {
      tones += std::sin(two_pi * rail_tones_per_mm[k] * motion_.position_mm[i] + phase_[k]) /
               (1.0 + static_cast<double>(k) / 2.0);
    }
    return tones * (std::sqrt(level) * vary_.tones);
  }

  /// What the carriage's travel excites.
  double excitation_at(size_t i, double level, double tones) {
    const double speed = motion_.speed_mm_s[i];
    const double worn_friction = 1.0 + 0.10 * severity_;
    const double corner_hz = (300.0 + 3.0 * speed) * vary_.friction_corner;
    const double hiss = friction_first_(random_.normal(), corner_hz, rate_);
    const double friction = friction_second_(hiss, corner_hz, rate_) * level * vary_.friction * worn_friction;
    const double rolling =
        (roll_low_(random_.normal(), 2.2 * speed, 3.0, rate_) + roll_high_(random_.normal(), 6.6 * speed, 3.0, rate_)) *
        level * vary_.rolling;
    strike(i, level);
    return 0.9 * friction + 0.8 * rolling + 0.10 * tones + 1.2 * clunk_() * random_.normal();
  }

  /// Where the carriage turns, and where it runs over the defect.
  void strike(size_t i, double level) {
    if (next_reversal_ < motion_.reversals.size() && motion_.reversals[next_reversal_] == static_cast<int64_t>(i)) {
      clunk_.strike((0.6 + 0.4 * random_.uniform()) * std::sqrt(velocity_mm_s_ / reference_speed_mm_s));
      ++next_reversal_;
    }
    const double defects = defects_until(i);
    if (defects != last_defect_) {
      last_defect_ = defects;
      const double scatter = 0.7 + 0.6 * random_.uniform();
      defect_.strike(severity_ * scatter * std::sqrt(level));
    }
  }

  double frame_sound(double excitation) {
    const double worn_resonance = 1.0 + 0.02 * severity_;
    double sound = 0;
    for (size_t k = 0; k < vary_.frame.size(); ++k) {
      const Resonance& own = vary_.frame[k];
      sound += own.level * frame_filters_[k](excitation, own.frequency_hz * worn_resonance, own.q, rate_);
    }
    return sound;
  }

  void add_worn_guide(double level, double& sound) {
    sound += 0.9 * ring_(defect_() * random_.normal(), 2900.0, 6.0, rate_);
    sound += 0.10 * severity_ * level * rattle_(random_.normal(), 5200.0, 8.0, rate_);
  }

  /// What does not know the speed: motor, hall, neighbours.
  void add_hall(double time_s, double& sound) {
    const double drift = 1.0 + 0.25 * std::sin(two_pi * drift_hz_ * time_s + drift_phase_);
    for (size_t k = 0; k < motor_phase_.size(); ++k) {
      sound += 0.02 * vary_.motor *
               std::sin(two_pi * rail_motor_lines_hz[k] * vary_.motor_detune * time_s + motor_phase_[k]);
    }
    sound += 0.05 * vary_.background * settings_.background * drift * pink_(random_.normal());
    if (random_.uniform() < 0.3 / rate_) {
      impact_.strike(0.3 + 0.7 * random_.uniform());
    }
    sound += 0.5 * settings_.background * impact_body_(impact_() * random_.normal(), 350.0, 2.0, rate_);
  }

  const RailSettings& settings_;
  double rate_, velocity_mm_s_, severity_;
  Random random_;
  Variation vary_;
  RailMotion motion_;
  std::array<double, std::size(rail_tones_per_mm)> phase_{};
  std::array<double, std::size(rail_motor_lines_hz)> motor_phase_{};
  double drift_phase_ = 0, drift_hz_ = 0, defect_offset_mm_ = 0, last_defect_ = 0;
  size_t next_reversal_ = 0;
  std::array<Resonator, nominal_frame.size()> frame_filters_;
  Resonator roll_low_, roll_high_, rattle_, ring_, impact_body_;
  LowPass friction_first_, friction_second_;
  PinkNoise pink_;
  Burst clunk_, defect_, impact_;
};

}  // namespace

void require_rail(const RailSettings& settings) {
  struct Limit {
    const char* what;
    double value, low, high;
  };
  for (const Limit& limit :
       {Limit{"severity", settings.severity, 0, 100}, Limit{"background", settings.background, 0, 100},
        Limit{"tonality", settings.tonality, 0.01, 100}, Limit{"variation", settings.variation, 0, 4},
        Limit{"mass", settings.mass, 0.1, 10}}) {
    if (!(limit.value >= limit.low && limit.value <= limit.high)) {
      throw io::UsageError(
          fmt::format("slide rail: the {} is {:g}; give {:g} to {:g}", limit.what, limit.value, limit.low, limit.high));
    }
  }
}

RailMotion rail_motion(const RailSettings& settings, double velocity_mm_s, double distance_mm, double start_s) {
  check(settings.sample_rate_hz, "the sample rate (Hz)");
  check(settings.acceleration_mm_s2, "the acceleration (mm/s2)");
  check(settings.defect_spacing_mm, "the defect's spacing (mm)");
  check(velocity_mm_s, "the velocity (mm/s)");
  check(distance_mm, "the distance (mm)");
  check(std::floor(settings.duration_s * settings.sample_rate_hz), "the duration (samples)");
  const auto samples = static_cast<size_t>(std::llround(settings.duration_s * settings.sample_rate_hz));
  // A stroke too short to reach the velocity turns into a triangle.
  const double peak = std::min(velocity_mm_s, std::sqrt(settings.acceleration_mm_s2 * distance_mm));
  const double ramp_s = peak / settings.acceleration_mm_s2;
  const double cruise_s = (distance_mm - peak * ramp_s) / peak;
  const double stroke_s = 2.0 * ramp_s + cruise_s;
  const double cycle_s = stroke_s + settings.dwell_s;
  RailMotion motion;
  motion.position_mm.resize(samples);
  motion.speed_mm_s.resize(samples);
  bool moving_before = false;
  for (size_t i = 0; i < samples; ++i) {
    const double time = start_s + static_cast<double>(i) / settings.sample_rate_hz;
    const double cycles = std::floor(time / cycle_s);
    const double t = time - cycles * cycle_s;
    double speed = 0;
    double within = distance_mm;
    if (t < ramp_s) {
      speed = settings.acceleration_mm_s2 * t;
      within = 0.5 * speed * t;
    } else if (t < ramp_s + cruise_s) {
      speed = peak;
      within = 0.5 * peak * ramp_s + peak * (t - ramp_s);
    } else if (t < stroke_s) {
      const double left = stroke_s - t;
      speed = settings.acceleration_mm_s2 * left;
      within = distance_mm - 0.5 * speed * left;
    }
    motion.position_mm[i] = cycles * distance_mm + within;
    motion.speed_mm_s[i] = speed;
    const bool moving = t < stroke_s;
    if (i > 0 && moving != moving_before) {
      motion.reversals.push_back(static_cast<int64_t>(i));
    }
    moving_before = moving;
  }
  return motion;
}

std::vector<float> synthesise_clip(const RailSettings& settings, double velocity_mm_s, double distance_mm,
                                   bool anomalous, uint64_t seed) {
  require_rail(settings);
  return Synthesis(settings, velocity_mm_s, distance_mm, anomalous ? settings.severity : 0.0, seed).samples();
}

}  // namespace evenflow::experiments
