#include "io/output_folder.h"

#include "tests/io/testing.h"

namespace evenflow::io {
namespace {
namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_of;
using testing::get;
using ::testing::HasSubstr;
using testing::names_in;
using testing::put;
using testing::TempFolder;

const auto never = [](const fs::path&) { return false; };

TEST(OutputFolder, IsMadeMarkedAndClaimedAgainBesideNotes) {
  const TempFolder folder;
  {
    const OutputFolder claimed(folder / "deep/study", "study", never, false);
    put(folder / "deep/study/table.csv", "1");
  }
  EXPECT_TRUE(std::filesystem::exists(folder / "deep/study/.evenflow"));
  EXPECT_FALSE(std::filesystem::exists(folder / "deep/study/.evenflow-lock"));
  put(folder / "deep/study/notes.txt", "mine");
  EXPECT_NO_THROW(OutputFolder(folder / "deep/study", "study", never, false));
  EXPECT_EQ(get(folder / "deep/study/notes.txt"), "mine");
}

TEST(OutputFolder, ThatRemainedEmptyKeepsNoMark) {
  const TempFolder folder;
  { const OutputFolder claimed(folder / "study", "study", never, false); }
  EXPECT_TRUE(std::filesystem::is_empty(folder / "study"));
}

TEST(OutputFolder, RefusesWhatIsNotItsOwnAndLeavesItAsItWas) {
  const TempFolder folder;
  put(folder / "notes.txt", "mine");
  EXPECT_THAT(error_of<UsageError>([&] { OutputFolder(folder.path(), "study", never, false); }),
              AllOf(HasSubstr(folder.path().string()), HasSubstr("'notes.txt'"), HasSubstr("--force")));
  EXPECT_THAT(names_in(folder.path()), ElementsAre("notes.txt"));
  { const OutputFolder forced(folder.path(), "study", never, true); }
  EXPECT_THROW(OutputFolder(folder.path(), "report", never, false), UsageError);
}

TEST(OutputFolder, TakesAnOlderEvenflowsAndOneThatHoldsOnlyTemporaries) {
  const TempFolder folder;
  put(folder / "older/table.csv", "x");
  EXPECT_NO_THROW(OutputFolder(
      folder / "older", "study", [](const fs::path&) { return true; }, false));
  put(folder / "killed/.evenflow-lock", "");
  put(folder / "killed/manifest.csv.tmp4242-0", "");
  EXPECT_NO_THROW(OutputFolder(folder / "killed", "study", never, false));
}

TEST(OutputFolder, ARefusalAfterTheClaimLeavesNoMark) {
  const TempFolder folder;
  put(folder / "older/table.csv", "mine");
  const auto refused = [&](bool written) {
    const OutputFolder claimed(
        folder / "older", "study", [](const fs::path&) { return true; }, false);
    if (written) {
      put(folder / "older/new.csv", "x");
    }
    throw UsageError("no");
  };
  EXPECT_THROW(refused(false), UsageError);
  EXPECT_THAT(names_in(folder / "older"), ElementsAre("table.csv"));
  EXPECT_THROW(refused(true), UsageError);
  EXPECT_TRUE(fs::exists(folder / "older/.evenflow"));
}

TEST(OutputFolder, TheHiddenFilesOfAPersonStay) {
  const TempFolder folder;
  for (const char* name : {".evenflow", ".evenflow-lock"}) {
    for (const bool force : {false, true}) {
      const fs::path mine = folder / (std::string("with") + name);
      put(mine / name, "precious\n");
      EXPECT_THAT(error_of<UsageError>([&] { OutputFolder(mine, "study", never, force); }), HasSubstr(name));
      EXPECT_EQ(get(mine / name), "precious\n");
      EXPECT_THAT(names_in(mine), ElementsAre(name));
    }
  }
}

TEST(OutputFolder, HasOneWriter) {
  const TempFolder folder;
  const OutputFolder first(folder.path(), "study", never, false);
  EXPECT_THAT(error_of<DataError>([&] { OutputFolder(folder.path(), "study", never, true); }),
              AllOf(HasSubstr("another evenflow is writing"), HasSubstr("process ")));
}

}  // namespace
}  // namespace evenflow::io
