// One contiguous float buffer for all parameters of a model, with named views into it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/view.h"

namespace evenflow::flow {

struct ArenaEntry {
  std::string name;  ///< block1.step1.actnorm.bias
  std::vector<int64_t> shape;
  int64_t offset = 0;  ///< in floats
  int64_t size = 0;
};

/// Where each parameter lies. Values, gradients, Adam's m and v share one layout.
class ArenaLayout {
 public:
  /// Appends an entry; offsets are packed in order. Returns the entry's index.
  int64_t add(std::string name, std::vector<int64_t> shape);
  const std::vector<ArenaEntry>& entries() const { return entries_; }
  int64_t size() const { return size_; }
  /// std::out_of_range names the parameter.
  const ArenaEntry& find(const std::string& name) const;

 private:
  std::vector<ArenaEntry> entries_;
  int64_t size_ = 0;
};

}  // namespace evenflow::flow
