#include "experiments/profile/cost.h"

#include <stdexcept>

namespace evenflow::experiments {
namespace {

constexpr double float_bytes = sizeof(float), double_bytes = sizeof(double);

bool contains(std::string_view text, std::string_view what) {
  return text.find(what) != std::string_view::npos;
}

kernels::CouplingShape coupling_shape(const flow::GlowShape& shape, int block) {
  return {.channels = shape.channels(block),
          .hidden = shape.hidden,
          .height = shape.block_height(block),
          .width = shape.block_width(block),
          .kind = shape.coupling,
          .path = shape.path,
          .precision = shape.precision};
}

}  // namespace

double product_flop(const flow::GlowShape& shape, int block, std::string_view operation) {
  const auto c = static_cast<double>(shape.channels(block));
  const double f = shape.hidden;
  const double weights1 = c / 2 * f * 9, weights2 = f * f, weights3 = f * c * 9;
  double multiply_adds = 0;
  if (operation == "coupling_forward") {
    multiply_adds = weights1 + weights2 + weights3;
  } else if (operation == "coupling_backward") {
    multiply_adds = 2 * (weights1 + weights2 + weights3);  // to the data, to the weights
  } else if (contains(operation, "/conv1")) {
    multiply_adds = weights1;
  } else if (contains(operation, "/conv2")) {
    multiply_adds = weights2;
  } else if (contains(operation, "/conv3")) {
    multiply_adds = weights3;
  } else if (operation == "invconv_apply") {
    multiply_adds = c * c;
  } else if (operation == "invconv_backward") {
    multiply_adds = 2 * c * c;
  }
  return 2.0 * static_cast<double>(shape.block_height(block) * shape.block_width(block)) * multiply_adds;
}

CostModel::CostModel(const flow::Glow& glow, int64_t windows, int64_t groups, int64_t gradient_rows)
    : shape_(glow.shape()),
      windows_(static_cast<double>(windows)),
      groups_(static_cast<double>(groups)),
      rows_(static_cast<double>(gradient_rows)),
      arena_(static_cast<double>(glow.layout().size())),
      raw_(static_cast<double>(glow.raw_gradient_size())) {
  for (int b = 0; b < shape_.blocks; ++b) {
    const kernels::CouplingShape coupling = coupling_shape(shape_, b);
    const auto c = static_cast<double>(coupling.channels);
    const auto f = static_cast<double>(coupling.hidden);
    Block block;
    block.channels = c;
    block.pixels = windows_ * static_cast<double>(coupling.height * coupling.width);
    block.map_bytes = float_bytes * c * block.pixels;
    block.network_parameters = c / 2 * f * 9 + f + f * f + f + f * c * 9 + 2 * c;
    block.saved_bytes =
        float_bytes * windows_ * static_cast<double>(kernels::coupling_saved_floats(glow.device(), coupling));
    block.packed_bytes = float_bytes * static_cast<double>(kernels::coupling_packed_floats(glow.device(), coupling));
    blocks_.push_back(block);
  }
}

Cost CostModel::operator()(std::string_view operation, const CallPlace& place) const {
  if (place.block >= 0) return in_block(operation, place.block);
  if (operation.starts_with("gaussian_")) return of_latents(operation, place.occurrence);
  if (operation == "zero") return {zeroed_bytes(place.phase), 0};
  return of_step(operation);
}

Cost CostModel::in_block(std::string_view operation, int index) const {
  const Block& block = blocks_.at(static_cast<size_t>(index));
  const double elements = block.channels * block.pixels, map = block.map_bytes;
  const double channel_bytes = float_bytes * block.channels, weight_bytes = channel_bytes * block.channels;
  const double products = windows_ * product_flop(shape_, index, operation);
  if (operation == "squeeze" || operation == "unsqueeze") return {2 * map, 0};
  if (operation == "actnorm_forward") return {2 * map + 2 * channel_bytes, 2 * elements};
  if (operation == "actnorm_backward") return {3 * map + 6 * channel_bytes, 4 * elements};
  if (operation == "invconv_apply") return {2 * map + weight_bytes, products};
  if (operation == "invconv_backward") return {3 * map + 3 * weight_bytes, products};
  // Per element of the second half: sigmoid and its logarithm, shift and scale, both ways through log_gain.
  const double affine = elements / 2;
  if (operation == "coupling_forward") {
    return {2 * map + block.saved_bytes + block.packed_bytes + 2 * double_bytes * windows_, products + 8 * affine};
  }
  if (operation == "coupling_backward") {
    return {3 * map + block.saved_bytes + block.packed_bytes + 2 * float_bytes * block.network_parameters,
            products + 16 * affine};
  }
  throw std::logic_error("the profile's cost model does not know " + std::string(operation));
}

double CostModel::latent_elements(int64_t index) const {
  const int64_t blocks = shape_.blocks;
  const Block& last = blocks_.back();
  if (index >= blocks) return last.channels / 2 * last.pixels / groups_;
  const Block& block = blocks_[static_cast<size_t>(index)];
  return block.channels / 2 * block.pixels;
}

Cost CostModel::of_latents(std::string_view operation, int64_t occurrence) const {
  const double per_window = double_bytes * windows_;
  if (operation == "gaussian_squares") {
    const double elements = latent_elements(occurrence);
    return {float_bytes * elements + 2 * per_window, 2 * elements};
  }
  if (operation == "gaussian_moments") {
    const double elements = latent_elements(shape_.blocks + occurrence);
    return {float_bytes * elements + 4 * per_window, 4 * elements};
  }
  if (operation == "gaussian_backward") {
    const double elements = latent_elements(occurrence);
    return {2 * float_bytes * elements + per_window, 2 * elements};
  }
  throw std::logic_error("the profile's cost model does not know " + std::string(operation));
}

// Log-determinants before forward, the sums of the latents' squares before the loss, the gradient before backward.
double CostModel::zeroed_bytes(std::string_view phase) const {
  if (phase == "forward") return double_bytes * windows_;
  if (phase == "loss") return double_bytes * windows_ * (2 + 3 * groups_);
  return float_bytes * raw_;
}

Cost CostModel::of_step(std::string_view operation) const {
  const auto dimensions = static_cast<double>(shape_.dimensions());
  double channels = 0, squares = 0, network = 0, packed = 0;  // summed over all steps
  for (const Block& block : blocks_) {
    channels += shape_.steps * block.channels;
    squares += shape_.steps * block.channels * block.channels;
    network += shape_.steps * block.network_parameters;
    packed += shape_.steps * block.packed_bytes;
  }
  const double matrices = float_bytes * squares, plu_vectors = 9 * channels;  // log_s, permutation, a byte of sign
  const double all_steps = shape_.steps * static_cast<double>(shape_.blocks);
  if (operation == "select_batch") return {2 * windows_ * (2 * double_bytes + groups_ * double_bytes), 0};
  if (operation == "gather_windows") {
    return {windows_ * (2 * float_bytes * dimensions + double_bytes), 2 * windows_ * dimensions};
  }
  if (operation == "invconv_assemble_plu") return {3 * matrices + plu_vectors, 0};
  if (operation == "invconv_assemble_dense") return {2 * matrices, 0};
  if (operation == "constant_log_det") return {float_bytes * channels + double_bytes * all_steps, channels};
  if (operation == "coupling_pack") return {float_bytes * network + packed, 0};
  if (operation == "latent_loss") return {double_bytes * windows_ * (4 + 4 * groups_), 0};
  if (operation == "zero_gradient") return {float_bytes * raw_, 0};
  if (operation == "sum_rows") return {float_bytes * raw_ * (rows_ + 1), raw_ * rows_};
  // lower, upper and their gradients' triangles make whole matrices.
  if (operation == "invconv_plu_backward") return {4 * matrices + plu_vectors + 2 * float_bytes * channels, 0};
  if (operation == "invconv_dense_backward") return {4 * matrices, 0};
  if (operation == "actnorm_log_det_backward") return {2 * float_bytes * channels, channels};
  if (operation == "squared_norm") return {float_bytes * arena_, 2 * arena_};
  // gradient, parameter, m, v in; parameter, m, v and the copies of the good ones out.
  if (operation == "guarded_update") return {10 * float_bytes * arena_ + double_bytes * windows_, 14 * arena_};
  throw std::logic_error("the profile's cost model does not know " + std::string(operation));
}

}  // namespace evenflow::experiments
