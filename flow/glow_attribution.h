// Where a flow's scores come from: latent by latent, and the log-determinant coupling by coupling.
#pragma once

#include <span>
#include <string>

#include "flow/attribution.h"
#include "flow/glow_model.h"

namespace evenflow::flow {

struct LatentsAsked {
  std::span<const double> v;  ///< per parameter, NaN = unknown; or empty
  std::string score;          ///< of latent_scores()
  double log_det;             ///< the window's whole log-determinant, nats
};

/// Of the one window of the pass's last forward, which was made for training; `out` has the score already. Parts: "z1",
/// ... of the blocks, "zd", "log_det", as far as the score holds them. A latent's share is spread over the cells that
/// its pixel stands for, a coupling's log g likewise; what is the same everywhere is spread evenly. The shares add up
/// to the score as far as float64 goes, whatever log_gains() is off by, which is spread evenly too.
void attribute_latents(kernels::Stream& stream, const GlowModel& model, GlowPass& pass, const LatentsAsked& asked,
                       Attribution& out);

}  // namespace evenflow::flow
