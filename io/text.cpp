#include "io/text.h"

#include <array>
#include <cstdint>
#include <cstdio>

namespace evenflow::io {
namespace {

constexpr uint32_t invalid = 0xFFFFFFFF;

struct Character {
  uint32_t code = invalid;  ///< invalid: a byte that begins no UTF-8 character
  size_t bytes = 1;
};

/// The character that begins at `at`.
Character character_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(at);
  if (lead < 0x80) {
    return {lead, 1};
  }
  const size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() - at < bytes) {
    return {};
  }
  uint32_t code = lead & (0x7FU >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) {
      return {};
    }
    code = code << 6 | (byte(at + i) & 0x3FU);
  }
  constexpr std::array<uint32_t, 5> smallest = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (code < smallest[bytes] || code > 0x10FFFF || surrogate) {
    return {};
  }
  return {code, bytes};
}

bool is_control(uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0);
}

/// Line and paragraph separators, marks and overrides of direction, and what has no width; not the joiners, which
/// change how letters of some scripts are written.
bool is_invisible(uint32_t code) {
  return code == 0x061C || code == 0x200B || code == 0x200E || code == 0x200F || (code >= 0x2028 && code <= 0x202E) ||
         (code >= 0x2060 && code <= 0x206F) || code == 0xFEFF || (code >= 0xE0000 && code <= 0xE007F);
}

bool is_refused(uint32_t code) {
  return is_control(code) || is_invisible(code);
}

std::string formatted(const char* format, uint32_t code) {
  std::array<char, 16> out = {};
  std::snprintf(out.data(), out.size(), format, code);
  return out.data();
}

}  // namespace

bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Character character = character_at(text, at);
    if (character.code == invalid) {
      return false;
    }
    at += character.bytes;
  }
  return true;
}

std::string in_small_letters(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') {
      c = static_cast<char>(c - 'A' + 'a');
    }
  }
  return text;
}

std::optional<TextFault> text_fault(std::string_view text) {
  std::optional<TextFault> fault;
  for (size_t i = 0; i < text.size();) {
    const Character c = character_at(text, i);
    if (c.code == invalid) {
      return TextFault{"is not UTF-8", "save the file as UTF-8"};
    }
    i += c.bytes;
    if (fault || !is_refused(c.code)) {
      continue;
    }
    const char* kind = is_control(c.code) ? "holds the control character " : "holds the invisible character ";
    fault = TextFault{c.code == '\n' || c.code == '\r' ? "holds a line end" : kind + formatted("U+%04X", c.code),
                      "remove it"};
  }
  return fault;
}

std::optional<TextFault> name_fault(std::string_view name) {
  if (auto fault = text_fault(name)) {
    return fault;
  }
  if (name.size() <= longest_name) {
    return std::nullopt;
  }
  return TextFault{
      "is " + std::to_string(name.size()) + " bytes long, and a name may have at most " + std::to_string(longest_name),
      "shorten it"};
}

std::string first_names(std::span<const std::string> names, size_t most) {
  std::string text;
  for (size_t i = 0; i < names.size() && i < most; ++i) {
    text.append(i == 0 ? "" : ", ").append(names[i]);
  }
  if (names.size() > most) {
    text += " and " + std::to_string(names.size() - most) + " more";
  }
  return text;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const Character c = character_at(text, i);
    if (c.code == invalid) {
      out += formatted("\\x%02x", static_cast<uint8_t>(text[i]));
    } else if (is_control(c.code)) {
      out += formatted("\\x%02x", c.code);
    } else if (is_invisible(c.code)) {
      out += formatted("\\u%04x", c.code);
    } else {
      out += text.substr(i, c.bytes);
    }
    i += c.bytes;
  }
  return out;
}

std::string excerpt(std::string_view text) {
  constexpr size_t longest = 60;
  if (text.size() <= longest) {
    return escaped(text);
  }
  size_t end = longest;
  while (end > longest - 4 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) {
    --end;
  }
  return escaped(text.substr(0, end)) + "...";
}

std::string in_quotes(std::string_view text) {
  return std::string(1, '\'').append(excerpt(text)).append(1, '\'');
}

}  // namespace evenflow::io
