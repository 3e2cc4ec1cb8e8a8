// metrics.csv across a resume.
#include "train/loop/run_log.h"

#include <gtest/gtest.h>

#include "io/manifest.h"
#include "tests/io/testing.h"

namespace evenflow::train {
namespace {

TEST(MetricsFile, KeptRowsReadAsBefore) {
  const io::testing::TempFolder folder;
  const auto file = folder / "metrics.csv";
  io::testing::put(
      file, "epoch,step\n\"1\",2,\"a, \"\"b\"\"\nc\",0.5,0.7,0.25,,\n2,4,x,0.5,0.7,0.125,,\n3,6,x,0.5,0.7,9,,\n");
  const auto rows = io::read_csv(file);
  const MetricsFile metrics(file, 2);
  const auto kept = io::read_csv(file);
  ASSERT_EQ(kept.size(), 3U);
  EXPECT_EQ(kept[1], rows[1]);
  EXPECT_EQ(kept[2], rows[2]);
  EXPECT_EQ(metrics.last_validation_loss(), 0.125);
}

}  // namespace
}  // namespace evenflow::train
