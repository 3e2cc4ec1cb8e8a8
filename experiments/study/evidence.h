// Where in a flow's likelihood a fault shows, and what drifts with the parameter and hides it.
#pragma once

#include <string>
#include <vector>

#include "experiments/study/study.h"

namespace evenflow::experiments {

/// A part of the marginal nll of test clips, in nats of a window; nll is the sum of its parts. Means over the runs.
struct EvidenceRow {
  std::string part;  ///< "zc": -log p(zc); "zd": -log p(zd), v integrated out; "log-det": its negative; "nll"
  double gap = 0;    ///< anomalous less normal clips of the same value, mean over the values
  /// Standard deviation between normal clips of one value, mean over the values with two or more; NaN: there is none.
  double spread = 0;
  double drift = 0;      ///< standard deviation over the values of the normal clips' mean
  double inflation = 0;  ///< normal clips' mean at unseen values less that at seen ones, each a mean over the values
};
/// Of a flow's scores; of values with both classes. Empty if there are none.
std::vector<EvidenceRow> evidence(const Study& study, const SystemScores& flow);
/// The same of each of a system's scores, which takes the part's place. A score without a finite value has no row.
std::vector<EvidenceRow> causes(const Study& study, const SystemScores& system);

}  // namespace evenflow::experiments
