// DCASE Task 2's result files, as the challenge defined them in 2021 and from 2022 on.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "train/detect/score.h"

namespace evenflow::experiments {

struct DcaseFile {
  std::filesystem::path path;
  std::string text;
};

/// What goes into `folder`/2021 (clips with a domain only) and `folder`/2022:
///   2021/anomaly_score_<machine>_section_<s>_<domain>_test.csv   2022/anomaly_score_<machine>_section_<s>_test.csv
/// and decision_result_* beside them where there are decisions: a line per test clip, file name and value, no header;
/// and, of labelled clips, result.csv:
///   2021: AUC and pAUC per machine, section and domain, of that domain's clips.
///   2022: per machine and section the AUC of each domain's normal clips against the anomalies of both domains, and the
///         pAUC of both domains together.
/// max_fpr of the pAUC is 0.1; last the harmonic means. A figure that takes a class that is not there is empty.
/// Clips without a machine count as machine "machine", without a section as "00". io::DataError: two machines or
/// sections whose names make one file's name.
std::vector<DcaseFile> dcase_files(const std::vector<train::ClipScore>& clips, const std::filesystem::path& folder);

}  // namespace evenflow::experiments
