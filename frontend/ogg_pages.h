// The pages of an Ogg file as its decoders take them: those with a right checksum, whatever lies between.
#pragma once

#include <string>
#include <string_view>

namespace evenflow::frontend {

struct OggPages {
  std::string fault;      ///< "page 3 is missing, damaged or out of order"; empty: in each stream one follows the other
  bool finished = false;  ///< the last whole page says that it is the last
};

/// Decoders pass over a lost page without a word, and some then give memory for sound that they never set.
OggPages check_ogg_pages(std::string_view file);

}  // namespace evenflow::frontend
