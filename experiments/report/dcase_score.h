// DCASE Task 2's figures of merit by the rules of its years, and the official scores that pool them, as the challenge's
// evaluators have them (dcase2021_task2_evaluator, dcase2023_task2_evaluator). A figure of 0 makes a harmonic mean 0,
// where they put the machine epsilon in its place.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "train/detect/score.h"

namespace evenflow::experiments {

/// By which rule a section's figures are taken. The max_fpr of every pAUC is 0.1.
enum class DcaseRule {
  /// AUC and pAUC of a section. The challenge ranked by the means over sections, then machines (Koizumi et al. 2020).
  of_2020,
  /// AUC and pAUC of a section's domain, of that domain's clips alone (Kawaguchi et al. 2021).
  of_2021,
  /// The AUC of each domain's normal clips against the anomalies of both domains, and the pAUC of both domains together
  /// (Dohi et al. 2022): 2022 and later, where each machine has one section from 2023 on.
  of_2022,
};

/// Machine and section, under the names that the challenge's files give them.
using DcaseSection = std::pair<std::string, std::string>;

/// The test clips by machine and section. Clips without a machine count as machine "machine", without a section as
/// "00".
std::map<DcaseSection, std::vector<const train::ClipScore*>> dcase_sections(const std::vector<train::ClipScore>& clips);

struct DcaseRow {
  std::string machine, section, domain;  ///< `domain`: of_2021 only
  std::vector<double> figures;           ///< by DcaseTable::names; NaN: it takes a class that is not there
};

struct DcaseTable {
  DcaseRule rule = DcaseRule::of_2022;
  std::vector<std::string> names;  ///< of the figures: "auc_source"
  size_t ranked = 0;               ///< so many of them, the first, are pooled; the others stand beside (F1)
  std::vector<DcaseRow> rows;

  /// Pools a figure over the rows, without NaN; NaN of none. Harmonic or, in 2020, the mean over machines of the means
  /// over their sections.
  double pooled(size_t figure) const;
  /// The official score: the harmonic mean of all ranked figures of all rows, without NaN. NaN of none, and in 2020,
  /// when submissions were ranked by mean AUC and mean pAUC.
  double official_score() const;
  /// How many ranked figures there are, and how many there are not.
  int64_t ranked_figures() const;
  int64_t missing_figures() const;
};

/// Of the test clips with a label. io::DataError: a score among them that is not finite.
DcaseTable dcase_table(const std::vector<train::ClipScore>& clips, DcaseRule rule);

/// The rules by which the clips can be judged: those with domains by the two of 2021 and of 2022, the newest first,
/// else by that of 2020.
std::vector<DcaseRule> dcase_rules(const std::vector<train::ClipScore>& clips);

/// "2022 and later".
std::string name_of(DcaseRule rule);

/// For people: a line a rule with the official score and what it pools, in %. Empty if no clip has a label.
std::string official_scores_text(const std::vector<train::ClipScore>& clips);

}  // namespace evenflow::experiments
