// Agreement with librosa (tests/golden/logmel holds the arrays and the script that made them).
#include <gtest/gtest.h>
#include <hdf5.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/logmel.h"

namespace evenflow::kernels {
namespace {

/// Read-only access to one group of the golden file.
class Golden {
 public:
  explicit Golden(const std::string& group)
      : file_(H5Fopen(EVENFLOW_GOLDEN_DIR "/logmel/logmel.h5", H5F_ACC_RDONLY, H5P_DEFAULT)),
        group_(H5Gopen2(file_, group.c_str(), H5P_DEFAULT)) {
    if (group_ < 0) {
      throw std::runtime_error("no golden group " + group);
    }
  }
  ~Golden() {
    H5Gclose(group_);
    H5Fclose(file_);
  }
  Golden(const Golden&) = delete;
  Golden& operator=(const Golden&) = delete;

  int attribute(const char* name) const {
    int value = 0;
    const hid_t id = H5Aopen(group_, name, H5P_DEFAULT);
    if (id < 0 || H5Aread(id, H5T_NATIVE_INT, &value) < 0) {
      throw std::runtime_error(std::string("no ") + name);
    }
    H5Aclose(id);
    return value;
  }

  std::vector<double> array(const char* name) const {
    const hid_t id = H5Dopen2(group_, name, H5P_DEFAULT);
    const hid_t space = H5Dget_space(id);
    std::vector<double> values(static_cast<size_t>(H5Sget_simple_extent_npoints(space)));
    if (H5Dread(id, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) < 0) {
      throw std::runtime_error(std::string("cannot read ") + name);
    }
    H5Sclose(space);
    H5Dclose(id);
    return values;
  }

  std::vector<float> samples() const {
    const hid_t id = H5Dopen2(group_, "samples", H5P_DEFAULT);
    const hid_t type = H5Dget_type(id);
    const double scale = H5Tget_class(type) == H5T_INTEGER ? 1.0 / 32768.0 : 1.0;
    H5Tclose(type);
    H5Dclose(id);
    std::vector<float> samples;
    for (double value : array("samples")) {
      samples.push_back(static_cast<float>(value * scale));
    }
    return samples;
  }

  LogMelSettings settings(PadMode pad_mode) const {
    return {.sample_rate_hz = attribute("sample_rate_hz"),
            .n_fft = attribute("n_fft"),
            .hop_samples = attribute("hop_samples"),
            .mel_bands = attribute("mel_bands"),
            .pad_mode = pad_mode};
  }

 private:
  hid_t file_, group_;
};

class LogMelGolden : public testing::TestWithParam<const char*> {};

void expect_agreement(const Golden& golden, const char* array, PadMode pad_mode) {
  const std::vector<float> samples = golden.samples();
  const std::vector<double> expected = golden.array(array);
  const LogMelPlan plan(golden.settings(pad_mode));
  const auto count = static_cast<int64_t>(samples.size());
  const auto bands = static_cast<size_t>(golden.attribute("mel_bands"));
  ASSERT_EQ(static_cast<size_t>(plan.frames(count)) * bands, expected.size());
  std::vector<float> came(expected.size());
  plan.run(samples.data(), count, came.data());
  double worst = 0.0;
  for (size_t i = 0; i < came.size(); ++i) {
    const double error = std::abs(static_cast<double>(came[i]) - expected[i]);
    if (!(error <= 1e-3)) {
      FAIL() << array << ", frame " << i / bands << ", band " << i % bands << ": " << came[i] << " dB, librosa "
             << expected[i];
    }
    worst = std::max(worst, error);
  }
  testing::Test::RecordProperty(std::string("worst_db_") + array, std::to_string(worst * 1e6) + "e-6");
}

// No band is left out: the quietest, 181 dB below the sine's peak, is above float64's floor too.
TEST_P(LogMelGolden, WithinAThousandthOfADecibelOfLibrosa) {
  const Golden golden(GetParam());
  expect_agreement(golden, "reflect", PadMode::reflect);
  expect_agreement(golden, "zero", PadMode::zero);
  expect_agreement(golden, "reflect_float32", PadMode::reflect);
}

INSTANTIATE_TEST_SUITE_P(Signals, LogMelGolden,
                         testing::Values("sine", "chirp", "noise", "quiet_noise", "silence", "impulse", "recording",
                                         "odd_size", "long_frame", "short_frame"),
                         [](const auto& signal) { return std::string(signal.param); });

}  // namespace
}  // namespace evenflow::kernels
