// An operation of your own on the project's memory, views, streams and threads: example_kernel
//
// Onset strength: how much louder a window gets from one frame to the next, averaged over the mel bands. Knocks and
// impacts show as peaks. docs/method.md computes nothing of the kind; it stands here because it is short.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>

#include "kernels/buffer.h"
#include "kernels/check.h"
#include "kernels/parallel.h"
#include "kernels/stream.h"
#include "kernels/trace.h"
#include "kernels/view.h"

namespace {

namespace kernels = evenflow::kernels;

/// The operation's arguments. Views own nothing: whoever calls keeps the memory.
struct OnsetStrength {
  kernels::ConstMap x;           ///< [n, 1, bands, frames] in dB
  kernels::Array<float> onsets;  ///< [n * (frames - 1)]: of frame t + 1 against frame t, in dB
};

/// One window. Rows of a map are contiguous, so the loop over frames is the inner one and is vectorised.
void window_onsets(const kernels::ConstMap& x, int64_t window, float* onsets) {
  const int64_t bands = x.h, frames = x.w;
  std::fill_n(onsets, frames - 1, 0.0F);
  for (int64_t band = 0; band < bands; ++band) {
    const float* row = x.sample(window) + band * frames;
    for (int64_t t = 0; t + 1 < frames; ++t) {
      onsets[t] += std::max(row[t + 1] - row[t], 0.0F);
    }
  }
  for (int64_t t = 0; t + 1 < frames; ++t) {
    onsets[t] /= static_cast<float>(bands);
  }
}

/// Windows are independent: each is one thread's, so the number of threads changes no bit of the result.
/// kernels::ShapeError if the shapes do not fit.
void run(kernels::Stream& stream, kernels::ThreadPool& pool, const OnsetStrength& task) {
  kernels::check(task.x.c == 1 && task.x.w >= 2, "onset_strength", "windows of one channel and two frames or more");
  kernels::check(task.onsets.size == task.x.n * (task.x.w - 1), "onset_strength", "onsets [n * (frames - 1)]");
  // A profiler that listens to the stream sees the operation under this name.
  const kernels::TraceRange range(stream, "onset_strength");
  pool.run(task.x.n,
           [&](int64_t window, int) { window_onsets(task.x, window, task.onsets.data + window * (task.x.w - 1)); });
}

}  // namespace

int main() {
  constexpr int64_t windows = 16, bands = 128, frames = 64, knock = 40;
  // Zeroed and aligned; the same code with a GPU's Device would allocate there.
  const kernels::Buffer<float> samples(windows * bands * frames);
  const kernels::Buffer<float> onsets(windows * (frames - 1));
  const kernels::Map x = kernels::make_map(samples.data(), windows, 1, bands, frames);
  // A steady hum at -40 dB; in window w a knock makes frame 40 louder by w + 1 dB.
  for (int64_t w = 0; w < windows; ++w) {
    for (int64_t i = 0; i < bands * frames; ++i) {
      const bool knocks = i % frames == knock;
      x.sample(w)[i] = knocks ? -40.0F + static_cast<float>(w + 1) : -40.0F;
    }
  }

  kernels::Stream stream;  // of the CPU: operations run at once
  kernels::ThreadPool pool;
  run(stream, pool, {.x = x, .onsets = onsets.view()});

  for (int64_t w = 0; w < windows; ++w) {
    for (int64_t t = 0; t + 1 < frames; ++t) {
      const double expected = t + 1 == knock ? static_cast<double>(w + 1) : 0.0;
      const double error = std::abs(static_cast<double>(onsets[w * (frames - 1) + t]) - expected);
      if (!(error <= 1e-4)) {
        std::fprintf(stderr, "example_kernel: window %lld, frame %lld is off by %g dB\n", static_cast<long long>(w),
                     static_cast<long long>(t), error);
        return 1;
      }
    }
  }
  std::printf("the knock of window 16 is %.1f dB, found in frame %lld\n",
              static_cast<double>(onsets[(windows - 1) * (frames - 1) + knock - 1]), static_cast<long long>(knock));
  return 0;
}
