// The pictures of a study, as gnuplot draws them. What each shows is said in its caption, where the report puts it.
#pragma once

#include <string>
#include <vector>

#include "experiments/report/gnuplot.h"
#include "experiments/study/score_curves.h"
#include "experiments/study/study.h"
#include "experiments/study/tables.h"

namespace evenflow::experiments {

/// A system's scores of one name, with a title for the picture.
struct ScoreSeries {
  const SystemScores* system;
  std::string score, title;
};

/// Log-mel of one normal test clip (or training clip, without one) each at up to four of the training values, spread
/// over them.
Picture logmel_picture(const Study& study);

/// What each system's zd says of the parameter over the truth: mean over the normal test clips of a value, each clip's
/// estimate the mean over the seeds, bars one standard deviation between clips. Seen and unseen values marked.
Picture estimate_picture(const Study& study, const std::vector<const SystemScores*>& systems);

/// Scores by value of the parameter, a panel per series: quartiles as boxes and extremes as whiskers, of each clip's
/// mean over the seeds. Normal and anomalous, seen (filled) and unseen (hollow).
Picture distribution_picture(const Study& study, const std::vector<ScoreSeries>& series);

/// AUC over the parameter's value: mean over seeds, bars the 95 % interval over clips and seeds.
Picture auc_by_value_picture(const Study& study, const StudyTables& tables, const std::vector<ScoreSeries>& series);

/// Loss per epoch, mean over the seeds with their extremes as a band, training and held out; a panel per system.
Picture learning_picture(const std::vector<const SystemScores*>& systems);

/// AUC over all test clips by the epochs trained, a panel per curve and a line per score.
Picture score_curve_picture(const std::vector<ScoreCurve>& curves);

/// metrics.csv of a run: a row per epoch of epoch, training loss and held-out loss (NaN if there is none).
std::vector<std::vector<double>> learning_curve(const std::filesystem::path& run);

}  // namespace evenflow::experiments
