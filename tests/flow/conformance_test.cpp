// The whole flow against float64 golden cases (tests/golden/conformance, made by glow_reference.py there).
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "flow/glow.h"
#include "flow/glow_model.h"
#include "flow/latent.h"
#include "kernels/reduce.h"
#include "tests/support/backends.h"
#include "tests/support/fetch.h"
#include "tests/support/golden_file.h"

namespace evenflow::flow {
namespace {

using tests::GoldenFile;

double largest(const std::vector<double>& values) {
  double out = 0;
  for (const double value : values) {
    out = std::max(out, std::abs(value));
  }
  return out;
}

/// |actual - expected| <= tolerance * scale, element by element; NaN fails.
template <class Actual>
void expect_within(const Actual& actual, const std::vector<double>& expected, double bound, const std::string& what) {
  ASSERT_EQ(std::size(actual), expected.size()) << what;
  double worst = -1;
  size_t at = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double error = std::abs(static_cast<double>(actual[i]) - expected[i]);
    if (!(error <= worst)) {
      worst = error;
      at = i;
    }
  }
  EXPECT_TRUE(worst <= bound) << what << "[" << at << "] is " << actual[at] << ", expected " << expected[at]
                              << " within " << bound;
}

class Conformance : public testing::TestWithParam<std::tuple<tests::BackendUnderTest, const char*>> {
 protected:
  Conformance() {
    const std::vector<double> input = golden_.read("x").values;
    x_ = tests::to_device(stream_, {input.begin(), input.end()});
    std::vector<io::Tensor> tensors = glow_.tensors();
    for (io::Tensor& tensor : tensors) {
      const GoldenFile::Array array = golden_.read("parameters/" + tensor.name);
      EXPECT_EQ(array.shape, tensor.shape) << tensor.name;
      if (tensor.type == io::Tensor::Type::float32) {
        std::transform(array.values.begin(), array.values.end(), tensor.values.begin(),
                       [](double v) { return static_cast<float>(v); });
      } else {
        tensor.integers.assign(array.values.begin(), array.values.end());
      }
    }
    EXPECT_EQ(tensors.size(), golden_.names("parameters").size());
    glow_.load(tensors);
    glow_.assemble(stream_);
    condition_.k = golden_.read("k").values;
    condition_.v0 = golden_.read("v0").values;
    condition_.mean = golden_.read("v_mean").values;
    condition_.std = golden_.read("v_std").values;
    for (size_t i = 0; i < condition_.k.size(); ++i) {
      condition_.names.push_back(i == 0 ? "velocity_mm_s" : "distance_mm");
      condition_.training_values.push_back({50.0, 750.0});
      condition_.categories.emplace_back();
      condition_.frequency.emplace_back();
    }
    if (golden_.has("frequency")) {
      condition_.frequency.back() = golden_.read("frequency").values;
      for (size_t c = 0; c < condition_.frequency.back().size(); ++c) {
        condition_.categories.back().push_back(std::string(1, static_cast<char>('A' + c)));
      }
    }
  }

  GlowShape shape_of_case() const {
    GlowShape s;
    s.blocks = static_cast<int>(golden_.integer_attribute("blocks"));
    s.steps = static_cast<int>(golden_.integer_attribute("steps"));
    s.hidden = static_cast<int>(golden_.integer_attribute("hidden"));
    s.height = golden_.integer_attribute("height");
    s.width = golden_.integer_attribute("width");
    s.dense_invconv = golden_.text_attribute("invconv") == "dense";
    const std::string coupling = golden_.text_attribute("coupling");
    s.coupling = coupling == "tanh"       ? kernels::CouplingKind::tanh
                 : coupling == "additive" ? kernels::CouplingKind::additive
                                          : kernels::CouplingKind::sigmoid;
    return s;
  }
  kernels::Device device() const { return std::get<0>(GetParam()).device; }
  kernels::Map x() const { return kernels::make_map(x_.data(), batch_, 1, shape_.height, shape_.width, device()); }
  std::vector<float> values_of(kernels::ConstMap map) { return tests::fetch(stream_, map); }
  double constant_log_det() { return kernels::to_host(stream_, glow_.constant_log_det())[0]; }
  /// Rows [first, first + count) of a golden array whose first dimension is the batch.
  std::vector<double> rows(const std::string& name, int64_t first, int64_t count) const {
    const std::vector<double> all = golden_.read(name).values;
    const int64_t row = static_cast<int64_t>(all.size()) / batch_;
    return {all.begin() + first * row, all.begin() + (first + count) * row};
  }
  /// Of the name p, from its elements of zd: frequency times density of each category, by exponentials of what each is
  /// above the others.
  void expect_posterior(const std::vector<double>& elements, size_t p, std::span<const double> posterior,
                        double estimate) const {
    const std::vector<double>& frequency = condition_.frequency[p];
    const size_t run = elements.size() / frequency.size();
    std::vector<double> evidence;
    for (size_t c = 0; c < frequency.size(); ++c) {
      double log_density = std::log(frequency[c]);
      for (size_t i = 0; i < elements.size(); ++i) {
        const double off = elements[i] - (i / run == c ? condition_.k[p] : 0.0);
        log_density -= 0.5 * off * off;
      }
      evidence.push_back(log_density);
    }
    ASSERT_EQ(posterior.size(), frequency.size());
    size_t likeliest = 0;
    for (size_t c = 0; c < frequency.size(); ++c) {
      double others = 0;
      for (const double other : evidence) {
        others += std::exp(other - evidence[c]);
      }
      // Latents are within the tolerance, and the evidence sums as many as a category has.
      EXPECT_TRUE(std::abs(posterior[c] - 1.0 / others) <= tolerance_ * static_cast<double>(run))
          << posterior[c] << " " << 1.0 / others;
      likeliest = evidence[c] > evidence[likeliest] ? c : likeliest;
    }
    EXPECT_EQ(estimate, static_cast<double>(likeliest));
  }
  /// Calls check(pass, first, count) after a forward of windows [first, first + count): each alone, then all at once.
  template <class Check>
  void for_each_pass(PassMode mode, const Check& check) {
    for (const int64_t count : {int64_t{1}, batch_}) {
      GlowPass pass(glow_, count, mode);
      for (int64_t first = 0; first < batch_; first += count) {
        SCOPED_TRACE("windows from " + std::to_string(first) + ", " + std::to_string(count) + " at once");
        pass.forward(stream_, x().samples(first, count));
        stream_.synchronise();
        check(pass, first, count);
      }
    }
  }

  tests::SelectedBackend selected_{std::get<0>(GetParam())};
  GoldenFile golden_{std::filesystem::path(EVENFLOW_GOLDEN_DIR) / "conformance" / std::get<1>(GetParam())};
  GlowShape shape_ = shape_of_case();
  int64_t batch_ = golden_.integer_attribute("batch");
  double dimensions_ = static_cast<double>(shape_.dimensions());
  kernels::Stream stream_{device()};
  Glow glow_{shape_, 1, device()};
  kernels::Buffer<float> x_;
  io::ConditionData condition_;
  static constexpr double tolerance_ = 1e-5;
  static constexpr double gradient_tolerance_ = 1e-4;
};

TEST_P(Conformance, LatentsAndLogDeterminants) {
  for (const PassMode mode : {PassMode::score, PassMode::train}) {
    for_each_pass(mode, [&](GlowPass& pass, int64_t first, int64_t count) {
      for (int block = 0; block < shape_.blocks; ++block) {
        const std::string name = "z/zc_" + std::to_string(block + 1);
        const std::vector<double> expected = rows(name, first, count);
        expect_within(values_of(pass.zc(block)), expected, tolerance_ * largest(expected), name);
      }
      const std::vector<double> zd = rows("z/zd", first, count);
      expect_within(values_of(pass.zd()), zd, tolerance_ * largest(zd), "zd");
      const std::vector<double> log_det = rows("logdet", first, count);
      const std::vector<double> coupling_log_det = kernels::to_host(stream_, pass.coupling_log_det());
      for (size_t i = 0; i < coupling_log_det.size(); ++i) {
        const double expected = log_det[i];
        const double actual = coupling_log_det[i] + constant_log_det();
        EXPECT_TRUE(std::abs(actual - expected) <= tolerance_ * std::abs(expected)) << actual << " " << expected;
      }
    });
  }
}

TEST_P(Conformance, LikelihoodsScoresAndEstimates) {
  const LatentPrior prior(shape_, condition_, device());
  const LatentPrior unconditioned(shape_, {}, device());
  const GlowModel model(shape_, condition_, 1, device()), unconditioned_model(shape_, {}, 1, device());
  const int64_t parameters = static_cast<int64_t>(condition_.k.size());
  for_each_pass(PassMode::score, [&](GlowPass& pass, int64_t first, int64_t count) {
    const std::vector<double> v = rows("v", first, count);
    WindowScores scores(model, count), without_v(model, count), free(unconditioned_model, count);
    prior.score(stream_, pass, glow_.constant_log_det(), v, scores, 0);
    prior.score(stream_, pass, glow_.constant_log_det(), {}, without_v, 0);
    unconditioned.score(stream_, pass, glow_.constant_log_det(), {}, free, 0);
    const auto expect = [&](double actual, const char* name, size_t i) {
      const double expected = rows(name, first, count)[i];
      EXPECT_TRUE(std::abs(actual - expected) <= tolerance_ * std::abs(expected))
          << name << " is " << actual << ", expected " << expected;
    };
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
      const auto row = static_cast<int64_t>(i);
      const auto own = [&](const char* name) { return scores.of(row, name); };
      expect(own("log_p_zc"), "log_p_zc", i);
      expect(own("log_det"), "logdet", i);
      expect(own("nll"), "nll_marginal", i);
      expect(own("score_scatter"), "score_scatter", i);
      EXPECT_EQ(own("score_zc"), -own("log_p_zc"));
      EXPECT_EQ(own("score_zc_logdet"), -own("log_p_zc") - own("log_det"));
      const bool known = std::none_of(v.begin() + static_cast<int64_t>(i) * parameters,
                                      v.begin() + static_cast<int64_t>(i + 1) * parameters,
                                      [](double value) { return std::isnan(value); });
      if (known) {
        expect(own("nll_given_v"), "nll_given_v", i);
      } else {
        EXPECT_TRUE(std::isnan(own("nll_given_v")));
      }
      EXPECT_TRUE(std::isnan(without_v.of(row, "nll_given_v")));
      EXPECT_EQ(without_v.of(row, "nll"), own("nll")) << "the marginal does not see v";
      expect(free.of(row, "nll"), "nll_unconditioned", i);
      EXPECT_EQ(free.of(row, "nll_given_v"), free.of(row, "nll"));
      EXPECT_TRUE(free.estimates[row].empty());

      // Each parameter's own run of zd's channels, in order.
      const std::vector<double> zd = rows("z/zd", first + static_cast<int64_t>(i), 1);
      const size_t run = zd.size() / static_cast<size_t>(parameters);
      const std::span<const double> estimate = scores.estimates[row];
      ASSERT_EQ(estimate.size(), static_cast<size_t>(parameters));
      for (size_t p = 0; p < estimate.size(); ++p) {
        if (condition_.is_category(p)) {
          expect_posterior(std::vector<double>(zd.begin() + static_cast<std::ptrdiff_t>(p * run), zd.end()), p,
                           scores.posteriors[row], estimate[p]);
          continue;
        }
        double mean = 0;
        for (size_t j = 0; j < run; ++j) {
          mean += zd[p * run + j] / static_cast<double>(run);
        }
        const double expected = mean / condition_.k[p] + condition_.v0[p];
        const double scale = largest(zd) / condition_.k[p] + condition_.v0[p];
        EXPECT_TRUE(std::abs(estimate[p] - expected) <= tolerance_ * scale) << estimate[p] << " " << expected;
      }
    }
  });
}

TEST_P(Conformance, LossAndEveryGradient) {
  const LatentPrior prior(shape_, condition_, device());
  const double batch = static_cast<double>(batch_);
  const double scale = 1.0 / (batch * dimensions_);
  const int64_t size = glow_.raw_gradient_size();
  for (const int64_t count : {int64_t{1}, batch_}) {
    SCOPED_TRACE(std::to_string(count) + " windows at once");
    // One row of gradients per pass, summed in order: as training does it.
    const int64_t passes = batch_ / count;
    GlowPass pass(glow_, count, PassMode::train);
    const kernels::Buffer<float> raws(passes * size, device());
    const kernels::Buffer<float> raw(size, device());
    const kernels::Buffer<double> v_on_device(count * prior.parameters(), device());
    const kernels::Buffer<double> nll_on_device(count, device());
    double loss = 0;
    for (int64_t i = 0; i < passes; ++i) {
      pass.forward(stream_, x().samples(i * count, count));
      kernels::upload<double>(stream_, rows("v", i * count, count), v_on_device.view());
      prior.loss(stream_, pass, glow_.constant_log_det(), v_on_device.view(), scale, nll_on_device.view());
      const std::vector<double> nll = kernels::to_host(stream_, nll_on_device.view());
      pass.backward(stream_, -scale, raws.slice(i * size, size));
      // With unknown v integrated out, this is the case's nll_given_v for every window.
      const std::vector<double> expected = rows("nll_given_v", i * count, count);
      expect_within(nll, expected, tolerance_ * largest(expected), "nll");
      const std::vector<double> log_p_zd = rows("log_p_zd", i * count, count);
      const std::vector<double> log_p_zc = rows("log_p_zc", i * count, count);
      const std::vector<double> log_det = rows("logdet", i * count, count);
      for (size_t j = 0; j < nll.size(); ++j) {
        loss += nll[j] * scale;
        const double actual = -nll[j] - log_p_zc[j] - log_det[j];
        EXPECT_TRUE(std::abs(actual - log_p_zd[j]) <= tolerance_ * std::abs(nll[j])) << actual << " " << log_p_zd[j];
      }
    }
    const double expected_loss = golden_.read_scalar("loss");
    EXPECT_TRUE(std::abs(loss - expected_loss) <= tolerance_ * std::abs(expected_loss)) << loss << " " << expected_loss;

    kernels::sum_rows(stream_, {.in = raws.view(), .rows = passes, .row_stride = raw.size(), .out = raw.view()});
    glow_.finish_gradient(stream_, raw.view(), -1.0 / dimensions_);
    const std::vector<float> gradient = kernels::to_host(stream_, raw.view());
    const std::vector<std::string> names = golden_.names("gradient");
    EXPECT_EQ(names.size(), glow_.layout().entries().size());
    for (const std::string& name : names) {
      const ArenaEntry& entry = glow_.layout().find(name);
      const std::vector<double> expected = golden_.read("gradient/" + name).values;
      const std::vector<float> actual(gradient.begin() + entry.offset, gradient.begin() + entry.offset + entry.size);
      expect_within(actual, expected, gradient_tolerance_ * largest(expected), name);
    }
  }
}

TEST_P(Conformance, ActnormInitialisation) {
  glow_.initialise_actnorm(stream_, x());
  stream_.synchronise();
  const std::vector<std::string> names = golden_.names("after_actnorm_init");
  EXPECT_EQ(static_cast<int>(names.size()), 2 * shape_.blocks * shape_.steps);
  for (const std::string& name : names) {
    const ArenaEntry& entry = glow_.layout().find(name);
    const std::vector<double> expected = golden_.read("after_actnorm_init/" + name).values;
    const kernels::Array<float> actual = glow_.parameters().slice(entry.offset, entry.size);
    // The channels have unit scale, so an absolute error is one relative to the data.
    expect_within(kernels::to_host(stream_, actual), expected, tolerance_ * std::max(1.0, largest(expected)), name);
  }
  for (const io::Tensor& tensor : glow_.tensors()) {
    if (tensor.type != io::Tensor::Type::float32 || tensor.name.find("actnorm") != std::string::npos) {
      continue;
    }
    const std::vector<double> stored = golden_.read("parameters/" + tensor.name).values;
    EXPECT_EQ(tensor.values, std::vector<float>(stored.begin(), stored.end())) << tensor.name << " must not change";
  }
}

TEST_P(Conformance, InverseOfForward) {
  for (const PassMode mode : {PassMode::score, PassMode::train}) {
    for_each_pass(mode, [&](GlowPass& pass, int64_t first, int64_t count) {
      pass.inverse(stream_, count);
      stream_.synchronise();
      const std::vector<double> expected = rows("x", first, count);
      expect_within(values_of(pass.input().samples(0, count)), expected, 1e-3 * largest(expected), "x");
    });
  }
}

std::string case_name(const testing::TestParamInfo<Conformance::ParamType>& info) {
  return std::get<0>(info.param).name + "_" + std::filesystem::path(std::get<1>(info.param)).stem().string();
}
INSTANTIATE_TEST_SUITE_P(Cases, Conformance,
                         testing::Combine(testing::ValuesIn(tests::devices_under_test()),
                                          testing::Values("small_plu.h5", "small_dense_tanh.h5", "unknown_parameter.h5",
                                                          "names.h5", "names_uneven_channels.h5", "single_scale.h5",
                                                          "additive.h5", "additive_single_scale.h5", "paper.h5")),
                         case_name);

}  // namespace
}  // namespace evenflow::flow
