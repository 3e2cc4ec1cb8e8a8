// Texts that come from outside (manifests, names of files and folders) and end in files, tables and on terminals: which
// may enter, and how the others are shown. One rule for all: valid UTF-8, no control character, none that is invisible
// or turns the direction of its line; names of at most longest_name bytes.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace evenflow::io {

/// Names (parameter, machine, section) become parts of file names, two and more words to a name of 255 bytes.
inline constexpr size_t longest_name = 80;

/// ASCII capitals made small; other letters stay.
std::string in_small_letters(std::string text);

/// True of well-formed UTF-8: no overlong forms, no surrogates, nothing beyond U+10FFFF.
bool is_utf8(std::string_view text);

/// What keeps a text out: "holds the control character U+001B" and, of a text in a file, "remove it".
struct TextFault {
  std::string what, cure;
};
std::optional<TextFault> text_fault(std::string_view text);
/// The same of a name, which may also be too long.
std::optional<TextFault> name_fault(std::string_view name);

/// "a.wav, b.wav, c.wav and 2 more".
std::string first_names(std::span<const std::string> names, size_t most = 3);

/// The text as it can be shown: every character that text_fault refuses as \x1b or \u202e, every other as it is.
std::string escaped(std::string_view text);
/// escaped(), of a long text the beginning.
std::string excerpt(std::string_view text);
/// excerpt() in quotes.
std::string in_quotes(std::string_view text);

}  // namespace evenflow::io
