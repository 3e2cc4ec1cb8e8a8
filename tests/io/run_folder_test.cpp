#include "io/run_folder.h"

#include "tests/io/testing.h"

namespace evenflow::io {
namespace {
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::names_in;
using testing::put;
using testing::TempFolder;

TEST(RunFolder, CreatesParentsAndLeavesItEmpty) {
  const TempFolder folder;
  const RunFolder run = RunFolder::create(folder / "runs/a");
  EXPECT_THAT(names_in(folder / "runs/a"), IsEmpty());
  EXPECT_EQ(run.path(), folder / "runs/a");
  EXPECT_EQ(run.config(), folder / "runs/a/config.toml");
  EXPECT_EQ(run.model(), folder / "runs/a/model.h5");
  EXPECT_EQ(run.last(), folder / "runs/a/last.h5");
  EXPECT_EQ(run.checkpoint(), folder / "runs/a/checkpoint.h5");
  EXPECT_EQ(run.metrics(), folder / "runs/a/metrics.csv");
  EXPECT_EQ(run.log(), folder / "runs/a/log.txt");
  EXPECT_EQ(run.tensorboard(), folder / "runs/a/tensorboard");
}

TEST(RunFolder, TakesAnEmptyFolder) {
  const TempFolder folder;
  EXPECT_EQ(RunFolder::create(folder.path()).path(), folder.path());
}

TEST(RunFolder, NeverTouchesAForeignFolder) {
  const TempFolder folder;
  put(folder / "thesis.tex", "years of work");
  put(folder / "model.h5", "someone's");
  for (const auto existing : {RunFolder::Existing::refuse, RunFolder::Existing::replace})
    EXPECT_THAT(error_of<DataError>([&] { RunFolder::create(folder.path(), existing); }),
                AllOf(HasSubstr(folder.path().string()), HasSubstr("not empty"), HasSubstr("choose another name")));
  EXPECT_EQ(testing::get(folder / "thesis.tex"), "years of work");
  EXPECT_EQ(testing::get(folder / "model.h5"), "someone's");
}

TEST(RunFolder, ReplacesItsOwnFilesOnlyWhenAsked) {
  const TempFolder folder;
  for (const char* name : {"config.toml", "model.h5", "last.h5", "checkpoint.h5", "metrics.csv", "log.txt",
                           "tensorboard/events", "notes.md"})
    put(folder / name, "x");
  EXPECT_THAT(error_of<DataError>([&] { RunFolder::create(folder.path()); }),
              AllOf(HasSubstr(folder.path().string()), HasSubstr("resume it")));
  EXPECT_EQ(names_in(folder.path()).size(), 8u);
  RunFolder::create(folder.path(), RunFolder::Existing::replace);
  EXPECT_THAT(names_in(folder.path()), ElementsAre("notes.md"));
}

TEST(RunFolder, AFileInTheWayIsNamed) {
  const TempFolder folder;
  put(folder / "runs", "a file");
  EXPECT_THAT(error_of<DataError>([&] { RunFolder::create(folder / "runs"); }),
              AllOf(HasSubstr((folder / "runs").string()), HasSubstr("in the way")));
  EXPECT_THAT(error_of<DataError>([&] { RunFolder::create(folder / "runs/a"); }),
              AllOf(HasSubstr((folder / "runs/a").string()), HasSubstr("you can write to")));
}

TEST(RunFolder, OpensOnlyARun) {
  const TempFolder folder;
  EXPECT_THAT(error_of<DataError>([&] { RunFolder::open(folder / "none"); }),
              AllOf(HasSubstr((folder / "none").string()), HasSubstr("does not exist")));
  EXPECT_THAT(error_of<DataError>([&] { RunFolder::open(folder.path()); }), HasSubstr("no config.toml"));
  put(folder / "config.toml", "");
  EXPECT_EQ(RunFolder::open(folder.path()).path(), folder.path());
}

}  // namespace
}  // namespace evenflow::io
