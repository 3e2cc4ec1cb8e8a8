// A kernel of a PTX text, decoded: what the interpreter runs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace evenflow::ptx {

inline constexpr int warp_lanes = 32;
inline constexpr uint32_t all_lanes = 0xffffffffU;

/// What stands in the text cannot be run: an opcode that nobody wrote a handler for, an operand of another width.
class DecodeError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Warp;
struct Instruction;
/// Does the instruction for the lanes of the mask, which is not empty.
using Handler = void (*)(Warp& warp, const Instruction& instruction, uint32_t mask);

enum class Flow : uint8_t { next, branch, ret, barrier };

struct Instruction {
  Handler run = nullptr;
  int64_t offset = 0;              ///< added to an address
  std::array<int, 14> operands{};  ///< places in the warp's registers; results come first
  int guard = -1;                  ///< the place of the predicate that it hangs on
  int target = -1;                 ///< of a branch: an instruction
  int join = -1;                   ///< where lanes that a branch parts meet again; past the end: when they end
  int line = 0;                    ///< of the text
  uint32_t used_bytes = ~0U;       ///< of a load: those that matter (nvcc loads more where it may)
  uint8_t count = 0;               ///< of operands, or of a vector's elements
  Flow flow = Flow::next;
  bool guard_negated = false;
  bool begins_block = false;    ///< what a branch may lead to
  mutable bool ran = false;     ///< for at least one lane, ever
  bool narrow_address = false;  ///< of 32 bits
};

/// A register's value that stays: an immediate operand, an address. 32 lanes of so many bytes.
struct Constant {
  int place = 0, bytes = 0;
  uint64_t bits = 0;
};

/// Registers that the hardware sets.
enum class Special : uint8_t {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid
};

struct SpecialRegister {
  Special what{};
  int place = 0;
};

struct Kernel {
  std::string name;  ///< mangled
  std::string file;
  std::vector<Instruction> code;
  std::vector<Constant> constants;
  std::vector<SpecialRegister> specials;
  size_t register_bytes = 0;   ///< of a warp
  size_t local_bytes = 0;      ///< of a lane
  size_t parameter_bytes = 0;  ///< of a launch
  int most_threads = 0;        ///< of a block; 0: not said
  bool overlaps = true;        ///< may begin before the kernel before is done (sm_90)
};

// Where addresses that are no host pointers begin. The first KiB of shared memory is the system's on sm_90.
inline constexpr uint64_t shared_base = 1024;
inline constexpr uint64_t local_base = 64;
inline constexpr uint64_t parameter_base = 64;

}  // namespace evenflow::ptx
