// Scores: figures of a window, higher the more anomalous it is. A model says which it has, with a sentence on each
// (Model::scores()); tables, files and reports go over that list.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace evenflow::flow {

class Model;

struct Score {
  std::string name;     ///< of its column; io::is_score_name
  std::string meaning;  ///< for people: what it measures, without a full stop
  std::string unit = "nats";
  /// It has a value only where the values of all parameters are known, so that nothing can be decided by it.
  bool needs_parameters = false;
};

/// A score and how it is computed from what a pass found of a window.
template <class Terms>
struct ScoreOf {
  Score score;
  double (*value)(const Terms&);
};

template <class Terms>
std::vector<Score> scores_of(const std::vector<ScoreOf<Terms>>& list) {
  std::vector<Score> scores;
  scores.reserve(list.size());
  for (const ScoreOf<Terms>& entry : list) {
    scores.push_back(entry.score);
  }
  return scores;
}

template <class Terms>
void fill_scores(const std::vector<ScoreOf<Terms>>& list, const Terms& terms, std::span<double> row) {
  for (size_t i = 0; i < list.size(); ++i) {
    row[i] = list[i].value(terms);
  }
}

/// A matrix by rows, of which more are added without moving the width.
template <class T>
class Rows {
 public:
  explicit Rows(int64_t width) : width_(static_cast<size_t>(width)) {}
  void resize(int64_t rows) { values_.resize(static_cast<size_t>(rows) * width_); }
  std::span<T> operator[](int64_t row) { return std::span(values_).subspan(static_cast<size_t>(row) * width_, width_); }
  std::span<const T> operator[](int64_t row) const {
    return std::span(values_).subspan(static_cast<size_t>(row) * width_, width_);
  }
  /// Rows [first, end), one after the other.
  std::span<const T> range(int64_t first, int64_t end) const {
    return std::span(values_).subspan(static_cast<size_t>(first) * width_, static_cast<size_t>(end - first) * width_);
  }

 private:
  size_t width_;
  std::vector<T> values_;
};

/// What a model says of windows, a row each.
class WindowScores {
 public:
  explicit WindowScores(const Model& model, int64_t windows = 0);
  void resize(int64_t windows);
  int64_t size() const { return size_; }
  /// A score or a term by its name. std::out_of_range names one that the model does not have.
  double of(int64_t window, std::string_view name) const;

  Rows<double> scores, terms;  ///< by Model::scores() and Model::terms()
  /// Per parameter: a flow's mean zd / k + v0, a classifier's mean over its classes; of a name the likeliest category.
  Rows<double> estimates;
  /// Per category, parameter by parameter: the probability of each, and how much of it there is: a flow's mean over its
  /// part of zd / k, about 1 of the category that a sound has and 0 of the others; a classifier's probability again.
  Rows<double> posteriors, memberships;
  Rows<float> descriptors;  ///< of Model::descriptor_size()

 private:
  const Model& model_;
  int64_t size_ = 0;
};

}  // namespace evenflow::flow
