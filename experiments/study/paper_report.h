// The report of the paper's study: one HTML page, and its tables and pictures beside it.
#pragma once

#include <filesystem>

#include "experiments/study/paper.h"
#include "experiments/study/tables.h"

namespace evenflow::experiments {

/// report.html, table1.csv, auc.csv, differences.csv, estimates.csv, evidence.csv, score_curves.csv and figures/ in
/// `folder`. Errors as draw()'s and io::write_text's.
void write_paper_report(const PaperStudy& paper, const StudyTables& tables, const std::filesystem::path& folder);

/// For the terminal: the paper's Table 1 and the differences that the study is about.
std::string to_text(const PaperStudy& paper, const StudyTables& tables);

}  // namespace evenflow::experiments
