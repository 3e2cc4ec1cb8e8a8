// Damages a file of ours in many ways, reads each, and counts what came of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace evenflow::io::testing {

/// Bytes from `at` on become `bytes`; `length`: the file ends there, if it is not longer than it is.
struct Damage {
  size_t at = 0;
  std::string bytes;
  size_t length = SIZE_MAX;
};

std::vector<Damage> random_flips(const std::string& file, int64_t count, uint64_t seed);
/// Every `stride`-th bit of the first `bytes`.
std::vector<Damage> flips_of_begin(const std::string& file, size_t bytes, size_t stride);
/// Cut at every multiple of `step`.
std::vector<Damage> truncations(const std::string& file, size_t step);
/// Runs of 512, 4096 and 65536 bytes, at multiples of 512 and 4096, lost as zeros.
std::vector<Damage> lost_pages(const std::string& file);
/// Pages of 512 and of 4096 bytes that hold what another page does.
std::vector<Damage> duplicated_pages(const std::string& file);

struct Tally {
  int64_t refused = 0;  ///< with a DataError that names the file
  int64_t same = 0;     ///< read as the undamaged file to the bit
  int64_t changed = 0;  ///< read as something else
  int64_t crashed = 0, hung = 0;
  int64_t unnamed = 0;      ///< an error that does not name the file, or of another type
  std::string first_fault;  ///< of the first that was neither refused nor the same
  int64_t faults() const { return changed + crashed + hung + unnamed; }
};

/// Reads are made in child processes; a read that takes over a minute hangs.
Tally read_damaged(const std::filesystem::path& file, const std::vector<Damage>& damages);

/// All that reading a file of any kind of ours gives, as one number.
uint64_t fingerprint(const std::filesystem::path& file, const std::string& kind);

/// A small file of each kind (shard, model, checkpoint, latents, samples) in `folder`.
std::vector<std::filesystem::path> write_examples(const std::filesystem::path& folder);

}  // namespace evenflow::io::testing
