#include "tests/bench/layer_flop.h"

namespace evenflow::bench {

double flop(const flow::GlowShape& shape, const Key& key) {
  if (!key.first.starts_with("block")) return 0;
  const int block = std::stoi(key.first.substr(5)) - 1;
  const double c = static_cast<double>(shape.channels(block)), f = shape.hidden;
  const double per_step = 2.0 * static_cast<double>(shape.block_height(block) * shape.block_width(block));
  const double weights1 = c / 2 * f * 9, weights2 = f * f, weights3 = f * c * 9;
  double multiply_adds = 0;
  const std::string& op = key.second;
  const auto has = [&](const char* text) { return op.find(text) != std::string::npos; };
  if (has("conv1")) multiply_adds += weights1;
  if (has("conv2")) multiply_adds += weights2;
  if (has("conv3")) multiply_adds += weights3;
  if (has("invconv_apply")) multiply_adds += c * c;
  if (has("invconv_backward")) multiply_adds += 2 * c * c;
  return shape.steps * per_step * multiply_adds;
}

}  // namespace evenflow::bench
