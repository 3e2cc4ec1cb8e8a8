#include "flow/arena.h"

#include <functional>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace evenflow::flow {

int64_t ArenaLayout::add(std::string name, std::vector<int64_t> shape) {
  const int64_t size = std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
  entries_.push_back({std::move(name), std::move(shape), size_, size});
  size_ += size;
  return static_cast<int64_t>(entries_.size()) - 1;
}

const ArenaEntry& ArenaLayout::find(const std::string& name) const {
  for (const ArenaEntry& entry : entries_) {
    if (entry.name == name) {
      return entry;
    }
  }
  throw std::out_of_range("no parameter is named " + name);
}

}  // namespace evenflow::flow
