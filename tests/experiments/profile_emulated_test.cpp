// The profiler on a CUDA device, the emulated one: launches, graph, kernels, and the same operations as on the CPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "experiments/profile/profile.h"
#include "experiments/profile/report.h"
#include "kernels/backend.h"

namespace evenflow::experiments {
namespace {

class ProfileEmulated : public testing::TestWithParam<io::CouplingKernels> {
 protected:
  void SetUp() override { kernels::use_cuda_backend(&kernels::cuda_backend()); }
  void TearDown() override { kernels::use_cuda_backend(nullptr); }
};

std::set<std::string> operations(const Profile& profile) {
  std::set<std::string> names;
  for (const ProfiledOperation& row : profile.rows) {
    names.insert(row.block + " " + row.operation);
  }
  return names;
}

TEST_P(ProfileEmulated, MeasuresEveryOperationItsKernelsAndTheGraph) {
  ProfileSettings settings;
  settings.config.model.blocks = 2;
  settings.config.model.steps = 1;
  settings.config.model.hidden = 16;
  settings.config.frontend.mel_bands = 16;
  settings.config.window.window_frames = 8;
  settings.config.train.device = "cuda:0";
  settings.config.train.batch = 3;
  settings.config.train.kernels = GetParam();
  settings.repeat = 3;
  settings.ranges = true;  // the emulation has none: nothing to name, nothing wrong
  const Profile gpu = run_profile(settings);
  settings.config.train.device = "cpu";
  std::set<std::string> expected = operations(run_profile(settings));
  expected.insert(" select_batch");
  expected.erase(" sum_rows");
  expected.insert(" actnorm_invconv_add_shares");
  if (GetParam() == io::CouplingKernels::fused) {
    expected.insert(" coupling_add_shares");
  }
  EXPECT_EQ(operations(gpu), expected);

  EXPECT_EQ(gpu.device, "cuda:0");
  EXPECT_EQ(gpu.at_once, 3);
  EXPECT_GT(gpu.graph_nodes, 0);
  EXPECT_GT(gpu.launches, 0);
  EXPECT_LE(gpu.launches, gpu.graph_nodes);
  EXPECT_GT(gpu.whole.median, 0);
  EXPECT_GT(gpu.ceilings.copy, 0);
  EXPECT_THAT(gpu.ceilings.gemm_missing, testing::HasSubstr("not measured"));
  int64_t launches = 0;
  for (const ProfiledKernel& kernel : gpu.kernels) {
    EXPECT_GT(kernel.blocks, 0) << kernel.name;
    EXPECT_GT(kernel.threads_per_block, 0) << kernel.name;
    launches += kernel.launches;
  }
  EXPECT_EQ(launches, gpu.launches);
  for (const ProfiledOperation& row : gpu.rows) {
    for (const ProfiledCall& call : row.calls) {
      EXPECT_EQ(call.per_step, 1) << call.name;
    }
    if (row.operation == "squeeze") {
      EXPECT_EQ(row.launches, 1);
    }
  }
  const nlohmann::json json = to_json(gpu);
  EXPECT_EQ(json.at("identity").at("kernels"), std::string(io::name_of(GetParam())));
  EXPECT_EQ(json.at("kernels").size(), gpu.kernels.size());
  for (const Change& change : compare(json, json)) {
    EXPECT_FALSE(change.slower);
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, ProfileEmulated,
                         testing::Values(io::CouplingKernels::layered, io::CouplingKernels::fused),
                         [](const auto& each) { return std::string(io::name_of(each.param)); });

}  // namespace
}  // namespace evenflow::experiments
