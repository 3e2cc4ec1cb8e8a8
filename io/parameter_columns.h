// Cells of parameters, as a table or names of files have them, as values of clips (internal to io).
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "io/manifest.h"

namespace evenflow::io {

struct ParameterCell {
  std::string text;                                          ///< empty: unknown
  double number = std::numeric_limits<double>::quiet_NaN();  ///< what it says; NaN: it is none
};

/// Gives the manifest's clips their values, row by row: numbers, or where `is_category` the codes of what the column's
/// cells say.
void set_parameters(Manifest& manifest, const std::vector<std::vector<ParameterCell>>& rows,
                    const std::vector<bool>& is_category);

}  // namespace evenflow::io
