#include "experiments/sweep/sampler.h"

#include <boost/random/sobol.hpp>

#include "kernels/random.h"

namespace evenflow::experiments {
namespace {

/// A sampler that does not learn.
class FixedSampler : public Sampler {
 public:
  void tell(const Told&) override {}
};

class GridSampler : public FixedSampler {
 public:
  explicit GridSampler(const std::vector<io::Domain>& space) : points_(grid_of(space)) {}
  std::optional<Point> ask(int64_t after) override {
    const int64_t index = after + 1;
    if (index >= static_cast<int64_t>(points_.size())) {
      return std::nullopt;
    }
    return Point{index, points_[static_cast<size_t>(index)]};
  }

 private:
  std::vector<Values> points_;
};

class RandomSampler : public FixedSampler {
 public:
  RandomSampler(std::vector<io::Domain> space, uint64_t seed) : space_(std::move(space)), seed_(seed) {}
  std::optional<Point> ask(int64_t after) override {
    std::vector<double> unit(space_.size());
    for (size_t i = 0; i < unit.size(); ++i) {
      unit[i] = kernels::unit_interval(kernels::random_bits(seed_, i, static_cast<uint64_t>(after + 1)));
    }
    return Point{after + 1, values_at(space_, unit)};
  }

 private:
  std::vector<io::Domain> space_;
  uint64_t seed_;
};

/// Sobol's sequence (Joe and Kuo's direction numbers), each coordinate shifted digit by digit by the seed (Owen 2003):
/// the points stay as even as they were, and another seed gives others.
class SobolSampler : public FixedSampler {
 public:
  SobolSampler(std::vector<io::Domain> space, uint64_t seed)
      : space_(std::move(space)), seed_(seed), engine_(space_.size()) {}
  std::optional<Point> ask(int64_t after) override {
    const int64_t index = after + 1;
    if (index > 0 && index != next_) {
      engine_.seed(static_cast<uint64_t>(index - 1));
    }
    next_ = index + 1;
    std::vector<double> unit(space_.size());
    for (size_t i = 0; i < unit.size(); ++i) {
      // Boost's begins behind the sequence's first point, zero, without which the next ones are less even.
      const uint64_t bits = index == 0 ? 0 : engine_();
      unit[i] = kernels::unit_interval(bits ^ kernels::random_bits(seed_, i, 0));
    }
    return Point{index, values_at(space_, unit)};
  }

 private:
  std::vector<io::Domain> space_;
  uint64_t seed_;
  boost::random::sobol engine_;
  int64_t next_ = 1;  ///< the index of its next point
};

}  // namespace

std::unique_ptr<Sampler> make_sampler(const io::SweepFile& sweep) {
  switch (sweep.sampler) {
    case io::SamplerKind::grid:
      return std::make_unique<GridSampler>(sweep.space);
    case io::SamplerKind::random:
      return std::make_unique<RandomSampler>(sweep.space, sweep.seed);
    default:
      return std::make_unique<SobolSampler>(sweep.space, sweep.seed);
  }
}

bool is_optunas(io::SamplerKind kind) {
  return kind == io::SamplerKind::tpe || kind == io::SamplerKind::cmaes || kind == io::SamplerKind::nsga2;
}

}  // namespace evenflow::experiments
