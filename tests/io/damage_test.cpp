// Bits that flip, pages that are lost, files that are cut: each is refused in a sentence or makes no difference. A
// sample of what damage_files.cpp tries at length.
#include <filesystem>

#include "tests/io/damage_campaign.h"
#include "tests/io/testing.h"

namespace evenflow::io {
namespace {
using testing::Damage;
using testing::get;
using testing::TempFolder;

constexpr int64_t random_flips = 120;
constexpr uint64_t seed = 11;

/// At most `most`, from all over.
std::vector<Damage> thinned(const std::vector<Damage>& damages, size_t most) {
  std::vector<Damage> out;
  const size_t step = (damages.size() + most - 1) / most;
  for (size_t i = 0; i < damages.size(); i += step) {
    out.push_back(damages[i]);
  }
  return out;
}

class Damaged : public ::testing::Test {
 protected:
  /// Of each kind of file, what `damages` makes of its bytes.
  template <class Damages>
  void expect_told(const Damages& damages) {
    for (const std::filesystem::path& file : testing::write_examples(folder_.path())) {
      const std::vector<Damage> all = damages(get(file));
      ASSERT_FALSE(all.empty());
      const testing::Tally tally = testing::read_damaged(file, all);
      EXPECT_EQ(tally.faults(), 0) << file << ": " << tally.first_fault;
      EXPECT_EQ(tally.refused + tally.same, static_cast<int64_t>(all.size()));
      EXPECT_GT(tally.refused, static_cast<int64_t>(all.size()) / 4) << file;
    }
  }
  TempFolder folder_;
};

TEST_F(Damaged, FlippedBitsAreTold) {
  expect_told([](const std::string& bytes) { return testing::random_flips(bytes, random_flips, seed); });
}

TEST_F(Damaged, FlippedBitsOfTheBeginAreTold) {
  expect_told([](const std::string& bytes) { return testing::flips_of_begin(bytes, 2048, 211); });
}

TEST_F(Damaged, FilesCutShortAreTold) {
  expect_told([](const std::string& bytes) { return thinned(testing::truncations(bytes, 512), 60); });
}

TEST_F(Damaged, LostPagesAreTold) {
  expect_told([](const std::string& bytes) { return thinned(testing::lost_pages(bytes), 60); });
}

TEST_F(Damaged, DuplicatedPagesAreTold) {
  expect_told([](const std::string& bytes) { return thinned(testing::duplicated_pages(bytes), 60); });
}

/// Files of version 1 have no checksums over values, so damage to those may pass; the library's own over all else, and
/// never walking the groups, keep a reader from following it.
TEST_F(Damaged, FilesOfTheVersionBeforeNeverCrash) {
  const std::filesystem::path folder = std::filesystem::path(EVENFLOW_GOLDEN_DIR) / "version1";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string bytes = get(entry.path());
    std::vector<Damage> all = testing::random_flips(bytes, random_flips, seed);
    for (const auto& more : {testing::flips_of_begin(bytes, 2048, 1), testing::truncations(bytes, 512),
                             testing::lost_pages(bytes), testing::duplicated_pages(bytes)}) {
      const std::vector<Damage> some = thinned(more, 40);
      all.insert(all.end(), some.begin(), some.end());
    }
    const testing::Tally tally = testing::read_damaged(entry.path(), all);
    EXPECT_EQ(tally.crashed + tally.hung + tally.unnamed, 0) << entry.path() << ": " << tally.first_fault;
  }
}

}  // namespace
}  // namespace evenflow::io
