#include "io/wrapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/config.h"
#include "io/manifest.h"
#include "io/model_file.h"
#include "io/shard.h"
#include "tests/io/testing.h"

namespace evenflow::io {
namespace {
using ::testing::AllOf;
using testing::error_of;
using ::testing::HasSubstr;
using testing::put;
using testing::TempFolder;

TEST(WrappedFile, IsToldWithItsCureByWhateverReadsIt) {
  const TempFolder folder;
  for (const auto& wrapped :
       {std::pair(std::string("version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 12\n"), "git lfs pull"),
        {std::string("\x1f\x8b\x08\0\0\0\0\0\0\x03", 10), "gunzip"},
        {std::string("BZh91AY"), "bunzip2"},
        {std::string("\xfd\x37zXZ\0\0", 7), "unxz"},
        {std::string("\x28\xb5\x2f\xfd\x04"), "unzstd"},
        {std::string("PK\x03\x04\x14"), "save the spreadsheet as CSV"},
        {std::string("<!DOCTYPE html><title>404</title>"), "web page"}}) {
    for (const char* name : {"a.h5", "a.csv", "a.toml"}) {
      put(folder / name, wrapped.first);
    }
    const auto told = [&](const std::string& name) { return AllOf(HasSubstr(name), HasSubstr(wrapped.second)); };
    EXPECT_THAT(error_of<DataError>([&] { read_model(folder / "a.h5"); }), told("a.h5"));
    EXPECT_THAT(error_of<DataError>([&] { Shard(folder / "a.h5"); }), told("a.h5"));
    EXPECT_THAT(error_of<DataError>([&] { read_manifest(folder / "a.csv"); }), told("a.csv"));
    EXPECT_THAT(error_of<DataError>([&] { read_recordings(folder / "a.csv"); }), told("a.csv"));
    EXPECT_THAT(error_of<UsageError>([&] { read_config(folder / "a.toml"); }), told("a.toml"));
  }
}

TEST(WrappedFile, AnEmptyConfigurationIsNotAllDefaults) {
  const TempFolder folder;
  put(folder / "a.toml", "");
  EXPECT_THAT(error_of<UsageError>([&] { read_config(folder / "a.toml"); }), HasSubstr("a.toml' is empty"));
  put(folder / "a.toml", "# as by default\n");
  EXPECT_EQ(read_config(folder / "a.toml"), Config());
  EXPECT_EQ(read_config("/dev/null"), Config());
}

}  // namespace
}  // namespace evenflow::io
