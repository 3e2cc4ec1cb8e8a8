// Every setting of evenflow, its TOML file and its command-line flags: one table (config/keys.cpp) drives all three.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "io/choice.h"

namespace evenflow::io {

/// How the ends of a recording are padded.
enum class PadMode { reflect, zero };
template <>
inline constexpr auto choices<PadMode> = std::to_array<Choice<PadMode>>({{PadMode::reflect, "reflect"},
                                                                         {PadMode::zero, "zero"}});

/// What frames are standardised by.
enum class Normalisation { per_band, global, none };
template <>
inline constexpr auto choices<Normalisation> = std::to_array<Choice<Normalisation>>(
    {{Normalisation::per_band, "per_band"}, {Normalisation::global, "global"}, {Normalisation::none, "none"}});

enum class ModelKind { glow, vae, classifier };
template <>
inline constexpr auto choices<ModelKind> = std::to_array<Choice<ModelKind>>({{ModelKind::glow, "glow"},
                                                                             {ModelKind::vae, "vae"},
                                                                             {ModelKind::classifier, "classifier"}});

/// The invertible 1x1 convolution.
enum class InvconvKind { plu, dense };
template <>
inline constexpr auto choices<InvconvKind> = std::to_array<Choice<InvconvKind>>({{InvconvKind::plu, "plu"},
                                                                                 {InvconvKind::dense, "dense"}});

/// What bounds the coupling's scale; additive: it has none.
enum class CouplingKind { sigmoid, tanh, additive };
template <>
inline constexpr auto choices<CouplingKind> = std::to_array<Choice<CouplingKind>>(
    {{CouplingKind::sigmoid, "sigmoid"}, {CouplingKind::tanh, "tanh"}, {CouplingKind::additive, "additive"}});

/// Of the last block's channels: the half its last coupling changes, or the other.
enum class ZdHalf { second, first };
template <>
inline constexpr auto choices<ZdHalf> = std::to_array<Choice<ZdHalf>>({{ZdHalf::second, "second"},
                                                                       {ZdHalf::first, "first"}});

/// GPU: what training's products are rounded to; sums, and the CPU, are float32.
enum class Precision { tf32, bf16, float32 };
template <>
inline constexpr auto choices<Precision> = std::to_array<Choice<Precision>>({{Precision::tf32, "tf32"},
                                                                             {Precision::bf16, "bf16"},
                                                                             {Precision::float32, "float32"}});

/// GPU: a coupling's network in a library's convolutions, in one kernel, or the latter where it fits.
enum class CouplingKernels { automatic, layered, fused };
template <>
inline constexpr auto choices<CouplingKernels> = std::to_array<Choice<CouplingKernels>>(
    {{CouplingKernels::automatic, "auto"}, {CouplingKernels::layered, "layered"}, {CouplingKernels::fused, "fused"}});

/// How sound is changed to that of another speed: by the spectrum that the training clips tell of there, by warping it
/// along frequency, or by the first where clips at several speeds allow it.
enum class SpeedChange { automatic, spectrum, warp };
template <>
inline constexpr auto choices<SpeedChange> = std::to_array<Choice<SpeedChange>>({{SpeedChange::automatic, "auto"},
                                                                                 {SpeedChange::spectrum, "spectrum"},
                                                                                 {SpeedChange::warp, "warp"}});

/// Learning rate over the run.
enum class Schedule { constant, cosine };
template <>
inline constexpr auto choices<Schedule> = std::to_array<Choice<Schedule>>({{Schedule::constant, "constant"},
                                                                           {Schedule::cosine, "cosine"}});

/// Of a clip's windows.
enum class Aggregate { mean, max, top_k };
template <>
inline constexpr auto choices<Aggregate> =
    std::to_array<Choice<Aggregate>>({{Aggregate::mean, "mean"}, {Aggregate::max, "max"}, {Aggregate::top_k, "top_k"}});

/// How a threshold is found: a fit, or an empirical quantile.
enum class ThresholdMethod { gamma, quantile, value };
template <>
inline constexpr auto choices<ThresholdMethod> = std::to_array<Choice<ThresholdMethod>>(
    {{ThresholdMethod::gamma, "gamma"}, {ThresholdMethod::quantile, "quantile"}, {ThresholdMethod::value, "value"}});

/// How a recording becomes log-mel frames, and frames become windows.
struct FrontendSettings {
  int sample_rate_hz = 16000;
  std::string channel = "mean";  ///< "mean" or a channel index from 0
  int n_fft = 1024;
  int hop_samples = 512;
  PadMode pad_mode = PadMode::reflect;
  int mel_bands = 128;
  bool operator==(const FrontendSettings&) const = default;
};

/// Normaliser and windows: cut from stored frames, so not part of a shard.
struct WindowSettings {
  Normalisation normalise = Normalisation::per_band;
  int window_frames = 64;
  int window_hop_frames = 16;
  bool operator==(const WindowSettings&) const = default;
};

struct ModelSettings {
  ModelKind kind = ModelKind::glow;
  int blocks = 3;
  int steps = 5;
  int hidden = 32;
  InvconvKind invconv = InvconvKind::plu;
  CouplingKind coupling = CouplingKind::sigmoid;
  bool operator==(const ModelSettings&) const = default;
};

/// The autoencoder's, where model.kind is vae.
struct VaeSettings {
  int layers = 10;  ///< of encoder and decoder together; even
  int hidden = 128;
  int latents = 8;
  double beta = 1.0;    ///< weight of the code's divergence from N(0, 1)
  double gamma = 0.01;  ///< weight of the tie between the first latents and the parameters, per dimension
  bool operator==(const VaeSettings&) const = default;
};

/// The classifier's, where model.kind is classifier.
struct ClassifierSettings {
  int layers = 5;  ///< the embedding's among them
  int hidden = 128;
  int embedding = 32;
  bool operator==(const ClassifierSettings&) const = default;
};

/// Which physical parameters zd carries.
struct ConditionSettings {
  bool enabled = true;                  ///< false: a conventional Glow, zd ~ N(0, 1)
  std::vector<std::string> parameters;  ///< empty: those of the shard that vary
  std::vector<double> k;                ///< per unit of v; empty: k (v - v0) spans [-3, 3] over the training values
  std::vector<double> v0;               ///< empty: mean of the training values
  ZdHalf zd_half = ZdHalf::second;
  std::vector<std::string> speeds;  ///< parameters that are speeds; empty: by their names (train/detect/speeds.h)
  bool operator==(const ConditionSettings&) const = default;
};

/// How training's windows are changed, each anew at every step; by default not at all.
struct AugmentSettings {
  static constexpr double automatic = -1;
  /// A window's speed moves by up to this, in the parameter's unit, and its sound with it; automatic: as far as the
  /// training speeds lie apart calls for (train/loop/augmentation.h).
  double speed = 0;
  SpeedChange speed_by = SpeedChange::automatic;
  double speed_probability = automatic;  ///< of a window's speed to move; automatic: by how it is moved
  std::string speed_parameter{};         ///< empty: the only speed there is
  double noise = 0;                      ///< standard deviation on the normalised input, or automatic
  int mask_bands = 0, mask_frames = 0;   ///< the widest masks
  bool any() const { return speed != 0 || noise != 0 || mask_bands > 0 || mask_frames > 0; }
  bool operator==(const AugmentSettings&) const = default;
  static AugmentSettings none() { return {.speed = 0, .noise = 0}; }
};

struct TrainSettings {
  std::string device = "auto";  ///< "auto", "cpu" or "cuda:N"
  int threads = 0;              ///< CPU threads; 0: one per core
  Precision precision = Precision::tf32;
  CouplingKernels kernels = CouplingKernels::automatic;
  std::string machine;                 ///< train on this machine's clips only; empty: all
  std::vector<std::string> leave_out;  ///< operating points of which no clip is trained on: "velocity_mm_s=300"
  int64_t steps = 2000;                ///< the budget where epochs is 0
  int64_t epochs = 0;                  ///< 0: as many as make up `steps`
  /// Epochs without a lower held-out loss after which training ends; 0: never; -1: 100 where epochs is 0, else never.
  int64_t patience = -1;
  int64_t batch = 128;
  double learning_rate = 1e-4;
  Schedule schedule = Schedule::constant;
  int64_t warmup_steps = 0;
  double clip_norm = 0.0;            ///< 0: no clipping of the gradient's norm
  double validation_fraction = 0.1;  ///< of the normal training clips, chosen by clip
  int windows_per_clip = 0;          ///< windows drawn per clip and epoch; 0: all
  int64_t checkpoint_epochs = 10;
  int64_t resident_mib = 4096;  ///< frames beyond this are streamed from the shard
  uint64_t seed = 1;
  bool operator==(const TrainSettings&) const = default;
};

struct ScoreSettings {
  std::string score = "auto";  ///< "auto" or a score of the model's kind (train/detect/score.h)
  Aggregate aggregate = Aggregate::mean;
  int top_k = 5;
  ThresholdMethod threshold = ThresholdMethod::gamma;
  double threshold_quantile = 0.9;
  double threshold_value = 0.0;  ///< of ThresholdMethod::value, in the unit of `score`
  bool operator==(const ScoreSettings&) const = default;
};

/// Of the scores that are calibrated at the end of a training.
struct CalibrationSettings {
  int copies = 3;                 ///< of each clip, at other speeds; 0: none
  double range = 0.0;             ///< that their speed is changed by, either way, in the speed's unit; 0: augment.speed
  std::vector<double> bandwidth;  ///< per parameter; empty: chosen
  bool operator==(const CalibrationSettings&) const = default;
};

struct Config {
  FrontendSettings frontend;
  WindowSettings window;
  ModelSettings model;
  VaeSettings vae;
  ClassifierSettings classifier;
  ConditionSettings condition;
  AugmentSettings augment{.speed = AugmentSettings::automatic, .noise = AugmentSettings::automatic};
  TrainSettings train;
  ScoreSettings score;
  CalibrationSettings calibration;
  bool operator==(const Config&) const = default;
};

/// One row of the table: key "train.learning_rate", its help, and access to it as text.
/// `set` throws UsageError on a value of the wrong type or outside its range, naming key, value and what is allowed.
struct ConfigKey {
  std::string name;
  std::string help;
  std::string type;  ///< "int", "float", "bool", "text", "list of text", "list of float"
  std::function<std::string(const Config&)> get;
  std::function<void(Config&, std::string_view)> set;
};

const std::vector<ConfigKey>& config_keys();
/// UsageError, naming the nearest known one, if there is no such key.
const ConfigKey& config_key(const std::string& name);

/// Reads a TOML file over `base`. UsageError names file, line and, for an unknown key, the nearest known one.
Config read_config(const std::filesystem::path& file, const Config& base = {});
Config parse_config(std::string_view toml, const std::string& origin, const Config& base = {});

/// The whole configuration as TOML with a comment per key; parse_config gives it back exactly.
std::string to_toml(const Config& config);

/// Ranges and combinations that one key cannot tell alone. Throws UsageError.
void validate(const Config& config);

}  // namespace evenflow::io
