#include "io/run_folder.h"

#include "io/config.h"
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

std::vector<std::string> sorted_names(const std::filesystem::path& folder) {
  std::vector<std::string> names = names_in(folder);
  std::sort(names.begin(), names.end());
  return names;
}

constexpr const char* log_line = "2026-01-31T12:00:00Z evenflow 0.1.0 (abc) on cpu\n";

/// What makes a run, put in its place.
void begin(RunFolder& run) {
  for (const auto& file : {run.config(), run.data(), run.checkpoint()}) {
    put(file, "new");
  }
  put(run.log(), log_line);
  run.appear();
}

TEST(RunFolder, AppearsWholeWithItsParents) {
  const TempFolder folder;
  RunFolder run = RunFolder::create(folder / "runs/a");
  EXPECT_FALSE(std::filesystem::exists(folder / "runs/a"));
  begin(run);
  EXPECT_THAT(sorted_names(folder / "runs/a"),
              ElementsAre(".evenflow-lock", "checkpoint.h5", "config.toml", "data.txt", "log.txt"));
  EXPECT_THAT(names_in(folder / "runs"), ElementsAre("a"));
  EXPECT_EQ(run.path(), folder / "runs/a");
  EXPECT_EQ(run.config(), folder / "runs/a/config.toml");
  EXPECT_EQ(run.data(), folder / "runs/a/data.txt");
  EXPECT_EQ(run.model(), folder / "runs/a/model.h5");
  EXPECT_EQ(run.last(), folder / "runs/a/last.h5");
  EXPECT_EQ(run.checkpoint(), folder / "runs/a/checkpoint.h5");
  EXPECT_EQ(run.metrics(), folder / "runs/a/metrics.csv");
  EXPECT_EQ(run.log(), folder / "runs/a/log.txt");
  EXPECT_EQ(run.tensorboard(), folder / "runs/a/tensorboard");
}

TEST(RunFolder, LeavesNothingIfItNeverAppears) {
  const TempFolder folder;
  { put(RunFolder::create(folder / "a").config(), "x"); }
  EXPECT_THAT(names_in(folder.path()), IsEmpty());
  std::filesystem::create_directory(folder / "b");
  { put(RunFolder::create(folder / "b").config(), "x"); }
  EXPECT_THAT(names_in(folder / "b"), IsEmpty());
}

TEST(RunFolder, TakesAnEmptyFolderAndOneThatHoldsOnlyTemporaries) {
  const TempFolder folder;
  std::filesystem::create_directory(folder / "empty");
  put(folder / "killed/.writable.tmp4242-0", "");
  put(folder / "killed/config.toml.tmp4242-1", "");
  for (const char* name : {"empty", "killed"}) {
    RunFolder run = RunFolder::create(folder / name);
    begin(run);
    EXPECT_THAT(sorted_names(folder / name),
                ElementsAre(".evenflow-lock", "checkpoint.h5", "config.toml", "data.txt", "log.txt"));
  }
}

TEST(RunFolder, TwoStartsAtOnceGiveOneRun) {
  const TempFolder folder;
  RunFolder one = RunFolder::create(folder / "a"), other = RunFolder::create(folder / "a");
  begin(one);
  EXPECT_THAT(error_of<DataError>([&] { begin(other); }), AllOf(HasSubstr("meanwhile"), HasSubstr("resume")));
}

TEST(RunFolder, HasOneWriter) {
  const TempFolder folder;
  {
    RunFolder run = RunFolder::create(folder / "a");
    EXPECT_TRUE(run.is_locked());
    begin(run);
    EXPECT_TRUE(run.is_locked());
    for (const auto second : {+[](const TempFolder& f) { RunFolder::resume(f / "a"); },
                              +[](const TempFolder& f) { RunFolder::create(f / "a", RunFolder::Existing::replace); }}) {
      EXPECT_THAT(error_of<DataError>([&] { second(folder); }),
                  AllOf(HasSubstr("is being trained in"), HasSubstr("process "), HasSubstr("since")));
    }
    EXPECT_NO_THROW(RunFolder::open(folder / "a"));
  }
  EXPECT_NO_THROW(RunFolder::resume(folder / "a"));
}

TEST(RunFolder, AReplacementThatWasInterruptedIsFinishedByTheNextStart) {
  const TempFolder folder;
  put(folder / "config.toml", "new");
  put(folder / "model.h5", "old");
  put(folder / "checkpoint.h5", "old");
  put(folder / "notes.md", "mine");
  put(folder / ".evenflow-next/checkpoint.h5", "new");
  put(folder / ".evenflow-next/.evenflow-lock", "");
  EXPECT_EQ(testing::get(RunFolder::open(folder.path()).checkpoint()), "new");
  EXPECT_THAT(sorted_names(folder.path()), ElementsAre("checkpoint.h5", "config.toml", "notes.md"));
}

TEST(RunFolder, ErrorsNameItsPlaceNotTheFolderAside) {
  const TempFolder folder;
  const RunFolder run = RunFolder::create(folder / "a");
  EXPECT_EQ(error_of<DataError>([&] { run.fill([&] { throw DataError("'" + run.model().string() + "' is full"); }); }),
            "'" + (folder / "a/model.h5").string() + "' is full");
}

TEST(RunFolder, KeepsTheShardsItIsTrainedOn) {
  const TempFolder folder;
  RunFolder run = RunFolder::create(folder / "a");
  EXPECT_THAT(run.shards(), IsEmpty());
  run.write_shards({"/data/one.h5", "/data/./two.h5"});
  EXPECT_THAT(run.shards(), ElementsAre("/data/one.h5", "/data/two.h5"));
}

TEST(RunFolder, NeverTouchesAForeignFolder) {
  const TempFolder folder;
  put(folder / "thesis.tex", "years of work");
  put(folder / "model.h5", "someone's");
  for (const auto existing : {RunFolder::Existing::refuse, RunFolder::Existing::replace}) {
    EXPECT_THAT(error_of<DataError>([&] { RunFolder::create(folder.path(), existing); }),
                AllOf(HasSubstr(folder.path().string()), HasSubstr("not empty"), HasSubstr("choose another name")));
  }
  EXPECT_EQ(testing::get(folder / "thesis.tex"), "years of work");
  EXPECT_EQ(testing::get(folder / "model.h5"), "someone's");
  put(folder / "site/config.toml", "title = \"mine\"");
  EXPECT_THROW(RunFolder::create(folder / "site", RunFolder::Existing::replace), DataError);
  EXPECT_THAT(sorted_names(folder / "site"), ElementsAre("config.toml"));
}

TEST(RunFolder, NamesAloneMakeNoRun) {
  const TempFolder folder;
  for (const char* name : {"log.txt", "metrics.csv", "model.h5", "tensorboard/events"}) {
    const std::filesystem::path mine = folder / (std::string("beside_") + name[0]);
    put(mine / "config.toml", "a=1\n");
    put(mine / name, "precious");
    for (const auto existing : {RunFolder::Existing::refuse, RunFolder::Existing::replace}) {
      EXPECT_THAT(error_of<DataError>([&] { RunFolder::create(mine, existing); }),
                  HasSubstr("is not empty and holds no run"));
    }
    EXPECT_EQ(testing::get(mine / name), "precious");
    EXPECT_EQ(testing::get(mine / "config.toml"), "a=1\n");
    put(mine / "config.toml", to_toml(Config{}));
    EXPECT_THROW(RunFolder::create(mine, RunFolder::Existing::replace), DataError);
    EXPECT_EQ(testing::get(mine / name), "precious");
  }
}

TEST(RunFolder, AStartThatWasKilledBeforeThereWasAnythingToKeepIsNoObstacle) {
  const TempFolder folder;
  std::string older = to_toml(Config{});
  const size_t key = older.find("\n# ", older.find("[train]") + 10);
  older.erase(key, older.find("\n# ", key + 1) - key);
  put(folder / "logged/config.toml", "a = 1\n");
  put(folder / "logged/log.txt", log_line);
  put(folder / "alone/config.toml", to_toml(Config{}));
  put(folder / "older/config.toml", older);
  for (const char* name : {"logged", "alone", "older"}) {
    RunFolder run = RunFolder::create(folder / name);
    begin(run);
    EXPECT_EQ(testing::get(folder / name / "config.toml"), "new") << name;
  }
}

TEST(RunFolder, TheLockOfAPersonStays) {
  const TempFolder folder;
  for (const char* name : {".lock", ".evenflow", ".evenflow-lock", ".evenflow-next"}) {
    put(folder / (std::string("with") + name) / name, "precious\n");
    EXPECT_THROW(RunFolder::create(folder / (std::string("with") + name)), DataError) << name;
    EXPECT_EQ(testing::get(folder / (std::string("with") + name) / name), "precious\n");
  }
  put(folder / "run/log.txt", log_line);
  put(folder / "run/config.toml", "x");
  put(folder / "run/.evenflow-lock", "precious\n");
  EXPECT_THAT(error_of<DataError>([&] { RunFolder::resume(folder / "run"); }), HasSubstr(".evenflow-lock"));
  EXPECT_EQ(testing::get(folder / "run/.evenflow-lock"), "precious\n");
}

TEST(RunFolder, ReplacesItsOwnFilesOnlyWhenAsked) {
  const TempFolder folder;
  for (const char* name : {"config.toml", "model.h5", "last.h5", "checkpoint.h5", "metrics.csv", "log.txt",
                           "tensorboard/events", "notes.md"}) {
    put(folder / name, "x");
  }
  put(folder / "log.txt", log_line);
  EXPECT_THAT(error_of<DataError>([&] { RunFolder::create(folder.path()); }),
              AllOf(HasSubstr(folder.path().string()), HasSubstr("resume it")));
  EXPECT_EQ(names_in(folder.path()).size(), 8u);
  { put(RunFolder::create(folder.path(), RunFolder::Existing::replace).config(), "given up"); }
  EXPECT_EQ(names_in(folder.path()).size(), 8u);
  EXPECT_EQ(testing::get(folder / "config.toml"), "x");
  {
    RunFolder run = RunFolder::create(folder.path(), RunFolder::Existing::replace);
    begin(run);
  }
  EXPECT_THAT(sorted_names(folder.path()),
              ElementsAre("checkpoint.h5", "config.toml", "data.txt", "log.txt", "notes.md"));
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
