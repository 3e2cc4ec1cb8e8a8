// The points of a sweep's space: values of its keys, and the configuration that they make.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "io/sweep_file.h"

namespace evenflow::experiments {

/// Values of the keys that are varied, by key; a key whose condition does not hold is not there.
using Values = std::map<std::string, std::string>;

/// A point of the unit cube, a coordinate in [0, 1) for each domain, as values.
Values values_at(const std::vector<io::Domain>& space, std::span<const double> unit);

/// All combinations, the last key varying fastest; keys whose condition does not hold are not combined.
/// io::UsageError: a range without `points`, more than a million of them.
std::vector<Values> grid_of(const std::vector<io::Domain>& space);

/// Is the key one of the space's?
bool varies(const std::vector<io::Domain>& space, const std::string& key);

/// The base with the values, checked as a whole. io::UsageError: a combination that is not allowed.
io::Config config_at(const io::Config& base, const Values& values);

/// 16 hexadecimal digits, the same for the same settings; the seed, which repeats differ in, is none.
std::string hash_of(const io::Config& config);

/// The same of any text.
std::string text_hash(const std::string& text);

/// Where a value lies between its key's bounds, from 0 to 1, on the scale that it is drawn on; a choice by its place in
/// the list.
double place_of(const io::Domain& domain, const std::string& value);

}  // namespace evenflow::experiments
