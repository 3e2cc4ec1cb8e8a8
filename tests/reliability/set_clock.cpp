// Preloaded (LD_PRELOAD), it sets the clock of one program alone: the time of day is that of the machine and as many
// seconds as the file $EVENFLOW_SET_CLOCK says, which may change at any moment. The clock that nobody sets is left.
//
//     c++ -shared -fPIC -o set_clock.so tests/reliability/set_clock.cpp
#include <dlfcn.h>
#include <sys/time.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace {

long offset_s() {
  const char* const name = std::getenv("EVENFLOW_SET_CLOCK");
  std::FILE* const file = name == nullptr ? nullptr : std::fopen(name, "re");
  long offset = 0;
  if (file != nullptr) {
    offset = std::fscanf(file, "%ld", &offset) == 1 ? offset : 0;
    std::fclose(file);
  }
  return offset;
}

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* now) noexcept {
  using Real = int (*)(clockid_t, timespec*);
  static const auto real = reinterpret_cast<Real>(::dlsym(RTLD_NEXT, "clock_gettime"));
  const int result = real(clock, now);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    now->tv_sec += offset_s();
  }
  return result;
}

extern "C" int gettimeofday(timeval* now, void*) noexcept {
  timespec precise = {};
  const int result = clock_gettime(CLOCK_REALTIME, &precise);
  *now = {precise.tv_sec, precise.tv_nsec / 1000};
  return result;
}

extern "C" std::time_t time(std::time_t* out) noexcept {
  timespec precise = {};
  clock_gettime(CLOCK_REALTIME, &precise);
  if (out != nullptr) {
    *out = precise.tv_sec;
  }
  return precise.tv_sec;
}
