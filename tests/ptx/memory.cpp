#include "tests/ptx/memory.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <type_traits>

#include "tests/ptx/interpreter.h"

namespace evenflow::ptx {
namespace {

uint64_t address_of(Warp& warp, const Instruction& in, int operand, int lane) {
  const int place = in.operands[operand];
  const uint64_t base = in.narrow_address ? warp.at<uint32_t>(place)[lane] : warp.at<uint64_t>(place)[lane];
  return base + static_cast<uint64_t>(in.offset);
}

void check_aligned(Warp& warp, const Instruction& in, int lane, uint64_t address, size_t bytes) {
  if (address % bytes != 0) {
    warp.fail(in, lane, "an access of " + std::to_string(bytes) + " bytes is not aligned");
  }
}

/// Where it lies in `memory`, whose addresses begin at `base`.
unsigned char* within(Warp& warp, const Instruction& in, int lane, uint64_t address, size_t bytes, uint64_t base,
                      unsigned char* memory, size_t size, const char* what) {
  if (address < base || address + bytes > base + size) {
    warp.fail(in, lane,
              "byte " + std::to_string(static_cast<int64_t>(address - base)) + " of " + std::to_string(size) +
                  " bytes of " + what);
  }
  return memory + (address - base);
}

unsigned char* shared_at(Warp& warp, const Instruction& in, int lane, uint64_t address, size_t bytes) {
  return within(warp, in, lane, address, bytes, shared_base, warp.block.shared.data(), warp.block.shape.shared_bytes,
                "shared memory");
}

void check_written(Warp& warp, const Instruction& in, int lane, uint64_t address, size_t bytes) {
  const size_t first = (address - shared_base) / 4;
  for (size_t i = 0; i * 4 < bytes; ++i) {
    const bool used = (in.used_bytes >> (4 * i) & 15U) != 0;
    if (used && warp.block.shared_written[first + i] == 0) {
      warp.fail(in, lane, "shared memory that nothing has written is read");
    }
  }
}

void mark_written(Warp& warp, uint64_t address, size_t bytes, unsigned char how = 1) {
  const size_t first = (address - shared_base) / 4;
  for (size_t i = 0; i * 4 < bytes; ++i) {
    warp.block.shared_written[first + i] = how;
  }
}

struct Place {
  unsigned char* at = nullptr;
  Written* words = nullptr;  // device memory alone
};

Place global_at(Warp& warp, const Instruction& in, int lane, uint64_t address, size_t bytes) {
  if ((warp.awaited >> lane & 1U) == 0) {
    warp.fail(in, lane, "device memory is touched before the kernel before is done (griddepcontrol.wait)");
  }
  Region* region = warp.block.memory->find(address, bytes);
  if (region == nullptr) {
    warp.fail(in, lane, std::to_string(bytes) + " bytes that are nobody's device memory");
  }
  const uint64_t at = address - reinterpret_cast<uint64_t>(region->begin);
  return {region->begin + at, region->words.data() + at / 4};
}

unsigned char* read_at(Warp& warp, const Instruction& in, int lane, const Access& access, uint64_t address,
                       size_t bytes) {
  switch (access.space) {
    case Space::parameter:
      return within(warp, in, lane, address, bytes, parameter_base, warp.block.parameters.data(),
                    warp.block.kernel->parameter_bytes, "parameters");
    case Space::local:
      return within(warp, in, lane, address, bytes, local_base,
                    warp.local.data() + static_cast<size_t>(lane) * warp.block.kernel->local_bytes,
                    warp.block.kernel->local_bytes, "local memory");
    case Space::shared: {
      unsigned char* at = shared_at(warp, in, lane, address, bytes);
      check_written(warp, in, lane, address, bytes);
      return at;
    }
    case Space::global:
      break;
  }
  const Place place = global_at(warp, in, lane, address, bytes);
  for (size_t i = 0; access.constant && i * 4 < bytes; ++i) {
    if (place.words[i] != Written::no) {
      warp.fail(in, lane, "what is loaded as constant (ld.global.nc) was written by this launch");
    }
  }
  return place.at;
}

template <class Element, class Register, Space kSpace, bool kConstant>
void load(Warp& warp, const Instruction& in, uint32_t mask) {
  const Access access{
      .load = true, .constant = kConstant, .space = kSpace, .elements = 1, .type = {}, .element_bytes = 0};
  const int elements = in.count - 1;
  const size_t bytes = sizeof(Element) * static_cast<size_t>(elements);
  for_lanes(mask, [&](int lane) {
    const uint64_t address = address_of(warp, in, 0, lane);
    check_aligned(warp, in, lane, address, bytes);
    const unsigned char* from = read_at(warp, in, lane, access, address, bytes);
    for (int i = 0; i < elements; ++i) {
      Element value;
      std::memcpy(&value, from + static_cast<size_t>(i) * sizeof value, sizeof value);
      using Wide = std::conditional_t<std::is_signed_v<Element>, std::make_signed_t<Register>, Register>;
      warp.at<Register>(in.operands[1 + i])[lane] = static_cast<Register>(static_cast<Wide>(value));
    }
  });
}

template <class Element, class Register, Space kSpace, Written kHow>
void store(Warp& warp, const Instruction& in, uint32_t mask) {
  const int elements = in.count - 1;
  const size_t bytes = sizeof(Element) * static_cast<size_t>(elements);
  for_lanes(mask, [&](int lane) {
    const uint64_t address = address_of(warp, in, 0, lane);
    check_aligned(warp, in, lane, address, bytes);
    unsigned char* to = nullptr;
    if constexpr (kSpace == Space::shared) {
      to = shared_at(warp, in, lane, address, bytes);
      mark_written(warp, address, bytes);
    } else if constexpr (kSpace == Space::global) {
      const Place place = global_at(warp, in, lane, address, bytes);
      std::fill_n(place.words, (bytes + 3) / 4, kHow);
      to = place.at;
    } else {
      to = read_at(warp, in, lane, {.space = kSpace, .type = {}}, address, bytes);
    }
    for (int i = 0; i < elements; ++i) {
      const auto value = static_cast<Element>(warp.at<Register>(in.operands[1 + i])[lane]);
      std::memcpy(to + static_cast<size_t>(i) * sizeof value, &value, sizeof value);
    }
  });
}

template <class Element, class Register>
Handler of_space(const Access& access) {
  if (access.load) {
    switch (access.space) {
      case Space::parameter:
        return load<Element, Register, Space::parameter, false>;
      case Space::shared:
        return load<Element, Register, Space::shared, false>;
      case Space::local:
        return load<Element, Register, Space::local, false>;
      case Space::global:
        return access.constant ? load<Element, Register, Space::global, true>
                               : load<Element, Register, Space::global, false>;
    }
  }
  switch (access.space) {
    case Space::shared:
      return store<Element, Register, Space::shared, Written::bits>;
    case Space::parameter:
      return nullptr;
    case Space::local:
      return store<Element, Register, Space::local, Written::bits>;
    case Space::global:
      break;
  }
  return access.type == "f32"   ? store<Element, Register, Space::global, Written::f32>
         : access.type == "f64" ? store<Element, Register, Space::global, Written::f64>
                                : store<Element, Register, Space::global, Written::bits>;
}

}  // namespace

std::optional<Access> find_access(std::string_view opcode) {
  Access access;
  const auto take = [&](std::string_view word) {
    const bool there = opcode.substr(0, word.size()) == word;
    opcode.remove_prefix(there ? word.size() : 0);
    return there;
  };
  access.load = take("ld.");
  if (!access.load && !take("st.")) {
    return std::nullopt;
  }
  if (take("param.")) {
    access.space = Space::parameter;
  } else if (take("global.")) {
    access.space = Space::global;
    access.constant = access.load && take("nc.");
  } else if (take("shared.")) {
    access.space = Space::shared;
  } else if (take("local.")) {
    access.space = Space::local;
  } else {
    return std::nullopt;
  }
  access.elements = take("v2.") ? 2 : take("v4.") ? 4 : 1;
  constexpr std::array<std::pair<std::string_view, int>, 14> types{{{"f32", 4},
                                                                    {"u32", 4},
                                                                    {"s32", 4},
                                                                    {"b32", 4},
                                                                    {"f64", 8},
                                                                    {"u64", 8},
                                                                    {"s64", 8},
                                                                    {"b64", 8},
                                                                    {"u8", 1},
                                                                    {"s8", 1},
                                                                    {"b8", 1},
                                                                    {"u16", 2},
                                                                    {"s16", 2},
                                                                    {"b16", 2}}};
  for (const auto& [type, bytes] : types) {
    if (opcode == type) {
      access.type = type;
      access.element_bytes = bytes;
      return access.elements * bytes <= 16 ? std::optional(access) : std::nullopt;
    }
  }
  return std::nullopt;
}

Handler access_handler(const Access& access, int register_bytes) {
  const bool negative = access.type.front() == 's';
  switch (access.element_bytes * 100 + register_bytes) {
    case 808:
      return of_space<uint64_t, uint64_t>(access);
    case 404:
      return of_space<uint32_t, uint32_t>(access);
    case 408:
      return negative ? of_space<int32_t, uint64_t>(access) : of_space<uint32_t, uint64_t>(access);
    case 202:
      return of_space<uint16_t, uint16_t>(access);
    case 204:
      return negative ? of_space<int16_t, uint32_t>(access) : of_space<uint16_t, uint32_t>(access);
    case 102:
      return negative ? of_space<int8_t, uint16_t>(access) : of_space<uint8_t, uint16_t>(access);
    case 104:
      return negative ? of_space<int8_t, uint32_t>(access) : of_space<uint8_t, uint32_t>(access);
    default:
      return nullptr;
  }
}

void copy_async(Warp& warp, const Instruction& in, uint32_t mask) {
  constexpr size_t bytes = 16;
  for_lanes(mask, [&](int lane) {
    const uint64_t to = warp.at<uint32_t>(in.operands[0])[lane];
    const uint64_t from = warp.at<uint64_t>(in.operands[1])[lane] + static_cast<uint64_t>(in.offset);
    check_aligned(warp, in, lane, to, bytes);
    check_aligned(warp, in, lane, from, bytes);
    shared_at(warp, in, lane, to, bytes);
    // What was there must not be read from now on, until the copy has been waited for.
    mark_written(warp, to, bytes, 0);
    warp.copies[lane].open.push_back({to, global_at(warp, in, lane, from, bytes).at});
  });
}

void commit_copies(Warp& warp, const Instruction&, uint32_t mask) {
  for_lanes(mask, [&](int lane) {
    Copies& copies = warp.copies[lane];
    copies.committed.push_back(std::move(copies.open));
    copies.open.clear();
  });
}

void wait_copies(Warp& warp, const Instruction& in, uint32_t mask) {
  const size_t left = warp.at<uint32_t>(in.operands[0])[0];
  for_lanes(mask, [&](int lane) {
    auto& committed = warp.copies[lane].committed;
    const size_t due = committed.size() > left ? committed.size() - left : 0;
    for (size_t group = 0; group < due; ++group) {
      for (const PendingCopy& copy : committed[group]) {
        std::memcpy(warp.block.shared.data() + (copy.to - shared_base), copy.from, 16);
        mark_written(warp, copy.to, 16);
      }
    }
    committed.erase(committed.begin(), committed.begin() + static_cast<std::ptrdiff_t>(due));
  });
}

/// atom.inc: one more, or 0 from `most` on; what was there before.
void increment_counter(Warp& warp, const Instruction& in, uint32_t mask) {
  for_lanes(mask, [&](int lane) {
    const uint64_t address = address_of(warp, in, 1, lane);
    check_aligned(warp, in, lane, address, 4);
    const Place place = global_at(warp, in, lane, address, 4);
    uint32_t before = 0;
    std::memcpy(&before, place.at, sizeof before);
    const uint32_t most = warp.at<uint32_t>(in.operands[2])[lane];
    const uint32_t after = before >= most ? 0 : before + 1;
    std::memcpy(place.at, &after, sizeof after);
    *place.words = Written::bits;
    warp.at<uint32_t>(in.operands[0])[lane] = before;
  });
}

}  // namespace evenflow::ptx
