#include "io/samples_file.h"

#include "io/atomic_file.h"
#include "io/hdf5_file.h"

namespace evenflow::io {
namespace {

constexpr const char* samples_kind = "evenflow samples";

}  // namespace

void write_samples(const std::filesystem::path& target, const Samples& samples) {
  AtomicFile atomic(target);
  const Hdf5Lock lock;
  Hdf5File file = Hdf5File::create(atomic.temporary(), target);
  const Shape shape = {static_cast<hsize_t>(samples.windows), static_cast<hsize_t>(samples.bands),
                       static_cast<hsize_t>(samples.frames)};
  file.write("/logmel", shape, samples.logmel_db.data());
  if (!samples.original.empty()) {
    file.write("/original", shape, samples.original.data());
  }
  file.write("/parameter", samples.values);
  file.write_attribute("/parameter", "names", samples.names);
  file.write_attribute("/", "model", samples.model);
  if (samples.from) {
    file.write_attribute("/", "from", *samples.from);
  } else {
    file.write_attribute("/", "temperature", samples.temperature);
    file.write_attribute("/", "seed", samples.seed);
  }
  file.finish(samples_kind);
  atomic.commit();
}

Samples read_samples(const std::filesystem::path& path) {
  const Hdf5Lock lock;
  const Hdf5File file = Hdf5File::open(path, samples_kind);
  Samples samples;
  Shape shape;
  samples.logmel_db = file.read<float>("/logmel", shape);
  if (shape.size() != 3) {
    file.fail_damaged("/logmel is not [windows, bands, frames]");
  }
  samples.windows = static_cast<int64_t>(shape[0]);
  samples.bands = static_cast<int64_t>(shape[1]);
  samples.frames = static_cast<int64_t>(shape[2]);
  if (file.exists("/original")) {
    Shape original;
    samples.original = file.read<float>("/original", original);
    if (original != shape) {
      file.fail_damaged("/original has another shape than /logmel");
    }
  }
  samples.names = file.read_texts_attribute("/parameter", "names");
  samples.values = file.read<double>("/parameter");
  if (samples.names.size() != samples.values.size()) {
    file.fail_damaged("/parameter does not have a value for each name");
  }
  samples.model = file.read_text_attribute("/", "model");
  if (file.has_attribute("/", "from")) {
    samples.from = file.read_text_attribute("/", "from");
    if (samples.original.empty()) {
      file.fail("has no /original of the recording that was moved; make it again");
    }
  } else {
    samples.temperature = file.read_attribute<double>("/", "temperature");
    samples.seed = file.read_attribute<uint64_t>("/", "seed");
  }
  return samples;
}

}  // namespace evenflow::io
