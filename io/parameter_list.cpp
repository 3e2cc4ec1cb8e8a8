#include "io/parameter_list.h"

#include <utility>

namespace evenflow::io {
namespace {

class List {
 public:
  void add(const std::string& name, std::vector<int64_t> shape, Tensor::Type type = Tensor::Type::float32) {
    tensors_.push_back({name, std::move(shape), type, {}, {}});
  }
  /// Fully connected layers, all but the last `hidden` wide.
  void add_dense(const std::string& name, int layers, int64_t in, int64_t hidden, int64_t out) {
    for (int layer = 1; layer <= layers; ++layer) {
      const int64_t width = layer == layers ? out : hidden;
      const std::string stem = name + std::to_string(layer);
      add(stem + ".weight", {width, in});
      add(stem + ".bias", {width});
      in = width;
    }
  }
  void add_glow_step(const std::string& step, const ModelSettings& model, int64_t channels) {
    const int64_t c = channels, hidden = model.hidden;
    const int64_t outputs = model.coupling == CouplingKind::additive ? c / 2 : c;
    add(step + ".actnorm.bias", {c});
    add(step + ".actnorm.log_scale", {c});
    if (model.invconv == InvconvKind::dense) {
      add(step + ".invconv.weight", {c, c});
    } else {
      add(step + ".invconv.permutation", {c}, Tensor::Type::int32);
      add(step + ".invconv.sign", {c}, Tensor::Type::int8);
      add(step + ".invconv.lower", {c, c});
      add(step + ".invconv.upper", {c, c});
      add(step + ".invconv.log_s", {c});
    }
    add(step + ".coupling.conv1.weight", {hidden, c / 2, 3, 3});
    add(step + ".coupling.conv1.bias", {hidden});
    add(step + ".coupling.conv2.weight", {hidden, hidden, 1, 1});
    add(step + ".coupling.conv2.bias", {hidden});
    add(step + ".coupling.conv3.weight", {outputs, hidden, 3, 3});
    add(step + ".coupling.conv3.bias", {outputs});
    add(step + ".coupling.log_gain", {outputs});
  }
  std::vector<Tensor> take() { return std::move(tensors_); }

 private:
  std::vector<Tensor> tensors_;
};

}  // namespace

std::vector<Tensor> parameter_list(const Config& config, const ConditionData& condition) {
  List list;
  const int64_t window = int64_t{config.frontend.mel_bands} * config.window.window_frames;
  if (config.model.kind == ModelKind::vae) {
    const VaeSettings& vae = config.vae;
    list.add_dense("encoder", vae.layers / 2, window, vae.hidden, 2 * int64_t{vae.latents});
    list.add_dense("decoder", vae.layers / 2, vae.latents, vae.hidden, window);
  } else if (config.model.kind == ModelKind::classifier) {
    const ClassifierSettings& classifier = config.classifier;
    uint64_t classes = 1;  // wraps around where no file could hold as many
    for (const std::vector<double>& values : condition.training_values) {
      classes *= values.size();
    }
    list.add_dense("encoder", classifier.layers, window, classifier.hidden, classifier.embedding);
    list.add_dense("classes", 1, classifier.embedding, 0, static_cast<int64_t>(classes));
  } else {
    for (int block = 1; block <= config.model.blocks; ++block) {
      for (int step = 1; step <= config.model.steps; ++step) {
        list.add_glow_step("block" + std::to_string(block) + ".step" + std::to_string(step), config.model,
                           int64_t{2} << block);
      }
    }
  }
  return list.take();
}

}  // namespace evenflow::io
