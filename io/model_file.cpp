#include "io/model_file.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <new>
#include <numeric>
#include <set>
#include <utility>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/hdf5_file.h"
#include "io/parameter_list.h"
#include "io/score_name.h"

namespace evenflow::io {
namespace {

constexpr const char* model_kind = "evenflow model";

template <class T>
void require_finite(const Hdf5File& file, const std::string& where, const std::vector<T>& values) {
  if (!std::all_of(values.begin(), values.end(), [](T value) { return std::isfinite(value); })) {
    file.fail_damaged(where + " has a value that is not finite");
  }
}

/// Far beyond what a training leaves, and far enough below what float32 holds for the squares.
constexpr float most_weight = 1e15f;
/// Of scores and of parameters' values: far beyond what they reach.
constexpr double most_figure = 1e30;
/// The same of decibels: float32 samples come to 900.
constexpr float most_db = 1e4f, least_deviation_db = 1e-4f;

template <class T>
void require_below(const Hdf5File& file, const std::string& where, const std::vector<T>& values, T most) {
  require_finite(file, where, values);
  if (!std::all_of(values.begin(), values.end(), [=](T value) { return std::abs(value) <= most; })) {
    file.fail_damaged(where + " has a value that no training can have left");
  }
}

void require(const Hdf5File& file, bool possible, const std::string& what) {
  if (!possible) {
    file.fail_damaged(what);
  }
}

void write_tensor(Hdf5File& file, const Tensor& tensor) {
  if (tensor.name.empty() || tensor.name == "." || tensor.name.find('/') != std::string::npos) {
    file.fail("a tensor cannot be called '" + tensor.name + "'");
  }
  const std::string where = "/parameters/" + tensor.name;
  Shape shape;
  uint64_t count = 1;
  for (const int64_t n : tensor.shape) {
    shape.push_back(static_cast<hsize_t>(n));
    count *= static_cast<uint64_t>(n);
  }
  const bool is_float = tensor.type == Tensor::Type::float32;
  const size_t given = is_float ? tensor.values.size() : tensor.integers.size();
  if (given != count) {
    file.fail(where + " has " + std::to_string(given) + " values for a shape of " + std::to_string(count));
  }
  if (is_float) {
    file.write(where, shape, tensor.values.data());
  } else if (tensor.type == Tensor::Type::int32) {
    file.write(where, shape, tensor.integers.data());
  } else {
    std::vector<int8_t> narrow;
    for (const int32_t value : tensor.integers) {
      if (value < -128 || value > 127) {
        file.fail(where + " holds " + std::to_string(value) + ", beyond an int8");
      }
      narrow.push_back(static_cast<int8_t>(value));
    }
    file.write(where, shape, narrow.data());
  }
}

Tensor read_tensor(const Hdf5File& file, const std::string& name) {
  const std::string where = "/parameters/" + name;
  const Handle type = file.type_of(where);
  Tensor tensor;
  tensor.name = name;
  Shape shape;
  if (H5Tequal(type.get(), H5T_STD_I32LE) > 0) {
    tensor.type = Tensor::Type::int32;
    tensor.integers = file.read<int32_t>(where, shape);
  } else if (H5Tequal(type.get(), H5T_STD_I8LE) > 0) {
    tensor.type = Tensor::Type::int8;
    const std::vector<int8_t> narrow = file.read<int8_t>(where, shape);
    tensor.integers.assign(narrow.begin(), narrow.end());
  } else {
    tensor.values = file.read<float>(where, shape);
    require_below(file, where, tensor.values, most_weight);
  }
  for (const hsize_t n : shape) {
    tensor.shape.push_back(static_cast<int64_t>(n));
  }
  return tensor;
}

NormaliserData read_normaliser(const Hdf5File& file, const Config& config) {
  NormaliserData normaliser;
  normaliser.mean = file.read<float>("/normaliser/mean");
  normaliser.std = file.read<float>("/normaliser/std");
  const auto bands = static_cast<size_t>(config.frontend.mel_bands);
  require(file, normaliser.mean.size() == bands && normaliser.std.size() == bands,
          "/normaliser does not have a mean and a deviation for each of the " + std::to_string(bands) + " mel bands");
  require_below(file, "/normaliser/mean", normaliser.mean, most_db);
  require_below(file, "/normaliser/std", normaliser.std, most_db);
  require(
      file,
      std::all_of(normaliser.std.begin(), normaliser.std.end(), [](float std) { return std >= least_deviation_db; }),
      "/normaliser/std has a value that is not above 0");
  return normaliser;
}

void write_categories(Hdf5File& file, const ConditionData& condition) {
  const size_t count = condition.names.size();
  if (condition.categories.size() != count || condition.frequency.size() != count) {
    file.fail("/condition does not give categories and frequencies for each of its " + std::to_string(count) +
              " parameters");
  }
  std::vector<std::string> names;
  std::vector<double> frequency;
  std::vector<int64_t> offset = {0};
  for (size_t p = 0; p < count; ++p) {
    if (condition.frequency[p].size() != condition.categories[p].size()) {
      file.fail("/condition does not give a frequency for each category of " + condition.names[p]);
    }
    names.insert(names.end(), condition.categories[p].begin(), condition.categories[p].end());
    frequency.insert(frequency.end(), condition.frequency[p].begin(), condition.frequency[p].end());
    offset.push_back(static_cast<int64_t>(names.size()));
  }
  file.write_texts("/condition/categories", names);
  file.write("/condition/category_frequency", frequency);
  file.write("/condition/category_offset", offset);
}

void write_condition(Hdf5File& file, const ConditionData& condition) {
  const size_t count = condition.names.size();
  if (condition.k.size() != count || condition.v0.size() != count || condition.mean.size() != count ||
      condition.std.size() != count || condition.training_values.size() != count) {
    file.fail("/condition does not give k, v0, mean, std and training values for each of its " + std::to_string(count) +
              " parameters");
  }
  file.make_group("/condition");
  file.write_texts("/condition/names", condition.names);
  file.write("/condition/k", condition.k);
  file.write("/condition/v0", condition.v0);
  file.write("/condition/mean", condition.mean);
  file.write("/condition/std", condition.std);
  std::vector<double> values;
  std::vector<int64_t> offset = {0};
  for (const std::vector<double>& of_one : condition.training_values) {
    values.insert(values.end(), of_one.begin(), of_one.end());
    offset.push_back(static_cast<int64_t>(values.size()));
  }
  file.write("/condition/training_values", values);
  file.write("/condition/training_offset", offset);
  if (condition.has_category()) {
    write_categories(file, condition);
  }
}

/// Mean and biased deviation are those of some numbers with these distinct values.
void require_moments_of(const Hdf5File& file, const std::vector<double>& values, double mean, double std) {
  if (values.empty()) {
    return;
  }
  const double low = values.front(), high = values.back();
  const double rounding = 1e-9 * std::max(std::abs(low), std::abs(high));
  require(file, mean >= low - rounding && mean <= high + rounding,
          "/condition/mean is not between the least and the largest of the training values");
  require(file, std <= 0.5 * (high - low) + rounding, "/condition/std is larger than the training values can have");
}

/// Of one parameter: two categories or more, in order, and shares that add up to 1.
void require_categories(const Hdf5File& file, const ConditionData& condition, size_t p) {
  const std::vector<std::string>& names = condition.categories[p];
  if (names.empty()) {
    return;
  }
  require(file,
          names.size() >= 2 && std::adjacent_find(names.begin(), names.end(), std::greater_equal<>()) == names.end(),
          "/condition/categories does not have two names or more in ascending order");
  double sum = 0;
  for (const double share : condition.frequency[p]) {
    require(file, share > 0.0 && share < 1.0, "/condition/category_frequency has a share outside 0 to 1");
    sum += share;
  }
  require(file, std::abs(sum - 1.0) <= 1e-9, "/condition/category_frequency does not add up to 1");
  std::vector<double> codes(names.size());
  std::iota(codes.begin(), codes.end(), 0.0);
  require(file, condition.training_values[p] == codes,
          "/condition/training_values are not the places of the categories");
  require(file, condition.v0[p] == 0.0, "/condition/v0 of a name is not 0");
}

void read_categories(const Hdf5File& file, ConditionData& condition) {
  if (!file.exists("/condition/categories")) {
    return;
  }
  const std::vector<std::string> names = file.read_texts("/condition/categories");
  const std::vector<double> frequency = file.read<double>("/condition/category_frequency");
  const std::vector<int64_t> offset = file.read<int64_t>("/condition/category_offset");
  require(file,
          offset.size() == condition.names.size() + 1 && offset.front() == 0 &&
              offset.back() == static_cast<int64_t>(names.size()) && std::is_sorted(offset.begin(), offset.end()),
          "/condition/category_offset does not divide the categories");
  require(file, frequency.size() == names.size(),
          "/condition/category_frequency has another length than the categories");
  for (size_t p = 0; p < condition.names.size(); ++p) {
    const auto first = static_cast<std::ptrdiff_t>(offset[p]), end = static_cast<std::ptrdiff_t>(offset[p + 1]);
    condition.categories.emplace_back(names.begin() + first, names.begin() + end);
    condition.frequency.emplace_back(frequency.begin() + first, frequency.begin() + end);
    require_categories(file, condition, p);
  }
}

ConditionData read_condition(const Hdf5File& file) {
  ConditionData condition;
  condition.names = file.read_texts("/condition/names");
  file.require_names("/condition/names", condition.names);
  const size_t count = condition.names.size();
  const auto per_parameter = [&](const std::string& where) {
    std::vector<double> out = file.read<double>(where);
    if (out.size() != count) {
      file.fail(where + " has " + std::to_string(out.size()) + " values for " + std::to_string(count) +
                " parameters; make the model again");
    }
    require_finite(file, where, out);
    return out;
  };
  condition.k = per_parameter("/condition/k");
  condition.v0 = per_parameter("/condition/v0");
  condition.mean = per_parameter("/condition/mean");
  condition.std = per_parameter("/condition/std");
  require(file, std::none_of(condition.k.begin(), condition.k.end(), [](double k) { return k == 0.0; }),
          "/condition/k has a slope of 0");
  require(file, std::all_of(condition.std.begin(), condition.std.end(), [](double std) { return std >= 0.0; }),
          "/condition/std has a value below 0");
  const std::vector<double> values = file.read<double>("/condition/training_values");
  const std::vector<int64_t> offset = file.read<int64_t>("/condition/training_offset");
  if (offset.size() != count + 1 || offset.front() != 0 || offset.back() != static_cast<int64_t>(values.size()) ||
      !std::is_sorted(offset.begin(), offset.end())) {
    file.fail("/condition/training_offset does not divide the training values; make the model again");
  }
  for (size_t i = 0; i < count; ++i) {
    condition.training_values.emplace_back(values.begin() + offset[i], values.begin() + offset[i + 1]);
  }
  require_finite(file, "/condition/training_values", values);
  for (const std::vector<double>& of_one : condition.training_values) {
    require(file, std::adjacent_find(of_one.begin(), of_one.end(), std::greater_equal<>()) == of_one.end(),
            "/condition/training_values are not in ascending order");
  }
  for (size_t i = 0; i < count; ++i) {
    require_moments_of(file, condition.training_values[i], condition.mean[i], condition.std[i]);
  }
  read_categories(file, condition);
  return condition;
}

void write_threshold(Hdf5File& file, const ThresholdData& threshold) {
  file.make_group("/threshold");
  file.write_attribute("/threshold", "score", threshold.score);
  file.write_attribute("/threshold", "method", threshold.method);
  file.write_attribute("/threshold", "quantile", threshold.quantile);
  file.write_attribute("/threshold", "value", threshold.value);
  file.write_attribute("/threshold", "clips", threshold.clips);
  file.write_attribute("/threshold", "above", threshold.above);
  file.write("/threshold/gamma", threshold.gamma);
}

/// The score as the configuration knows it, and a rule there is; empty where there is no threshold.
void require_known(const Hdf5File& file, const ThresholdData& threshold, Config config) {
  try {
    if (!threshold.score.empty()) {
      config.score.score = threshold.score;
    }
    validate(config);
  } catch (const UsageError& error) {
    file.fail_damaged("/threshold: " + std::string(error.what()));
  }
  static const std::set<std::string> methods = {"", "gamma", "quantile", "rank", "normal", "conformal", "value"};
  if (!methods.contains(threshold.method)) {
    file.fail_damaged("/threshold: no method '" + threshold.method + "'");
  }
}

ThresholdData read_threshold(const Hdf5File& file, const Config& config) {
  ThresholdData threshold;
  threshold.score = file.read_text_attribute("/threshold", "score");
  threshold.method = file.read_text_attribute("/threshold", "method");
  threshold.quantile = file.read_attribute<double>("/threshold", "quantile");
  threshold.value = file.read_attribute<double>("/threshold", "value");
  if (file.has_attribute("/threshold", "clips")) {
    threshold.clips = file.read_attribute<int64_t>("/threshold", "clips");
    threshold.above = file.read_attribute<int64_t>("/threshold", "above");
  }
  threshold.gamma = file.read<double>("/threshold/gamma");
  if (!threshold.gamma.empty() && threshold.gamma.size() != 3) {
    file.fail("/threshold/gamma has " + std::to_string(threshold.gamma.size()) +
              " values, expected shape, location and scale; make the model again");
  }
  require_known(file, threshold, config);
  require(file, threshold.quantile > 0.0 && threshold.quantile < 1.0, "/threshold has a quantile outside 0 to 1");
  const bool fitted = !std::isnan(threshold.value);
  require(file, !fitted || std::abs(threshold.value) <= most_figure, "/threshold has a value that no score can have");
  require(file, fitted || (threshold.gamma.empty() && threshold.clips == 0), "/threshold was fitted but has no value");
  require(file, !fitted || (!threshold.score.empty() && !threshold.method.empty()),
          "/threshold has a value but no score or method");
  require(file, threshold.above >= 0 && threshold.above <= threshold.clips,
          "/threshold has more clips above than clips");
  require_below(file, "/threshold/gamma", threshold.gamma, most_figure);
  require(file, threshold.gamma.empty() || (threshold.gamma[0] > 0.0 && threshold.gamma[2] > 0.0),
          "/threshold/gamma is not a gamma distribution");
  return threshold;
}

void write_references(Hdf5File& file, const std::vector<ScoreReference>& references) {
  if (references.empty()) {
    return;
  }
  std::vector<std::string> scores;
  std::vector<double> mean, deviation;
  for (const ScoreReference& reference : references) {
    scores.push_back(reference.score);
    mean.push_back(reference.mean);
    deviation.push_back(reference.deviation);
  }
  file.make_group("/references");
  file.write_texts("/references/scores", scores);
  file.write("/references/mean", mean);
  file.write("/references/deviation", deviation);
}

std::vector<ScoreReference> read_references(const Hdf5File& file) {
  if (!file.exists("/references")) {
    return {};
  }
  const std::vector<std::string> scores = file.read_texts("/references/scores");
  const std::vector<double> mean = file.read<double>("/references/mean");
  const std::vector<double> deviation = file.read<double>("/references/deviation");
  require(file, mean.size() == scores.size() && deviation.size() == scores.size(),
          "/references does not have a mean and a deviation for each of its scores");
  require(file, std::all_of(scores.begin(), scores.end(), is_score_name), "/references names what is no score");
  require(file, std::set<std::string>(scores.begin(), scores.end()).size() == scores.size(),
          "/references names a score twice");
  require_finite(file, "/references/mean", mean);
  require_finite(file, "/references/deviation", deviation);
  require(file, std::all_of(deviation.begin(), deviation.end(), [](double d) { return d >= 0.0; }),
          "/references/deviation has a value below 0");
  std::vector<ScoreReference> references;
  for (size_t i = 0; i < scores.size(); ++i) {
    references.push_back({scores[i], mean[i], deviation[i]});
  }
  return references;
}

void write_calibration(Hdf5File& file, const CalibrationData& calibration, size_t parameters) {
  const size_t points = parameters > 0 ? calibration.estimate.size() / parameters : 0;
  std::vector<std::string> names;
  std::vector<double> bandwidth, value, squared_residual, effect, explained;
  const size_t known = parameters > 0 ? calibration.point.size() / parameters : 0;
  bool agree = parameters > 0 && calibration.estimate.size() == points * parameters &&
               calibration.point.size() == known * parameters &&
               calibration.reach.size() == (known > 0 ? parameters : 0);
  for (const CalibrationData::Score& score : calibration.scores) {
    agree = agree && score.bandwidth.size() == parameters && score.value.size() == points &&
            static_cast<int64_t>(score.squared_residual.size()) == calibration.clips && score.effect.size() == known &&
            score.explained.size() == known;
    names.push_back(score.score);
    bandwidth.insert(bandwidth.end(), score.bandwidth.begin(), score.bandwidth.end());
    value.insert(value.end(), score.value.begin(), score.value.end());
    squared_residual.insert(squared_residual.end(), score.squared_residual.begin(), score.squared_residual.end());
    effect.insert(effect.end(), score.effect.begin(), score.effect.end());
    explained.insert(explained.end(), score.explained.begin(), score.explained.end());
  }
  if (!agree) {
    file.fail(
        "/calibration does not have a bandwidth for each parameter, a value for each point, a residual for each clip "
        "and an effect for each operating point");
  }
  file.make_group("/calibration");
  file.write_attribute("/calibration", "clips", calibration.clips);
  file.write_texts("/calibration/scores", names);
  file.write("/calibration/estimate", {points, parameters}, calibration.estimate.data());
  file.write("/calibration/bandwidth", {names.size(), parameters}, bandwidth.data());
  file.write("/calibration/value", {names.size(), points}, value.data());
  const auto clips = static_cast<hsize_t>(calibration.clips);
  file.write("/calibration/squared_residual", {names.size(), clips}, squared_residual.data());
  if (known > 0) {
    file.write("/calibration/point", {known, parameters}, calibration.point.data());
    file.write("/calibration/reach", {parameters}, calibration.reach.data());
    file.write("/calibration/effect", {names.size(), known}, effect.data());
    file.write("/calibration/explained", {names.size(), known}, explained.data());
  }
}

std::vector<double> read_matrix(const Hdf5File& file, const std::string& where, size_t rows, size_t columns,
                                double most) {
  Shape shape;
  std::vector<double> values = file.read<double>(where, shape);
  if (shape.size() != 2 || shape[0] != rows || shape[1] != columns) {
    file.fail_damaged(where + " is not " + std::to_string(rows) + " x " + std::to_string(columns));
  }
  require_below(file, where, values, most);
  return values;
}

CalibrationData::Score calibrated_score(const Hdf5File& file, const std::string& name, std::vector<double> bandwidth,
                                        std::vector<double> value, std::vector<double> squared_residual) {
  require(file, std::all_of(bandwidth.begin(), bandwidth.end(), [](double h) { return h >= 1.0 / most_figure; }),
          "/calibration/bandwidth has a value that is not above 0");
  require(file, std::all_of(squared_residual.begin(), squared_residual.end(), [](double r) { return r >= 0.0; }),
          "/calibration/squared_residual has a value below 0");
  require(file, std::any_of(squared_residual.begin(), squared_residual.end(), [](double r) { return r > 0.0; }),
          "/calibration/squared_residual is 0 throughout");
  return {name, std::move(bandwidth), std::move(value), std::move(squared_residual)};
}

std::vector<double> row_of(const std::vector<double>& matrix, size_t index, size_t columns) {
  const auto first = matrix.begin() + static_cast<std::ptrdiff_t>(index * columns);
  return {first, first + static_cast<std::ptrdiff_t>(columns)};
}

/// What operating points have of their own, if the file says.
void read_point_effects(const Hdf5File& file, CalibrationData& calibration, size_t parameters) {
  if (!file.exists("/calibration/point")) {
    return;
  }
  Shape shape;
  file.open_dataset("/calibration/point", Hdf5Type<double>::stored(), shape);
  const size_t known = shape.empty() ? 0 : static_cast<size_t>(shape[0]), scores = calibration.scores.size();
  calibration.point = read_matrix(file, "/calibration/point", known, parameters, most_figure);
  calibration.reach = file.read<double>("/calibration/reach", shape);
  require(file, known > 0 && calibration.reach.size() == parameters,
          "/calibration/reach has other parameters than the points");
  require(file,
          std::all_of(calibration.reach.begin(), calibration.reach.end(),
                      [](double reach) { return reach >= 1.0 / most_figure && reach <= most_figure; }),
          "/calibration/reach has a value that is not above 0");
  const std::vector<double> effect = read_matrix(file, "/calibration/effect", scores, known, most_figure);
  const std::vector<double> explained = read_matrix(file, "/calibration/explained", scores, known, 1.0);
  require(file, std::all_of(explained.begin(), explained.end(), [](double share) { return share >= 0 && share < 1; }),
          "/calibration/explained has a value outside of [0, 1)");
  for (size_t s = 0; s < scores; ++s) {
    calibration.scores[s].effect = row_of(effect, s, known);
    calibration.scores[s].explained = row_of(explained, s, known);
  }
}

std::optional<CalibrationData> read_calibration(const Hdf5File& file, size_t parameters) {
  if (!file.exists("/calibration")) {
    return std::nullopt;
  }
  CalibrationData calibration;
  calibration.clips = file.read_attribute<int64_t>("/calibration", "clips");
  const std::vector<std::string> names = file.read_texts("/calibration/scores");
  require(file, parameters > 0, "has /calibration, but no parameter in /condition");
  require(file, !names.empty() && std::all_of(names.begin(), names.end(), is_score_name),
          "/calibration names what is no score");
  require(file, std::set<std::string>(names.begin(), names.end()).size() == names.size(),
          "/calibration names a score twice");
  Shape shape;
  file.open_dataset("/calibration/estimate", Hdf5Type<double>::stored(), shape);
  const size_t points = shape.empty() ? 0 : static_cast<size_t>(shape[0]);
  require(file, calibration.clips > 0 && static_cast<size_t>(calibration.clips) <= points,
          "/calibration has other points than clips");
  const auto read = [&](const char* name, size_t rows, size_t columns, double most) {
    return read_matrix(file, std::string("/calibration/") + name, rows, columns, most);
  };
  calibration.estimate = read("estimate", points, parameters, most_figure);
  const std::vector<double> bandwidth = read("bandwidth", names.size(), parameters, most_figure);
  const std::vector<double> value = read("value", names.size(), points, most_figure);
  const auto clips = static_cast<size_t>(calibration.clips);
  const std::vector<double> squared = read("squared_residual", names.size(), clips, most_figure * most_figure);
  for (size_t s = 0; s < names.size(); ++s) {
    calibration.scores.push_back(calibrated_score(file, names[s], row_of(bandwidth, s, parameters),
                                                  row_of(value, s, points), row_of(squared, s, clips)));
  }
  read_point_effects(file, calibration, parameters);
  return calibration;
}

void write_points(Hdf5File& file, const PointData& points) {
  const size_t length = static_cast<size_t>(points.length), clips = length > 0 ? points.values.size() / length : 0;
  if (clips * length != points.values.size() || clips < 2) {
    file.fail("/points does not hold two descriptors of one length or more");
  }
  file.make_group("/points");
  file.write("/points/descriptor", {clips, length}, points.values.data());
}

std::optional<PointData> read_points(const Hdf5File& file) {
  if (!file.exists("/points")) {
    return std::nullopt;
  }
  Shape shape;
  PointData points;
  points.values = file.read<float>("/points/descriptor", shape);
  require(file, shape.size() == 2 && shape[0] >= 2 && shape[1] >= 1, "/points does not hold two descriptors or more");
  require_finite(file, "/points/descriptor", points.values);
  points.length = static_cast<int64_t>(shape[1]);
  return points;
}

void write_trained_on(Hdf5File& file, const std::vector<uint64_t>& sums) {
  if (!sums.empty()) {
    file.write("/provenance/trained_on", sums);
  }
}

std::vector<uint64_t> read_trained_on(const Hdf5File& file) {
  if (!file.exists("/provenance/trained_on")) {
    return {};
  }
  std::vector<uint64_t> sums = file.read<uint64_t>("/provenance/trained_on");
  require(file, std::is_sorted(sums.begin(), sums.end()), "/provenance/trained_on is not in ascending order");
  return sums;
}

void write_sound(Hdf5File& file, const SoundData& sound, size_t parameters) {
  const size_t clips = sound.paths.size(), bands = static_cast<size_t>(sound.bands);
  if (clips < 2 || sound.v.size() != clips * parameters || sound.level_db.size() != clips * bands ||
      sound.peak_db.size() != clips * bands || sound.quietest_db.size() != clips) {
    file.fail("/sound does not have the figures of two clips or more");
  }
  file.make_group("/sound");
  file.write_texts("/sound/path", sound.paths);
  if (parameters > 0) {
    file.write("/sound/parameter", {clips, parameters}, sound.v.data());
  }
  file.write("/sound/level", {clips, bands}, sound.level_db.data());
  file.write("/sound/peak", {clips, bands}, sound.peak_db.data());
  file.write("/sound/quietest", sound.quietest_db);
}

std::vector<float> read_decibels(const Hdf5File& file, const std::string& where, const Shape& wanted) {
  Shape shape;
  std::vector<float> values = file.read<float>(where, shape);
  require(file, shape == wanted, where + " does not have the shape that /config and /sound/path give it");
  require_below(file, where, values, most_db);
  return values;
}

std::optional<SoundData> read_sound(const Hdf5File& file, const ModelData& model) {
  if (!file.exists("/sound")) {
    return std::nullopt;
  }
  SoundData sound;
  sound.paths = file.read_texts("/sound/path");
  const size_t clips = sound.paths.size(), bands = model.normaliser.mean.size();
  require(file,
          model.normal.points && static_cast<int64_t>(clips) * model.normal.points->length ==
                                     static_cast<int64_t>(model.normal.points->values.size()),
          "/sound has other clips than /points");
  if (const size_t parameters = model.condition.names.size(); parameters > 0) {
    Shape shape;
    sound.v = file.read<double>("/sound/parameter", shape);
    require(file, shape == Shape{clips, parameters},
            "/sound/parameter does not have a value for each clip and parameter");
    require(file,
            std::all_of(sound.v.begin(), sound.v.end(),
                        [](double v) { return std::isnan(v) || std::abs(v) <= most_figure; }),
            "/sound/parameter has a value that no training can have left");
  }
  sound.bands = static_cast<int64_t>(bands);
  sound.level_db = read_decibels(file, "/sound/level", {clips, bands});
  sound.peak_db = read_decibels(file, "/sound/peak", {clips, bands});
  sound.quietest_db = read_decibels(file, "/sound/quietest", {clips});
  return sound;
}

void write_conformal(Hdf5File& file, const ConformalData& conformal) {
  std::vector<std::string> names;
  std::vector<double> values;
  bool agree = conformal.clips > 0 && !conformal.scores.empty();
  for (const ConformalData::Score& score : conformal.scores) {
    agree = agree && static_cast<int64_t>(score.values.size()) == conformal.clips;
    names.push_back(score.score);
    values.insert(values.end(), score.values.begin(), score.values.end());
  }
  if (!agree) {
    file.fail("/conformal does not have a value of each score for each clip");
  }
  file.make_group("/conformal");
  file.write_attribute("/conformal", "clip_frames", conformal.clip_frames);
  file.write_attribute("/conformal", "source", conformal.source);
  file.write_attribute("/conformal", "date", conformal.date);
  file.write_attribute("/conformal", "data_hash", conformal.data_hash);
  file.write_texts("/conformal/scores", names);
  file.write("/conformal/value", {names.size(), static_cast<hsize_t>(conformal.clips)}, values.data());
  if (const auto& distances = conformal.estimate_distance; !distances.empty()) {
    std::vector<double> rows;
    for (const std::vector<double>& row : distances) {
      if (row.empty() || row.size() != distances.front().size()) {
        file.fail("/conformal does not have a distance of each estimate for the same clips");
      }
      rows.insert(rows.end(), row.begin(), row.end());
    }
    file.write("/conformal/estimate_distance", {distances.size(), distances.front().size()}, rows.data());
  }
}

std::optional<ConformalData> read_conformal(const Hdf5File& file, size_t parameters) {
  if (!file.exists("/conformal")) {
    return std::nullopt;
  }
  ConformalData conformal;
  conformal.clip_frames = file.read_attribute<int64_t>("/conformal", "clip_frames");
  conformal.source = file.read_text_attribute("/conformal", "source");
  conformal.date = file.read_text_attribute("/conformal", "date");
  conformal.data_hash = file.read_text_attribute("/conformal", "data_hash");
  const std::vector<std::string> names = file.read_texts("/conformal/scores");
  require(file, !names.empty() && std::all_of(names.begin(), names.end(), is_score_name),
          "/conformal names what is no score");
  require(file, std::set<std::string>(names.begin(), names.end()).size() == names.size(),
          "/conformal names a score twice");
  Shape shape;
  const std::vector<double> values = file.read<double>("/conformal/value", shape);
  require(file, shape.size() == 2 && shape[0] == names.size() && shape[1] > 0,
          "/conformal/value does not have a row for each score");
  require_below(file, "/conformal/value", values, most_figure);
  require(file, conformal.clip_frames > 0, "/conformal has clips without a frame");
  conformal.clips = static_cast<int64_t>(shape[1]);
  for (size_t s = 0; s < names.size(); ++s) {
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(s) * conformal.clips;
    require(file, std::is_sorted(first, first + conformal.clips), "/conformal/value is not in ascending order");
    conformal.scores.push_back({names[s], {first, first + conformal.clips}});
  }
  if (file.exists("/conformal/estimate_distance")) {
    const std::vector<double> distances = file.read<double>("/conformal/estimate_distance", shape);
    require(file, shape.size() == 2 && shape[0] == parameters && shape[1] > 0,
            "/conformal/estimate_distance does not have a row for each parameter");
    require_below(file, "/conformal/estimate_distance", distances, most_figure);
    for (auto row = distances.begin(); row != distances.end(); row += static_cast<std::ptrdiff_t>(shape[1])) {
      const auto end = row + static_cast<std::ptrdiff_t>(shape[1]);
      require(file, *row >= 0 && std::is_sorted(row, end),
              "/conformal/estimate_distance is not in ascending order from 0 on");
      conformal.estimate_distance.emplace_back(row, end);
    }
  }
  return conformal;
}

void write_provenance(Hdf5File& file, const Provenance& provenance) {
  file.make_group("/provenance");
  file.write_attribute("/provenance", "commit", provenance.commit);
  file.write_attribute("/provenance", "data_hash", provenance.data_hash);
  file.write_attribute("/provenance", "device", provenance.device);
  file.write_attribute("/provenance", "date", provenance.date);
  file.write_attribute("/provenance", "version", provenance.version);
  file.write_attribute("/provenance", "seed", provenance.seed);
  file.write_attribute("/provenance", "machines", provenance.machines);
}

Provenance read_provenance(const Hdf5File& file) {
  Provenance provenance;
  provenance.commit = file.read_text_attribute("/provenance", "commit");
  provenance.data_hash = file.read_text_attribute("/provenance", "data_hash");
  provenance.device = file.read_text_attribute("/provenance", "device");
  provenance.date = file.read_text_attribute("/provenance", "date");
  provenance.version = file.read_text_attribute("/provenance", "version");
  provenance.seed = file.read_attribute<uint64_t>("/provenance", "seed");
  if (file.version() >= 2) {
    provenance.machines = file.read_texts_attribute("/provenance", "machines");
  }
  file.require_names("the list of machines", provenance.machines);
  return provenance;
}

void write_optimizer(Hdf5File& file, const OptimizerData& optimizer) {
  if (optimizer.m.size() != optimizer.v.size()) {
    file.fail("/optimizer has " + std::to_string(optimizer.m.size()) + " first and " +
              std::to_string(optimizer.v.size()) + " second moments");
  }
  file.make_group("/optimizer");
  file.write("/optimizer/m", optimizer.m);
  file.write("/optimizer/v", optimizer.v);
  file.write("/optimizer/step", Shape{}, &optimizer.step);
}

/// Adam's moments, one of each per free parameter of the model.
void require_moments(const Hdf5File& file, const std::string& group, const std::vector<float>& m,
                     const std::vector<float>& v, size_t parameters) {
  require(file, m.size() == parameters && v.size() == parameters,
          group + " does not have a first and a second moment for each of the model's " + std::to_string(parameters) +
              " parameters");
  require_finite(file, group + "/m", m);
  // The square of an exploded gradient may be infinite. Without a checksum it is taken for damage.
  if (file.version() < 2) {
    require_finite(file, group + "/v", v);
  }
  require(file, std::all_of(v.begin(), v.end(), [](float moment) { return moment >= 0.0f; }),
          group + "/v has a second moment below 0");
}

OptimizerData read_optimizer(const Hdf5File& file, size_t parameters) {
  OptimizerData optimizer;
  optimizer.m = file.read<float>("/optimizer/m");
  optimizer.v = file.read<float>("/optimizer/v");
  require_moments(file, "/optimizer", optimizer.m, optimizer.v, parameters);
  Shape shape;
  const std::vector<int64_t> step = file.read<int64_t>("/optimizer/step", shape);
  if (step.size() != 1) {
    file.fail("/optimizer/step is not a single number; use another checkpoint");
  }
  optimizer.step = step[0];
  require(file, optimizer.step >= 0, "/optimizer/step is below 0");
  return optimizer;
}

void write_progress(Hdf5File& file, const ProgressData& progress) {
  file.make_group("/progress");
  file.write_attribute("/progress", "epoch", progress.epoch);
  file.write_attribute("/progress", "step_in_epoch", progress.step_in_epoch);
  file.write_attribute("/progress", "seed", progress.seed);
  file.write_attribute("/progress", "learning_rate_factor", progress.learning_rate_factor);
  file.write_attribute("/progress", "best_loss", progress.best_loss);
  file.write_attribute("/progress", "best_epoch", progress.best_epoch);
  file.write_attribute("/progress", "epoch_loss_sum", progress.epoch_loss_sum);
  file.write_attribute("/progress", "guard_count", progress.guard_count);
}

ProgressData read_progress(const Hdf5File& file, const Config& config) {
  ProgressData progress;
  progress.epoch = file.read_attribute<int64_t>("/progress", "epoch");
  progress.step_in_epoch = file.read_attribute<int64_t>("/progress", "step_in_epoch");
  progress.seed = file.read_attribute<uint64_t>("/progress", "seed");
  progress.learning_rate_factor = file.read_attribute<double>("/progress", "learning_rate_factor");
  progress.best_loss = file.read_attribute<double>("/progress", "best_loss");
  progress.best_epoch = file.read_attribute<int64_t>("/progress", "best_epoch");
  progress.epoch_loss_sum = file.read_attribute<double>("/progress", "epoch_loss_sum");
  progress.guard_count = file.read_attribute<int64_t>("/progress", "guard_count");
  require(file, progress.epoch >= 0 && progress.step_in_epoch >= 0 && progress.guard_count >= 0,
          "/progress has a count below 0");
  // A budget in steps is of no more epochs than steps.
  const int64_t epochs = config.train.epochs > 0 ? config.train.epochs : config.train.steps;
  require(file, progress.epoch <= epochs, "/progress has more epochs than /config asks for");
  require(file, progress.best_epoch == -1 || (progress.best_epoch >= 1 && progress.best_epoch <= progress.epoch),
          "/progress names a best epoch that was not trained");
  require(file, progress.best_epoch == -1 || std::isfinite(progress.best_loss), "/progress has no finite best loss");
  require(file, progress.learning_rate_factor > 0.0 && progress.learning_rate_factor <= 1.0,
          "/progress has a learning rate factor outside 0 to 1");
  require(file, std::isfinite(progress.epoch_loss_sum), "/progress has a sum of losses that is not finite");
  return progress;
}

void write_resume(Hdf5File& file, const ResumeData& resume) {
  file.make_group("/resume");
  file.write("/resume/parameters", resume.parameters);
  file.write("/resume/m", resume.m);
  file.write("/resume/v", resume.v);
  file.write("/resume/integers", std::vector<int64_t>{resume.step, resume.windows, resume.steps, resume.guard_events});
  file.write("/resume/numbers",
             std::vector<double>{resume.loss_sum, resume.gradient_norm_sum, resume.gradient_norm_max});
}

ResumeData read_resume(const Hdf5File& file, size_t parameters) {
  ResumeData resume;
  resume.parameters = file.read<float>("/resume/parameters");
  resume.m = file.read<float>("/resume/m");
  resume.v = file.read<float>("/resume/v");
  require(file, resume.parameters.size() == parameters, "/resume/parameters has another size than the model");
  require_below(file, "/resume/parameters", resume.parameters, most_weight);
  require_moments(file, "/resume", resume.m, resume.v, parameters);
  const std::vector<int64_t> integers = file.read<int64_t>("/resume/integers");
  const std::vector<double> numbers = file.read<double>("/resume/numbers");
  require(file, integers.size() == 4 && numbers.size() == 3, "/resume does not have 4 counts and 3 sums");
  require(file, std::all_of(integers.begin(), integers.end(), [](int64_t count) { return count >= 0; }),
          "/resume/integers has a count below 0");
  require_finite(file, "/resume/numbers", numbers);
  require(file, numbers[1] >= 0.0 && numbers[2] >= 0.0, "/resume/numbers has a gradient's norm below 0");
  resume.step = integers[0];
  resume.windows = integers[1];
  resume.steps = integers[2];
  resume.guard_events = integers[3];
  resume.loss_sum = numbers[0];
  resume.gradient_norm_sum = numbers[1];
  resume.gradient_norm_max = numbers[2];
  return resume;
}

/// Parts of a checkpoint that must agree.
void require_agreement(const Hdf5File& file, const ModelData& model) {
  require(file, model.optimizer.has_value() == model.progress.has_value(), "has only one of /optimizer and /progress");
  if (!model.resume) {
    return;
  }
  require(file, model.optimizer.has_value(), "has /resume, but no /optimizer");
  require(file, model.resume->step <= model.optimizer->step, "/resume is of a later step than /optimizer");
  // None is below 0: the difference cannot overflow, as the sum could.
  require(file, model.resume->guard_events == model.progress->step_in_epoch - model.resume->steps,
          "/resume counts other steps of the epoch than /progress");
}

void write_contents(Hdf5File& file, const ModelData& model) {
  const std::string config = to_toml(model.config);
  bool reads_back = false;
  try {
    reads_back = parse_config(config, "/config") == model.config;
  } catch (const UsageError& error) {
    file.fail(std::string("its configuration cannot be stored: ") + error.what());
  }
  if (!reads_back) {
    file.fail("its configuration cannot be stored: it does not read back as it was");
  }
  file.write_text("/config", config);
  std::vector<std::string> names;
  for (const Tensor& tensor : model.parameters) {
    names.push_back(tensor.name);
  }
  file.write_texts("/parameter_names", names);
  file.make_group("/parameters");
  for (const Tensor& tensor : model.parameters) {
    write_tensor(file, tensor);
  }
  if (model.normaliser.mean.size() != model.normaliser.std.size()) {
    file.fail("/normaliser has " + std::to_string(model.normaliser.mean.size()) + " means and " +
              std::to_string(model.normaliser.std.size()) + " deviations");
  }
  file.make_group("/normaliser");
  file.write("/normaliser/mean", model.normaliser.mean);
  file.write("/normaliser/std", model.normaliser.std);
  write_condition(file, model.condition);
  write_threshold(file, model.threshold);
  write_references(file, model.normal.references);
  if (model.normal.points) {
    write_points(file, *model.normal.points);
  }
  if (model.normal.sound) {
    write_sound(file, *model.normal.sound, model.condition.names.size());
  }
  if (model.normal.calibration) {
    write_calibration(file, *model.normal.calibration, model.condition.names.size());
  }
  if (model.conformal) {
    write_conformal(file, *model.conformal);
  }
  write_provenance(file, model.provenance);
  write_trained_on(file, model.normal.trained_on);
  if (model.optimizer) {
    write_optimizer(file, *model.optimizer);
  }
  if (model.progress) {
    write_progress(file, *model.progress);
  }
  if (model.resume) {
    write_resume(file, *model.resume);
  }
}

Config read_configuration(const Hdf5File& file) {
  try {
    Config config = parse_config(file.read_text("/config"), "/config");
    validate(config);
    return config;
  } catch (const UsageError& error) {
    file.fail(std::string(error.what()) + "; use the program that wrote it, or train again");
  }
}

/// By the file's list; a file of version 1 has none, and its tensors are those of its configuration.
std::vector<Tensor> read_parameters(const Hdf5File& file, const ModelData& model) {
  std::vector<Tensor> tensors;
  if (file.version() >= 2) {
    for (const std::string& name : file.read_texts("/parameter_names")) {
      tensors.push_back(read_tensor(file, name));
    }
    return tensors;
  }
  for (const Tensor& expected : parameter_list(model.config, model.condition)) {
    tensors.push_back(read_tensor(file, expected.name));
    if (tensors.back().shape != expected.shape || tensors.back().type != expected.type) {
      file.fail_damaged("/parameters/" + expected.name + " does not have the shape that /config gives it");
    }
  }
  return tensors;
}

ModelData read_contents(const Hdf5File& file) {
  ModelData model;
  model.config = read_configuration(file);
  model.normaliser = read_normaliser(file, model.config);
  model.condition = read_condition(file);
  model.threshold = read_threshold(file, model.config);
  model.normal.references = read_references(file);
  model.normal.calibration = read_calibration(file, model.condition.names.size());
  model.normal.points = read_points(file);
  model.normal.trained_on = read_trained_on(file);
  model.normal.sound = read_sound(file, model);
  model.conformal = read_conformal(file, model.condition.names.size());
  model.provenance = read_provenance(file);
  model.parameters = read_parameters(file, model);
  size_t parameters = 0;
  for (const Tensor& tensor : model.parameters) {
    parameters += tensor.values.size();
  }
  if (file.exists("/optimizer")) {
    model.optimizer = read_optimizer(file, parameters);
  }
  if (file.exists("/progress")) {
    model.progress = read_progress(file, model.config);
  }
  if (file.exists("/resume")) {
    model.resume = read_resume(file, parameters);
  }
  require_agreement(file, model);
  return model;
}

}  // namespace

bool ConditionData::has_category() const {
  return std::any_of(categories.begin(), categories.end(), [](const auto& names_of) { return !names_of.empty(); });
}

std::vector<std::string> ConditionData::category_names() const {
  std::vector<std::string> out;
  for (size_t p = 0; p < names.size(); ++p) {
    if (is_category(p)) {
      out.push_back(names[p]);
    }
  }
  return out;
}

void write_model(const std::filesystem::path& file, const ModelData& model) {
  const Hdf5Lock lock;
  AtomicFile atomic(file);
  Hdf5File out = Hdf5File::create(atomic.temporary(), file);
  write_contents(out, model);
  const bool effects = model.normal.calibration && !model.normal.calibration->point.empty();
  out.finish(model_kind, effects                          ? point_effects_version
                         : model.condition.has_category() ? categories_version
                                                          : format_version);
  atomic.commit();
}

ModelData read_model(const std::filesystem::path& file) {
  const Hdf5Lock lock;
  try {
    return read_contents(Hdf5File::open(file, model_kind));
  } catch (const std::bad_alloc&) {
    throw DataError("'" + file.string() + "': not enough memory to read it");
  }
}

bool is_model(const std::filesystem::path& file) {
  return hdf5_kind(file) == model_kind;
}

}  // namespace evenflow::io
