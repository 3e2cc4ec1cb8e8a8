#include "flow/arena.h"

#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evenflow::flow {
namespace {

TEST(ArenaLayout, PacksEntriesInOrder) {
  ArenaLayout layout;
  EXPECT_EQ(layout.size(), 0);
  EXPECT_EQ(layout.add("a", {3}), 0);
  EXPECT_EQ(layout.add("b.weight", {2, 5, 3, 3}), 1);
  EXPECT_EQ(layout.add("scalar", {}), 2);
  EXPECT_EQ(layout.size(), 3 + 90 + 1);
  EXPECT_EQ(layout.find("a").offset, 0);
  EXPECT_EQ(layout.find("b.weight").offset, 3);
  EXPECT_EQ(layout.find("b.weight").size, 90);
  EXPECT_EQ(layout.find("b.weight").shape, (std::vector<int64_t>{2, 5, 3, 3}));
  EXPECT_EQ(layout.find("scalar").offset, 93);
  ASSERT_EQ(layout.entries().size(), 3U);
  EXPECT_EQ(layout.entries()[1].name, "b.weight");
}

TEST(ArenaLayout, NamesAParameterItDoesNotHave) {
  ArenaLayout layout;
  layout.add("block1.step1.actnorm.bias", {4});
  std::string message;
  try {
    layout.find("block1.step1.actnorm.bia");
  } catch (const std::out_of_range& error) {
    message = error.what();
  }
  EXPECT_THAT(message, testing::HasSubstr("block1.step1.actnorm.bia"));
}

}  // namespace
}  // namespace evenflow::flow
