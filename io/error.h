// Errors a person can act on. The program turns them into one sentence and an exit code.
#pragma once

#include <stdexcept>
#include <string>

namespace evenflow::io {

/// The request is wrong (flag, configuration key, value). Exit code 2.
class UsageError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The data are wrong (file, row, sample, disk). Exit code 3. The text names file, place and cure.
class DataError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace evenflow::io
