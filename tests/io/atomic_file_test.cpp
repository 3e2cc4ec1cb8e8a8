#include "io/atomic_file.h"

#include "tests/io/testing.h"

namespace evenflow::io {
namespace {
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_of;
using testing::get;
using ::testing::HasSubstr;
using testing::names_in;
using ::testing::Not;
using testing::put;
using testing::TempFolder;

TEST(AtomicFile, AppearsOnCommitUnderItsNameAlone) {
  const TempFolder folder;
  AtomicFile file(folder / "a.txt");
  put(file.temporary(), "new");
  EXPECT_EQ(file.temporary().parent_path(), folder.path());
  EXPECT_FALSE(std::filesystem::exists(folder / "a.txt"));
  file.commit();
  EXPECT_EQ(get(folder / "a.txt"), "new");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("a.txt"));
}

TEST(AtomicFile, WithoutCommitLeavesTheOldFileAndNoTemporary) {
  const TempFolder folder;
  put(folder / "a.txt", "old");
  {
    const AtomicFile file(folder / "a.txt");
    put(file.temporary(), "half");
  }
  EXPECT_EQ(get(folder / "a.txt"), "old");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("a.txt"));
}

TEST(AtomicFile, TwoOfOneTargetHaveDifferentTemporaries) {
  const TempFolder folder;
  const AtomicFile one(folder / "a");
  const AtomicFile other(folder / "a");
  EXPECT_NE(one.temporary(), other.temporary());
}

TEST(AtomicFile, ReplacesTheFileBehindALink) {
  const TempFolder folder;
  put(folder / "real/a.txt", "old");
  std::filesystem::create_symlink(folder / "real/a.txt", folder / "link.txt");
  write_text(folder / "link.txt", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link.txt"));
  EXPECT_EQ(get(folder / "real/a.txt"), "new");
}

TEST(AtomicFile, WritesWhereALinkPointsThoughNothingIsThereYet) {
  const TempFolder folder;
  std::filesystem::create_directory(folder / "real");
  std::filesystem::create_symlink("two", folder / "one");
  std::filesystem::create_symlink("real/a.txt", folder / "two");
  write_text(folder / "one", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "one"));
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "two"));
  EXPECT_EQ(get(folder / "real/a.txt"), "new");
}

TEST(AtomicFile, ALinkIntoAMissingFolderIsNamedAndStays) {
  const TempFolder folder;
  std::filesystem::create_symlink("nowhere/a.txt", folder / "link");
  EXPECT_THAT(error_of<DataError>([&] { write_text(folder / "link", "x"); }),
              AllOf(HasSubstr("nowhere"), HasSubstr("create it first")));
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
}

TEST(AtomicFile, KeepsTheModeOfTheFileItReplaces) {
  const TempFolder folder;
  for (const auto mode : {std::filesystem::perms(0640), std::filesystem::perms(0444), std::filesystem::perms(0600)}) {
    std::filesystem::remove(folder / "a");
    put(folder / "a", "old");
    std::filesystem::permissions(folder / "a", mode);
    {
      const AtomicFile file(folder / "a");
      const auto others = std::filesystem::perms::others_read | std::filesystem::perms::group_read;
      EXPECT_EQ(std::filesystem::status(file.temporary()).permissions() & others & ~mode, std::filesystem::perms::none);
    }
    write_text(folder / "a", "new");
    EXPECT_EQ(get(folder / "a"), "new");
    EXPECT_EQ(std::filesystem::status(folder / "a").permissions(), mode);
  }
}

TEST(AtomicFile, RefusesWhatIsNotARegularFile) {
  EXPECT_THAT(error_of<DataError>([] { AtomicFile file("/dev/null"); }),
              AllOf(HasSubstr("'/dev/null'"), HasSubstr("choose another name")));
  const TempFolder folder;
  EXPECT_THAT(error_of<DataError>([&] { AtomicFile file(folder.path()); }), HasSubstr(folder.path().string()));
}

TEST(AtomicFile, ErrorsNameTheFileThatWasAskedForAndNoTemporary) {
  const TempFolder folder;
  std::filesystem::create_directory(folder / "sub");
  std::filesystem::create_symlink(folder / "sub/target", folder / "link");
  AtomicFile file(folder / "link");
  std::filesystem::remove_all(folder / "sub");
  for (const std::string& error :
       {error_of<DataError>([&] { file.write("a"); }), error_of<DataError>([&] { file.commit(); })}) {
    EXPECT_THAT(error, AllOf(HasSubstr((folder / "link").string() + "'"), Not(HasSubstr(".evenflow-"))));
  }
}

TEST(AtomicFile, MissingFolderIsNamed) {
  const TempFolder folder;
  put(folder / "file", "x");
  EXPECT_THAT(error_of<DataError>([&] { AtomicFile file(folder / "none/a.txt"); }),
              AllOf(HasSubstr((folder / "none/a.txt").string()), HasSubstr("create it first")));
  EXPECT_THAT(error_of<DataError>([&] { write_text(folder / "file/a.txt", "x"); }),
              HasSubstr((folder / "file/a.txt").string()));
}

TEST(WriteText, RoundTripsAnyBytesOverAnOldFile) {
  const TempFolder folder;
  std::string bytes(200'000, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(i * 31 + i / 256);
  }
  write_text(folder / "a", "old");
  write_text(folder / "a", bytes);
  EXPECT_EQ(read_text(folder / "a"), bytes);
  write_text(folder / "a", "");
  EXPECT_EQ(read_text(folder / "a"), "");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("a"));
}

TEST(WriteText, WritesThroughToADevice) {
  EXPECT_NO_THROW(write_text("/dev/null", "gone"));
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  EXPECT_THAT(error_of<DataError>([] { write_text("/dev/full", "no room"); }),
              AllOf(HasSubstr("'/dev/full'"), HasSubstr("No space left on device; make room")));
}

TEST(ReadText, NamesTheFileAndTheReason) {
  const TempFolder folder;
  EXPECT_THAT(error_of<DataError>([&] { read_text(folder / "none"); }),
              AllOf(HasSubstr((folder / "none").string()), HasSubstr("No such file"), HasSubstr("check the path")));
  EXPECT_THAT(error_of<DataError>([&] { read_text(folder.path()); }),
              AllOf(HasSubstr(folder.path().string()), HasSubstr("directory")));
}

}  // namespace
}  // namespace evenflow::io
