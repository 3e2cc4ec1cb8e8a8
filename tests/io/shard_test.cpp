#include "io/shard.h"

#include <hdf5.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <csignal>
#include <cstring>
#include <functional>
#include <limits>
#include <thread>

#include "io/hdf5_file.h"
#include "io/model_file.h"
#include "tests/io/hdf5_damage.h"
#include "tests/io/testing.h"

namespace evenflow::io {
namespace {
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_of;
using testing::exit_code;
using testing::get;
using ::testing::HasSubstr;
using testing::in_child;
using ::testing::IsEmpty;
using testing::names_in;
using testing::put;
using testing::TempFolder;

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

FrontendSettings small_frontend() {
  return {8000, "1", 512, 256, PadMode::zero, 8};
}

/// Frames that differ everywhere, with NaN, infinity, a subnormal and minus zero among them.
std::vector<float> frames_of(int clip, int64_t frames, int bands) {
  std::vector<float> out(static_cast<size_t>(frames * bands));
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = -80.0f + static_cast<float>(clip) + 0.001f * static_cast<float>(i % 50'000);
  }
  out[0] = std::bit_cast<float>(0x7fc12345u);
  if (out.size() > 3) {
    out[1] = -std::numeric_limits<float>::infinity();
    out[2] = 1e-42f;
    out[3] = -0.0f;
  }
  return out;
}

std::vector<Clip> some_clips() {
  return {{"a b/1.wav", "slide rail", Split::train, 0, {100.0, nan_value}, "source", "00"},
          {"\xC3\xBC/2.wav", "", Split::test, 1, {-0.0, 1e-300}, "", ""},
          {"3.wav", "fan", Split::test, -1, {nan_value, nan_value}, "target", "01"}};
}
const std::vector<int64_t> clip_frames = {313, 1, 130};

void write_some(const std::filesystem::path& file) {
  ShardWriter writer(file, small_frontend(), {"velocity_mm_s", "weight, kg"});
  const std::vector<Clip> clips = some_clips();
  for (int i = 0; i < 3; ++i) {
    writer.append(clips[static_cast<size_t>(i)], frames_of(i, clip_frames[static_cast<size_t>(i)], 8));
  }
  writer.finish();
}

void read_all(const std::filesystem::path& file) {
  const Shard shard(file);
  (void)shard.data_hash();
}

bool same_bits(double a, double b) {
  return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
}

// HDF5's chunk cache must keep to its 16 MiB, however windows are read.
TEST(Shard, RandomWindowsOfALargeShardTakeLittleMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's allocator does not say what it holds";
#endif
  const TempFolder folder;
  FrontendSettings frontend = small_frontend();
  frontend.mel_bands = 128;
  constexpr int64_t clips = 400, frames = 313, window = 64;
  {
    ShardWriter writer(folder / "large.h5", frontend, {});
    for (int i = 0; i < clips; ++i) {
      writer.append({std::to_string(i), "", Split::train, 0, {}, "", ""}, frames_of(i, frames, 128));
    }
    writer.finish();
  }
  const Shard shard(folder / "large.h5");
  std::vector<float> out(static_cast<size_t>(window * 128));
  const auto held = [] { return mallinfo2().uordblks + mallinfo2().hblkhd; };
  const size_t before = held();
  uint64_t random = 1;
  for (int i = 0; i < 4000; ++i) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    shard.read_frames(static_cast<int64_t>((random >> 33) % (clips * frames - window)), window, out.data());
  }
  constexpr size_t mib = 1 << 20;
  EXPECT_LE(held(), before + 20 * mib) << "of a shard of 61 MiB";
}

TEST(Shard, RoundTripsToTheBit) {
  const TempFolder folder;
  write_some(folder / "s.h5");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("s.h5"));
  const Shard shard(folder / "s.h5");
  EXPECT_EQ(shard.path(), folder / "s.h5");
  EXPECT_EQ(shard.frontend(), small_frontend());
  EXPECT_EQ(shard.mel_bands(), 8);
  EXPECT_THAT(shard.parameter_names(), ElementsAre("velocity_mm_s", "weight, kg"));
  EXPECT_THAT(shard.offsets(), ElementsAre(0, 313, 314, 444));
  EXPECT_EQ(shard.frames(), 444);
  const std::vector<Clip> expected = some_clips();
  ASSERT_EQ(shard.clips().size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const Clip& clip = shard.clips()[i];
    EXPECT_EQ(clip.path, expected[i].path);
    EXPECT_EQ(clip.machine, expected[i].machine);
    EXPECT_EQ(clip.split, expected[i].split);
    EXPECT_EQ(clip.label, expected[i].label);
    EXPECT_EQ(clip.domain, expected[i].domain);
    EXPECT_EQ(clip.section, expected[i].section);
    ASSERT_EQ(clip.parameter.size(), 2u);
    for (size_t p = 0; p < 2; ++p) {
      EXPECT_TRUE(same_bits(clip.parameter[p], expected[i].parameter[p])) << i << p;
    }
    const std::vector<float> frames = frames_of(static_cast<int>(i), clip_frames[i], 8);
    std::vector<float> read(frames.size());
    shard.read_frames(shard.offsets()[i], clip_frames[i], read.data());
    EXPECT_EQ(std::memcmp(read.data(), frames.data(), frames.size() * sizeof(float)), 0) << i;
  }
}

TEST(Shard, ReadsAnyRangeAndNothingBeside) {
  const TempFolder folder;
  write_some(folder / "s.h5");
  const Shard shard(folder / "s.h5");
  std::vector<float> whole(444 * 8);
  shard.read_frames(0, 444, whole.data());
  for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 1}, {127, 2}, {300, 64}, {443, 1}, {444, 0}}) {
    std::vector<float> part(static_cast<size_t>(count + 2) * 8, 42.0f);
    shard.read_frames(first, count, part.data() + 8);
    for (size_t i = 0; i < 8; ++i) {
      EXPECT_EQ(part[i], 42.0f);
      EXPECT_EQ(part[part.size() - 1 - i], 42.0f);
    }
    EXPECT_EQ(std::memcmp(part.data() + 8, whole.data() + first * 8, static_cast<size_t>(count) * 32), 0);
  }
  float unused = 0.0f;
  for (const auto& range :
       {std::pair<int64_t, int64_t>{-1, 1}, {0, 445}, {444, 1}, {0, -1}, {1, std::numeric_limits<int64_t>::max()}}) {
    EXPECT_THAT(error_of<DataError>([&] { shard.read_frames(range.first, range.second, &unused); }),
                AllOf(HasSubstr((folder / "s.h5").string()), HasSubstr("outside")));
  }
}

TEST(Shard, SaysWhereItsFramesWereComputed) {
  const TempFolder folder;
  write_some(folder / "s.h5");
  EXPECT_EQ(Shard(folder / "s.h5").device(), "cpu");
  ShardWriter(folder / "gpu.h5", small_frontend(), {}, "cuda:1").finish();
  EXPECT_EQ(Shard(folder / "gpu.h5").device(), "cuda:1");
  const hid_t file = H5Fopen((folder / "gpu.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  EXPECT_GE(H5Adelete_by_name(file, "/frontend", "device", H5P_DEFAULT), 0);
  H5Fclose(file);
  EXPECT_EQ(Shard(folder / "gpu.h5").device(), "cpu") << "an older program's shard";
}

TEST(Shard, EmptyAndWithoutParameters) {
  const TempFolder folder;
  ShardWriter(folder / "none.h5", small_frontend(), {}).finish();
  const Shard none(folder / "none.h5");
  EXPECT_THAT(none.clips(), IsEmpty());
  EXPECT_THAT(none.offsets(), ElementsAre(0));
  EXPECT_THAT(none.parameter_names(), IsEmpty());
  ShardWriter writer(folder / "plain.h5", small_frontend(), {});
  writer.append({"a.wav", "m", Split::train, 0, {}, "", ""}, frames_of(0, 5, 8));
  writer.finish();
  EXPECT_THAT(Shard(folder / "plain.h5").clips().at(0).parameter, IsEmpty());
}

TEST(Shard, SameContentGivesTheSameBytes) {
  const TempFolder folder;
  write_some(folder / "a.h5");
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // HDF5's times have a resolution of a second
  write_some(folder / "b.h5");
  EXPECT_TRUE(get(folder / "a.h5") == get(folder / "b.h5"));
}

TEST(Shard, HashIsFnvOverFramesOffsetsAndParameters) {
  const TempFolder folder;
  const std::vector<float> frames = frames_of(0, 3, 8);
  const auto hash_with = [&](const Clip& clip, const std::vector<float>& values) {
    ShardWriter writer(folder / "h.h5", small_frontend(), {"v"});
    writer.append(clip, values);
    writer.finish();
    return Shard(folder / "h.h5").data_hash();
  };
  const Clip clip{"a.wav", "m", Split::train, 0, {2.5}, "", ""};
  std::string bytes(reinterpret_cast<const char*>(frames.data()), frames.size() * 4);
  const int64_t offsets[] = {0, 3};
  bytes.append(reinterpret_cast<const char*>(offsets), sizeof offsets);
  const double value = 2.5;
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  uint64_t state = 0xcbf29ce484222325u;
  for (const char c : bytes) {
    state = (state ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }
  char expected[17];
  snprintf(expected, sizeof expected, "%016llx", static_cast<unsigned long long>(state));
  EXPECT_EQ(hash_with(clip, frames), expected);

  Clip moved = clip;
  moved.path = "elsewhere/a.wav";
  EXPECT_EQ(hash_with(moved, frames), expected);
  Clip faster = clip;
  faster.parameter = {2.6};
  EXPECT_NE(hash_with(faster, frames), expected);
  std::vector<float> louder = frames;
  louder.back() += 1.0f;
  EXPECT_NE(hash_with(clip, louder), expected);
  // Whatever NaN a reader passes, unknown is one value.
  Clip unknown = clip;
  unknown.parameter = {nan_value};
  Clip other_unknown = clip;
  other_unknown.parameter = {std::bit_cast<double>(0xfff8000000000123u)};
  EXPECT_EQ(hash_with(unknown, frames), hash_with(other_unknown, frames));
}

TEST(Shard, SeveralThreadsReadAtOnce) {
  const TempFolder folder;
  write_some(folder / "s.h5");
  const Shard shard(folder / "s.h5");
  std::vector<float> whole(444 * 8);
  shard.read_frames(0, 444, whole.data());
  std::vector<std::thread> threads;
  threads.reserve(4);
  std::vector<int> wrong(4, 0);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::vector<float> part(64 * 8);
      for (int64_t i = 0; i < 100; ++i) {
        const int64_t first = (i * 37 + t * 11) % 380;
        shard.read_frames(first, 64, part.data());
        wrong[static_cast<size_t>(t)] += std::memcmp(part.data(), whole.data() + first * 8, part.size() * 4) != 0;
        // Opening is serialised with reading too, errors included.
        try {
          Shard(folder / "missing.h5");
        } catch (const DataError&) {
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_THAT(wrong, ElementsAre(0, 0, 0, 0));
}

/// Three tools beside a velocity, written in an order of their own and with one that no clip has.
void write_tools(const std::filesystem::path& file, const std::vector<std::string>& names = {"C", "A", "none", "B"}) {
  ShardWriter writer(file, small_frontend(), {"velocity_mm_s", "tool"}, "cpu", {{}, names});
  for (const double tool : {0.0, 3.0, nan_value, 1.0}) {
    writer.append({std::to_string(tool) + ".wav", "", Split::train, 0, {100.0, tool}, "", ""}, frames_of(0, 3, 8));
  }
  writer.finish();
}

TEST(ShardCategories, AreSortedAndThoseOfItsClips) {
  const TempFolder folder;
  write_tools(folder / "s.h5");
  const Shard shard(folder / "s.h5");
  EXPECT_THAT(shard.categories(), ElementsAre(IsEmpty(), ElementsAre("A", "B", "C")));
  std::vector<double> tools;
  for (const Clip& clip : shard.clips()) {
    EXPECT_EQ(clip.parameter.at(0), 100.0);
    tools.push_back(clip.parameter.at(1));
  }
  EXPECT_THAT(tools, ElementsAre(2.0, 1.0, ::testing::IsNan(), 0.0));
}

TEST(ShardCategories, MakeAVersionOfTheirOwnThatOlderProgramsRefuse) {
  const TempFolder folder;
  write_tools(folder / "s.h5");
  write_some(folder / "numbers.h5");
  EXPECT_EQ(Hdf5File::open(folder / "s.h5").version(), 3);
  EXPECT_EQ(Hdf5File::open(folder / "numbers.h5").version(), 2);
  EXPECT_FALSE(Hdf5File::open(folder / "numbers.h5").exists("/clip/category"));
  EXPECT_THAT(Shard(folder / "numbers.h5").categories(), ElementsAre(IsEmpty(), IsEmpty()));
}

TEST(ShardCategories, TheirNamesAreInTheHash) {
  const TempFolder folder;
  write_tools(folder / "s.h5");
  write_tools(folder / "other.h5", {"C", "A", "none", "BB"});
  EXPECT_NE(Shard(folder / "s.h5").data_hash(), Shard(folder / "other.h5").data_hash());
}

TEST(ShardCategories, ACodeThatIsNoneIsRefusedAtOnce) {
  const TempFolder folder;
  ShardWriter writer(folder / "s.h5", small_frontend(), {"tool"}, "cpu", {{"A", "B"}});
  for (const double tool : {2.0, -1.0, 0.5}) {
    EXPECT_THAT(error_of<DataError>([&] {
                  writer.append({"a.wav", "", Split::train, 0, {tool}, "", ""}, frames_of(0, 3, 8));
                }),
                HasSubstr("of 'tool', expected the place of one of 2 names"));
  }
}

TEST(ShardWriter, MemoryStaysAndFramesGoToDisk) {
  const TempFolder folder;
  ShardWriter writer(folder / "s.h5", small_frontend(), {});
  const std::vector<float> frames = frames_of(0, 4096, 8);
  constexpr size_t clip_bytes = 4096 * 8 * 4;
  for (int i = 0; i < 64; ++i) {
    writer.append({"a.wav", "m", Split::train, 0, {}, "", ""}, frames);
  }
  const std::string temporary = names_in(folder.path()).at(0);
  EXPECT_GT(std::filesystem::file_size(folder / temporary), (64 - 16) * clip_bytes);
  EXPECT_FALSE(is_shard(folder / temporary));
}

TEST(ShardWriter, GivenUpLeavesNothing) {
  const TempFolder folder;
  {
    ShardWriter writer(folder / "s.h5", small_frontend(), {});
    writer.append({"a.wav", "m", Split::train, 0, {}, "", ""}, frames_of(0, 10, 8));
    EXPECT_EQ(names_in(folder.path()).size(), 1u);
  }
  EXPECT_THAT(names_in(folder.path()), IsEmpty());
}

TEST(ShardWriter, MovesAndEndsOnce) {
  const TempFolder folder;
  ShardWriter first(folder / "s.h5", small_frontend(), {});
  ShardWriter writer = std::move(first);
  const Clip clip{"a.wav", "m", Split::train, 0, {}, "", ""};
  writer.append(clip, frames_of(0, 10, 8));
  writer.finish();
  EXPECT_THAT(error_of<DataError>([&] { writer.finish(); }), HasSubstr("finished"));
  EXPECT_THAT(error_of<DataError>([&] { writer.append(clip, frames_of(0, 10, 8)); }), HasSubstr("finished"));
  EXPECT_EQ(Shard(folder / "s.h5").frames(), 10);
}

TEST(ShardWriter, RefusesWhatDoesNotFitAndGoesOn) {
  const TempFolder folder;
  ShardWriter writer(folder / "s.h5", small_frontend(), {"v"});
  const Clip good{"good.wav", "m", Split::train, 0, {1.0}, "", ""};
  Clip bad = good;
  bad.path = "bad.wav";
  EXPECT_THAT(error_of<DataError>([&] { writer.append(bad, std::vector<float>(7)); }),
              AllOf(HasSubstr("bad.wav"), HasSubstr("whole frames of 8")));
  EXPECT_THAT(error_of<DataError>([&] { writer.append(bad, {}); }), HasSubstr("whole frames of 8"));
  bad.parameter = {};
  EXPECT_THAT(error_of<DataError>([&] { writer.append(bad, std::vector<float>(8)); }), HasSubstr("0 parameters"));
  bad = good;
  bad.label = 2;
  EXPECT_THAT(error_of<DataError>([&] { writer.append(bad, std::vector<float>(8)); }), HasSubstr("label 2"));
  writer.append(good, std::vector<float>(8));
  writer.finish();
  EXPECT_EQ(Shard(folder / "s.h5").clips().size(), 1u);
}

TEST(ShardWriter, AFolderThatCannotBeWrittenIsNamed) {
  const TempFolder folder;
  put(folder / "file", "x");
  for (const char* name : {"file/s.h5", "none/s.h5"}) {
    EXPECT_THAT(error_of<DataError>([&] { ShardWriter(folder / name, small_frontend(), {}); }),
                HasSubstr((folder / name).string()));
  }
}

TEST(ShardWriter, KilledLeavesNoShardUnderTheFinalName) {
  const TempFolder folder;
  write_some(folder / "old.h5");
  const std::string old = get(folder / "old.h5");
  for (const std::string name : {"new.h5", "old.h5"}) {
    int pipe_ends[2];
    ASSERT_EQ(::pipe(pipe_ends), 0);
    const pid_t pid = in_child([&] {
      ShardWriter writer(folder / name, small_frontend(), {});
      const std::vector<float> frames = frames_of(0, 1000, 8);
      for (int i = 0;; ++i) {
        writer.append({"a.wav", "m", Split::train, 0, {}, "", ""}, frames);
        if (i == 100 && ::write(pipe_ends[1], "x", 1) != 1) {
          return 1;
        }
        if (i >= 100) {
          ::usleep(1000);
        }
      }
    });
    ASSERT_GT(pid, 0);
    char byte = 0;
    ASSERT_EQ(::read(pipe_ends[0], &byte, 1), 1);
    ::kill(pid, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status));
    ::close(pipe_ends[0]);
    ::close(pipe_ends[1]);
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "new.h5"));
  EXPECT_TRUE(get(folder / "old.h5") == old);
  int leftovers = 0;
  for (const std::string& name : names_in(folder.path())) {
    if (name == "old.h5") {
      continue;
    }
    ++leftovers;
    EXPECT_TRUE(name.starts_with(".evenflow-") && name.ends_with(".tmp")) << name;
    EXPECT_FALSE(is_shard(folder / name));
    EXPECT_THAT(error_of<DataError>([&] { Shard shard(folder / name); }), HasSubstr(name));
  }
  EXPECT_EQ(leftovers, 2);
}

/// Writes with ever more room until it fits. Exit code 0: every failure was a DataError that named the file, left no
/// temporary and no open file, and spoilt nothing after.
int write_with_little_room(const std::filesystem::path& folder, const std::function<void()>& write,
                           const std::string& file, size_t step) {
  const auto open_files = [] { return names_in("/proc/self/fd").size(); };
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit unlimited{};
  ::getrlimit(RLIMIT_FSIZE, &unlimited);
  const size_t open_before = open_files();
  int failures = 0;
  for (size_t room = 0;; room += step) {
    const rlimit limit{room, unlimited.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    bool failed = false;
    std::string text;
    try {
      write();
    } catch (const DataError& error) {
      failed = true;
      text = error.what();
    }
    ::setrlimit(RLIMIT_FSIZE, &unlimited);
    if (!failed) {
      break;
    }
    ++failures;
    if (text.find(file) == std::string::npos || text.find("File too large") == std::string::npos) {
      fprintf(stderr, "with room for %zu: %s\n", room, text.c_str());
      return 1;
    }
    if (!names_in(folder).empty()) {
      return 2;
    }
    if (open_files() != open_before) {
      return 3;
    }
  }
  return failures >= 4 && names_in(folder).size() == 1 ? 0 : 4;
}

TEST(ShardWriter, FullDiskIsADataErrorAndLeavesNothing) {
  const TempFolder folder;
  const auto write = [&] {
    ShardWriter writer(folder / "s.h5", small_frontend(), {"v"});
    for (int i = 0; i < 80; ++i) {
      writer.append({"a.wav", "m", Split::train, 0, {1.0}, "", ""}, frames_of(i, 1000, 8));
    }
    writer.finish();
  };
  EXPECT_EQ(exit_code(in_child(
                [&] { return write_with_little_room(folder.path(), write, (folder / "s.h5").string(), 150'001); })),
            0);
  EXPECT_EQ(Shard(folder / "s.h5").clips().size(), 80u);
}

TEST(WriteModel, FullDiskIsADataErrorAndLeavesNothing) {
  const TempFolder folder;
  ModelData model;
  model.threshold.value = std::numeric_limits<double>::quiet_NaN();  // not fitted
  model.normaliser = {std::vector<float>(128, -60.0f), std::vector<float>(128, 2.0f)};
  model.parameters.push_back({"block1.step1.a", {50'000}, Tensor::Type::float32, std::vector<float>(50'000, 1.5f), {}});
  const auto write = [&] { write_model(folder / "m.h5", model); };
  EXPECT_EQ(exit_code(in_child(
                [&] { return write_with_little_room(folder.path(), write, (folder / "m.h5").string(), 10'007); })),
            0);
  EXPECT_EQ(read_model(folder / "m.h5").parameters.at(0).values.size(), 50'000u);
}

// ------------------------------------------------------------------------------------------- wrong files

std::string open_error(const std::filesystem::path& file) {
  return error_of<DataError>([&] { Shard shard(file); });
}

TEST(ShardOpen, WrongFilesAreNamed) {
  const TempFolder folder;
  const auto error = [&](const std::string& name) {
    std::string text = open_error(folder / name);
    EXPECT_THAT(text, HasSubstr((folder / name).string()));
    EXPECT_FALSE(is_shard(folder / name)) << name;
    return text;
  };
  put(folder / "empty.h5", "");
  put(folder / "text.h5", "path,split,label,machine\n");
  put(folder / "head.h5", "\x89HDF\r\n\x1a\n and then something else");
  write_model(folder / "model.h5", {});
  const hid_t foreign = H5Fcreate((folder / "foreign.h5").c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  ASSERT_GE(H5Fclose(foreign), 0);
  EXPECT_THAT(error("none.h5"), AllOf(HasSubstr("does not exist"), HasSubstr("check the path")));
  EXPECT_THAT(error("empty.h5"), HasSubstr("is empty"));
  EXPECT_THAT(error("text.h5"), HasSubstr("not an HDF5 file"));
  EXPECT_THAT(error("head.h5"), HasSubstr("damaged or cut short"));
  EXPECT_THAT(error("model.h5"), HasSubstr("is an evenflow model, expected an evenflow shard"));
  EXPECT_THAT(error("foreign.h5"), HasSubstr("not one of evenflow's"));
  EXPECT_THAT(open_error(folder.path()), HasSubstr("is a folder"));
  EXPECT_FALSE(is_shard(folder.path()));
  write_some(folder / "good.h5");
  EXPECT_TRUE(is_shard(folder / "good.h5"));
}

TEST(ShardOpen, CutAtAnyLengthIsTold) {
  const TempFolder folder;
  write_some(folder / "s.h5");
  testing::expect_cut_is_told(folder / "s.h5", folder / "cut.h5", [&] { read_all(folder / "cut.h5"); });
}

TEST(ShardOpen, DamageIsSurvived) {
  const TempFolder folder;
  write_some(folder / "s.h5");
  testing::expect_damage_is_survived(folder / "s.h5", folder / "bad.h5", 500, [&] { read_all(folder / "bad.h5"); });
}

TEST(ShardOpen, DamagedFramesAreTold) {
  const TempFolder folder;
  write_some(folder / "s.h5");
  std::string bytes = get(folder / "s.h5");
  const std::vector<float> frames = frames_of(0, 313, 8);
  const size_t at = bytes.find(std::string(reinterpret_cast<const char*>(frames.data()), 64));
  ASSERT_NE(at, std::string::npos);
  bytes[at + 17] = static_cast<char>(bytes[at + 17] ^ 4);
  put(folder / "bad.h5", bytes);
  EXPECT_EQ(
      exit_code(in_child([&] {
        const Shard shard(folder / "bad.h5");
        float frame[8];
        const std::string error = error_of<DataError>([&] { shard.read_frames(0, 1, frame); });
        const bool named = error.find((folder / "bad.h5").string()) != std::string::npos;
        return named && error.find("/logmel") != std::string::npos && error.find("again") != std::string::npos ? 0 : 1;
      })),
      0);
}

TEST(ShardOpen, AChunkOfFramesThatWasLostIsTold) {
  const TempFolder folder;
  write_some(folder / "s.h5");
  const std::string bytes = get(folder / "s.h5");
  const std::vector<float> frames = frames_of(0, 313, 8);
  const auto place_of = [&](size_t value) {
    return bytes.find(std::string(reinterpret_cast<const char*>(frames.data() + value), 64));
  };
  const size_t at = place_of(0), next = place_of(128 * 8);
  ASSERT_NE(at, std::string::npos);
  ASSERT_NE(next, std::string::npos);
  // Zeros have the checksum zero, and another chunk has its own: the chunks' checksums do not tell.
  constexpr size_t chunk = 128 * 8 * 4 + 4;
  for (const std::string& instead : {std::string(chunk, '\0'), bytes.substr(next, chunk)}) {
    std::string damaged = bytes;
    damaged.replace(at, chunk, instead);
    put(folder / "bad.h5", damaged);
    const Shard shard(folder / "bad.h5");
    std::vector<float> clip(313 * 8);
    const auto told = AllOf(HasSubstr((folder / "bad.h5").string()), HasSubstr("/logmel"), HasSubstr("a b/1.wav"));
    EXPECT_THAT(error_of<DataError>([&] { shard.read_frames(0, 313, clip.data()); }), told);
    EXPECT_THAT(error_of<DataError>([&] { shard.data_hash(); }), told);
    shard.read_frames(314, 130, clip.data());  // another clip, whole
  }
}

TEST(ShardOpen, AnOddNumberOfValuesHasItsSum) {
  const TempFolder folder;
  FrontendSettings frontend = small_frontend();
  frontend.mel_bands = 3;
  ShardWriter writer(folder / "odd.h5", frontend, {});
  const std::vector<float> frames = {1.0f, 2.0f, 3.0f};
  writer.append({"a.wav", "m", Split::train, 0, {}, "", ""}, frames);
  writer.append({"b.wav", "m", Split::train, 0, {}, "", ""}, frames_of(0, 5, 3));
  writer.finish();
  const Shard shard(folder / "odd.h5");
  std::vector<float> out(18);
  shard.read_frames(0, 6, out.data());
  EXPECT_EQ(out[2], 3.0f);
  EXPECT_EQ(shard.data_hash().size(), 16u);
}

/// Changes a good shard through the library itself, as a wrong program would.
class ShardEdit : public ::testing::Test {
 protected:
  std::string error_after(const std::function<void(hid_t)>& edit) {
    write_(folder_ / "s.h5");
    const hid_t file = H5Fopen((folder_ / "s.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
    edit(file);
    EXPECT_GE(H5Fclose(file), 0);
    std::string text = open_error(folder_ / "s.h5");
    EXPECT_THAT(text, HasSubstr((folder_ / "s.h5").string()));
    return text;
  }
  template <class T>
  static void overwrite(hid_t file, const char* where, hid_t type, const std::vector<T>& values) {
    const hid_t dataset = H5Dopen2(file, where, H5P_DEFAULT);
    EXPECT_GE(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
    H5Dclose(dataset);
    testing::reseal(file, where);
  }
  template <class T>
  static void replace(hid_t file, const char* where, hid_t type, const std::vector<T>& values) {
    H5Ldelete(file, where, H5P_DEFAULT);
    const hsize_t size = values.size();
    const hid_t space = H5Screate_simple(1, &size, nullptr);
    const hid_t dataset = H5Dcreate2(file, where, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    EXPECT_GE(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
    H5Dclose(dataset);
    H5Sclose(space);
    testing::reseal(file, where);
  }
  static void set_attribute(hid_t file, const char* where, const char* name, hid_t stored, const void* value) {
    const hid_t object = H5Oopen(file, where, H5P_DEFAULT);
    const hid_t space = H5Screate(H5S_SCALAR);
    // Deleted and made again: 1.10.8 cannot overwrite one of many attributes.
    EXPECT_GE(H5Adelete(object, name), 0);
    const hid_t attribute = H5Acreate2(object, name, stored, space, H5P_DEFAULT, H5P_DEFAULT);
    EXPECT_GE(H5Awrite(attribute, stored, value), 0);
    H5Sclose(space);
    H5Oclose(object);
    H5Aclose(attribute);
  }
  static void overwrite_bytes(hid_t file, const char* where, const char* bytes) {
    const hid_t dataset = H5Dopen2(file, where, H5P_DEFAULT);
    const hid_t type = H5Dget_type(dataset);
    EXPECT_GE(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes), 0);
    H5Tclose(type);
    H5Dclose(dataset);
    testing::reseal(file, where);
  }
  TempFolder folder_;
  std::function<void(const std::filesystem::path&)> write_ = write_some;
};

TEST_F(ShardEdit, OtherVersion) {
  const int64_t version = 5;
  EXPECT_THAT(error_after([&](hid_t f) { set_attribute(f, "/", "format_version", H5T_STD_I64LE, &version); }),
              AllOf(HasSubstr("format version 5"), HasSubstr("reads versions 1 to 4")));
}

TEST_F(ShardEdit, OtherFeature) {
  const double power = 1.0;
  EXPECT_THAT(error_after([&](hid_t f) { set_attribute(f, "/frontend", "power", H5T_IEEE_F64LE, &power); }),
              AllOf(HasSubstr("power = 1.0"), HasSubstr("computes with 2.0"), HasSubstr("make the shard again")));
}

TEST_F(ShardEdit, OtherBands) {
  const int64_t bands = 16;
  EXPECT_THAT(error_after([&](hid_t f) { set_attribute(f, "/frontend", "mel_bands", H5T_STD_I64LE, &bands); }),
              HasSubstr("/logmel is not [frames, 16]"));
}

TEST_F(ShardEdit, NonsenseSetting) {
  const int64_t hop = 0;
  EXPECT_THAT(error_after([&](hid_t f) { set_attribute(f, "/frontend", "hop_samples", H5T_STD_I64LE, &hop); }),
              HasSubstr("hop_samples = 0"));
}

TEST_F(ShardEdit, OffsetsThatDoNotRise) {
  for (const std::vector<int64_t>& offsets : std::vector<std::vector<int64_t>>{
           {0, 314, 313, 444}, {1, 313, 314, 444}, {0, 313, 314, 443}, {0, 313, 314, 445}, {0, -1, 314, 444}}) {
    EXPECT_THAT(error_after([&](hid_t f) { overwrite(f, "/clip/offset", H5T_NATIVE_INT64, offsets); }),
                AllOf(HasSubstr("/clip/offset does not rise"), HasSubstr("444")));
  }
}

TEST_F(ShardEdit, ListsOfDifferentLength) {
  EXPECT_THAT(error_after([&](hid_t f) {
                replace<int64_t>(f, "/clip/offset", H5T_STD_I64LE, {0, 444});
              }),
              HasSubstr("/clip/path has 3 entries, expected 1"));
}

TEST_F(ShardEdit, BadLabelAndWrongType) {
  EXPECT_THAT(error_after([&](hid_t f) {
                overwrite<int8_t>(f, "/clip/label", H5T_NATIVE_INT8, {0, 5, 0});
              }),
              AllOf(HasSubstr("/clip/label of clip 1 is 5")));
  EXPECT_THAT(error_after([&](hid_t f) {
                replace<int32_t>(f, "/clip/label", H5T_STD_I32LE, {0, 1, 0});
              }),
              HasSubstr("/clip/label holds another type"));
}

TEST_F(ShardEdit, MissingParts) {
  for (const char* where : {"/clip/path", "/clip/parameter", "/clip/offset", "/logmel", "/clip", "/frontend"}) {
    EXPECT_THAT(error_after([&](hid_t f) { H5Ldelete(f, where, H5P_DEFAULT); }), HasSubstr(where)) << where;
  }
}

TEST_F(ShardEdit, CategoriesThatAreNone) {
  write_ = [](const std::filesystem::path& file) { write_tools(file); };
  for (const std::vector<int64_t>& offsets :
       std::vector<std::vector<int64_t>>{{0, 1, 4}, {1, 1, 3}, {0, 4, 3}, {0, -1, 3}}) {
    EXPECT_THAT(error_after([&](hid_t f) { overwrite(f, "/clip/category_offset", H5T_NATIVE_INT64, offsets); }),
                HasSubstr("/clip/category_offset does not rise from 0 to the 3 names"));
  }
  EXPECT_THAT(error_after([&](hid_t f) {
                replace<int64_t>(f, "/clip/category_offset", H5T_STD_I64LE, {0, 3});
              }),
              HasSubstr("/clip/category_offset has 2 entries, expected 3"));
  // A byte is a name.
  for (const char* names : {"AAB", "BAC"}) {
    EXPECT_THAT(error_after([&](hid_t f) { overwrite_bytes(f, "/clip/category", names); }),
                HasSubstr("/clip/category is not sorted, or names a value twice"));
  }
  EXPECT_THAT(error_after([&](hid_t f) {
                overwrite<double>(f, "/clip/parameter", H5T_NATIVE_DOUBLE, {100, 3, 100, 0, 100, 0, 100, 0});
              }),
              AllOf(HasSubstr("/clip/parameter of clip 0 is 3"), HasSubstr("the place of one of 3 names")));
  for (const char* where : {"/clip/category", "/clip/category_offset"}) {
    EXPECT_THAT(error_after([&](hid_t f) { H5Ldelete(f, where, H5P_DEFAULT); }), HasSubstr(where)) << where;
  }
}

TEST_F(ShardEdit, MissingAttribute) {
  EXPECT_THAT(error_after([&](hid_t f) { H5Adelete_by_name(f, "/frontend", "n_fft", H5P_DEFAULT); }),
              HasSubstr("attribute 'n_fft' of /frontend"));
}

}  // namespace
}  // namespace evenflow::io
