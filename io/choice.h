// Enumerations whose values have names: one table each, for configuration, files, help and errors.
#pragma once

#include <array>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace evenflow::io {

template <class E>
struct Choice {
  E value;
  std::string_view name;
};

/// The values of E in the order in which help names them; specialised beside each enumeration.
template <class E>
inline constexpr std::array<Choice<E>, 0> choices{};

template <class E>
constexpr std::string_view name_of(E value) {
  for (const Choice<E>& choice : choices<E>) {
    if (choice.value == value) {
      return choice.name;
    }
  }
  throw std::logic_error("a value of an enumeration has no name");
}

template <class E>
constexpr std::optional<E> value_of(std::string_view name) {
  for (const Choice<E>& choice : choices<E>) {
    if (choice.name == name) {
      return choice.value;
    }
  }
  return std::nullopt;
}

/// "\"mean\" or \"max\" or \"top_k\"": what an error allows. `between`: what stands between all but the last two.
template <class E>
std::string names_text(std::string_view between = " or ") {
  std::string text;
  for (size_t i = 0; i < choices<E>.size(); ++i) {
    if (i > 0) {
      text += i + 1 < choices<E>.size() ? between : " or ";
    }
    text += '"';
    text += choices<E>[i].name;
    text += '"';
  }
  return text;
}

}  // namespace evenflow::io
