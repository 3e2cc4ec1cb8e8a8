// What names and folders say of recordings, and what is said of what they do not.
#include <sys/stat.h>

#include <map>

#include "io/audio_names.h"
#include "io/folder_files.h"
#include "io/manifest.h"
#include "tests/io/testing.h"

namespace evenflow::io {
namespace {
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::put;
using testing::TempFolder;
namespace fs = std::filesystem;

/// "train 0 fan 00": split, label, machine and section of each clip, by path.
std::map<std::string, std::string> told(const fs::path& folder) {
  std::map<std::string, std::string> out;
  for (const Clip& clip : read_recordings(folder).clips) {
    out[clip.path] = std::string(clip.split == Split::train ? "train " : "test ") + std::to_string(clip.label) + " " +
                     clip.machine + " " + clip.section;
  }
  return out;
}

void put_all(const fs::path& folder, const std::vector<std::string>& files) {
  for (const std::string& file : files) {
    put(folder / file, "x");
  }
}

TEST(Folders, OfMimii) {
  const TempFolder folder;
  put_all(folder / "fan", {"id_00/normal/0.wav", "id_00/abnormal/0.wav", "id_02/normal/0.wav"});
  const std::map<std::string, std::string> expected = {{"id_00/normal/0.wav", "test 0 fan 00"},
                                                       {"id_00/abnormal/0.wav", "test 1 fan 00"},
                                                       {"id_02/normal/0.wav", "test 0 fan 02"}};
  EXPECT_EQ(told(folder / "fan"), expected);
  EXPECT_THAT(read_recordings(folder / "fan").notes,
              ElementsAre(HasSubstr("'abnormal', 'id_00', 'id_02', 'normal'"), HasSubstr("manifest with split train")));
  // The same from above, and from each folder below.
  put_all(folder / "all/-6_dB_fan/fan", {"id_00/normal/0.wav"});
  EXPECT_EQ(told(folder / "all").at("-6_dB_fan/fan/id_00/normal/0.wav"), "test 0 fan 00");
  EXPECT_EQ(told(folder / "fan/id_00").at("abnormal/0.wav"), "test 1 fan 00");
  EXPECT_EQ(told(folder / "fan/id_00/abnormal").at("0.wav"), "test 1 fan 00");
  EXPECT_EQ(told(folder / "fan/id_00/abnormal/0.wav").at("0.wav"), "test 1 fan 00");
}

TEST(Folders, OfAnomalib) {
  const TempFolder folder;
  put_all(folder / "bottle", {"train/good/0.wav", "test/good/0.wav", "test/bad/0.wav", "test/broken_neck/0.wav",
                              "ground_truth/broken_neck/0_mask.png"});
  const std::map<std::string, std::string> expected = {{"train/good/0.wav", "train 0 bottle "},
                                                       {"test/good/0.wav", "test 0 bottle "},
                                                       {"test/bad/0.wav", "test 1 bottle "},
                                                       {"test/broken_neck/0.wav", "test 1 bottle "}};
  EXPECT_EQ(told(folder / "bottle"), expected);
  EXPECT_THAT(read_recordings(folder / "bottle").notes,
              AllOf(Contains(AllOf(HasSubstr("taken for anomalies"), HasSubstr("'broken_neck'"))),
                    Contains(HasSubstr("1 .png"))));
  EXPECT_EQ(told(folder / "bottle/train").at("good/0.wav"), "train 0 bottle ");
  EXPECT_EQ(told(folder / "bottle/train/good").at("0.wav"), "train 0 bottle ");
  put_all(folder / "two", {"bottle/train/good/0.wav", "bottle/test/cut/0.wav", "cable/test/cut/0.wav"});
  EXPECT_EQ(told(folder / "two").at("bottle/test/cut/0.wav"), "test 1 bottle ");
  EXPECT_EQ(told(folder / "two").at("cable/test/cut/0.wav"), "test -1 cable ");  // nothing good beside it
}

TEST(Folders, OfNormalAndAbnormalInAnyLetters) {
  const TempFolder folder;
  put_all(folder / "pump", {"Normal/0.wav", "Normal/monday/1.wav", "ANOMALY/0.wav", "other/0.wav"});
  const std::map<std::string, std::string> expected = {{"Normal/0.wav", "test 0 pump "},
                                                       {"Normal/monday/1.wav", "test 0 pump "},
                                                       {"ANOMALY/0.wav", "test 1 pump "},
                                                       {"other/0.wav", "test -1  "}};
  EXPECT_EQ(told(folder / "pump"), expected);
  EXPECT_THAT(read_recordings(folder / "pump").notes,
              Contains(AllOf(HasSubstr("1 recording without a label"), HasSubstr("'other/0.wav'"))));
}

TEST(Folders, OutsideTheOneGivenAreAMachineOnlyWhereTheirLayoutIsKnown) {
  const TempFolder folder;
  put_all(folder / "pump", {"test/0.wav", "normal/0.wav", "train/good/0.wav"});
  EXPECT_EQ(told(folder / "pump/test").at("0.wav"), "test -1  ");
  EXPECT_EQ(told(folder / "pump/normal").at("0.wav"), "test 0  ");
  EXPECT_EQ(told(folder / "pump/train/good").at("0.wav"), "train 0 pump ");
  EXPECT_EQ(told(folder / "pump/train").at("good/0.wav"), "train 0 pump ");
}

TEST(Folders, OfTrainAndTestAlone) {
  const TempFolder folder;
  put_all(folder / "pump", {"train/0.wav", "test/0.wav", "0.wav"});
  const std::map<std::string, std::string> expected = {
      {"train/0.wav", "train -1 pump "}, {"test/0.wav", "test -1 pump "}, {"0.wav", "test -1  "}};
  EXPECT_EQ(told(folder / "pump"), expected);
  EXPECT_THAT(read_recordings(folder / "pump").notes, Contains(HasSubstr("1 recording in no folder named train or")));
  put_all(folder / "by_split", {"train/fan/normal/0.wav", "test/fan/abnormal/0.wav"});
  EXPECT_EQ(told(folder / "by_split").at("train/fan/normal/0.wav"), "train 0 fan ");
}

TEST(Folders, AboveTheOneGivenSayNothing) {
  const TempFolder folder;
  put_all(folder / "normal/bad/archive", {"monday/0.wav"});
  EXPECT_EQ(told(folder / "normal/bad/archive").at("monday/0.wav"), "test -1  ");
}

TEST(Folders, OfBothLabelsOrSplitsAreRefused) {
  const TempFolder folder;
  put_all(folder / "a", {"normal/abnormal/0.wav"});
  put_all(folder / "b", {"train/test/0.wav"});
  EXPECT_THAT(error_of<DataError>([&] { read_recordings(folder / "a"); }),
              AllOf(HasSubstr("normal/abnormal/0.wav"), HasSubstr("both labels"), HasSubstr("manifest")));
  EXPECT_THAT(error_of<DataError>([&] { read_recordings(folder / "b"); }), HasSubstr("both train and test"));
}

TEST(Folders, WithAManifestAreReadByIt) {
  const TempFolder folder;
  put_all(folder.path(), {"a.wav", "b.wav", "sub/c.wav"});
  put(folder / "manifest.csv",
      "path,split,label,machine,speed\na.wav,train,normal,m,1\n./sub/c.wav,test,anomaly,m,2\n");
  const Manifest m = read_recordings(folder.path());
  EXPECT_EQ(m.clips.size(), 2u);
  EXPECT_THAT(m.parameter_names, ElementsAre("speed"));
  EXPECT_THAT(m.notes,
              ElementsAre(HasSubstr("manifest.csv"), HasSubstr("1 recording that manifest.csv does not list")));
}

TEST(Folders, WithAnotherManifestAreRefusedByName) {
  for (const std::string file : {"list.csv", "Manifest.CSV", "rail/manifest.csv"}) {
    for (const std::string header : {"path,split,label,machine,speed\n", "\"path\",\"label\",\"split\",\"machine\"\n",
                                     "\xef\xbb\xbfPath;Split;Label;Machine\r\n"}) {
      const TempFolder folder;
      put(folder / "rail/a.wav", "x");
      put(folder / file, header + "a.wav,train,normal,m,1\n");
      EXPECT_THAT(error_of<UsageError>([&] { read_recordings(folder.path()); }),
                  AllOf(HasSubstr(file), HasSubstr("in place of the folder")));
    }
  }
}

TEST(Folders, WithOtherTablesAreRead) {
  const TempFolder folder;
  put_all(folder.path(), {"a.wav"});
  put(folder / "scores.csv", "path,machine,label,score,decision,split,domain,section\na.wav,m,0,1,0,test,,\n");
  put(folder / "list.csv", "path,remark\na.wav,loud\n");
  EXPECT_EQ(read_recordings(folder.path()).clips.size(), 1u);
  EXPECT_THAT(read_recordings(folder.path()).notes, ElementsAre(HasSubstr("2 .csv")));
}

TEST(Folders, OtherFilesAreCountedByEnding) {
  const TempFolder folder;
  put_all(folder.path(), {"a.wav", "b.mp9", "c/d.MP9", "c/e.txt", "README", ".hidden.txt", ".git/config"});
  EXPECT_THAT(read_recordings(folder.path()).notes, ElementsAre("left out, as only " + audio_endings_text() +
                                                                " are read: 2 .mp9, 1 without an ending, 1 .txt"));
  fs::remove(folder / "a.wav");
  EXPECT_THAT(error_of<DataError>([&] { read_recordings(folder.path()); }),
              AllOf(HasSubstr("no recordings"), HasSubstr("2 .mp9")));
  std::vector<fs::path> many;
  many.reserve(20);
  for (int i = 0; i < 20; ++i) {
    many.emplace_back("a.e" + std::to_string(i));
  }
  EXPECT_THAT(count_endings(many), HasSubstr(" and 12 other kinds"));
}

TEST(Folders, LinksAreFollowedOnce) {
  const TempFolder folder;
  put_all(folder.path(), {"in/sub/b.wav", "out/c.wav"});
  fs::create_directory_symlink(folder / "in", folder / "in/sub/loop");
  fs::create_directory_symlink(folder / "out", folder / "in/another");
  fs::create_directory_symlink(folder / "out", folder / "in/once_more");
  fs::create_symlink("nowhere.wav", folder / "in/lost.wav");
  const FolderFiles files = list_files(folder / "in");
  EXPECT_THAT(files.recordings, ElementsAre("another/c.wav", "lost.wav", "sub/b.wav"));
  EXPECT_THAT(files.notes, ElementsAre(HasSubstr("'once_more'"), HasSubstr("'sub/loop'")));
}

TEST(Folders, WhatIsNoRegularFileIsNamed) {
  const TempFolder folder;
  put_all(folder.path(), {"a.wav"});
  ASSERT_EQ(::mkfifo((folder / "pipe.wav").c_str(), 0600), 0);
  const Manifest m = read_recordings(folder.path());
  EXPECT_EQ(m.clips.size(), 1u);
  EXPECT_THAT(m.notes, ElementsAre("left out: 'pipe.wav', which is not a regular file"));
}

TEST(Folders, NamesThatMayNotEnterAreRefused) {
  for (const std::string name : {"L\xfc"
                                 "fter.wav",
                                 "a\x1b[2J.wav", "line\nend.wav", "a\u202e.wav"}) {
    const TempFolder folder;
    put(folder / name, "x");
    EXPECT_THAT(error_of<DataError>([&] { read_recordings(folder.path()); }),
                AllOf(HasSubstr("\\"), HasSubstr("rename")))
        << name;
  }
  const TempFolder folder;
  put(folder / std::string(200, 'm') / "train/normal_id_00_00000000.wav", "x");
  EXPECT_THAT(error_of<DataError>([&] { read_recordings(folder.path()); }),
              AllOf(HasSubstr("200 bytes long"), HasSubstr("machine")));
}

TEST(Recordings, OfNoKnownKindAreNamed) {
  const TempFolder folder;
  put(folder / "clip.mp9", std::string("\1\2\0\0\0\0\0\0", 8));
  put(folder / "f.h5", std::string("\x89HDF\r\n\x1a\n\0\0", 10));
  EXPECT_THAT(error_of<DataError>([&] { read_recordings(folder / "clip.mp9"); }),
              AllOf(HasSubstr("clip.mp9"), HasSubstr(audio_endings_text()), HasSubstr("convert")));
  EXPECT_THAT(error_of<DataError>([&] { read_recordings(folder / "f.h5"); }), HasSubstr("give recordings"));
}

}  // namespace
}  // namespace evenflow::io
