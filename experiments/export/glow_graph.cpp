// Glow and its prior as a graph (docs/method.md, 2 and 3).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "experiments/export/model_graph.h"
#include "flow/glow_model.h"
#include "kernels/gaussian.h"

namespace evenflow::experiments::onnx {
namespace {

using kernels::half_log_2pi;

/// What the flow makes of n windows.
struct GlowLatents {
  std::vector<Value> z;  ///< of each block, [n, c, h, w]: zc's parts
  Value zd;              ///< [n, c, h, w]
  Value log_det;         ///< [n] float64
};

class GlowGraph {
 public:
  GlowGraph(Graph& graph, const io::ModelData& model, const flow::Glow& glow)
      : graph_(graph),
        tensors_(model),
        glow_(glow),
        shape_(glow.shape()),
        log_det_(graph.number(glow.constant_log_det()[0])) {}

  GlowLatents forward(const Value& windows) {
    GlowLatents out;
    Value x = graph_.unsqueeze(windows, 1);
    for (int block = 0; block < shape_.blocks; ++block) {
      x = squeeze(x, block);
      for (int step = 0; step < shape_.steps; ++step) {
        x = forward_step(x, block, step);
      }
      const auto [first, second] = graph_.halves(x, 1, shape_.channels(block));
      const bool last = block + 1 == shape_.blocks;
      const bool first_is_zc = last && !shape_.zd_first;
      out.z.push_back(first_is_zc ? first : second);
      out.zd = first_is_zc ? second : first;
      x = first;
    }
    out.log_det = log_det_;
    if (shape_.coupling == kernels::CouplingKind::additive) {
      const Value n = graph_.slice(graph_.node("Shape", {windows}), 0, 0, 1);
      out.log_det = graph_.node("Expand", {log_det_, n});  // one number for all windows
    }
    return out;
  }

 private:
  /// [n, c, h, w] -> [n, 4 c, h / 2, w / 2]; ONNX's SpaceToDepth deals channels otherwise.
  Value squeeze(const Value& x, int block) {
    const int64_t c = shape_.channels(block), h = shape_.block_height(block), w = shape_.block_width(block);
    const Scope scope(graph_, fmt::format("block{}", block + 1));
    const Value pixels = graph_.reshape(x, {0, c / 4, h, 2, w, 2});
    return graph_.reshape(graph_.transpose(pixels, {0, 1, 3, 5, 2, 4}), {0, c, h, w});
  }

  /// exp(factor x) of a tensor, for each channel.
  Value gains(const std::string& of, float factor, const std::string& name) {
    std::vector<float> values;
    for (const float value : tensors_.of(of).values) {
      values.push_back(std::exp(factor * value));
    }
    return graph_.tensor(std::span<const float>(values), {static_cast<int64_t>(values.size()), 1, 1}, name);
  }

  Value convolve(const Value& x, const std::string& name, int64_t size) {
    return graph_.node(
        "Conv", {x, tensors_.in(graph_, name + ".weight"), tensors_.in(graph_, name + ".bias")},
        {{"kernel_shape", std::vector<int64_t>{size, size}}, {"pads", std::vector<int64_t>(4, size / 2)}});
  }

  Value forward_step(Value x, int block, int step) {
    const std::string name = fmt::format("block{}.step{}", block + 1, step + 1);
    const int64_t c = shape_.channels(block);
    const Scope scope(graph_, name);
    x = graph_.add(x, tensors_.in(graph_, name + ".actnorm.bias", {c, 1, 1}));
    x = graph_.multiply(x, gains(name + ".actnorm.log_scale", 1.0F, name + ".actnorm.scale"));
    const kernels::Array<const float> weight = glow_.invconv_weight(block, step);
    const Value mix =
        graph_.tensor(std::span(weight.data, static_cast<size_t>(weight.size)), {c, c, 1, 1}, name + ".invconv.weight");
    x = graph_.node("Conv", {x, mix}, {{"kernel_shape", std::vector<int64_t>{1, 1}}});
    const auto [a, b] = graph_.halves(x, 1, c);
    const std::string coupling = name + ".coupling";
    Value h = graph_.node("Relu", {convolve(a, coupling + ".conv1", 3)});
    h = graph_.node("Relu", {convolve(h, coupling + ".conv2", 1)});
    h = graph_.multiply(convolve(h, coupling + ".conv3", 3), gains(coupling + ".log_gain", 3.0F, coupling + ".gain"));
    return graph_.concatenate({a, changed(b, h, c)}, 1);
  }

  /// The half that a coupling changes, by what its network says.
  Value changed(const Value& b, const Value& h, int64_t channels) {
    if (shape_.coupling == kernels::CouplingKind::additive) {
      return graph_.add(b, h);
    }
    const auto [s, t] = graph_.halves(h, 1, channels);
    Value log_gain, gain;
    if (shape_.coupling == kernels::CouplingKind::tanh) {
      const Value half = graph_.node("Tanh", {graph_.multiply(s, graph_.number(0.5F))});
      log_gain = graph_.add(half, half);
      gain = graph_.node("Exp", {log_gain});
    } else {
      // log sigmoid(u) = min(u, 0) - log(1 + exp(-|u|)); nothing overflows.
      const Value u = graph_.add(s, graph_.number(2.0F)), zero = graph_.number(0.0F), one = graph_.number(1.0F);
      const Value e = graph_.node("Exp", {graph_.node("Neg", {graph_.node("Abs", {u})})});
      const Value sum = graph_.add(one, e);
      log_gain = graph_.subtract(graph_.node("Min", {u, zero}), graph_.node("Log", {sum}));
      gain = graph_.divide(graph_.either(graph_.node("GreaterOrEqual", {u, zero}), one, e), sum);
    }
    const Value exact = graph_.cast(log_gain, Element::float64);
    log_det_ = graph_.add(log_det_, graph_.reduce("ReduceSum", exact, {1, 2, 3}));
    return graph_.multiply(graph_.add(b, t), gain);
  }

  Graph& graph_;
  Tensors tensors_;
  const flow::Glow& glow_;
  flow::GlowShape shape_;
  Value log_det_;
};

/// Likelihoods, scores and estimates of latents. Each parameter that is a number has one run of zd's elements, each
/// that is a name one for each category.
class PriorGraph {
 public:
  PriorGraph(Graph& graph, const flow::LatentPrior& prior, const flow::GlowShape& shape)
      : graph_(graph),
        prior_(prior),
        condition_(prior.condition()),
        zd_elements_(shape.dimensions() >> shape.blocks),
        zc_elements_(shape.dimensions() - zd_elements_) {}

  WindowValues values(const GlowLatents& latents, const std::optional<Value>& parameters,
                      const std::vector<flow::Score>& scores) {
    WindowValues out;
    std::vector<Value> parts;
    for (const Value& z : latents.z) {
      parts.push_back(graph_.node("Flatten", {z}));
    }
    out.zc = graph_.concatenate(parts, 1);
    out.zd = graph_.node("Flatten", {latents.zd});
    const Value zc = graph_.cast(out.zc, Element::float64);
    const Value squares = graph_.reduce("ReduceSum", graph_.square(zc), {1});
    const Value log_p_zc = graph_.add(graph_.multiply(squares, graph_.number(-0.5)),
                                      graph_.number(-static_cast<double>(zc_elements_) * half_log_2pi));
    add_moments(graph_.cast(*out.zd, Element::float64));
    add_names(out);

    const bool constrained = !condition_.names.empty();
    const Value centred = log_p(centred_, 0.0);
    const Value log_p_zd = constrained ? marginal() : log_p(about(per_run([](size_t) { return 0.0; })), 0.0);
    const Value given = constrained ? log_p(about(expected(*parameters)), 0.0) : log_p_zd;
    const Value& log_det = latents.log_det;
    const Value zc_and_volume = graph_.add(log_p_zc, log_det);
    const auto minus = [&](const Value& value) { return graph_.node("Neg", {value}); };
    out.terms = {{"log_det", log_det}, {"log_p_zc", log_p_zc}};
    out.scores = in_order(scores, {{"score_zc", minus(log_p_zc)},
                                   {"score_zc_logdet", minus(zc_and_volume)},
                                   {"score_scatter", minus(graph_.add(log_p_zc, centred))},
                                   {"nll", minus(graph_.add(zc_and_volume, log_p_zd))},
                                   {"nll_given_v", minus(graph_.add(zc_and_volume, given))}});
    if (constrained) {
      out.estimate = estimate(out.names);
    }
    out.descriptor = pooled(latents.z);
    return out;
  }

 private:
  size_t run_count() const { return prior_.runs().size(); }
  size_t parameter_of(size_t run) const { return prior_.runs()[run].parameter; }
  bool is_name(size_t run) const { return prior_.runs()[run].category >= 0; }
  double elements(size_t run) const { return static_cast<double>(prior_.runs()[run].count); }
  /// The runs of the parameter whose first is `run`.
  int64_t parts(size_t run) const { return std::max<int64_t>(1, prior_.groups()[run].categories); }
  /// Calls visit(first run) for each parameter.
  template <class Visit>
  void for_each_parameter(const Visit& visit) const {
    for (size_t run = 0; run < run_count(); run += static_cast<size_t>(parts(run))) {
      visit(run);
    }
  }

  /// A number for each run, [1, runs].
  template <class Of>
  Value per_run(Of of) {
    std::vector<double> values;
    for (size_t run = 0; run < run_count(); ++run) {
      values.push_back(of(run));
    }
    return graph_.tensor(std::span<const double>(values), {1, static_cast<int64_t>(values.size())});
  }

  /// Means and squares about them of zd [n, zd_elements]'s runs.
  void add_moments(const Value& zd) {
    std::vector<Value> means, squares;
    const auto add = [&](const Value& own, int64_t runs, int64_t count) {
      const Value elements = graph_.reshape(own, {0, runs, count});
      const Value mean = graph_.reduce("ReduceMean", elements, {2}, true);
      means.push_back(graph_.reshape(mean, {0, runs}));
      squares.push_back(graph_.reduce("ReduceSum", graph_.square(graph_.subtract(elements, mean)), {2}));
    };
    if (condition_.has_category()) {
      for_each_parameter([&](size_t run) {
        const flow::LatentRun& first = prior_.runs()[run];
        add(graph_.slice(zd, 1, first.first, first.first + parts(run) * first.count), parts(run), first.count);
      });
    } else {
      add(zd, static_cast<int64_t>(run_count()), zd_elements_ / static_cast<int64_t>(run_count()));
    }
    mean_ = means.size() > 1 ? graph_.concatenate(means, 1) : means.front();
    centred_ = squares.size() > 1 ? graph_.concatenate(squares, 1) : squares.front();
  }

  /// What windows have of each name's categories; of each name log p(zd), less what it is of N(0, 1), to log_evidence_.
  void add_names(WindowValues& out) {
    for_each_parameter([&](size_t run) {
      if (!is_name(run)) {
        return;
      }
      const int64_t categories = parts(run);
      const double n = elements(run), k = prior_.groups()[run].k;
      std::vector<double> log_frequency;
      for (int64_t c = 0; c < categories; ++c) {
        log_frequency.push_back(prior_.groups()[run + static_cast<size_t>(c)].log_frequency);
      }
      const auto first = static_cast<int64_t>(run);
      const Value mean = graph_.slice(mean_, 1, first, first + categories);
      const Value evidence = graph_.add(graph_.multiply(mean, graph_.number(n * k)),
                                        graph_.tensor(std::span<const double>(log_frequency), {1, categories}));
      const Value top = graph_.reduce("ReduceMax", evidence, {1}, true);
      const Value odds = graph_.node("Exp", {graph_.subtract(evidence, top)});
      const Value total = graph_.reduce("ReduceSum", odds, {1}, true);
      out.names.push_back({parameter_of(run), graph_.divide(odds, total), graph_.divide(mean, graph_.number(k))});
      const Value sum = graph_.add(graph_.reshape(top, {-1}), graph_.node("Log", {graph_.reshape(total, {-1})}));
      log_evidence_.push_back(graph_.add(sum, graph_.number(-0.5 * n * k * k)));
    });
  }

  /// Sum over the runs of log N, from squares [n, runs]; `more` is added to each window's.
  Value log_p(const Value& squares, double more) {
    const Value sum = graph_.multiply(graph_.reduce("ReduceSum", squares, {1}), graph_.number(-0.5));
    return graph_.add(sum, graph_.number(more - static_cast<double>(zd_elements_) * half_log_2pi));
  }
  /// Squares of zd about means that broadcast to [n, runs].
  Value about(const Value& means) {
    const Value off = graph_.square(graph_.subtract(mean_, means));
    return graph_.add(centred_, graph_.multiply(off, per_run([&](size_t run) { return elements(run); })));
  }
  /// k (v - v0) of numbers, k onehot(v) of names, [runs]; NaN where v is unknown.
  Value expected(const Value& parameters) {
    std::vector<Value> means;
    for_each_parameter([&](size_t run) {
      const auto p = static_cast<int64_t>(parameter_of(run));
      const Value v = graph_.slice(parameters, 0, p, p + 1);
      const kernels::LatentGroup& prior = prior_.groups()[run];
      if (!is_name(run)) {
        means.push_back(graph_.multiply(graph_.subtract(v, graph_.number(prior.v0)), graph_.number(prior.k)));
        return;
      }
      std::vector<double> places(static_cast<size_t>(parts(run)));
      std::iota(places.begin(), places.end(), 0.0);
      const Value own = graph_.node("Equal", {v, graph_.tensor(std::span<const double>(places), {parts(run)})});
      const Value onehot = graph_.either(own, graph_.number(prior.k), graph_.number(0.0));
      means.push_back(graph_.either(graph_.any(own), onehot, graph_.number(std::numeric_limits<double>::quiet_NaN())));
    });
    return means.size() > 1 ? graph_.concatenate(means, 0) : means.front();
  }
  /// log p(zd) with v integrated out.
  Value marginal() {
    const auto spread = [&](size_t run) {
      const kernels::LatentGroup& prior = prior_.groups()[run];
      return is_name(run) ? 1.0 : 1.0 + elements(run) * prior.k * prior.k * prior.std * prior.std;
    };
    double more = 0;
    for (size_t run = 0; run < run_count(); ++run) {
      more -= 0.5 * std::log(spread(run));
    }
    const Value means = per_run([&](size_t run) {
      const kernels::LatentGroup& prior = prior_.groups()[run];
      return is_name(run) ? 0.0 : prior.k * (prior.mean - prior.v0);
    });
    const Value off = graph_.square(graph_.subtract(mean_, means));
    const Value weight = per_run([&](size_t run) { return elements(run) / spread(run); });
    Value log_p_zd = log_p(graph_.add(centred_, graph_.multiply(off, weight)), more);
    for (const Value& of_name : log_evidence_) {
      log_p_zd = graph_.add(log_p_zd, of_name);
    }
    return log_p_zd;
  }
  /// [n, P]
  Value estimate(const std::vector<NameValues>& names) {
    const auto of_numbers = [&](const Value& mean, const Value& k, const Value& v0) {
      return graph_.add(graph_.divide(mean, k), v0);
    };
    if (names.empty()) {
      return of_numbers(mean_, per_run([&](size_t run) { return prior_.groups()[run].k; }),
                        per_run([&](size_t run) { return prior_.groups()[run].v0; }));
    }
    std::vector<Value> columns;
    auto name = names.begin();
    for_each_parameter([&](size_t run) {
      const kernels::LatentGroup& prior = prior_.groups()[run];
      const auto at = static_cast<int64_t>(run);
      columns.push_back(is_name(run) ? graph_.unsqueeze(likeliest(graph_, (name++)->posterior), 1)
                                     : of_numbers(graph_.slice(mean_, 1, at, at + 1), graph_.number(prior.k),
                                                  graph_.number(prior.v0)));
    });
    return columns.size() > 1 ? graph_.concatenate(columns, 1) : columns.front();
  }
  /// zc pooled over time: of each block, means and then root mean squares of its rows.
  Value pooled(const std::vector<Value>& z) {
    std::vector<Value> parts;
    for (const Value& of_block : z) {
      const Value exact = graph_.cast(of_block, Element::float64);
      const Value squares = graph_.reduce("ReduceMean", graph_.square(exact), {3});
      for (const Value& rows : {graph_.reduce("ReduceMean", exact, {3}), graph_.node("Sqrt", {squares})}) {
        parts.push_back(graph_.node("Flatten", {graph_.cast(rows, Element::float32)}));
      }
    }
    return graph_.concatenate(parts, 1);
  }

  Graph& graph_;
  const flow::LatentPrior& prior_;
  const io::ConditionData& condition_;
  int64_t zd_elements_, zc_elements_;
  Value mean_, centred_;             // of zd: mean, and squares about it, [n, runs]
  std::vector<Value> log_evidence_;  // of each name, [n]
};

}  // namespace

WindowValues add_glow(Graph& graph, const train::Detector& detector, const Value& windows,
                      const std::optional<Value>& parameters) {
  const auto& model = dynamic_cast<const flow::GlowModel&>(detector.network());
  const GlowLatents latents = GlowGraph(graph, detector.model(), model.glow()).forward(windows);
  const Scope scope(graph, "prior");
  return PriorGraph(graph, model.prior(), model.glow().shape()).values(latents, parameters, model.scores());
}

}  // namespace evenflow::experiments::onnx
