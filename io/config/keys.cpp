#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/config.h"
#include "io/config/rows.h"
#include "io/score_name.h"

namespace evenflow::io {
namespace config_rows {
namespace {

constexpr int64_t million = 1'000'000;
constexpr double infinity = std::numeric_limits<double>::infinity();

/// "\"mean\", \"max\" or \"top_k\"", as help lists them.
template <class E>
std::string listed() {
  return names_text<E>(", ");
}

bool is_digits(std::string_view value) {
  return !value.empty() && value.size() <= 4 && value.find_first_not_of("0123456789") == std::string_view::npos;
}

std::vector<Row> frontend_rows() {
  using Section = FrontendSettings;
  constexpr auto section = &Config::frontend;
  return {
      integer("frontend.sample_rate_hz", Field{section, &Section::sample_rate_hz}, 1000, million,
              "recordings of another rate are resampled to this"),
      text(
          "frontend.channel", Field{section, &Section::channel}, "\"mean\" or a channel index from \"0\"",
          [](std::string_view value) { return value == "mean" || is_digits(value); },
          "\"mean\" of all channels, or the index of one (from \"0\")"),
      integer("frontend.n_fft", Field{section, &Section::n_fft}, 2, 1 << 20,
              "samples in a frame of the short-time transform; even", true),
      integer("frontend.hop_samples", Field{section, &Section::hop_samples}, 1, 1 << 20,
              "samples from one frame to the next"),
      choice("frontend.pad_mode", Field{section, &Section::pad_mode},
             "how the ends of a recording are padded: " + listed<PadMode>()),
      integer("frontend.mel_bands", Field{section, &Section::mel_bands}, 1, 4096,
              "mel bands from 0 Hz to half the rate"),
  };
}

std::vector<Row> window_rows() {
  using Section = WindowSettings;
  constexpr auto section = &Config::window;
  return {
      choice("window.normalise", Field{section, &Section::normalise},
             "standardise frames " + listed<Normalisation>() + ", fitted on training frames"),
      integer("window.window_frames", Field{section, &Section::window_frames}, 1, 65536,
              "consecutive frames in one window"),
      integer("window.window_hop_frames", Field{section, &Section::window_hop_frames}, 1, 65536,
              "frames from one window to the next"),
  };
}

std::vector<Row> model_rows() {
  using Section = ModelSettings;
  constexpr auto section = &Config::model;
  return {
      choice("model.kind", Field{section, &Section::kind},
             "a normalising flow, \"glow\", an autoencoder, \"vae\", or a \"classifier\" of the parameters' values"),
      integer("model.blocks", Field{section, &Section::blocks}, 1, 8,
              "1 is single-scale; the paper's multi-scale model has 3"),
      integer("model.steps", Field{section, &Section::steps}, 1, 256, "flow steps in a block"),
      integer("model.hidden", Field{section, &Section::hidden}, 1, 4096, "hidden channels of a coupling's network"),
      choice("model.invconv", Field{section, &Section::invconv},
             "invertible 1x1 convolution: " + listed<InvconvKind>()),
      choice("model.coupling", Field{section, &Section::coupling},
             "a coupling's scale: bounded by a \"sigmoid\" or a \"tanh\", or none, \"additive\""),
  };
}

std::vector<Row> vae_rows() {
  using Section = VaeSettings;
  constexpr auto section = &Config::vae;
  return {
      integer("vae.layers", Field{section, &Section::layers}, 2, 256,
              "fully connected layers, half of them the encoder's", true),
      integer("vae.hidden", Field{section, &Section::hidden}, 1, 65536, "width of the hidden layers"),
      integer("vae.latents", Field{section, &Section::latents}, 1, 65536,
              "latents; the first are tied to the parameters"),
      real("vae.beta", Field{section, &Section::beta}, {0, infinity}, "weight of the code's divergence from N(0, 1)"),
      real("vae.gamma", Field{section, &Section::gamma}, {0, infinity},
           "weight of the tie to the parameters, per dimension of a window"),
  };
}

std::vector<Row> classifier_rows() {
  using Section = ClassifierSettings;
  constexpr auto section = &Config::classifier;
  return {
      integer("classifier.layers", Field{section, &Section::layers}, 1, 256,
              "fully connected layers up to the embedding"),
      integer("classifier.hidden", Field{section, &Section::hidden}, 1, 65536, "width of the hidden layers"),
      integer("classifier.embedding", Field{section, &Section::embedding}, 1, 65536,
              "width of the embedding, which a window's class is told by"),
  };
}

std::vector<Row> condition_rows() {
  using Section = ConditionSettings;
  constexpr auto section = &Config::condition;
  return {
      boolean("condition.enabled", Field{section, &Section::enabled},
              "false: a conventional flow, tied to no parameter"),
      list("condition.parameters", Field{section, &Section::parameters},
           "parameters the latent zd carries, tool:category one whose values are names even if they look like numbers; "
           "empty: those of the shard that vary in the training clips and that zd can carry together"),
      list("condition.k", Field{section, &Section::k},
           "slope per unit of each parameter; empty: k (v - v0) spans [-3, 3] over the training values"),
      list("condition.v0", Field{section, &Section::v0},
           "centre of each parameter; empty: mean of the training values"),
      choice("condition.zd_half", Field{section, &Section::zd_half},
             "half of the last block's channels that is zd: \"second\", which its last coupling changes, or \"first\""),
      list("condition.speeds", Field{section, &Section::speeds},
           "parameters that are speeds; empty: those whose names begin with vel, speed, spd or rpm"),
  };
}

std::vector<Row> augment_rows() {
  using Section = AugmentSettings;
  constexpr auto section = &Config::augment;
  return {
      real(
          "augment.speed", Field{section, &Section::speed}, {-1.0, infinity},
          "training windows are changed as if their speed were up to this higher or lower, in its unit; 0: not; -1: by "
          "three fifths of the smallest step between the training speeds, where zd carries one and clips are enough "
          "for calibrated scores"),
      choice("augment.speed_by", Field{section, &Section::speed_by},
             "how: by the \"spectrum\" that the training clips tell of that speed, by a \"warp\" along frequency, or "
             "\"auto\": by the spectrum where there are clips at two speeds"),
      real("augment.speed_probability", Field{section, &Section::speed_probability}, {-1.0, 1.0},
           "share of the windows whose speed is changed; -1: all by the spectrum, half by a warp"),
      text(
          "augment.speed_parameter", Field{section, &Section::speed_parameter}, "text",
          [](std::string_view) { return true; }, "the speed that is meant, where there are several"),
      real("augment.noise", Field{section, &Section::noise}, {-1.0, 1000.0},
           "standard deviation of Gaussian noise on the normalised training windows; 0: none; -1: 0.2 where their "
           "speed is changed"),
      integer("augment.mask_bands", Field{section, &Section::mask_bands}, 0, 4096,
              "most mel bands in a row that are masked in a training window; 0: none"),
      integer("augment.mask_frames", Field{section, &Section::mask_frames}, 0, 65536,
              "most frames in a row that are masked in a training window; 0: none"),
  };
}

std::vector<Row> train_rows() {
  using Section = TrainSettings;
  constexpr auto section = &Config::train;
  return {
      text(
          "train.device", Field{section, &Section::device}, "\"auto\", \"cpu\" or \"cuda:N\"",
          [](std::string_view value) {
            return value == "auto" || value == "cpu" || (value.starts_with("cuda:") && is_digits(value.substr(5)));
          },
          "\"auto\", \"cpu\" or \"cuda:N\""),
      integer("train.threads", Field{section, &Section::threads}, 0, 4096, "CPU threads; 0: one per core"),
      choice("train.precision", Field{section, &Section::precision},
             "GPU: training's matrix products are rounded to " + listed<Precision>() + "; the CPU computes in float32"),
      choice("train.kernels", Field{section, &Section::kernels},
             "GPU: the coupling's network in one \"fused\" kernel, \"layered\", or \"auto\": fused where it fits"),
      text(
          "train.machine", Field{section, &Section::machine}, "text", [](std::string_view) { return true; },
          "train on this machine's clips only; empty: all"),
      list("train.leave_out", Field{section, &Section::leave_out},
           "operating points of which no clip is trained on or held out, to see how a model does where it was not "
           "trained: \"velocity_mm_s=300\", \"tool=B\""),
      integer("train.steps", Field{section, &Section::steps}, 1, 1000 * million,
              "updates of the weights, rounded up to whole epochs; a train.epochs beside it in a file "
              "comes before it"),
      integer("train.epochs", Field{section, &Section::epochs}, 0, million,
              "passes over the training windows; 0: as many as make up train.steps"),
      integer("train.patience", Field{section, &Section::patience}, -1, million,
              "epochs without a lower held-out loss after which training ends; 0: never; -1: 100 if train.epochs is 0, "
              "else never"),
      integer("train.batch", Field{section, &Section::batch}, 1, million, "windows in a step"),
      real("train.learning_rate", Field{section, &Section::learning_rate}, {0.0, 1.0, true}, "Adam's learning rate"),
      choice("train.schedule", Field{section, &Section::schedule}, "learning rate over the run: " + listed<Schedule>()),
      integer("train.warmup_steps", Field{section, &Section::warmup_steps}, 0, million,
              "steps over which the learning rate rises from 0"),
      real("train.clip_norm", Field{section, &Section::clip_norm}, {0.0, infinity},
           "largest norm of the gradient; 0: no clipping"),
      real("train.validation_fraction", Field{section, &Section::validation_fraction}, {0.0, 1.0, false, true},
           "share of the normal training clips that is held out"),
      integer("train.windows_per_clip", Field{section, &Section::windows_per_clip}, 0, million,
              "windows drawn per clip and epoch; 0: all"),
      integer("train.checkpoint_epochs", Field{section, &Section::checkpoint_epochs}, 1, million,
              "epochs between checkpoints"),
      integer("train.resident_mib", Field{section, &Section::resident_mib}, 0, 1 << 30,
              "memory for frames, in MiB; the rest is streamed from the shard"),
      integer("train.seed", Field{section, &Section::seed}, 0, std::numeric_limits<int64_t>::max(),
              "decides initial weights, data order and the held-out clips"),
  };
}

std::vector<Row> score_rows() {
  using Section = ScoreSettings;
  constexpr auto section = &Config::score;
  return {
      text(
          "score.score", Field{section, &Section::score}, "\"auto\" or the name of a score, such as \"score_zc\"",
          [](std::string_view value) { return value == "auto" || is_score_name(value); },
          "the score that decides; \"auto\": score_combined of a flow that hears other speeds by their spectrum, else "
          "the default of the kind of model, nll for a flow"),
      choice("score.aggregate", Field{section, &Section::aggregate}, "over a clip's windows: " + listed<Aggregate>()),
      integer("score.top_k", Field{section, &Section::top_k}, 1, million, "windows averaged by \"top_k\""),
      choice("score.threshold", Field{section, &Section::threshold},
             "threshold from normal training clips: a \"gamma\" fit or an empirical \"quantile\"; a rule for few clips "
             "replaces one that cannot be trusted. Or \"value\": score.threshold_value"),
      real("score.threshold_quantile", Field{section, &Section::threshold_quantile}, {0.0, 1.0, true, true},
           "share of normal clips below the threshold"),
      real("score.threshold_value", Field{section, &Section::threshold_value}, {-infinity, infinity},
           "the threshold itself, in the unit of score.score, which `choose` found where nothing was recorded"),
  };
}

std::vector<Row> calibration_rows() {
  using Section = CalibrationSettings;
  constexpr auto section = &Config::calibration;
  return {
      integer(
          "calibration.copies", Field{section, &Section::copies}, 0, 16,
          "copies of each normal training clip, as at other speeds, that calibrated scores rest on beside it; 0: none"),
      real("calibration.range", Field{section, &Section::range}, {0.0, infinity},
           "how far the copies' speed is changed at most, either way, in its unit; 0: augment.speed"),
      list("calibration.bandwidth", Field{section, &Section::bandwidth},
           "width of the kernel about an estimate, per parameter in its unit; empty: chosen by leaving values out"),
  };
}

}  // namespace

const std::vector<Row>& table() {
  static const std::vector<Row> rows = [] {
    std::vector<Row> all;
    for (const auto& section : {frontend_rows(), window_rows(), model_rows(), vae_rows(), classifier_rows(),
                                condition_rows(), augment_rows(), train_rows(), score_rows(), calibration_rows()}) {
      all.insert(all.end(), section.begin(), section.end());
    }
    return all;
  }();
  return rows;
}

std::pair<std::string, std::string> split_key(const std::string& name) {
  const size_t dot = name.find('.');
  if (dot == std::string::npos) {
    return {"", name};
  }
  return {name.substr(0, dot), name.substr(dot + 1)};
}

}  // namespace config_rows

const std::vector<ConfigKey>& config_keys() {
  static const std::vector<ConfigKey> keys = [] {
    std::vector<ConfigKey> out;
    for (const config_rows::Row& row : config_rows::table()) {
      out.push_back(row.key);
    }
    return out;
  }();
  return keys;
}

}  // namespace evenflow::io
