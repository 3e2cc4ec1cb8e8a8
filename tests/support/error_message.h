#pragma once

#include <functional>
#include <string>

namespace evenflow::tests {

/// What the Error that `call` throws says; another exception passes through.
template <class Error>
std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace evenflow::tests
