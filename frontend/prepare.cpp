#include "frontend/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "frontend/audio.h"
#include "frontend/features.h"
#include "frontend/silence.h"
#include "frontend/sound_notes.h"
#include "io/error.h"
#include "io/shard.h"

namespace evenflow::frontend {
namespace {

/// One clip's way through a worker: features (or the sound, whose features a GPU computes), or a sentence why not, or
/// an error that ends the whole run.
struct Outcome {
  std::vector<float> logmel_db;
  std::vector<float> sound;
  SoundSource source;
  int64_t samples = 0;
  std::string bad;
  std::exception_ptr fatal;
};

/// Workers take clips in order and may be at most `window` clips ahead of the writer, which takes the outcomes in
/// order.
class Pipeline {
 public:
  Pipeline(const io::Manifest& manifest, const PrepareOptions& options, size_t threads)
      : manifest_(manifest), options_(options), slots_(std::min(manifest.clips.size(), threads * 4)) {
    try {
      while (workers_.size() < threads) {
        workers_.emplace_back([this] { work(); });
      }
    } catch (const std::system_error&) {
      if (workers_.empty()) {
        throw;  // else fewer threads must do
      }
    }
  }

  ~Pipeline() {
    {
      const std::scoped_lock lock(mutex_);
      quit_ = true;
    }
    room_.notify_all();
    for (std::thread& worker : workers_) {
      worker.join();
    }
  }

  /// The outcome of the next clip; none if the stop flag was set first.
  std::optional<Outcome> next() {
    std::unique_lock lock(mutex_);
    std::optional<Outcome>& slot = slots_[taken_ % slots_.size()];
    // The flag may be set from a signal handler, which cannot notify: look at it now and then.
    while (!slot) {
      if (stopped()) {
        return std::nullopt;
      }
      ready_.wait_for(lock, std::chrono::milliseconds(20));
    }
    if (stopped()) {
      return std::nullopt;
    }
    std::optional<Outcome> outcome = std::exchange(slot, std::nullopt);
    ++taken_;
    lock.unlock();
    room_.notify_one();
    return outcome;
  }

 private:
  bool stopped() const { return options_.stop && options_.stop->load(); }

  void work() {
    std::optional<LogMel> transform;
    for (;;) {
      size_t index;
      {
        std::unique_lock lock(mutex_);
        room_.wait(lock, [&] { return quit_ || begun_ == manifest_.clips.size() || begun_ < taken_ + slots_.size(); });
        if (quit_ || begun_ == manifest_.clips.size()) {
          return;
        }
        index = begun_++;
      }
      Outcome outcome;
      try {
        if (!transform) {
          transform.emplace(options_.frontend);
        }
        outcome = features_of(manifest_.root / manifest_.clips[index].path, *transform);
      } catch (const io::DataError& error) {
        outcome.bad = error.what();
        if (const int64_t line = manifest_.clips[index].line; line > 0) {
          outcome.bad = fmt::format("line {}: {}", line, outcome.bad);
        }
      } catch (...) {
        outcome.fatal = std::current_exception();
      }
      {
        const std::scoped_lock lock(mutex_);
        slots_[index % slots_.size()] = std::move(outcome);
      }
      ready_.notify_one();
    }
  }

  Outcome features_of(const std::filesystem::path& file, LogMel& transform) const {
    const io::FrontendSettings& settings = options_.frontend;
    Outcome outcome;
    Audio audio = read_audio(file, settings);
    std::vector<float>& samples = audio.samples;
    outcome.source = std::move(audio.source);
    outcome.samples = static_cast<int64_t>(samples.size());
    const int64_t frames = transform.frames(outcome.samples);
    if (frames < options_.min_frames) {
      throw io::DataError(fmt::format(
          "'{}' is too short: {:.3f} s give {} frames, and a window takes {} ({:.3f} s); leave it out or shorten the "
          "window",
          file.string(), static_cast<double>(outcome.samples) / settings.sample_rate_hz, frames, options_.min_frames,
          static_cast<double>(int64_t{options_.min_frames - 1} * settings.hop_samples) / settings.sample_rate_hz));
    }
    if (options_.device.type == kernels::DeviceType::cpu) {
      outcome.logmel_db = clip_features(file, samples, settings, transform);
    } else {
      require_paddable(file, outcome.samples, settings, transform);
      outcome.sound = std::move(samples);
    }
    return outcome;
  }

  const io::Manifest& manifest_;
  const PrepareOptions& options_;
  std::mutex mutex_;
  std::condition_variable room_, ready_;
  std::vector<std::optional<Outcome>> slots_;  // clip i in slot i modulo their number
  size_t begun_ = 0, taken_ = 0;
  bool quit_ = false;
  std::vector<std::thread> workers_;
};

/// Clips on their way into the shard, in order: at once where their features are there, else by way of the device, a
/// batch at a time.
class Appender {
 public:
  Appender(const io::Manifest& manifest, const PrepareOptions& options, io::ShardWriter& writer)
      : manifest_(manifest),
        writer_(writer),
        settings_(options.frontend),
        batch_samples_(options.batch_samples),
        notes_(options.frontend) {
    if (options.device.type != kernels::DeviceType::cpu) {
      transform_.emplace(options.frontend, options.device);
    }
  }

  void take(size_t clip, Outcome outcome) {
    if (!transform_) {
      append(clip, outcome.logmel_db, outcome.source);
      return;
    }
    samples_ += outcome.samples;
    waiting_.push_back(clip);
    sources_.push_back(std::move(outcome.source));
    sounds_.push_back(std::move(outcome.sound));
    if (samples_ >= batch_samples_) {
      flush();
    }
  }

  void flush() {
    if (waiting_.empty()) {
      return;
    }
    const std::vector<std::vector<float>> features = (*transform_)(sounds_);
    for (size_t i = 0; i < waiting_.size(); ++i) {
      append(waiting_[i], features[i], sources_[i]);
    }
    waiting_.clear();
    sources_.clear();
    sounds_.clear();
    samples_ = 0;
  }

  int64_t values() const { return values_; }
  std::vector<std::string> notes() const { return notes_.lines(); }

 private:
  void append(size_t clip, const std::vector<float>& logmel_db, const SoundSource& source) {
    writer_.append(manifest_.clips[clip], logmel_db);
    notes_.add(manifest_.clips[clip].path, source, says_nothing(logmel_db, settings_));
    values_ += static_cast<int64_t>(logmel_db.size());
  }

  const io::Manifest& manifest_;
  io::ShardWriter& writer_;
  const io::FrontendSettings& settings_;
  int64_t batch_samples_;
  SoundNotes notes_;
  std::optional<BatchLogMel> transform_;
  std::vector<size_t> waiting_;
  std::vector<std::vector<float>> sounds_;  // of those waiting
  std::vector<SoundSource> sources_;        // of those waiting
  int64_t samples_ = 0;                     // of those waiting
  int64_t values_ = 0;
};

[[noreturn]] void report(const std::vector<std::string>& bad, size_t clips) {
  constexpr size_t listed = 3;
  std::string text = bad.size() == 1 ? fmt::format("1 of {} recordings cannot be used:", clips)
                                     : fmt::format("{} of {} recordings cannot be used:", bad.size(), clips);
  for (size_t i = 0; i < std::min(bad.size(), listed); ++i) {
    text += "\n  " + bad[i];
  }
  if (bad.size() > listed) {
    text += fmt::format("\n  and {} more", bad.size() - listed);
  }
  if (bad.size() < clips) {
    text += "\nrepair them or add --skip-bad";
  }
  throw io::DataError(text);
}

}  // namespace

PrepareResult prepare(const io::Manifest& manifest, const std::filesystem::path& shard, const PrepareOptions& options) {
  const size_t total = manifest.clips.size();
  if (total == 0) {
    throw io::DataError(fmt::format("there are no recordings in '{}'", manifest.root.string()));
  }
  const LogMel check_settings(options.frontend);
  const size_t wanted =
      options.threads > 0 ? static_cast<size_t>(options.threads) : std::thread::hardware_concurrency();

  io::ShardWriter writer(shard, options.frontend, manifest.parameter_names, kernels::to_string(options.device),
                         manifest.categories);
  Appender appender(manifest, options, writer);
  PrepareResult result;
  int64_t samples = 0;
  Pipeline pipeline(manifest, options, std::clamp<size_t>(wanted, 1, total));
  for (size_t done = 0; done < total; ++done) {
    std::optional<Outcome> outcome = pipeline.next();
    if (!outcome) {
      result.stopped = true;
      return result;
    }
    if (outcome->fatal) {
      std::rethrow_exception(outcome->fatal);
    }
    if (!outcome->bad.empty()) {
      result.skipped.push_back(std::move(outcome->bad));
    } else if (options.skip_bad || result.skipped.empty()) {
      samples += outcome->samples;
      appender.take(done, std::move(*outcome));
      ++result.clips;
    }
    if (options.progress) {
      options.progress(done + 1, total);
    }
  }
  if (options.stop && options.stop->load()) {
    result.stopped = true;
    return result;
  }
  if (result.clips == 0 || (!options.skip_bad && !result.skipped.empty())) {
    report(result.skipped, total);
  }
  appender.flush();
  result.notes = appender.notes();
  result.frames = appender.values() / options.frontend.mel_bands;
  result.seconds_of_sound = static_cast<double>(samples) / options.frontend.sample_rate_hz;
  writer.finish();
  return result;
}

}  // namespace evenflow::frontend
