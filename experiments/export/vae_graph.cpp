// The autoencoder as a graph (docs/method.md, "The autoencoder").
#include <limits>

#include "experiments/export/model_graph.h"
#include "flow/vae.h"
#include "kernels/gaussian.h"

namespace evenflow::experiments::onnx {
namespace {

class VaeGraph {
 public:
  VaeGraph(Graph& graph, const train::Detector& detector)
      : graph_(graph),
        vae_(dynamic_cast<const flow::Vae&>(detector.network())),
        shape_(vae_.shape()),
        tensors_(detector.model()) {}

  WindowValues values(const Value& windows, const std::optional<Value>& parameters) {
    const int half = static_cast<int>(shape_.layers / 2);
    const int64_t tied = vae_.zd_size();
    const Value x = graph_.node("Flatten", {windows});
    const Value code = add_dense(graph_, tensors_, "encoder", half, x);
    const auto [mean, log_variance] = graph_.halves(code, 1, 2 * shape_.latents);
    const Value made = add_dense(graph_, tensors_, "decoder", half, mean);
    const Scope scope(graph_, "losses");
    const Value difference = graph_.cast(graph_.subtract(made, x), Element::float64);

    WindowValues out;
    out.zc = graph_.slice(mean, 1, tied, shape_.latents);
    const Value half_squares =
        graph_.multiply(graph_.reduce("ReduceSum", graph_.square(difference), {1}), graph_.number(0.5));
    const Value reconstruction =
        graph_.add(half_squares, graph_.number(static_cast<double>(shape_.dimensions()) * kernels::half_log_2pi));
    const Value kld = divergence(graph_.cast(mean, Element::float64), graph_.cast(log_variance, Element::float64));
    Value loss = graph_.add(reconstruction, graph_.multiply(kld, graph_.number(shape_.beta)));
    if (tied > 0) {
      out.zd = graph_.slice(mean, 1, 0, tied);
      const Value means = graph_.cast(*out.zd, Element::float64);
      const io::ConditionData& condition = vae_.condition();
      const Value k = graph_.tensor(std::span<const double>(condition.k), {1, tied});
      const Value v0 = graph_.tensor(std::span<const double>(condition.v0), {1, tied});
      out.estimate = graph_.add(graph_.divide(means, k), v0);
      const Value off = graph_.square(graph_.subtract(means, graph_.multiply(k, graph_.subtract(*parameters, v0))));
      const Value tie = graph_.either(graph_.node("Equal", {*parameters, *parameters}), off, graph_.number(0.0));
      loss =
          graph_.add(loss, graph_.multiply(graph_.reduce("ReduceSum", tie, {1}), graph_.number(shape_.tie_weight())));
    }
    out.scores =
        in_order(vae_.scores(), {{"score_reconstruction", reconstruction}, {"score_kld", kld}, {"score_loss", loss}});
    out.descriptor = band_errors(difference);
    return out;
  }

 private:
  /// Of the code from N(0, 1).
  Value divergence(const Value& mean, const Value& log_variance) {
    const Value both = graph_.add(graph_.square(mean), graph_.node("Exp", {log_variance}));
    const Value each = graph_.subtract(graph_.subtract(both, log_variance), graph_.number(1.0));
    return graph_.multiply(graph_.reduce("ReduceSum", each, {1}), graph_.number(0.5));
  }
  /// Log of the mean square of each band's frames.
  Value band_errors(const Value& difference) {
    constexpr double least = std::numeric_limits<float>::min();
    const Value bands = graph_.reshape(graph_.square(difference), {0, shape_.height, shape_.width});
    const Value mean = graph_.add(graph_.reduce("ReduceMean", bands, {2}), graph_.number(least));
    return graph_.cast(graph_.node("Log", {mean}), Element::float32);
  }

  Graph& graph_;
  const flow::Vae& vae_;
  flow::VaeShape shape_;
  Tensors tensors_;
};

}  // namespace

WindowValues add_vae(Graph& graph, const train::Detector& detector, const Value& windows,
                     const std::optional<Value>& parameters) {
  return VaeGraph(graph, detector).values(windows, parameters);
}

}  // namespace evenflow::experiments::onnx
