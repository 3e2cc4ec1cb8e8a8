// How good a fleet's scores are: each machine by itself, since scores of different models lie on different scales, and
// what its figures come to together.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "train/detect/score.h"

namespace evenflow::experiments {

struct FleetRow {
  std::string machine;
  int64_t normal = 0, anomalous = 0;    ///< labelled test clips with a finite score
  double auc = 0, pauc = 0;             ///< of the score that decides; NaN: one class only
  int64_t decided = 0;                  ///< clips with a decision: all or none
  int64_t false_alarms = 0, found = 0;  ///< decided anomalous, of the normal and of the anomalous clips
};

struct FleetTable {
  std::vector<FleetRow> machines;              ///< by name
  double mean_auc = 0, mean_pauc = 0;          ///< over the machines that have both classes; NaN of none
  double harmonic_auc = 0, harmonic_pauc = 0;  ///< harmonic means over the same
  int64_t without_score = 0;                   ///< labelled test clips whose score is not finite; in no row
};

/// Of the test clips with a label. io::DataError: a clip that does not say its machine, or no labelled test clip.
FleetTable fleet_table(const std::vector<train::ClipScore>& clips);

/// For the terminal: a table and how to read it.
std::string to_text(const FleetTable& table);
/// machine,normal,anomalous,auc,pauc,decided,false_alarms,found; a row a machine, then the means. NaN an empty cell.
std::string to_csv(const FleetTable& table);

}  // namespace evenflow::experiments
