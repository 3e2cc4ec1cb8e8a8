#include "flow/scores.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "flow/model.h"

namespace evenflow::flow {
namespace {

int64_t length(size_t size) {
  return static_cast<int64_t>(size);
}

}  // namespace

WindowScores::WindowScores(const Model& model, int64_t windows)
    : scores(length(model.scores().size())),
      terms(length(model.terms().size())),
      estimates(model.parameter_count()),
      posteriors(model.category_count()),
      memberships(model.category_count()),
      descriptors(model.descriptor_size()),
      model_(model) {
  resize(windows);
}

void WindowScores::resize(int64_t windows) {
  size_ = windows;
  scores.resize(windows);
  terms.resize(windows);
  estimates.resize(windows);
  posteriors.resize(windows);
  memberships.resize(windows);
  descriptors.resize(windows);
}

double WindowScores::of(int64_t window, std::string_view name) const {
  const std::vector<Score>& known = model_.scores();
  const auto score = std::find_if(known.begin(), known.end(), [&](const Score& s) { return s.name == name; });
  if (score != known.end()) {
    return scores[window][static_cast<size_t>(score - known.begin())];
  }
  const std::vector<std::string>& parts = model_.terms();
  const auto term = std::find(parts.begin(), parts.end(), name);
  if (term != parts.end()) {
    return terms[window][static_cast<size_t>(term - parts.begin())];
  }
  throw std::out_of_range("the model has no score " + std::string(name));
}

int64_t Model::category_count() const {
  const auto& categories = condition().categories;
  return std::accumulate(categories.begin(), categories.end(), int64_t{0},
                         [](int64_t sum, const auto& of_one) { return sum + length(of_one.size()); });
}

const std::vector<std::string>& Model::terms() const {
  static const std::vector<std::string> none;
  return none;
}

}  // namespace evenflow::flow
