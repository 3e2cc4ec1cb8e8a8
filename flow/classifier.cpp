#include "flow/classifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "io/error.h"
#include "kernels/copy.h"
#include "kernels/trace.h"

namespace evenflow::flow {

using kernels::Array;
using kernels::Buffer;
using kernels::Stream;

class ClassifierPass final : public Pass {
 public:
  ClassifierPass(const Classifier& classifier, int64_t n, PassMode mode)
      : c_(classifier),
        n_(n),
        encoder_(classifier.encoder_, classifier.parameters(), n, mode),
        head_(classifier.head_, classifier.parameters(), n, mode) {
    if (mode != PassMode::train) {
      return;
    }
    dlogits_ = Buffer<float>(n * classifier.shape_.classes, classifier.device_);
    dembedding_ = Buffer<float>(n * classifier.shape_.embedding, classifier.device_);
  }

  kernels::Map input() override {
    return kernels::make_map(encoder_.input().data, n_, 1, c_.shape_.height, c_.shape_.width, c_.device_);
  }
  void score(Stream& stream, kernels::ConstMap x, std::span<const double> v, WindowScores& out, int64_t first) override;
  void loss(Stream& stream, kernels::ConstMap x, Array<const double> v, Array<double> nll) override {
    forward(stream, x);
    kernels::cross_entropy(stream, {.windows = windows(v), .loss = nll});
  }
  void loss_and_gradient(Stream& stream, kernels::ConstMap x, Array<const double> v, double scale, const Draws&,
                         Array<double> nll, Array<float> raw) override {
    {
      const kernels::TraceRange phase(stream, "forward");
      forward(stream, x);
    }
    {
      const kernels::TraceRange phase(stream, "loss");
      kernels::cross_entropy(stream, {.windows = windows(v), .loss = nll});
    }
    const kernels::TraceRange phase(stream, "backward");
    const Array<float> dlogits = dlogits_.slice(0, x.n * c_.shape_.classes);
    const Array<float> dembedding = dembedding_.slice(0, x.n * c_.shape_.embedding);
    kernels::cross_entropy_backward(stream, {.windows = windows(v), .scale = scale, .dlogits = dlogits});
    head_.backward(stream, dlogits, dembedding, raw);
    encoder_.backward(stream, dembedding, {nullptr, 0, c_.device_}, raw);
  }
  /// A gradient alone: the score is no sum over the window.
  void attribute(Stream& stream, kernels::ConstMap x, std::span<const double> v, size_t score,
                 Attribution& out) override;
  void copy_latents(Stream& stream, int64_t i, std::span<float> to) override {
    const int64_t length = c_.shape_.embedding;
    kernels::copy(stream, Array<const float>(encoder_.output().slice(i * length, length)),
                  Array<float>{to.data(), length, {}});
  }
  std::string first_non_finite(Stream& stream, kernels::ConstMap x) override {
    forward(stream, x);
    if (!all_finite(stream, {x.data, x.size(), x.device})) {
      return "input";
    }
    const std::string layer = encoder_.first_non_finite(stream);
    return layer.empty() ? head_.first_non_finite(stream) : layer;
  }

 private:
  void fill_categories(std::span<const double> p, double sum, WindowScores& out, int64_t row) const;
  void forward(Stream& stream, kernels::ConstMap x) {
    encoder_.forward(stream, {x.data, x.size(), x.device});
    head_.forward(stream, encoder_.output());
  }
  kernels::ClassifiedWindows windows(Array<const double> v) const {
    return {.grid = {c_.values_.view(), c_.counts_.view(), c_.shape_.classes},
            .logits = head_.output(),
            .v = v,
            // Losses are reported per dimension of a window; this one then is the cross-entropy.
            .weight = static_cast<double>(c_.shape_.dimensions())};
  }

  const Classifier& c_;
  int64_t n_;
  DensePass encoder_, head_;
  Buffer<float> dlogits_, dembedding_;  // training only
};

namespace {

const std::vector<ScoreOf<double>>& classifier_score_list() {
  static const std::vector<ScoreOf<double>> list = {
      {{"score_confidence", "How unsure the classifier is which of the training's operating points it hears"},
       [](const double& confidence) { return confidence; }}};
  return list;
}

}  // namespace

const std::vector<Score>& classifier_scores() {
  static const std::vector<Score> scores = scores_of(classifier_score_list());
  return scores;
}

/// Of each name, the probability of its categories, summed over the classes that have it, and the likeliest.
void ClassifierPass::fill_categories(std::span<const double> p, double sum, WindowScores& out, int64_t row) const {
  const auto& values = c_.condition_.training_values;
  size_t first = 0, inner = p.size();  // classes count the last parameter's values the fastest
  for (size_t q = 0; q < values.size(); ++q) {
    const size_t count = values[q].size();
    inner /= count;
    if (!c_.condition_.is_category(q)) {
      continue;
    }
    const std::span<double> own = out.posteriors[row].subspan(first, count);
    std::fill(own.begin(), own.end(), 0.0);
    for (size_t c = 0; c < p.size(); ++c) {
      own[c / inner % count] += p[c] / sum;
    }
    std::copy(own.begin(), own.end(), out.memberships[row].subspan(first, count).begin());
    const auto likeliest = std::max_element(own.begin(), own.end()) - own.begin();
    out.estimates[row][q] =
        std::isfinite(sum) ? static_cast<double>(likeliest) : std::numeric_limits<double>::quiet_NaN();
    first += count;
  }
}

void ClassifierPass::score(Stream& stream, kernels::ConstMap x, std::span<const double>, WindowScores& out,
                           int64_t first) {
  forward(stream, x);
  const std::vector<float> logits = kernels::to_host<float>(stream, head_.output());
  const std::vector<float> embedding = kernels::to_host<float>(stream, encoder_.output());
  const auto classes = static_cast<size_t>(c_.shape_.classes), length = static_cast<size_t>(c_.shape_.embedding);
  const auto& values = c_.condition_.training_values;
  std::vector<double> p(classes);
  for (size_t i = 0; i < static_cast<size_t>(x.n); ++i) {
    const int64_t row = first + static_cast<int64_t>(i);
    const std::span<const float> own = std::span(logits).subspan(i * classes, classes);
    const double top = *std::max_element(own.begin(), own.end());
    double sum = 0;
    for (size_t c = 0; c < classes; ++c) {
      sum += p[c] = std::exp(own[c] - top);
    }
    fill_scores(classifier_score_list(), std::log(sum), out.scores[row]);
    // What value the sound is thought to have: the mean over the classes.
    const std::span<double> estimate = out.estimates[row];
    std::fill(estimate.begin(), estimate.end(), 0.0);
    for (size_t c = 0; c < classes; ++c) {
      size_t cell = c;
      for (size_t q = values.size(); q-- > 0;) {
        estimate[q] += p[c] / sum * values[q][cell % values[q].size()];
        cell /= values[q].size();
      }
    }
    fill_categories(std::span(p), sum, out, row);
    std::copy_n(embedding.begin() + static_cast<std::ptrdiff_t>(i * length), length, out.descriptors[row].begin());
  }
}

void ClassifierPass::attribute(Stream& stream, kernels::ConstMap x, std::span<const double> v, size_t score,
                               Attribution& out) {
  WindowScores scores(c_, 1);
  this->score(stream, x, v, scores, 0);
  out = {.score = scores.scores[0][score], .parts = {}, .shares = {}, .gradient = {}};
  // -log p of the likeliest class: d / d logits = p, less 1 at that class.
  std::vector<float> dlogits = kernels::to_host<float>(stream, head_.output());
  const auto top = std::max_element(dlogits.begin(), dlogits.end()) - dlogits.begin();
  const double highest = dlogits[static_cast<size_t>(top)];
  for (float& value : dlogits) {
    value = static_cast<float>(std::exp(value - highest - out.score));
  }
  dlogits[static_cast<size_t>(top)] -= 1.0F;
  const Buffer<float> raw(c_.raw_gradient_size(), c_.device_), dx(c_.shape_.dimensions(), c_.device_);
  const Array<float> to = dlogits_.slice(0, c_.shape_.classes), dembedding = dembedding_.slice(0, c_.shape_.embedding);
  kernels::upload<float>(stream, dlogits, to);
  head_.backward(stream, to, dembedding, raw.view());
  encoder_.backward(stream, dembedding, dx.view(), raw.view());
  out.gradient = kernels::to_host(stream, dx.view());
}

ClassifierShape classifier_shape(const io::Config& config, const io::ConditionData& condition) {
  constexpr int64_t most_classes = 65'536;
  ClassifierShape shape;
  shape.layers = config.classifier.layers;
  shape.hidden = config.classifier.hidden;
  shape.embedding = config.classifier.embedding;
  shape.height = config.frontend.mel_bands;
  shape.width = config.window.window_frames;
  shape.precision = dense_precision(config);
  if (condition.names.empty()) {
    throw io::UsageError(
        "a classifier tells values of a physical parameter apart and there is none; set condition.enabled = true and "
        "give the manifest a parameter column");
  }
  shape.classes = 1;
  for (const std::vector<double>& values : condition.training_values) {
    shape.classes *= static_cast<int64_t>(values.size());
    if (shape.classes > most_classes) {
      throw io::UsageError(fmt::format(
          "the training clips' values make more than {} classes; name fewer in condition.parameters", most_classes));
    }
  }
  if (shape.classes < 2) {
    throw io::UsageError("the training clips have one set of values; a classifier needs two or more to tell apart");
  }
  return shape;
}

Classifier::Classifier(const ClassifierShape& shape, const io::ConditionData& condition, uint64_t seed,
                       kernels::Device device)
    : DenseModel(shape.height, shape.width, condition, device), shape_(shape) {
  encoder_ = Dense("encoder", dense_widths(shape.dimensions(), shape.hidden, shape.layers, shape.embedding),
                   shape.precision, layout_);
  head_ = Dense("classes", {shape.embedding, shape.classes}, shape.precision, layout_);
  make_parameters(seed, {&encoder_, &head_});
  std::vector<double> values;
  std::vector<int64_t> counts;
  for (const std::vector<double>& of_one : condition.training_values) {
    values.insert(values.end(), of_one.begin(), of_one.end());
    counts.push_back(static_cast<int64_t>(of_one.size()));
  }
  Stream stream(device);
  values_ = Buffer<double>(static_cast<int64_t>(values.size()), device);
  kernels::upload<double>(stream, values, values_.view());
  counts_ = Buffer<int64_t>(static_cast<int64_t>(counts.size()), device);
  kernels::upload<int64_t>(stream, counts, counts_.view());
  stream.synchronise();
}

std::string Classifier::describe() const {
  return fmt::format("a classifier of {} layers, hidden width {}, embedding of {}, {} classes", shape_.layers,
                     shape_.hidden, shape_.embedding, shape_.classes);
}

std::unique_ptr<Pass> Classifier::make_pass(int64_t n, PassMode mode) const {
  return std::make_unique<ClassifierPass>(*this, n, mode);
}

}  // namespace evenflow::flow
