// What a GPU's products are rounded to.
#pragma once

namespace evenflow::kernels {

/// Of a GPU's products; sums are float32. The CPU computes in float32.
enum class Precision { float32, tf32, bf16 };

}  // namespace evenflow::kernels
