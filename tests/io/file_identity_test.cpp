#include "io/file_identity.h"

#include "tests/io/testing.h"

namespace evenflow::io {
namespace {
namespace fs = std::filesystem;
using testing::error_of;
using ::testing::HasSubstr;
using testing::put;
using testing::TempFolder;

TEST(FileIdentity, IsOneForEverySpellingOfAFile) {
  const TempFolder folder;
  put(folder / "sub/a", "x");
  put(folder / "b", "x");
  fs::create_hard_link(folder / "sub/a", folder / "hard");
  fs::create_symlink("sub/a", folder / "soft");
  fs::create_symlink("soft", folder / "chain");
  fs::create_directory_symlink("sub", folder / "other_sub");
  const auto identity = identify(folder / "sub/a");
  ASSERT_TRUE(identity);
  for (const char* spelling : {"sub/../sub/./a", "hard", "soft", "chain", "other_sub/a"}) {
    EXPECT_EQ(identify(folder / spelling), identity) << spelling;
  }
  EXPECT_EQ(identify(fs::relative(folder / "sub/a")), identity);
  EXPECT_NE(identify(folder / "b"), identity);
}

TEST(FileIdentity, OfAFileThatIsNotThereYetIsItsPlace) {
  const TempFolder folder;
  fs::create_directory(folder / "sub");
  fs::create_symlink("sub/new", folder / "dangling");
  EXPECT_EQ(identify(folder / "dangling"), identify(folder / "sub/./new"));
  EXPECT_NE(identify(folder / "sub/new"), identify(folder / "sub/newer"));
  EXPECT_NE(identify(folder / "sub/new"), identify(folder / "new"));
  EXPECT_FALSE(identify(folder / "none/new"));
}

TEST(FileIdentity, ALinkThatLeadsBackToItselfIsNamed) {
  const TempFolder folder;
  fs::create_symlink("two", folder / "one");
  fs::create_symlink("one", folder / "two");
  EXPECT_THAT(error_of<DataError>([&] { identify(folder / "one"); }), HasSubstr("leads back to itself"));
}

}  // namespace
}  // namespace evenflow::io
