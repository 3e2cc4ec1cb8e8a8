// What the operations of a training step have to move and to compute: counted from the model's shapes, not measured.
//
// Bytes: every input is read once and every output written once, what is added to is read and written; nothing is in
// a cache before and nothing is fetched twice. What forward keeps for backward is an output of the one and an input of
// the other. FLOP: the mathematics' own, a multiply-add is two; padding, recomputation and rounding are nobody's, an
// exponential or a root counts as one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "flow/glow.h"

namespace evenflow::experiments {

struct Cost {
  double bytes = 0, flop = 0;
};

/// FLOP of the matrix products of one window in one step of a block (from 0): of an operation ("coupling_forward",
/// "invconv_apply") or of a part of the coupling ("coupling_backward/conv2_data_gradient"). 0 where there is none.
double product_flop(const flow::GlowShape& shape, int block, std::string_view operation);

/// Where in a step an operation was called.
struct CallPlace {
  int block = -1;               ///< from 0; -1: outside of the flow's steps
  int64_t occurrence = 0;       ///< of this operation at this place, from 0
  std::string_view phase = {};  ///< "forward", where an operation's work differs between them
};

class CostModel {
 public:
  /// `windows` carried at once; zd is dealt to `groups`; sum_rows adds up `gradient_rows`.
  CostModel(const flow::Glow& glow, int64_t windows, int64_t groups, int64_t gradient_rows);
  /// Throws std::logic_error for an operation that it does not know: a new one needs its line here.
  Cost operator()(std::string_view operation, const CallPlace& place) const;

 private:
  struct Block {
    double channels = 0, pixels = 0, map_bytes = 0;  // of all windows
    double network_parameters = 0, saved_bytes = 0, packed_bytes = 0;
  };
  Cost in_block(std::string_view operation, int block) const;
  Cost of_latents(std::string_view operation, int64_t occurrence) const;
  Cost of_step(std::string_view operation) const;
  double zeroed_bytes(std::string_view phase) const;
  double latent_elements(int64_t index) const;  // of all windows: zc of each block, then the groups of zd

  flow::GlowShape shape_;
  double windows_, groups_, rows_, arena_, raw_;
  std::vector<Block> blocks_;
};

}  // namespace evenflow::experiments
