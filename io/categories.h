// Parameters whose values are names ("tool" is A or B). In tables of values such a value is a code, the place of its
// name in a list of the parameter's names, so that numbers and names go the same way.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace evenflow::io {

/// A list of names for each parameter; an empty one, or none where the lists end, means that it is a number.
using Categories = std::vector<std::vector<std::string>>;

/// The names of parameter `p`; empty of a number.
const std::vector<std::string>& categories_of(const Categories& categories, size_t p);

/// The place of `name` in `names`, NaN where it is not.
double code_of(std::string_view name, const std::vector<std::string>& names);

/// True of the place of one of `names`, and of NaN.
bool is_code(double value, const std::vector<std::string>& names);

/// A code of `from` as the code of the same name in `to`; NaN where there is none, or of NaN.
double recoded(double code, const std::vector<std::string>& from, const std::vector<std::string>& to);

/// The value as a cell of a table has it: its name, a number with as many digits as it takes to read the same double,
/// or nothing where it is NaN. `names`: the parameter's, empty of a number.
std::string value_text(double value, const std::vector<std::string>& names);

/// What it says where a table has no value: nothing, or DCASE's "noAttribute".
bool is_unknown(std::string_view cell);

inline constexpr const char* category_suffix = ":category";
/// A parameter as it may be declared, "tool:category" or "velocity_mm_s".
struct DeclaredParameter {
  std::string name;
  bool is_category = false;
};
DeclaredParameter declared_parameter(std::string_view text);
/// Of several their names, or those names alone that are declared categories.
std::vector<std::string> declared_names(std::span<const std::string> texts);
std::vector<std::string> declared_categories(std::span<const std::string> texts);

}  // namespace evenflow::io
