// How scores are called, wherever they stand: in configurations, model files and columns of tables.
#pragma once

#include <string_view>

namespace evenflow::io {

/// "nll", or a name that begins with "nll_" or "score_". By it a reader of tables knows scores that it has never heard
/// of, and no parameter may be called so.
inline bool is_score_name(std::string_view name) {
  return name == "nll" || name.starts_with("nll_") || name.starts_with("score_");
}

}  // namespace evenflow::io
