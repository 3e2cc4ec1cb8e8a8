// What other programs may make of a file, and what is said about it.
#include "io/hdf5_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

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
using testing::put;
using testing::TempFolder;

constexpr const char* kind = "evenflow test";

/// A file with one dataset of each sort, edited through the library as a stranger would.
class ForeignFile : public ::testing::Test {
 protected:
  void SetUp() override {
    const Hdf5Lock lock;
    Hdf5File file = Hdf5File::create(path(), path());
    file.make_group("/group");
    file.write("/group/values", std::vector<double>{1.0, 2.0, 3.0});
    file.write("/group/others", std::vector<double>{4.0, 5.0, 6.0});
    file.write_texts("/group/texts", {"one", "\xC3\xBC"});
    file.write_attribute("/group", "name", std::string("n"));
    file.finish(kind);
  }
  std::filesystem::path path() const { return folder_ / "f.h5"; }

  void edit(const std::function<void(hid_t)>& change, const std::filesystem::path& file) const {
    const hid_t id = H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
    ASSERT_GE(id, 0);
    change(id);
    ASSERT_GE(H5Fclose(id), 0);
  }
  void edit(const std::function<void(hid_t)>& change) const { edit(change, path()); }

  /// Replaces /group/values by a dataset of these properties, with the checksum of a file of ours.
  void remake(hid_t properties, const std::vector<double>& values, const std::vector<hsize_t>& shape = {3}) const {
    edit([&](hid_t file) {
      H5Ldelete(file, "/group/values", H5P_DEFAULT);
      const hid_t space = H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr);
      const hid_t set = H5Dcreate2(file, "/group/values", H5T_IEEE_F64LE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
      ASSERT_GE(set, 0);
      if (!values.empty()) {
        ASSERT_GE(H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
      }
      H5Dclose(set);
      H5Sclose(space);
      if (!values.empty()) {
        testing::reseal(file, "/group/values");
      }
    });
  }
  std::vector<double> values() const {
    const Hdf5Lock lock;
    return Hdf5File::open(path(), kind).read<double>("/group/values");
  }
  /// Reading must end in an error, and soon.
  std::string error() const {
    std::string text;
    ::alarm(20);
    text = error_of<DataError>([&] { values(); });
    ::alarm(0);
    EXPECT_THAT(text, HasSubstr(path().string()));
    return text;
  }

  TempFolder folder_;
};

TEST_F(ForeignFile, IsReadAsItWasWritten) {
  EXPECT_THAT(values(), ElementsAre(1.0, 2.0, 3.0));
  const Hdf5Lock lock;
  const Hdf5File file = Hdf5File::open(path());
  EXPECT_EQ(file.kind(), kind);
  EXPECT_THAT(file.read_texts("/group/texts"), ElementsAre("one", "\xC3\xBC"));
  Shape shape;
  EXPECT_EQ(file.verify("/group/others", H5T_IEEE_F64LE), Shape{3});
  EXPECT_FALSE(file.exists("/group/none"));
  EXPECT_FALSE(file.exists("/none/at/all"));
  EXPECT_FALSE(file.has_attribute("/group", "none"));
}

TEST_F(ForeignFile, ADatasetThatAnotherProgramChanged) {
  edit([](hid_t file) {
    const hid_t set = H5Dopen2(file, "/group/values", H5P_DEFAULT);
    const std::vector<double> other = {1.0, 2.0, 4.0};
    ASSERT_GE(H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, other.data()), 0);
    H5Dclose(set);
  });
  EXPECT_THAT(error(), AllOf(HasSubstr("/group/values does not match its checksum"), HasSubstr("another program")));
  const Hdf5Lock lock;
  EXPECT_THAT(error_of<DataError>([&] { Hdf5File::open(path()).verify("/group/values", H5T_IEEE_F64LE); }),
              HasSubstr("/group/values does not match its checksum"));
}

TEST_F(ForeignFile, DatasetsThatChangedPlaces) {
  edit([](hid_t file) {
    H5Lmove(file, "/group/values", file, "/group/spare", H5P_DEFAULT, H5P_DEFAULT);
    H5Lmove(file, "/group/others", file, "/group/values", H5P_DEFAULT, H5P_DEFAULT);
    H5Lmove(file, "/group/spare", file, "/group/others", H5P_DEFAULT, H5P_DEFAULT);
  });
  EXPECT_THAT(error(), HasSubstr("/group/values does not match its checksum"));
}

TEST_F(ForeignFile, ADatasetWithoutChecksum) {
  edit([](hid_t file) { H5Adelete_by_name(file, "/group/values", "crc32", H5P_DEFAULT); });
  EXPECT_THAT(error(), AllOf(HasSubstr("/group/values has no checksum"), HasSubstr("another program")));
}

TEST_F(ForeignFile, LinksToElsewhereAreNotFollowed) {
  ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  edit([](hid_t file) {
    H5Ldelete(file, "/group/values", H5P_DEFAULT);
    H5Lcreate_external("fifo", "/x", file, "/group/values", H5P_DEFAULT, H5P_DEFAULT);
  });
  EXPECT_THAT(error(), AllOf(HasSubstr("/group/values is a link to another file"), HasSubstr("not followed")));
  edit([](hid_t file) {
    H5Ldelete(file, "/group/values", H5P_DEFAULT);
    H5Lcreate_soft("/group/others", file, "/group/values", H5P_DEFAULT, H5P_DEFAULT);
  });
  EXPECT_THAT(error(), AllOf(HasSubstr("/group/values is a link to another place"), HasSubstr("not followed")));
  edit([](hid_t file) {
    H5Lmove(file, "/group", file, "/real", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("fifo", "/", file, "/group", H5P_DEFAULT, H5P_DEFAULT);
  });
  EXPECT_THAT(error(), HasSubstr("/group is a link to another file"));
  const Hdf5Lock lock;
  EXPECT_THAT(error_of<DataError>([&] { Hdf5File::open(path()).read_text_attribute("/group", "name"); }),
              HasSubstr("/group is a link to another file"));
}

TEST_F(ForeignFile, ValuesInOtherFilesAreNotOpened) {
  ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  const hid_t list = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_external(list, (folder_ / "fifo").c_str(), 0, 24);
  remake(list, {});
  EXPECT_THAT(error(), HasSubstr("/group/values keeps its values in another file"));
  H5Pclose(list);

  const hid_t mapped = H5Pcreate(H5P_DATASET_CREATE);
  const hsize_t three = 3;
  const hid_t space = H5Screate_simple(1, &three, nullptr);
  H5Pset_virtual(mapped, space, (folder_ / "fifo").c_str(), "/x", space);
  remake(mapped, {});
  EXPECT_THAT(error(), HasSubstr("/group/values keeps its values in another file"));
  H5Sclose(space);
  H5Pclose(mapped);
}

TEST_F(ForeignFile, CompressionIsNamedWithItsCure) {
  const hid_t list = H5Pcreate(H5P_DATASET_CREATE);
  const hsize_t chunk = 3;
  H5Pset_chunk(list, 1, &chunk);
  H5Pset_deflate(list, 9);
  remake(list, {1.0, 2.0, 3.0});
  EXPECT_THAT(error(), AllOf(HasSubstr("/group/values was compressed (gzip)"), HasSubstr("h5repack -f NONE '")));
  H5Pclose(list);
  const hid_t shuffled = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(shuffled, 1, &chunk);
  H5Pset_shuffle(shuffled);
  remake(shuffled, {1.0, 2.0, 3.0});
  EXPECT_THAT(error(), HasSubstr("(shuffle)"));
  H5Pclose(shuffled);
}

TEST_F(ForeignFile, OtherLayoutsOfTheSameValuesAreRead) {
  const hid_t chunked = H5Pcreate(H5P_DATASET_CREATE);
  const hsize_t chunk = 2;
  H5Pset_chunk(chunked, 1, &chunk);
  H5Pset_fletcher32(chunked);
  remake(chunked, {1.0, 2.0, 3.0});
  EXPECT_THAT(values(), ElementsAre(1.0, 2.0, 3.0));
  H5Pclose(chunked);
  const hid_t compact = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_layout(compact, H5D_COMPACT);
  remake(compact, {1.0, 2.0, 3.0});
  EXPECT_THAT(values(), ElementsAre(1.0, 2.0, 3.0));
  H5Pclose(compact);
}

TEST_F(ForeignFile, NothingLargerThanTheFileIsBelieved) {
  // Never written: it would read as zeros.
  remake(H5P_DEFAULT, {}, {1000});
  EXPECT_THAT(error(), HasSubstr("claims more values than the file holds"));
  remake(H5P_DEFAULT, {}, {hsize_t{1} << 40});
  EXPECT_THAT(error(), HasSubstr("claims more values than the file holds"));
  remake(H5P_DEFAULT, {}, {hsize_t{1} << 40, hsize_t{1} << 40});
  EXPECT_THAT(error(), HasSubstr("claims more values than the file holds"));
  const hid_t list = H5Pcreate(H5P_DATASET_CREATE);
  const hsize_t chunk = 500'000'000;
  H5Pset_chunk(list, 1, &chunk);
  remake(list, {}, {hsize_t{1} << 40});
  EXPECT_THAT(error(), HasSubstr("claims more values than the file holds"));
  H5Pclose(list);
}

TEST_F(ForeignFile, ManyNamesForTheSameValuesAreCountedEach) {
  {
    const Hdf5Lock lock;
    std::filesystem::remove(path());
    Hdf5File file = Hdf5File::create(path(), path());
    file.write("/a", std::vector<double>(1000, 1.0));
    file.finish(kind);
  }
  edit([](hid_t file) {
    for (const char* name : {"/b", "/c", "/d"}) {
      H5Lcreate_hard(file, "/a", file, name, H5P_DEFAULT, H5P_DEFAULT);
    }
  });
  const Hdf5Lock lock;
  const Hdf5File file = Hdf5File::open(path(), kind);
  Shape shape;
  EXPECT_EQ(file.read<double>("/a").size(), 1000u);
  EXPECT_THAT(error_of<DataError>([&] { file.open_dataset("/b", H5T_IEEE_F64LE, shape); }),
              HasSubstr("/b claims more values than the file holds"));
}

TEST_F(ForeignFile, OneThatWasLeftOpenIsToldItsCure) {
  EXPECT_EQ(exit_code(in_child([&] {
              const hid_t file = H5Fopen(path().c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
              H5Fflush(file, H5F_SCOPE_GLOBAL);
              return 0;  // as a program that is killed
            })),
            0);
  EXPECT_THAT(error(), AllOf(HasSubstr("open for writing"), HasSubstr("h5clear -s '" + path().string() + "'")));
  EXPECT_TRUE(looks_like_hdf5(path()));
  EXPECT_EQ(hdf5_kind(path()), "");
}

TEST_F(ForeignFile, OneThatIsBeingWrittenIsToldSo) {
  const int writer = ::open(path().c_str(), O_RDWR);
  ASSERT_EQ(::flock(writer, LOCK_EX), 0);
  EXPECT_THAT(error(), AllOf(HasSubstr("open for writing"), HasSubstr("close it")));
  ::close(writer);
  const int reader = ::open(path().c_str(), O_RDONLY);
  ASSERT_EQ(::flock(reader, LOCK_SH), 0);
  EXPECT_THAT(values(), ElementsAre(1.0, 2.0, 3.0));
  ::close(reader);
}

TEST_F(ForeignFile, BehindABlockOfTheUsers) {
  put(folder_ / "block.bin", std::string(1024, '#') + get(path()));
  EXPECT_TRUE(looks_like_hdf5(folder_ / "block.bin"));
  const Hdf5Lock lock;
  EXPECT_THAT(Hdf5File::open(folder_ / "block.bin", kind).read<double>("/group/values"), ElementsAre(1.0, 2.0, 3.0));
}

TEST_F(ForeignFile, TextThatIsNotUtf8) {
  {
    const Hdf5Lock lock;
    Hdf5File file = Hdf5File::create(folder_ / "new.h5", path());
    for (const auto& write : std::vector<std::function<void()>>{
             [&] {
               file.write_texts("/t", {"ok", "caf\xE9"});
             },
             [&] { file.write_text("/t", "caf\xE9"); }, [&] { file.write_attribute("/", "t", std::string("caf\xE9")); },
             [&] { file.write_attribute("/", "t", std::vector<std::string>{"caf\xE9"}); }}) {
      EXPECT_THAT(error_of<DataError>(write), HasSubstr("not UTF-8"));
    }
  }
  edit([](hid_t file) {
    const hid_t set = H5Dopen2(file, "/group/texts", H5P_DEFAULT);
    const hid_t type = H5Dget_type(set);
    ASSERT_GE(H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, "on\xE9two"), 0);
    H5Tclose(type);
    H5Dclose(set);
    testing::reseal(file, "/group/texts");
  });
  const Hdf5Lock lock;
  EXPECT_THAT(error_of<DataError>([&] { Hdf5File::open(path()).read_texts("/group/texts"); }),
              AllOf(HasSubstr("/group/texts"), HasSubstr("not UTF-8")));
}

TEST_F(ForeignFile, PipesAndDevicesAreNotWaitedFor) {
  const std::filesystem::path fifo = folder_ / "fifo.h5", link = folder_ / "link.h5";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  std::filesystem::create_symlink(fifo, link);
  ::alarm(20);
  for (const std::filesystem::path& file : {fifo, link, std::filesystem::path("/dev/null")}) {
    EXPECT_FALSE(looks_like_hdf5(file));
    EXPECT_EQ(hdf5_kind(file), "");
    EXPECT_THAT(error_of<DataError>([&] { read_kind(file); }), HasSubstr("is a pipe or a device"));
  }
  ::alarm(0);
}

TEST(LooksLikeHdf5, GoesByTheSignatureAndTheName) {
  const TempFolder folder;
  put(folder / "text.csv", "path,split,label,machine\n");
  put(folder / "zeros.h5", std::string(4096, '\0'));
  put(folder / "cut", "\x89HDF\r\n\x1a");
  put(folder / "empty", "");
  EXPECT_FALSE(looks_like_hdf5(folder / "text.csv"));
  EXPECT_TRUE(looks_like_hdf5(folder / "zeros.h5"));
  EXPECT_FALSE(looks_like_hdf5(folder / "cut"));
  EXPECT_FALSE(looks_like_hdf5(folder / "empty"));
  EXPECT_FALSE(looks_like_hdf5(folder / "none.h5"));
  EXPECT_FALSE(looks_like_hdf5(folder.path()));
}

}  // namespace
}  // namespace evenflow::io
