// How near two words are, for errors that name what was meant.
#pragma once

#include <cstddef>
#include <string_view>

namespace evenflow::io {

/// Letters to add, leave out or replace until `a` is `b` (Levenshtein). Time is the product of the lengths.
size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace evenflow::io
