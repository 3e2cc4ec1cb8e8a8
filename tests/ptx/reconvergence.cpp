#include "tests/ptx/reconvergence.h"

#include <algorithm>

namespace evenflow::ptx {
namespace {

struct Block {
  int first = 0, last = 0;
  std::vector<int> next;
};

std::vector<Block> blocks_of(std::vector<Instruction>& code) {
  const auto size = static_cast<int>(code.size());
  code[0].begins_block = true;
  for (int i = 0; i < size; ++i) {
    if (code[i].target >= 0) {
      code[code[i].target].begins_block = true;
    }
    if ((code[i].flow == Flow::branch || code[i].flow == Flow::ret) && i + 1 < size) {
      code[i + 1].begins_block = true;
    }
  }
  std::vector<Block> blocks;
  for (int i = 0; i < size; ++i) {
    if (code[i].begins_block) {
      blocks.push_back({i, i, {}});
    }
    blocks.back().last = i;
  }
  return blocks;
}

int block_at(const std::vector<Block>& blocks, int instruction) {
  const auto after = std::upper_bound(blocks.begin(), blocks.end(), instruction,
                                      [](int at, const Block& block) { return at < block.first; });
  return static_cast<int>(after - blocks.begin()) - 1;
}

/// From the exit backwards, each block after those that it leads to, but for loops.
std::vector<int> post_order(const std::vector<std::vector<int>>& before, int exit) {
  std::vector<int> order;
  std::vector<char> seen(before.size(), 0);
  std::vector<std::pair<int, size_t>> path{{exit, 0}};
  seen[exit] = 1;
  while (!path.empty()) {
    auto& [block, next] = path.back();
    if (next == before[block].size()) {
      order.push_back(block);
      path.pop_back();
      continue;
    }
    const int to = before[block][next++];
    if (seen[to] == 0) {
      seen[to] = 1;
      path.emplace_back(to, 0);
    }
  }
  return order;
}

}  // namespace

// Cooper, Harvey and Kennedy, "A simple, fast dominance algorithm", on the reversed graph.
void find_joins(std::vector<Instruction>& code) {
  std::vector<Block> blocks = blocks_of(code);
  const auto exit = static_cast<int>(blocks.size());
  std::vector<std::vector<int>> before(blocks.size() + 1);
  for (int b = 0; b < exit; ++b) {
    const Instruction& last = code[blocks[b].last];
    const bool goes_on = (last.flow != Flow::branch && last.flow != Flow::ret) || last.guard >= 0;
    if (last.flow == Flow::branch) {
      blocks[b].next.push_back(block_at(blocks, last.target));
    }
    if (last.flow == Flow::ret) {
      blocks[b].next.push_back(exit);
    }
    if (goes_on) {
      blocks[b].next.push_back(b + 1);
    }
    for (const int next : blocks[b].next) {
      before[next].push_back(b);
    }
  }
  const std::vector<int> order = post_order(before, exit);
  std::vector<int> number(blocks.size() + 1, -1), dominator(blocks.size() + 1, -1);
  for (size_t i = 0; i < order.size(); ++i) {
    number[order[i]] = static_cast<int>(i);
  }
  dominator[exit] = exit;
  const auto meet = [&](int a, int b) {
    while (a != b) {
      while (number[a] < number[b]) {
        a = dominator[a];
      }
      while (number[b] < number[a]) {
        b = dominator[b];
      }
    }
    return a;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (auto at = order.rbegin(); at != order.rend(); ++at) {
      if (*at == exit) {
        continue;
      }
      int joined = -1;
      for (const int next : blocks[*at].next) {
        if (dominator[next] >= 0) {
          joined = joined < 0 ? next : meet(joined, next);
        }
      }
      changed = changed || joined != dominator[*at];
      dominator[*at] = joined;
    }
  }
  for (int b = 0; b < exit; ++b) {
    Instruction& last = code[blocks[b].last];
    if (last.flow == Flow::branch) {
      const int join = dominator[b];
      last.join = join < 0 || join == exit ? static_cast<int>(code.size()) : blocks[join].first;
    }
  }
}

}  // namespace evenflow::ptx
