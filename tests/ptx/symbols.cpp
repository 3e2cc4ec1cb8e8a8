#include "tests/ptx/symbols.h"

#include <cxxabi.h>
#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <vector>

namespace evenflow::ptx {
namespace {

template <class T>
T read_at(const std::vector<char>& file, size_t at) {
  if (at + sizeof(T) > file.size()) {
    throw std::runtime_error("the program's own file ends early");
  }
  T value;
  std::memcpy(&value, file.data() + at, sizeof value);
  return value;
}

/// Where the program was loaded.
uint64_t load_address() {
  uint64_t address = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        *static_cast<uint64_t*>(out) = info->dlpi_addr;
        return 1;  // the first is the program
      },
      &address);
  return address;
}

}  // namespace

Symbols::Symbols() {
  std::ifstream stream("/proc/self/exe", std::ios::binary);
  const std::vector<char> file{std::istreambuf_iterator<char>(stream), {}};
  const auto header = read_at<Elf64_Ehdr>(file, 0);
  const uint64_t base = load_address();
  const auto section = [&](size_t i) { return read_at<Elf64_Shdr>(file, header.e_shoff + i * header.e_shentsize); };
  for (size_t i = 0; i < header.e_shnum; ++i) {
    const Elf64_Shdr table = section(i);
    if (table.sh_type != SHT_SYMTAB) {
      continue;
    }
    const Elf64_Shdr strings = section(table.sh_link);
    for (size_t at = 0; at < table.sh_size; at += table.sh_entsize) {
      const auto symbol = read_at<Elf64_Sym>(file, table.sh_offset + at);
      if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_value != 0) {
        names_.emplace(base + symbol.st_value, file.data() + strings.sh_offset + symbol.st_name);
      }
    }
  }
}

std::string Symbols::name_of(const void* function) const {
  const auto found = names_.find(reinterpret_cast<uint64_t>(function));
  return found == names_.end() ? "" : found->second;
}

std::string common_name(const std::string& mangled) {
  constexpr const char* marker = "_GLOBAL__N_";
  std::string out = mangled;
  for (size_t at = out.find(marker); at != std::string::npos; at = out.find(marker, at)) {
    size_t digits = at;
    while (digits > 0 && std::isdigit(static_cast<unsigned char>(out[digits - 1])) != 0) {
      --digits;
    }
    const size_t length = std::strtoul(out.c_str() + digits, nullptr, 10);
    const std::string common = "12_GLOBAL__N_1";
    out.replace(digits, at - digits + length, common);
    at = digits + common.size();
  }
  return out;
}

std::string readable_name(const std::string& mangled) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status),
                                                    std::free);
  std::string name = status == 0 ? text.get() : mangled;
  for (const std::string& common : {std::string("evenflow::kernels::cuda::"), std::string("evenflow::kernels::"),
                                    std::string("(anonymous namespace)::"), std::string("void ")}) {
    for (size_t at = name.find(common); at != std::string::npos; at = name.find(common)) {
      name.erase(at, common.size());
    }
  }
  int depth = 0;  // of a template's arguments, which may have parentheses of their own
  for (size_t i = 0; i < name.size(); ++i) {
    depth += name[i] == '<' ? 1 : 0;
    depth -= name[i] == '>' ? 1 : 0;
    if (name[i] == '(' && depth == 0) {
      name.resize(i);
    }
  }
  return name;
}

}  // namespace evenflow::ptx
