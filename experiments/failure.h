// What a person is told of an error, and what the program's caller.
#pragma once

#include <exception>
#include <string>

namespace evenflow::experiments {

struct Failure {
  int code;  ///< exit code
  std::string sentence;
};

/// Of an error on its way; not null.
Failure failure_of(const std::exception_ptr& error);

}  // namespace evenflow::experiments
