// A training that Python listens to.
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <atomic>
#include <exception>

#include "experiments/python/bindings.h"
#include "experiments/python/listener.h"
#include "experiments/train_request.h"

namespace evenflow::python {
namespace {

namespace fs = std::filesystem;

/// Hands on what a training says. An error of a callback, or Ctrl-C, must not pass through the training, which would
/// lose it: the training stops and saves first.
class Audience {
 public:
  Audience(const nb::object& progress, const nb::object& log) : progress_(progress), log_(log) {}

  const std::atomic<bool>& stop() const { return stop_; }

  void show(const train::TrainProgress& progress) {
    guard([&] {
      signals_();
      if (progress_.is_none()) {
        return;
      }
      const nb::gil_scoped_acquire locked;
      if (progress_(nb::cast(progress)).is(nb::bool_(false))) {
        stop_ = true;
      }
    });
  }

  void log(const std::string& line) {
    guard([&] {
      signals_();
      const nb::gil_scoped_acquire locked;
      log_(line);
    });
  }

  /// After the training: what stopped it, if that was an error.
  void rethrow() const {
    if (error_) {
      std::rethrow_exception(error_);
    }
  }

 private:
  template <class Work>
  void guard(const Work& work) {
    if (error_) {
      return;
    }
    try {
      work();
    } catch (...) {
      error_ = std::current_exception();
      stop_ = true;
    }
  }

  const nb::object &progress_, &log_;
  SignalCheck signals_;
  std::atomic<bool> stop_{false};
  std::exception_ptr error_;
};

train::TrainResult train_model(const experiments::TrainArguments& arguments, const nb::object& progress,
                               const nb::object& log) {
  Audience audience(progress, log);
  const nb::gil_scoped_release unlocked;
  train::TrainOptions options = options_of(arguments);
  options.stop = &audience.stop();
  options.progress = [&](const train::TrainProgress& at) { audience.show(at); };
  options.log = [&](const std::string& line) { audience.log(line); };
  train::TrainResult result = train::train(options);
  audience.rethrow();
  return result;
}

void bind_progress(nb::module_& module) {
  using Progress = train::TrainProgress;
  nb::class_<Progress>(module, "TrainProgress", "Where a training stands: what a callback is given.")
      .def_ro("epoch", &Progress::epoch, "epochs finished")
      .def_ro("epochs", &Progress::epochs, "epochs in all")
      .def_ro("step", &Progress::step, "steps finished in this epoch")
      .def_ro("steps_per_epoch", &Progress::steps_per_epoch)
      .def_ro("loss", &Progress::loss, "running mean of this epoch, nats per dimension")
      .def_ro("validation_loss", &Progress::validation_loss, "of the last finished epoch; NaN if there is none")
      .def_ro("windows_per_second", &Progress::windows_per_second)
      .def_ro("seconds_left", &Progress::seconds_left)
      .def_ro("epoch_end", &Progress::epoch_end, "the call is an epoch's, not a step's")
      .def_ro("last", &Progress::last, "the training's last epoch has ended");
}

}  // namespace

void bind_train(nb::module_& module) {
  bind_progress(module);
  using Result = train::TrainResult;
  nb::class_<Result>(module, "TrainResult")
      .def_ro("epochs", &Result::epochs)
      .def_ro("steps", &Result::steps)
      .def_ro("loss", &Result::loss)
      .def_ro("validation_loss", &Result::validation_loss)
      .def_ro("best_loss", &Result::best_loss)
      .def_ro("best_epoch", &Result::best_epoch)
      .def_ro("seconds", &Result::seconds)
      .def_ro("windows_per_second", &Result::windows_per_second)
      .def_ro("interrupted", &Result::interrupted);
  module.def(
      "train",
      [](const std::vector<fs::path>& shards, const fs::path& run, const std::optional<fs::path>& config,
         const Keys& keys, bool resume, bool replace, int64_t until_epoch, const nb::object& progress,
         const nb::object& log) {
        experiments::TrainArguments arguments;
        arguments.shards = shards;
        arguments.run = run;
        arguments.config = config_source(config, keys);
        arguments.resume = resume;
        arguments.replace = replace;
        arguments.until_epoch = until_epoch;
        return train_model(arguments, progress, log);
      },
      nb::arg("shards"), nb::arg("run"), nb::arg("config").none(), nb::arg("keys"), nb::arg("resume"),
      nb::arg("replace"), nb::arg("until_epoch"), nb::arg("progress").none(), nb::arg("log"));
}

}  // namespace evenflow::python
