#include "io/temporary.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "io/atomic_file.h"
#include "tests/io/testing.h"

namespace evenflow::io {
namespace {
namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::get;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::names_in;
using testing::put;
using testing::TempFolder;

/// Runs `work` in a process of its own and kills that with SIGKILL once it has done it.
void killed_after(const std::function<void()>& work) {
  int done[2];
  ASSERT_EQ(::pipe(done), 0);
  const pid_t child = testing::in_child([&] {
    work();
    if (::write(done[1], "x", 1) == 1) {
      ::pause();
    }
    return 1;
  });
  ::close(done[1]);  // else a child that has failed would be waited for
  char word = 0;
  ASSERT_EQ(::read(done[0], &word, 1), 1);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(done[0]);
}

TEST(Temporary, IsUnpredictableLockedAndGoneAtTheEnd) {
  const TempFolder folder;
  {
    const TemporaryFile one(folder.path(), "a", 0666), other(folder.path(), "a", 0666);
    EXPECT_NE(one.path(), other.path());
    EXPECT_EQ(one.path().string().find(std::to_string(::getpid())), std::string::npos);
    clear_leftovers(folder.path(), {"a"});
    EXPECT_TRUE(fs::exists(one.path()));
    EXPECT_TRUE(fs::exists(other.path()));
    EXPECT_TRUE(holds_nothing(folder.path()));
  }
  EXPECT_THAT(names_in(folder.path()), IsEmpty());
}

TEST(Temporary, OfADeadProgramIsClearedWithWhatIsInIt) {
  const TempFolder folder;
  killed_after([&] {
    const auto* file = new AtomicFile(folder / "a.h5");
    put(file->temporary(), "half");
    const auto* aside = new TemporaryFolder(folder.path());
    put(aside->path() / "deep/b", "half");
  });
  EXPECT_EQ(names_in(folder.path()).size(), 2u);
  EXPECT_TRUE(holds_nothing(folder.path()));
  clear_leftovers(folder.path(), {});
  EXPECT_THAT(names_in(folder.path()), IsEmpty());
}

TEST(Temporary, TheNextWriterInTheFolderClearsIt) {
  const TempFolder folder;
  killed_after([&] { put((new AtomicFile(folder / "a.h5"))->temporary(), "half"); });
  write_text(folder / "b.csv", "whole");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("b.csv"));
}

TEST(Temporary, NumberedOnesOfADeadProgramAreClearedAndNothingElse) {
  const TempFolder folder;
  const pid_t dead = testing::in_child([] { return 0; });
  ::waitpid(dead, nullptr, 0);
  const std::string number = std::to_string(dead), own = std::to_string(::getpid());
  put(folder / ("a.h5.tmp" + number + "-0"), "half");
  // Ours by the number, but not by the hand: another container's program had the same.
  put(folder / ("a.h5.tmp" + own + "-0"), "half");
  // Process 1 always lives, and in a container it was the program.
  put(folder / "a.h5.tmp1-0", "half");
  put(folder / "a.h5.tmp1-0x", "notes");
  put(folder / ("c.h5.tmp" + number + "-0"), "another's");
  put(folder / ".evenflow-notes.tmp", "mine");
  clear_leftovers(folder.path(), {"a.h5"});
  auto names = names_in(folder.path());
  std::sort(names.begin(), names.end());
  EXPECT_THAT(names, ElementsAre(".evenflow-notes.tmp", "a.h5.tmp1-0x", "c.h5.tmp" + number + "-0"));
}

TEST(Temporary, ANumberedOneThatSomebodyHasOpenStays) {
  const TempFolder folder;
  const fs::path file = folder / ("a.h5.tmp" + std::to_string(::getpid()) + "-0");
  put(file, "half");
  const int open = ::open(file.c_str(), O_RDONLY);
  clear_leftovers(folder.path(), {"a.h5"});
  EXPECT_TRUE(fs::exists(file));
  ::close(open);
}

TEST(FileLock, KeepsTheSecondOutAndNamesTheHolder) {
  const TempFolder folder;
  const fs::path file = folder / ".lock";
  {
    const std::optional<FileLock> lock = FileLock::take(file);
    ASSERT_TRUE(lock);
    EXPECT_TRUE(lock->works());
    EXPECT_FALSE(FileLock::take(file));
    EXPECT_TRUE(FileLock::is_held(file));
    EXPECT_THAT(FileLock::holder(file), HasSubstr("process " + std::to_string(::getpid()) + " on "));
    EXPECT_THAT(FileLock::holder(file), HasSubstr(", since 20"));
  }
  EXPECT_FALSE(fs::exists(file));
  EXPECT_FALSE(FileLock::is_held(file));
  EXPECT_TRUE(FileLock::take(file));
}

TEST(FileLock, OfADeadProgramIsFree) {
  const TempFolder folder;
  const fs::path file = folder / ".lock";
  killed_after([&] { new std::optional<FileLock>(FileLock::take(file)); });
  EXPECT_TRUE(fs::exists(file));
  EXPECT_TRUE(FileLock::take(file));
}

}  // namespace
}  // namespace evenflow::io
