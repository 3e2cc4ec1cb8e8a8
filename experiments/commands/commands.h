// The commands of `evenflow`. Each prints its result to standard output and returns an exit code: exit_ok, or
// exit_interrupted after Ctrl-C. Errors are thrown: io::UsageError, io::DataError and kernels' own.
#pragma once

#include "experiments/options.h"

namespace evenflow::experiments {

inline constexpr int exit_ok = 0;
inline constexpr int exit_slower = 1;  ///< profile --compare found something slower
inline constexpr int exit_usage = 2;
inline constexpr int exit_data = 3;
inline constexpr int exit_interrupted = 130;

int run(const ShowText& text);
int run(const PrepareArguments& arguments);
int run(const TrainArguments& arguments);
int run(const ScoreArguments& arguments);
int run(const EvaluateArguments& arguments);
int run(const EncodeArguments& arguments);
int run(const SampleArguments& arguments);
int run(const InfoArguments& arguments);
int run(const SynthArguments& arguments);
int run(const ProfileArguments& arguments);
int run(const StudyArguments& arguments);
int run(const PaperArguments& arguments);
int run(const ReportArguments& arguments);

}  // namespace evenflow::experiments
