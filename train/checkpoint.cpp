#include "train/checkpoint.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/hdf5_file.h"

namespace evenflow::train {
namespace {

// What io's model file does not know lies in one group of its own: /resume/{parameters,m,v,integers,numbers}.
constexpr const char* group = "/resume";

struct Resume {
  std::vector<float> parameters, m, v;
  std::vector<int64_t> integers;
  std::vector<double> numbers;
};

Resume pack(const OptimizerSnapshot& good, const EpochSums& sums) {
  return {good.parameters,
          good.m,
          good.v,
          {good.step, sums.windows, sums.steps, sums.guard_events},
          {sums.loss, sums.gradient_norm, sums.gradient_norm_max}};
}

void unpack(const Resume& resume, Checkpoint& checkpoint) {
  checkpoint.good = {resume.parameters, resume.m, resume.v, resume.integers[0]};
  checkpoint.sums = {resume.numbers[0], resume.integers[1], resume.numbers[1],
                     resume.numbers[2], resume.integers[2], resume.integers[3]};
}

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& what) {
  throw io::DataError("checkpoint '" + file.string() + "' " + what);
}

// The group in a checkpoint file.
class ResumeGroup {
 public:
  /// Opens `file`; errors name `named`, the file it is or is to become.
  ResumeGroup(const std::filesystem::path& file, std::filesystem::path named, unsigned mode)
      : named_(std::move(named)), file_(H5Fopen(file.c_str(), mode, H5P_DEFAULT)) {
    if (!file_.valid()) fail(named_, "cannot be opened");
  }

  void create() {
    const io::Handle made(H5Gcreate2(file_.get(), group, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    if (!made.valid()) fail_to_write();
  }

  template <class T>
  void write(const char* name, const std::vector<T>& values) {
    const hsize_t size = values.size();
    const io::Handle space(H5Screate_simple(1, &size, nullptr));
    const io::Handle dataset(H5Dcreate2(file_.get(), path(name).c_str(), io::Hdf5Type<T>::stored(), space.get(),
                                        H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    const bool written = dataset.valid() && H5Dwrite(dataset.get(), io::Hdf5Type<T>::native(), H5S_ALL, H5S_ALL,
                                                     H5P_DEFAULT, values.data()) >= 0;
    if (!written) fail_to_write();
  }

  template <class T>
  std::vector<T> read(const char* name, size_t expected) {
    const io::Handle dataset(H5Dopen2(file_.get(), path(name).c_str(), H5P_DEFAULT));
    const io::Handle space(dataset.valid() ? H5Dget_space(dataset.get()) : H5I_INVALID_HID);
    const bool right = space.valid() && H5Sget_simple_extent_npoints(space.get()) == static_cast<hssize_t>(expected);
    std::vector<T> values(right ? expected : 0);
    if (!right || H5Dread(dataset.get(), io::Hdf5Type<T>::native(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) < 0) {
      fail(named_, "lacks " + path(name) + " or is damaged; train a new run");
    }
    return values;
  }

  bool exists() const { return H5Lexists(file_.get(), group, H5P_DEFAULT) > 0; }

  void close() {
    if (!file_.close()) fail_to_write();
  }

 private:
  [[noreturn]] void fail_to_write() const { fail(named_, "cannot be written; is the disk full?"); }
  static std::string path(const char* name) { return std::string(group) + "/" + name; }
  std::filesystem::path named_;
  io::Handle file_;
};

void append(const std::filesystem::path& to, const std::filesystem::path& named, const Resume& resume) {
  const io::Hdf5Lock lock;
  ResumeGroup out(to, named, H5F_ACC_RDWR);
  out.create();
  out.write("parameters", resume.parameters);
  out.write("m", resume.m);
  out.write("v", resume.v);
  out.write("integers", resume.integers);
  out.write("numbers", resume.numbers);
  out.close();
}

}  // namespace

void EpochSums::add(double step_loss, int64_t step_windows, double norm) {
  loss += step_loss * static_cast<double>(step_windows);
  windows += step_windows;
  gradient_norm += norm;
  gradient_norm_max = std::max(gradient_norm_max, norm);
  ++steps;
}

void write_checkpoint(const std::filesystem::path& file, const Checkpoint& checkpoint) {
  io::AtomicFile out(file);
  io::write_model(out.temporary(), checkpoint.model);
  append(out.temporary(), file, pack(checkpoint.good, checkpoint.sums));
  out.commit();
}

Checkpoint read_checkpoint(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file))
    fail(file, "is not there: the run was stopped before its first one; train it anew");
  Checkpoint checkpoint{io::read_model(file), {}, {}};
  if (!checkpoint.model.optimizer || !checkpoint.model.progress) {
    fail(file, "is a model without the optimiser's state; resume from a run's checkpoint.h5");
  }
  const size_t size = checkpoint.model.optimizer->m.size();
  const io::Hdf5Lock lock;
  ResumeGroup in(file, file, H5F_ACC_RDONLY);
  if (!in.exists()) fail(file, "lacks the guard's state; train a new run");
  unpack({in.read<float>("parameters", size), in.read<float>("m", size), in.read<float>("v", size),
          in.read<int64_t>("integers", 4), in.read<double>("numbers", 3)},
         checkpoint);
  return checkpoint;
}

}  // namespace evenflow::train
