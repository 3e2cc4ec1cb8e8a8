// The program on HDF5 files that are damaged, foreign, or of the format before: a sentence and exit code 3, or the same
// figures; nothing that crashes it, nothing that it waits for, nothing changed or left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <thread>

#include "io/model_file.h"
#include "tests/experiments/program.h"
#include "tests/support/child.h"

namespace evenflow::experiments::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// What the program's last version wrote in format version 1, in a folder of its own: features, model, checkpoint,
/// latents and samples.
class DamagedFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const auto& entry : fs::directory_iterator(fs::path(EVENFLOW_GOLDEN_DIR) / "version1")) {
      fs::copy_file(entry.path(), folder_.path() / entry.path().filename());
    }
  }
  std::string file(const std::string& name) const { return folder_ / name; }
  std::string features() const { return file("features.h5"); }
  std::string model() const { return file("model.h5"); }

  static void edit(const std::string& name, const std::function<void(hid_t)>& change) {
    const hid_t id = H5Fopen(name.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
    ASSERT_GE(id, 0);
    change(id);
    ASSERT_GE(H5Fclose(id), 0);
  }
  static void set_value(hid_t id, const char* where, float value) {
    const hid_t set = H5Dopen2(id, where, H5P_DEFAULT);
    const hid_t space = H5Dget_space(set);
    std::vector<float> values(static_cast<size_t>(H5Sget_simple_extent_npoints(space)));
    ASSERT_GE(H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
    values.back() = value;
    ASSERT_GE(H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
    H5Sclose(space);
    H5Dclose(set);
  }
  static void set_integer(hid_t id, const char* where, const char* name, int64_t value) {
    // Deleted and made again: 1.10.8 cannot overwrite one of many attributes.
    const hid_t object = H5Oopen(id, where, H5P_DEFAULT), space = H5Screate(H5S_SCALAR);
    EXPECT_GE(H5Adelete(object, name), 0);
    const hid_t attribute = H5Acreate2(object, name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    EXPECT_GE(H5Awrite(attribute, H5T_NATIVE_INT64, &value), 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Oclose(object);
  }

  /// Runs it; it must be refused soon, name the file and say all of `words`, and leave the folder as it was.
  void expect_refused(const std::vector<std::string>& arguments, const std::string& named,
                      const std::vector<std::string>& words) const {
    const std::vector<std::string> before = folder_.files();
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, 3) << arguments[0] << ": " << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(named));
    for (const std::string& word : words) {
      EXPECT_THAT(outcome.err, HasSubstr(word));
    }
    EXPECT_EQ(folder_.files(), before);
  }
  static std::string done(const std::vector<std::string>& arguments) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, 0) << arguments[0] << ": " << outcome.err;
    return outcome.out;
  }
  /// A short training on the features, with files of the present format.
  void train() const {
    done({"train",
          features(),
          "--run",
          file("run"),
          "--epochs",
          "2",
          "--batch",
          "8",
          "--threads",
          "1",
          "--learning-rate",
          "1e-3",
          "--frontend.mel_bands",
          "8",
          "--frontend.n_fft",
          "256",
          "--window.window_frames",
          "4",
          "--window.window_hop_frames",
          "4",
          "--model.blocks",
          "1",
          "--model.steps",
          "1",
          "--model.hidden",
          "2"});
  }

  Folder folder_;
};

TEST_F(DamagedFiles, FilesOfTheVersionBeforeAreReadAndGoOn) {
  EXPECT_THAT(done({"info", features()}), AllOf(HasSubstr("5427a492cf7142a8"), HasSubstr("9 normal")));
  EXPECT_THAT(done({"info", model()}), AllOf(HasSubstr("5427a492cf7142a8"), HasSubstr("trained at 100, 200, 300")));
  EXPECT_THAT(done({"info", file("latents.h5")}), HasSubstr("speed_rpm"));
  EXPECT_THAT(done({"info", file("samples.h5")}), HasSubstr("200"));
  done({"score", "--model", model(), features(), "--out", file("s.csv")});
  train();
  const std::string checkpoint = file("run/checkpoint.h5");
  fs::copy_file(file("checkpoint.h5"), checkpoint, fs::copy_options::overwrite_existing);
  done({"train", "--run", file("run"), "--resume", "--epochs", "3"});
  EXPECT_THAT(done({"info", checkpoint}), HasSubstr("3 epochs finished"));
}

TEST_F(DamagedFiles, ABitOfAGroupsHeapIsTold) {
  for (const std::string name : {"model.h5", "checkpoint.h5"}) {
    const std::string bytes = get(file(name));
    int heaps = 0;
    for (size_t heap = bytes.find("FHDB"); heap != std::string::npos; heap = bytes.find("FHDB", heap + 4)) {
      ++heaps;
      for (const size_t at : {heap + 5, heap + 21, heap + 40, heap + 100}) {
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ 16);
        put(file(name), damaged);
        expect_refused({"info", file(name)}, name, {"damaged", "again"});
      }
    }
    EXPECT_GE(heaps, 1) << name;
  }
}

TEST_F(DamagedFiles, AWeightThatIsNotFinite) {
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    edit(model(), [&](hid_t id) { set_value(id, "/parameters/block1.step1.coupling.conv1.weight", value); });
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"info", model()},
          {"score", "--model", model(), features(), "--out", file("s.csv")},
          {"encode", "--model", model(), features(), "--out", file("l.h5")},
          {"sample", "--model", model(), "--at", "speed_rpm=200", "--out", file("x.h5")}}) {
      expect_refused(arguments, "model.h5", {"coupling.conv1.weight", "not finite"});
    }
  }
}

TEST_F(DamagedFiles, FiguresThatNoTrainingLeaves) {
  const std::string pristine = get(model());
  const auto refused_after = [&](const std::function<void(hid_t)>& change, const std::string& word) {
    put(model(), pristine);
    edit(model(), change);
    expect_refused({"info", model()}, "model.h5", {word});
  };
  refused_after([](hid_t id) { set_value(id, "/normaliser/std", 0.0f); }, "/normaliser/std");
  refused_after([](hid_t id) { set_value(id, "/normaliser/mean", NAN); }, "/normaliser/mean");
  for (const float value : {1e38f, -1e38f}) {
    for (const std::string where :
         {"/normaliser/mean", "/normaliser/std", "/parameters/block1.step1.coupling.conv3.bias", "/condition/mean"}) {
      refused_after([&](hid_t id) { set_value(id, where.c_str(), value); }, where);
    }
    put(model(), pristine);
    edit(model(), [&](hid_t id) { set_value(id, "/condition/v0", value); });
    expect_refused({"score", "--model", model(), features(), "--out", file("s.csv")}, "", {"v0", "at most"});
  }
  refused_after([](hid_t id) { set_value(id, "/condition/std", 1e6f); }, "/condition/std is larger than");
  refused_after([](hid_t id) { set_value(id, "/normaliser/std", 1e-30f); }, "/normaliser/std");
  refused_after([](hid_t id) { set_value(id, "/threshold/gamma", 1e35f); }, "/threshold/gamma");
  refused_after([](hid_t id) { set_value(id, "/condition/k", 0.0f); }, "/condition/k");
  refused_after([](hid_t id) { set_value(id, "/condition/v0", INFINITY); }, "/condition/v0");
  refused_after([](hid_t id) { set_value(id, "/condition/training_values", 0.0f); }, "/condition/training_values");
  refused_after([](hid_t id) { set_value(id, "/threshold/gamma", NAN); }, "/threshold/gamma");
  refused_after([](hid_t id) { set_value(id, "/parameters/block1.step1.invconv.sign", 3.0f); }, "invconv.sign");
  refused_after([](hid_t id) { set_value(id, "/parameters/block1.step1.invconv.permutation", 9.0f); }, "permutation");
}

TEST_F(DamagedFiles, TextsThatNoManifestMayHold) {
  const auto refused_after = [&](const std::string& name, const std::string& was, const std::string& is,
                                 const std::vector<std::string>& words) {
    const std::string pristine = get(file(name));
    std::string bytes = pristine;
    for (size_t at = bytes.find(was); at != std::string::npos; at = bytes.find(was, at)) {
      bytes.replace(at, 9, is);
    }
    ASSERT_NE(bytes, pristine) << name;
    put(file(name), bytes);
    const Outcome outcome = run({"info", file(name)});
    EXPECT_EQ(outcome.code, 3) << outcome.out;
    for (const std::string& word : words) {
      EXPECT_THAT(outcome.err, HasSubstr(word));
    }
    EXPECT_THAT(outcome.out, IsEmpty());
    put(file(name), pristine);
  };
  for (const auto& [text, word] : {std::pair("sp\x1b[31mrpm", "control character U+001B"),
                                   {"speed\nrpm", "line end"},
                                   {"sp\xffxx_rpm", "UTF-8"},
                                   {"sp\xe2\x80\xae_rpm", "invisible character U+202E"}}) {
    refused_after("model.h5", "speed_rpm", std::string(text).substr(0, 9), {"/condition/names holds 'sp", word});
  }
}

TEST_F(DamagedFiles, AShardsTextsAreLookedAt) {
  const std::string pristine = get(features());
  for (const auto& [where, word] : {std::pair("/clip/path", "control character U+0001"),
                                    {"/clip/machine", "control character U+0001"},
                                    {"/clip/domain", "control character U+0001"},
                                    {"/clip/section", "control character U+0001"}}) {
    put(features(), pristine);
    edit(features(), [where = where](hid_t id) {
      const hid_t set = H5Dopen2(id, where, H5P_DEFAULT), type = H5Dget_type(set), space = H5Dget_space(set);
      const auto count = static_cast<size_t>(H5Sget_simple_extent_npoints(space));
      const std::string bytes(count * H5Tget_size(type), '\x01');
      ASSERT_GE(H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()), 0);
      H5Tclose(type);
      H5Sclose(space);
      H5Dclose(set);
    });
    expect_refused({"info", features()}, "features.h5", {where, word});
    expect_refused({"score", "--model", model(), features(), "--out", file("s.csv")}, "features.h5", {where, word});
  }
}

TEST_F(DamagedFiles, ACheckpointThatCannotBe) {
  train();
  const std::string checkpoint = file("run/checkpoint.h5"), pristine = get(checkpoint);
  const auto refused_after = [&](const std::function<void(hid_t)>& change, const std::string& word) {
    put(checkpoint, pristine);
    edit(checkpoint, change);
    const std::string log = get(file("run/log.txt")), best = get(file("run/model.h5"));
    expect_refused({"train", "--run", file("run"), "--resume", "--epochs", "4"}, "run", {word});
    EXPECT_EQ(get(file("run/log.txt")), log);
    EXPECT_EQ(get(file("run/model.h5")), best);
  };
  for (const char* name : {"step_in_epoch", "epoch", "guard_count"}) {
    refused_after([&](hid_t id) { set_integer(id, "/progress", name, -3); }, "/progress");
  }
  refused_after([](hid_t id) { set_integer(id, "/progress", "epoch", 77); }, "/progress");
  refused_after([](hid_t id) { set_integer(id, "/progress", "best_epoch", 3); }, "/progress");
  refused_after([](hid_t id) { set_integer(id, "/progress", "step_in_epoch", 1); }, "/progress");
  refused_after([](hid_t id) { set_integer(id, "/progress", "guard_count", 9); }, "damaged");
  // Without checksums it is the figures that tell.
  put(checkpoint, get(file("checkpoint.h5")));
  const std::string before = get(checkpoint);
  for (const char* where : {"/optimizer/v", "/resume/v"}) {
    put(checkpoint, before);
    edit(checkpoint, [&](hid_t id) { set_value(id, where, -1.0f); });
    expect_refused({"train", "--run", file("run"), "--resume", "--epochs", "4"}, "run", {where});
  }
}

TEST_F(DamagedFiles, ACheckpointOfMoreStepsThanAnEpochHas) {
  train();
  edit(file("checkpoint.h5"), [](hid_t id) {
    set_integer(id, "/progress", "step_in_epoch", 77);
    const hid_t set = H5Dopen2(id, "/resume/integers", H5P_DEFAULT);
    const std::array<int64_t, 4> integers = {4, 616, 77, 0};
    ASSERT_GE(H5Dwrite(set, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, integers.data()), 0);
    H5Dclose(set);
  });
  put(file("run/checkpoint.h5"), get(file("checkpoint.h5")));
  expect_refused({"train", "--run", file("run"), "--resume", "--epochs", "4"}, "run", {"77 steps", "damaged"});
}

TEST_F(DamagedFiles, ACheckpointOfMoreEpochsThanItsStepsMakeUp) {
  train();
  io::ModelData checkpoint = io::read_model(file("run/checkpoint.h5"));
  checkpoint.config.train.epochs = 0;
  checkpoint.config.train.steps = 2000;
  checkpoint.progress->epoch = 1900;
  io::write_model(file("run/checkpoint.h5"), checkpoint);
  expect_refused({"train", "--run", file("run"), "--resume", "--epochs", "4"}, "run", {"1900 of", "damaged"});
}

TEST_F(DamagedFiles, AModelSaysWhichMachinesItLearntFrom) {
  train();
  for (const char* name : {"model.h5", "last.h5", "checkpoint.h5"}) {
    EXPECT_THAT(io::read_model(file("run/" + std::string(name))).provenance.machines, ElementsAre("m"));
  }
  EXPECT_THAT(io::read_model(model()).provenance.machines, IsEmpty());
}

TEST_F(DamagedFiles, WhatAnotherProgramChangedIsTold) {
  train();
  const std::string trained = file("run/model.h5");
  edit(trained, [](hid_t id) { set_value(id, "/normaliser/mean", 1.5f); });
  expect_refused({"info", trained}, "model.h5", {"/normaliser/mean", "checksum", "another program"});
}

TEST_F(DamagedFiles, LinksToOtherFilesAreNotFollowed) {
  ASSERT_EQ(::mkfifo(file("fifo").c_str(), 0600), 0);
  edit(model(), [](hid_t id) {
    H5Ldelete(id, "/normaliser/mean", H5P_DEFAULT);
    H5Lcreate_external("fifo", "/x", id, "/normaliser/mean", H5P_DEFAULT, H5P_DEFAULT);
  });
  expect_refused({"info", model()}, "model.h5", {"/normaliser/mean", "links are not followed"});
  expect_refused({"info", file("fifo")}, "fifo", {"pipe"});
  expect_refused({"score", "--model", file("fifo"), features(), "--out", file("s.csv")}, "fifo", {"pipe"});
  expect_refused({"train", file("fifo"), "--run", file("run")}, "fifo", {"pipe"});
}

TEST_F(DamagedFiles, OneThatWasLeftOpenIsToldItsCure) {
  ASSERT_EQ(tests::exit_code(tests::in_child([&] {
              H5Fflush(H5Fopen(features().c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5F_SCOPE_GLOBAL);
              return 0;
            })),
            0);
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"info", features()},
                                                    {"score", "--model", model(), features(), "--out", file("s.csv")},
                                                    {"train", features(), "--run", file("run")}}) {
    expect_refused(arguments, "features.h5", {"open for writing", "h5clear -s"});
  }
}

TEST_F(DamagedFiles, CompressedFramesAreToldTheirCure) {
  edit(features(), [](hid_t id) {
    const hid_t set = H5Dopen2(id, "/logmel", H5P_DEFAULT), space = H5Dget_space(set);
    std::array<hsize_t, 2> shape{}, chunk = {64, 8};
    H5Sget_simple_extent_dims(space, shape.data(), nullptr);
    std::vector<float> frames(shape[0] * shape[1]);
    H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, frames.data());
    H5Dclose(set);
    H5Ldelete(id, "/logmel", H5P_DEFAULT);
    const hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(list, 2, chunk.data());
    H5Pset_deflate(list, 6);
    const hid_t packed = H5Dcreate2(id, "/logmel", H5T_IEEE_F32LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
    ASSERT_GE(H5Dwrite(packed, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, frames.data()), 0);
    H5Dclose(packed);
    H5Pclose(list);
    H5Sclose(space);
  });
  expect_refused({"info", features()}, "features.h5", {"compressed (gzip)", "h5repack -f NONE"});
  expect_refused({"train", features(), "--run", file("run")}, "features.h5", {"compressed (gzip)", "h5repack -f NONE"});
}

TEST_F(DamagedFiles, LatentsAndSamplesAreVerified) {
  done({"encode", "--model", model(), features(), "--out", file("l.h5")});
  done({"sample", "--model", model(), "--at", "speed_rpm=200", "--out", file("x.h5")});
  for (const auto& [name, where] : {std::pair("l.h5", "/zc"), {"l.h5", "/nll"}, {"x.h5", "/logmel"}}) {
    const std::string pristine = get(file(name));
    edit(file(name), [&, where = where](hid_t id) { set_value(id, where, 7.0f); });
    expect_refused({"info", file(name)}, name, {where, "checksum"});
    put(file(name), pristine);
  }
}

TEST_F(DamagedFiles, TheSameContentGivesTheSameBytes) {
  for (const std::string turn : {"1", "2"}) {
    done({"encode", "--model", model(), features(), "--out", file("l" + turn + ".h5")});
    done({"sample", "--model", model(), "--at", "speed_rpm=200", "--out", file("x" + turn + ".h5")});
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // HDF5's times have a resolution of a second
  }
  EXPECT_TRUE(get(file("l1.h5")) == get(file("l2.h5")));
  EXPECT_TRUE(get(file("x1.h5")) == get(file("x2.h5")));
}

TEST_F(DamagedFiles, AnHdf5FileIsNeverTakenForAText) {
  std::string bytes = get(features());
  bytes.replace(0, 512, std::string(512, '\0'));
  put(features(), bytes);
  expect_refused({"score", "--model", model(), features(), "--out", file("s.csv")}, "features.h5",
                 {"not an HDF5 file"});
  expect_refused({"prepare", model(), "--out", file("f.h5")}, "model.h5", {"is an HDF5 file"});
}

}  // namespace
}  // namespace evenflow::experiments::test
