#include "experiments/sweep/space.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>

#include "experiments/configuration.h"
#include "io/checksum.h"
#include "io/error.h"

namespace evenflow::experiments {
namespace {

using io::Domain;
using io::DomainKind;

bool holds(const Domain& domain, const Values& values) {
  return std::all_of(domain.when.begin(), domain.when.end(), [&](const io::DomainCondition& condition) {
    const auto value = values.find(condition.key);
    return value != values.end() &&
           std::find(condition.values.begin(), condition.values.end(), value->second) != condition.values.end();
  });
}

bool is_logarithmic(const Domain& domain) {
  return domain.kind == DomainKind::log_uniform || domain.kind == DomainKind::log_integer;
}

bool is_whole(const Domain& domain) {
  return domain.kind == DomainKind::integer || domain.kind == DomainKind::log_integer;
}

/// Six digits are finer than any sweep and still a number that people can read.
std::string real_text(const Domain& domain, double value) {
  const std::string text = fmt::format("{:.6g}", value);
  double rounded = 0;
  std::from_chars(text.data(), text.data() + text.size(), rounded);
  return rounded < domain.low || rounded > domain.high ? fmt::format("{}", std::clamp(value, domain.low, domain.high))
                                                       : text;
}

/// u in [0, 1].
std::string value_at(const Domain& domain, double u) {
  if (domain.kind == DomainKind::choice) {
    const auto count = static_cast<double>(domain.choices.size());
    return domain.choices[static_cast<size_t>(std::min(u * count, count - 1))];
  }
  // A whole number stands for the half on either side of it.
  const double half = is_whole(domain) ? 0.5 : 0.0;
  const double low = domain.low - half, high = domain.high + half;
  const double value = is_logarithmic(domain) ? low * std::exp(u * std::log(high / low)) : low + u * (high - low);
  if (is_whole(domain)) {
    return fmt::format("{}", static_cast<int64_t>(std::clamp(std::round(value), domain.low, domain.high)));
  }
  return real_text(domain, value);
}

std::vector<std::string> grid_values(const Domain& domain) {
  if (domain.kind == DomainKind::choice) {
    return domain.choices;
  }
  std::vector<std::string> values;
  if (domain.points > 0) {
    for (int64_t i = 0; i < domain.points; ++i) {
      const double t = static_cast<double>(i) / static_cast<double>(domain.points - 1);
      const double value = is_logarithmic(domain) ? domain.low * std::exp(t * std::log(domain.high / domain.low))
                                                  : domain.low + t * (domain.high - domain.low);
      values.push_back(is_whole(domain) ? fmt::format("{:.0f}", value) : real_text(domain, value));
    }
    values.erase(std::unique(values.begin(), values.end()), values.end());
    return values;
  }
  if (!is_whole(domain)) {
    throw io::UsageError(fmt::format(
        "a grid takes some points of {}, which is a range; say how many: points = 5, or choose another sampler",
        domain.key));
  }
  for (auto value = static_cast<int64_t>(domain.low); value <= static_cast<int64_t>(domain.high); ++value) {
    values.push_back(std::to_string(value));
  }
  return values;
}

}  // namespace

Values values_at(const std::vector<Domain>& space, std::span<const double> unit) {
  Values values;
  for (size_t i = 0; i < space.size(); ++i) {
    if (holds(space[i], values)) {
      values[space[i].key] = value_at(space[i], unit[i]);
    }
  }
  return values;
}

std::vector<Values> grid_of(const std::vector<Domain>& space) {
  constexpr size_t most = 1'000'000;
  std::vector<Values> points = {{}};
  for (const Domain& domain : space) {
    const std::vector<std::string> values = grid_values(domain);
    std::vector<Values> combined;
    for (const Values& point : points) {
      if (!holds(domain, point)) {
        combined.push_back(point);
        continue;
      }
      for (const std::string& value : values) {
        combined.push_back(point);
        combined.back()[domain.key] = value;
      }
      if (combined.size() > most) {
        throw io::UsageError(
            fmt::format("the grid has more than {} points; list fewer values, or choose another sampler", most));
      }
    }
    points = std::move(combined);
  }
  return points;
}

io::Config config_at(const io::Config& base, const Values& values) {
  std::vector<KeyFlag> flags;
  for (const auto& [key, value] : values) {
    flags.push_back({key, value});
  }
  return resolve({std::nullopt, flags}, base);
}

bool varies(const std::vector<Domain>& space, const std::string& key) {
  return std::any_of(space.begin(), space.end(), [&](const Domain& domain) { return domain.key == key; });
}

std::string text_hash(const std::string& text) {
  io::Fnv1a64 hash;
  hash.add(text.data(), text.size());
  return hash.hex();
}

std::string hash_of(const io::Config& config) {
  std::string text;
  for (const io::ConfigKey& key : io::config_keys()) {
    if (key.name != "train.seed") {
      text += key.name + "=" + key.get(config) + "\n";
    }
  }
  return text_hash(text);
}

double place_of(const Domain& domain, const std::string& value) {
  if (domain.kind == DomainKind::choice) {
    const auto found = std::find(domain.choices.begin(), domain.choices.end(), value) - domain.choices.begin();
    return domain.choices.size() < 2 ? 0.5
                                     : static_cast<double>(found) / static_cast<double>(domain.choices.size() - 1);
  }
  double number = 0;
  std::from_chars(value.data(), value.data() + value.size(), number);
  return is_logarithmic(domain) ? std::log(number / domain.low) / std::log(domain.high / domain.low)
                                : (number - domain.low) / (domain.high - domain.low);
}

}  // namespace evenflow::experiments
