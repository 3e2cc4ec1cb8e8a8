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
/// and result.csv, of labelled clips: the figures of dcase_score.h by that year's rule, the harmonic mean of each, and
/// the official score. A figure that takes a class that is not there is empty. io::DataError: a clip without a finite
/// score; two machines or sections whose names make one file's name.
std::vector<DcaseFile> dcase_files(const std::vector<train::ClipScore>& clips, const std::filesystem::path& folder);

}  // namespace evenflow::experiments
