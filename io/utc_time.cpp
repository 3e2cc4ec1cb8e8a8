#include "io/utc_time.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>

namespace evenflow::io {
namespace {

using std::chrono::system_clock;

std::string date_and_time(system_clock::time_point when) {
  const std::time_t seconds = system_clock::to_time_t(when);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text = {};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts)};
}

}  // namespace

std::string utc_now() {
  return date_and_time(std::chrono::floor<std::chrono::seconds>(system_clock::now())) + "Z";
}

std::string utc_now_ms() {
  const auto now = std::chrono::floor<std::chrono::milliseconds>(system_clock::now());
  const auto whole = std::chrono::floor<std::chrono::seconds>(now);
  std::array<char, 8> fraction = {};
  std::snprintf(fraction.data(), fraction.size(), ".%03dZ", static_cast<int>((now - whole).count()));
  return date_and_time(whole) + fraction.data();
}

}  // namespace evenflow::io
