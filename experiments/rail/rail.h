// A slide rail, simulated: a carriage goes back and forth and makes the sounds that its motion, and its faults, make.
//
// Physics: a trapezoidal velocity profile with a dwell at each end. Tones and bearing bands follow the carriage's speed
// (rates per millimetre, so frequency = rate x speed); friction noise grows and brightens with it; all of these excite
// fixed resonances of the frame. Motor lines, factory background and distant impacts do not scale with speed. The
// anomalous rail has a worn guide: an impulse at a fixed spacing of travel, a rattle band, a little more friction and
// slightly shifted resonances. From clip to clip varies what varies on a rig: the drive's speed, acceleration and
// dwell, lubrication, temperature and mounting (resonances), the microphone's place, the hall.
//
// Rails are a family: how plain the fault is, how loud the hall, how much each speed has a sound of its own, how much
// clips of one condition differ. At 1 each setting is the rail that studies call "drifting".
#pragma once

#include <cstdint>
#include <vector>

namespace evenflow::experiments {

struct RailSettings {
  int sample_rate_hz = 16000;
  double duration_s = 10.0;
  double acceleration_mm_s2 = 4000.0;
  double dwell_s = 0.12;            ///< rest at each end of a stroke
  double severity = 1.0;            ///< of the worn guide; 0: an anomalous clip sounds like a normal one
  double defect_spacing_mm = 16.0;  ///< travel between two impulses of the worn guide
  double gain_jitter_db = 1.0;      ///< standard deviation, clip to clip
  double speed_jitter = 0.004;      ///< relative standard deviation, clip to clip
  double background = 1.0;          ///< level of the hall, its noise and impacts; not of the motor
  /// How much a speed sounds its own: the level of the position-locked tones, and, by its two thirds power, the Q of
  /// the frame's resonances, whose power stays the same under noise.
  double tonality = 1.0;
  double variation = 1.0;  ///< of all that varies from clip to clip, the two above among them
  /// The carriage's with its tool, to the usual one's: the frame's resonances lie lower by its square root, and what
  /// presses on the guide, friction and rolling, is as much louder.
  double mass = 1.0;
};

/// Position-locked tones, cycles per millimetre: a tone sounds at rate x speed.
inline constexpr double rail_tones_per_mm[] = {0.1, 0.5, 1.1, 2.3, 3.7, 5.9};
/// Lines of the motor, Hz. No tone comes within 30 Hz of one at a multiple of 50 mm/s (a beat would mark that speed).
inline constexpr double rail_motor_lines_hz[] = {1425.0, 3982.0};

/// The carriage's motion, sample by sample, from `start_s` into it. io::UsageError: a velocity, a distance or a setting
/// that is not positive, a duration below one sample.
struct RailMotion {
  std::vector<double> position_mm;  ///< distance travelled, never decreasing
  std::vector<double> speed_mm_s;   ///< >= 0
  std::vector<int64_t> reversals;   ///< samples at which a stroke begins or ends
};
RailMotion rail_motion(const RailSettings& settings, double velocity_mm_s, double distance_mm, double start_s);

/// io::UsageError unless background and severity lie in 0 to 100, tonality in 0.01 to 100, mass in 0.1 to 10, variation
/// in 0 to 4 (at 5 the widest draws turn a resonance's Q negative).
void require_rail(const RailSettings& settings);

/// What a carriage may bear, by name, with its mass; the first is the usual one.
struct RailTool {
  const char* name;
  double mass;
};
inline constexpr RailTool rail_tools[] = {{"A", 1.0}, {"B", 1.15}, {"C", 0.87}};

/// One clip, samples in [-1, 1], the same on every platform for the same seed. Errors as rail_motion's and
/// require_rail's.
std::vector<float> synthesise_clip(const RailSettings& settings, double velocity_mm_s, double distance_mm,
                                   bool anomalous, uint64_t seed);

}  // namespace evenflow::experiments
