#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/buffer.h"
#include "kernels/squeeze.h"
#include "kernels/trace.h"

namespace evenflow::tests {
namespace {

class Recorder final : public kernels::Tracer {
 public:
  void begin(const char* name, const kernels::Cost& cost) override {
    heard.push_back(std::string("<") + name);
    bytes += cost.bytes;
  }
  void end() noexcept override { heard.emplace_back(">"); }
  std::vector<std::string> heard;
  double bytes = 0;
};

TEST(Trace, RangesNestAndOperationsNameThemselves) {
  kernels::Stream stream;
  Recorder recorder;
  const kernels::Buffer<float> fine(16), coarse(16);
  const auto squeeze = [&] {
    const kernels::TraceRange range(stream, "outer");
    kernels::squeeze(
        stream, {.x = kernels::make_map(fine.data(), 1, 1, 4, 4), .y = kernels::make_map(coarse.data(), 1, 4, 2, 2)});
  };
  squeeze();
  EXPECT_TRUE(recorder.heard.empty()) << "without a tracer nobody listens";
  stream.set_tracer(&recorder);
  squeeze();
  EXPECT_EQ(recorder.heard, (std::vector<std::string>{"<outer", "<squeeze", ">", ">"}));
  EXPECT_EQ(recorder.bytes, 2 * 16 * sizeof(float)) << "an operation says what it moves";
}

TEST(Trace, ARangeEndsWhenAnErrorLeavesIt) {
  kernels::Stream stream;
  Recorder recorder;
  stream.set_tracer(&recorder);
  try {
    const kernels::TraceRange range(stream, "outer");
    throw 1;
  } catch (int) {
  }
  EXPECT_EQ(recorder.heard, (std::vector<std::string>{"<outer", ">"}));
}

}  // namespace
}  // namespace evenflow::tests
