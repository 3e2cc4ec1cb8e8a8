#include "train/loop/trainer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>

#include "flow/factory.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/run_folder.h"
#include "io/utc_time.h"
#include "io/version.h"
#include "kernels/check.h"
#include "kernels/copy.h"
#include "kernels/device_ranks.h"
#include "train/detect/config_match.h"
#include "train/loop/budget.h"
#include "train/loop/checkpoint.h"
#include "train/loop/event_log.h"
#include "train/loop/guard.h"
#include "train/loop/lane.h"
#include "train/loop/normal_clips.h"
#include "train/loop/optimizer.h"
#include "train/loop/rank_agreement.h"
#include "train/loop/run_log.h"
#include "train/loop/stepper.h"
#include "train/loop/training_data.h"
#include "train/loop/zd_picture.h"

namespace evenflow::train {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// The same settings, program and kind of device on all ranks, so that what each decides by itself is the same.
kernels::Device agreed_device(const TrainOptions& options) {
  kernels::Communicator& ranks = *options.ranks;
  std::string settings = fmt::format("{} {} {} {}\n{}", options.run.string(), options.resume, options.until_epoch,
                                     options.stop_after_steps, io::to_toml(options.config));
  for (const std::filesystem::path& shard : options.shards) {
    settings += shard.string() + "\n";
  }
  require_same(ranks, "settings", settings);
  require_same(ranks, "versions of evenflow", fmt::format("{} {}", io::version(), io::commit()));
  const kernels::Device device = kernels::device_of_rank(options.config.train.device, ranks);
  require_same(ranks, "devices", kernels::describe(device));
  return device;
}

io::RunFolder open_run(const TrainOptions& options) {
  if (!options.ranks->leads()) {
    return io::RunFolder::named(options.run);
  }
  if (options.resume) {
    return io::RunFolder::resume(options.run);
  }
  io::RunFolder run = io::RunFolder::create(
      options.run, options.replace ? io::RunFolder::Existing::replace : io::RunFolder::Existing::refuse);
  run.fill([&] {
    io::write_text(run.config(), io::to_toml(options.config));
    if (options.remember_shards) {
      run.write_shards(options.shards);
    }
  });
  return run;
}

std::optional<Checkpoint> open_checkpoint(const TrainOptions& options, const io::RunFolder& run) {
  if (!options.resume) {
    return std::nullopt;
  }
  Checkpoint checkpoint = read_checkpoint(run.checkpoint());
  require_resumable(checkpoint.model.config, options.config);
  return checkpoint;
}

/// io::DataError for what only the data tell: an epoch has so many steps, each makes at most one update of at most a
/// batch of windows, and the budget of so many epochs is not overdrawn.
void require_possible(const std::filesystem::path& run, const Checkpoint& checkpoint, int64_t steps_per_epoch) {
  const io::ProgressData& progress = *checkpoint.model.progress;
  const io::TrainSettings& settings = checkpoint.model.config.train;
  const int64_t updates = checkpoint.model.optimizer->step, epochs = epochs_to_train(settings, steps_per_epoch);
  if (progress.step_in_epoch <= steps_per_epoch && progress.epoch <= epochs &&
      updates - progress.step_in_epoch <= progress.epoch * steps_per_epoch &&
      checkpoint.sums.windows <= checkpoint.sums.steps * settings.batch &&
      progress.guard_count <= Guard::most_in_a_row) {
    return;
  }
  throw io::DataError(fmt::format(
      "the checkpoint of the run '{}' is damaged: {} of {} epochs, {} steps in the one begun and {} updates in all, "
      "where an epoch has {} steps; train a new run",
      run.string(), progress.epoch, epochs, progress.step_in_epoch, updates, steps_per_epoch));
}

/// io::DataError if a file in the run's folder is not a model of the run, whose best it would be taken for, or which
/// would replace it.
void require_own_model(const std::filesystem::path& file, const io::ModelData& checkpoint) {
  const io::ModelData found = io::read_model(file);
  std::string other;
  if (const auto difference = difference_of_runs(found.config, checkpoint.config)) {
    other = fmt::format("{} = {} and not {}", difference->key, difference->first, difference->second);
  } else if (found.provenance.data_hash != checkpoint.provenance.data_hash) {
    other = fmt::format("data {} and not {}", found.provenance.data_hash, checkpoint.provenance.data_hash);
  }
  if (other.empty()) {
    return;
  }
  throw io::DataError(fmt::format(
      "'{}' is of another run ({}) than the checkpoint beside it; put the run's own model back, or train a new run",
      file.string(), other));
}

void require_own_models(const io::RunFolder& run, const io::ModelData& checkpoint) {
  for (const std::filesystem::path& file : {run.model(), run.last()}) {
    if (std::filesystem::exists(file)) {
      require_own_model(file, checkpoint);
    }
  }
  if (checkpoint.progress->best_epoch < 1 || std::filesystem::exists(run.model())) {
    return;
  }
  throw io::DataError(fmt::format(
      "the run '{}' has lost its model.h5, the best of its first {} epochs; put it back, or train a new run",
      run.path().string(), checkpoint.progress->epoch));
}

class Training {
 public:
  explicit Training(const TrainOptions& options);
  TrainResult run();

 private:
  // ---- beginning
  io::NormaliserData fit_normaliser();
  void start_new();
  void require_own(const Checkpoint& checkpoint) const;
  void resume(const Checkpoint& checkpoint);
  void initialise_model();
  void take_first_ranks_model();
  void log_start();
  void log_held_out();

  // ---- one epoch
  std::unique_ptr<Engine> make_training_engine() const;
  void make_training_stepper();
  void take_threads();
  bool run_epoch();
  void take(const StepOutcome& outcome);
  bool assemble();
  void trip(const NonFinite& found);
  void end_epoch(double seconds, int64_t windows);
  double validation_loss();
  EpochMetrics epoch_metrics(double validation) const;
  void keep_best(double loss);
  void record(const EpochMetrics& row);
  void draw_pictures();
  void report(bool epoch_end) const;
  bool stop_asked();
  bool out_of_patience() const;
  bool finished() const { return epoch_ >= epochs_ || out_of_patience(); }

  // ---- saving
  io::ModelData model_data() const;
  void save_checkpoint();
  void finish();
  void finish_models();
  std::string score_name() const;
  ClipScoring scoring() const;
  NormalClips normal_clips();
  io::ThresholdData unfitted_threshold() const;
  io::ThresholdData fit_threshold_to(const NormalClips& clips, bool say);
  void set_learnt(io::ModelData& model, const NormalClips& clips, bool say);
  void log_threshold(const FittedThreshold& threshold);
  TrainResult result() const;

  int64_t global_step() const { return epoch_ * steps_per_epoch_ + step_in_epoch_; }
  double learning_rate(int64_t step_in_epoch) const {
    return learning_rate_at(config_.train, epoch_ * steps_per_epoch_ + step_in_epoch, epochs_ * steps_per_epoch_) *
           guard_.learning_rate_factor();
  }

  const TrainOptions& options_;
  const io::Config& config_;
  kernels::Communicator& ranks_;
  kernels::Device device_;
  Lane alone_;
  Lane& lane_;
  TrainingData data_;
  io::RunFolder run_;
  RunLog log_;
  std::optional<Checkpoint> checkpoint_;
  io::Provenance provenance_;
  io::NormaliserData normaliser_;
  io::ConditionData condition_;
  int threads_;
  std::unique_ptr<kernels::MemoryScope> memory_;  // of what follows, until the optimiser is made
  std::unique_ptr<flow::Model> model_;
  std::unique_ptr<Engine> engine_;
  ScoreSet own_scores_;  // the model's, without derived ones
  Optimizer optimizer_;
  Guard guard_;
  kernels::Stream stream_;
  std::vector<double> nll_;
  int64_t steps_per_epoch_, epochs_;

  int64_t epoch_ = 0, step_in_epoch_ = 0;
  double best_loss_ = nan;
  int64_t best_epoch_ = -1;
  EpochSums sums_;
  double train_loss_ = nan;
  std::unique_ptr<Stepper> stepper_;
  std::unique_ptr<MetricsFile> metrics_;
  std::unique_ptr<EventLog> events_;

  int64_t steps_done_ = 0, windows_done_ = 0;  // in this session
  bool interrupted_ = false, stopped_ = false;
  Stopwatch clock_;
};

// ------------------------------------------------------------------------------------------------------ beginning

Training::Training(const TrainOptions& options)
    : options_(options),
      config_(options.config),
      ranks_(*options.ranks),
      device_(agreed_device(options)),
      lane_(options.lane != nullptr ? *options.lane : alone_),
      data_(open_training_data(config_, options.shards, {.held = lane_.frames(), .listen = ranks_.leads()})),
      run_(open_run(options)),
      log_(ranks_.leads() ? RunLog(run_.log(), options.log) : RunLog()),
      checkpoint_(open_checkpoint(options, run_)),
      normaliser_(checkpoint_ ? checkpoint_->model.normaliser : fit_normaliser()),
      condition_(checkpoint_ ? checkpoint_->model.condition : data_.condition),
      threads_(lane_.threads()),
      memory_(lane_.memory()),
      model_(flow::make_model(config_, condition_, config_.train.seed, device_)),
      engine_(make_training_engine()),
      own_scores_(model_->scores(), {}),
      optimizer_(model_->parameters()),
      guard_(optimizer_),
      stream_(device_) {
  memory_.reset();
  const int64_t windows = data_.train->windows_per_epoch(config_.train.windows_per_clip);
  steps_per_epoch_ = (windows + config_.train.batch - 1) / config_.train.batch;
  epochs_ = epochs_to_train(config_.train, steps_per_epoch_);
  nll_.resize(static_cast<size_t>(config_.train.batch));
  provenance_ = {std::string(io::commit()),  data_hash(data_.shards), kernels::describe(device_), io::utc_now(),
                 std::string(io::version()), config_.train.seed,      machines_of(data_)};
  require_same(ranks_, "data", provenance_.data_hash);
  if (checkpoint_) {
    require_own(*checkpoint_);
  }
  log_start();
  if (checkpoint_) {
    resume(*checkpoint_);
    checkpoint_.reset();
  } else {
    start_new();
  }
  make_training_stepper();
  if (!ranks_.leads()) {
    return;
  }
  const int64_t first_step = options.resume ? epoch_ * steps_per_epoch_ + 1 : 0;
  metrics_ = std::make_unique<MetricsFile>(run_.metrics(), epoch_);
  events_ = std::make_unique<EventLog>(run_.tensorboard(), first_step);
}

std::unique_ptr<Engine> Training::make_training_engine() const {
  const int64_t ranks = ranks_.ranks();
  const int own_threads = config_.train.threads > 0 ? config_.train.threads : ranks_.cores();
  return make_engine(*model_, normaliser_,
                     {.threads = threads_ > 0 ? threads_ : own_threads,
                      .batch = (config_.train.batch + ranks - 1) / ranks,
                      .training = true,
                      .ranks = &ranks_});
}

void Training::make_training_stepper() {
  if (ranks_.ranks() > 1) {
    for (Loader* loader : {data_.train.get(), data_.validation.get()}) {
      loader->read_only([this](int64_t of_batch) { return engine_->share(of_batch); });
    }
  }
  stepper_ = lane_.stepper({.settings = config_.train,
                            .model = *model_,
                            .engine = *engine_,
                            .loader = *data_.train,
                            .optimizer = optimizer_,
                            .guard = guard_,
                            .learning_rate = [this](int64_t step) { return learning_rate(step); },
                            .augment = data_.augment});
  engine_->hold(data_.validation->resident_frames());
}

// Beside others, the threads of those that have ended are free: results do not depend on how many there are.
void Training::take_threads() {
  const int threads = lane_.threads();
  if (threads == threads_) {
    return;
  }
  threads_ = threads;
  stepper_.reset();
  engine_ = make_training_engine();
  make_training_stepper();
}

io::NormaliserData Training::fit_normaliser() {
  const auto bands = static_cast<size_t>(data_.shards[0]->mel_bands());
  io::NormaliserData fitted{std::vector<float>(bands), std::vector<float>(bands)};
  if (ranks_.leads()) {
    fitted = fit_normaliser_to(data_, config_.window.normalise, [this](const std::string& text) { log_.line(text); });
  }
  take_from_first(ranks_, fitted.mean);
  take_from_first(ranks_, fitted.std);
  return fitted;
}

void Training::start_new() {
  if (ranks_.leads()) {
    initialise_model();
  }
  take_first_ranks_model();
  guard_.start();
  if (ranks_.leads()) {
    run_.fill([this] { save_checkpoint(); });
    run_.appear();
  }
}

void Training::take_first_ranks_model() {
  if (ranks_.ranks() == 1) {
    return;
  }
  std::vector<float> parameters = kernels::to_host(stream_, model_->parameters());
  take_from_first(ranks_, parameters);
  kernels::upload<float>(stream_, parameters, model_->parameters());
}

// io::DataError unless checkpoint, data and models belong together.
void Training::require_own(const Checkpoint& checkpoint) const {
  const std::string& begun_with = checkpoint.model.provenance.data_hash;
  if (begun_with != provenance_.data_hash) {
    throw io::DataError("the shards are not those the run '" + options_.run.string() + "' was begun with (data_hash " +
                        provenance_.data_hash + ", then " + begun_with +
                        "); give the same shards in the same order, or train a new run");
  }
  require_possible(options_.run, checkpoint, steps_per_epoch_);
  if (ranks_.leads()) {
    require_own_models(run_, checkpoint.model);
  }
}

void Training::resume(const Checkpoint& checkpoint) {
  const io::ModelData& model = checkpoint.model;
  model_->load(model.parameters);
  OptimizerSnapshot state;
  optimizer_.save(state);
  state.m = model.optimizer->m;
  state.v = model.optimizer->v;
  state.step = model.optimizer->step;
  optimizer_.restore(state);
  guard_.resume(checkpoint.good, model.progress->learning_rate_factor, model.progress->guard_count);
  epoch_ = model.progress->epoch;
  step_in_epoch_ = model.progress->step_in_epoch;
  best_loss_ = model.progress->best_loss;
  best_epoch_ = model.progress->best_epoch;
  sums_ = checkpoint.sums;
  if (!ranks_.leads()) {
    return;
  }
  io::write_text(run_.config(), io::to_toml(config_));
  if (options_.remember_shards) {
    run_.write_shards(options_.shards);
  }
  log_.line(fmt::format("resumed after {} epochs and {} steps", epoch_, step_in_epoch_));
}

void Training::initialise_model() {
  data_.train->start_epoch(config_.train.seed, 0, config_.train.batch, config_.train.windows_per_clip);
  const WindowBatch batch = data_.train->next();
  kernels::Buffer<float> x = engine_->normalised(batch);
  const int64_t size = model_->dimensions();
  std::vector<float> kept = kernels::to_host(stream_, x.view());
  int64_t windows = 0;
  for (int64_t i = 0; i < batch.size(); ++i) {
    const float* window = kept.data() + i * size;
    if (!std::all_of(window, window + size, [](float value) { return std::isfinite(value); })) {
      continue;
    }
    std::copy_n(window, size, kept.data() + windows++ * size);
  }
  if (windows == 0) {
    throw io::DataError("every window of the first batch has a value that is not finite, the first " +
                        describe_windows(data_.train->refs().first(1), data_.shards) +
                        "; prepare the recordings again");
  }
  kernels::upload<float>(stream_, std::span(kept).first(static_cast<size_t>(windows * size)),
                         x.slice(0, windows * size));
  model_->initialise(stream_, kernels::make_map(x.data(), windows, 1, model_->height(), model_->width(), device_));
}

void Training::log_start() {
  log_.line(fmt::format("evenflow {} ({}) on {}, {}", provenance_.version, provenance_.commit, provenance_.device,
                        engine_->describe()));
  if (ranks_.ranks() > 1) {
    log_.line(fmt::format("{} ranks train together, {} of them on the first one's node", ranks_.ranks(),
                          ranks_.ranks_on_node()));
  }
  if (!run_.is_locked()) {
    log_.line("the run folder's file system has no locks: nothing keeps a second training out");
  }
  const auto describe_side = [](const Loader& side) {
    return fmt::format("{} clips, {} windows ({})", side.clips(), side.windows(),
                       side.resident() ? "resident" : "streamed");
  };
  log_.line(fmt::format("data {}: training {}; validation {}", provenance_.data_hash, describe_side(*data_.train),
                        describe_side(*data_.validation)));
  if (!data_.silence.empty()) {
    log_.line("warning: " + data_.silence);
  }
  log_.line(fmt::format("model: {} parameters, {}; {} steps per epoch, {} epochs", model_->layout().size(),
                        model_->describe(), steps_per_epoch_, epochs_));
  const auto [low, high] = std::minmax_element(normaliser_.mean.begin(), normaliser_.mean.end());
  const auto [narrow, wide] = std::minmax_element(normaliser_.std.begin(), normaliser_.std.end());
  log_.line(fmt::format("normaliser {}: mean {:.2f} to {:.2f} dB, std {:.2f} to {:.2f} dB",
                        io::name_of(config_.window.normalise), *low, *high, *narrow, *wide));
  if (const std::string note = lane_.note(); !note.empty()) {
    log_.line("note: " + note);
  }
  for (const std::string& note : data_.notes) {
    log_.line("note: " + note);
  }
  for (size_t p = 0; p < condition_.names.size(); ++p) {
    log_.line(condition_.is_category(p)
                  ? fmt::format("zd carries {}: k {:.6g}, categories {}", condition_.names[p], condition_.k[p],
                                fmt::join(condition_.categories[p], ", "))
                  : fmt::format("zd carries {}: k {:.6g}, v0 {:.6g}, {} training values", condition_.names[p],
                                condition_.k[p], condition_.v0[p], condition_.training_values[p].size()));
  }
  if (condition_.names.empty()) {
    log_.line(!config_.condition.enabled                   ? "unconstrained: condition.enabled is false"
              : data_.shards[0]->parameter_names().empty() ? "unconstrained: the shards have no parameter"
                                                           : "unconstrained: zd carries no parameter");
  }
  if (data_.augment) {
    log_.line("training windows are changed at random: " + describe_augmentation(data_.augmentation));
  }
  if (data_.speed_moves) {
    log_.line(data_.speed_moves->describe());
  }
  if (steps_per_epoch_ == 1) {
    log_.line(fmt::format("warning: an epoch is a single step: {} windows, in batches of up to {}",
                          data_.train->windows_per_epoch(config_.train.windows_per_clip), config_.train.batch));
  }
  log_held_out();
}

void Training::log_held_out() {
  const auto clip_at = [&](std::pair<int32_t, int32_t> at) -> const io::Clip& {
    return data_.shards[static_cast<size_t>(at.first)]->clips()[static_cast<size_t>(at.second)];
  };
  if (data_.validation->clips() == 0) {
    log_.line(
        fmt::format("warning: no clip is held out{}: nothing tells when the model overfits, and new healthy clips "
                    "may lie above a threshold that rests on clips it was trained on",
                    config_.train.validation_fraction > 0 ? ", as none can be spared" : ""));
    if (config_.train.patience > 0) {
      log_.line("warning: train.patience has no effect without held-out clips");
    }
    return;
  }
  if (data_.validation->clips() == 1) {
    log_.line("warning: validation is one clip, '" + clip_at(data_.clips.validation.clips.front()).path.string() +
              "': which epoch is best rests on it alone");
  }
  for (const auto& at : data_.clips.lost) {
    std::string point;
    for (size_t p = 0; p < data_.shards[0]->parameter_names().size(); ++p) {
      const double value = clip_at(at).parameter[p];
      const std::vector<std::string>& names = io::categories_of(data_.shards[0]->categories(), p);
      point += fmt::format("{}{} = {}", p == 0 ? "" : ", ", data_.shards[0]->parameter_names()[p],
                           names.empty() ? fmt::format("{:g}", value) : io::value_text(value, names));
    }
    log_.line(
        fmt::format("warning: the only clip at {} is held out, so the model does not learn that value; record another "
                    "there, or set train.validation_fraction = 0 to hold out none",
                    point));
  }
}

// ------------------------------------------------------------------------------------------------------ one epoch

TrainResult Training::run() {
  clock_ = {};
  while (!finished()) {
    if (options_.until_epoch > 0 && epoch_ >= options_.until_epoch) {
      interrupted_ = true;
      break;
    }
    const Stopwatch epoch_clock;
    const int64_t before = windows_done_;
    if (!run_epoch()) {
      break;
    }
    end_epoch(epoch_clock.seconds(), windows_done_ - before);
  }
  if (epoch_ < epochs_ && out_of_patience()) {
    log_.line(fmt::format("no lower held-out loss for {} epochs (train.patience): the training ends",
                          patience_of(config_.train)));
  }
  finish();
  return result();
}

// False if it was stopped on the way.
bool Training::run_epoch() {
  take_threads();
  stepper_->start_epoch(epoch_, step_in_epoch_);
  while (step_in_epoch_ < steps_per_epoch_) {
    if (stop_asked()) {
      interrupted_ = true;
      return false;
    }
    int64_t count = steps_per_epoch_ - step_in_epoch_;
    if (options_.stop_after_steps > 0) {
      count = std::min(count, options_.stop_after_steps - steps_done_);
    }
    for (const StepOutcome& outcome : stepper_->run(count)) {
      take(outcome);
    }
  }
  return true;
}

void Training::take(const StepOutcome& outcome) {
  if (outcome.non_finite) {
    trip(*outcome.non_finite);
  } else {
    sums_.add(outcome.loss, outcome.windows, outcome.gradient_norm);
  }
  ++step_in_epoch_;
  ++steps_done_;
  windows_done_ += outcome.windows;
  report(false);
}

bool Training::stop_asked() {
  stopped_ = ranks_.any(options_.stop != nullptr && options_.stop->load());
  return stopped_ || (options_.stop_after_steps > 0 && steps_done_ >= options_.stop_after_steps);
}

bool Training::out_of_patience() const {
  const int64_t patience = patience_of(config_.train);
  return patience > 0 && data_.validation->clips() > 0 && epoch_ - std::max<int64_t>(best_epoch_, 0) >= patience;
}

// For everything but a step: false if the parameters cannot be used, which the next step's guard will deal with.
bool Training::assemble() {
  try {
    model_->assemble(stream_);
    stream_.synchronise();  // the engine has a stream of its own
    return true;
  } catch (const kernels::SingularError&) {
    return false;
  }
}

void Training::trip(const NonFinite& found) {
  guard_.reject(found.data_at_fault());
  ++sums_.guard_events;
  const std::string where = fmt::format(
      "epoch {}, step {}: {} ({})", epoch_ + 1, step_in_epoch_ + 1,
      found.data_at_fault() ? "windows with values that are not finite" : "not finite, beginning with " + found.layer,
      describe_windows(found.windows, data_.shards));
  log_.line(fmt::format("guard: {}; {}", where,
                        found.data_at_fault() ? "the batch is skipped"
                                              : fmt::format("the step is undone, learning rate now {:.3g}",
                                                            learning_rate(step_in_epoch_))));
  if (!guard_.exhausted()) {
    return;
  }
  guard_.undo();
  finish_models();
  throw io::DataError(fmt::format(
      "training stopped after {} non-finite steps in a row, the last in {}; the last good model is '{}'. {}",
      Guard::most_in_a_row, where, run_.last().string(),
      found.data_at_fault() ? "Prepare the recordings again" : "Lower train.learning_rate or set train.clip_norm"));
}

void Training::end_epoch(double seconds, int64_t windows) {
  train_loss_ = sums_.windows > 0 ? sums_.loss / static_cast<double>(sums_.windows) : nan;
  const double validation = validation_loss();
  EpochMetrics row = epoch_metrics(validation);
  row.seconds = seconds;
  row.windows_per_s = static_cast<double>(windows) / seconds;
  keep_best(data_.validation->clips() > 0 ? validation : train_loss_);
  if (ranks_.leads()) {
    metrics_->append(row);
    record(row);
  }
  log_.line(fmt::format("epoch {}: loss {:.6f}, validation {:.6f}, {:.0f} windows/s", row.epoch, row.train_loss,
                        row.validation_loss, row.windows_per_s));
  ++epoch_;
  step_in_epoch_ = 0;
  sums_ = {};
  const bool due = config_.train.checkpoint_epochs > 0 && epoch_ % config_.train.checkpoint_epochs == 0;
  if (ranks_.leads() && (finished() || due)) {
    draw_pictures();
    save_checkpoint();
  }
  report(true);
}

EpochMetrics Training::epoch_metrics(double validation) const {
  EpochMetrics row;
  row.epoch = epoch_ + 1;
  row.step = row.epoch * steps_per_epoch_;
  row.learning_rate =
      learning_rate_at(config_.train, row.step - 1, epochs_ * steps_per_epoch_) * guard_.learning_rate_factor();
  row.train_loss = train_loss_;
  row.validation_loss = validation;
  row.gradient_norm_mean = sums_.steps > 0 ? sums_.gradient_norm / static_cast<double>(sums_.steps) : nan;
  row.gradient_norm_max = sums_.steps > 0 ? sums_.gradient_norm_max : nan;
  row.guard_events = sums_.guard_events;
  return row;
}

double Training::validation_loss() {
  if (data_.validation->clips() == 0 || !assemble()) {
    return nan;
  }
  double sum = 0;
  data_.validation->start_in_order(config_.train.batch);
  for (WindowBatch batch = data_.validation->next(); batch.size() > 0; batch = data_.validation->next()) {
    sum += engine_->loss(batch, nll_) * static_cast<double>(batch.size());
  }
  return sum / static_cast<double>(data_.validation->windows());
}

void Training::keep_best(double loss) {
  if (!std::isfinite(loss) || (best_epoch_ >= 0 && !(loss < best_loss_))) {
    return;
  }
  best_loss_ = loss;
  best_epoch_ = epoch_ + 1;
  if (ranks_.leads()) {
    io::write_model(run_.model(), model_data());
  }
}

void Training::record(const EpochMetrics& row) {
  std::vector<std::pair<std::string, double>> values = {{"loss/train", row.train_loss},
                                                        {"loss/train_bits_per_dim", row.bits_per_dimension()},
                                                        {"learning_rate", row.learning_rate},
                                                        {"gradient_norm/mean", row.gradient_norm_mean},
                                                        {"gradient_norm/max", row.gradient_norm_max},
                                                        {"windows_per_s", row.windows_per_s},
                                                        {"guard_events", static_cast<double>(row.guard_events)}};
  if (data_.validation->clips() > 0) {
    values.emplace_back("loss/validation", row.validation_loss);
  }
  events_->scalars(values, row.step);
  events_->flush();
}

void Training::draw_pictures() {
  if (condition_.names.empty() || !assemble()) {
    return;
  }
  const std::vector<ClipScore> train = score_selection(scoring(), thinned(data_.clips.train)),
                               validation = score_selection(scoring(), thinned(data_.clips.validation));
  for (size_t p = 0; p < condition_.names.size(); ++p) {
    events_->picture("zd/" + condition_.names[p], draw_estimates(condition_, p, *data_.shards[0], train, validation),
                     epoch_ * steps_per_epoch_);
  }
}

void Training::report(bool epoch_end) const {
  if (!options_.progress || !ranks_.leads()) {
    return;
  }
  TrainProgress progress;
  progress.epoch = epoch_;
  progress.epochs = epochs_;
  progress.step = step_in_epoch_;
  progress.steps_per_epoch = steps_per_epoch_;
  progress.loss = epoch_end ? train_loss_ : sums_.loss / static_cast<double>(std::max<int64_t>(sums_.windows, 1));
  progress.validation_loss = metrics_->last_validation_loss();
  const double seconds = clock_.seconds();
  progress.windows_per_second = static_cast<double>(windows_done_) / seconds;
  const int64_t steps_left = epochs_ * steps_per_epoch_ - global_step();
  progress.seconds_left = seconds * static_cast<double>(steps_left) / static_cast<double>(steps_done_);
  progress.epoch_end = epoch_end;
  progress.last = epoch_end && finished();
  options_.progress(progress);
}

// ------------------------------------------------------------------------------------------------------ saving

io::ModelData Training::model_data() const {
  io::ModelData model;
  model.config = config_;
  model.parameters = model_->tensors();
  model.normaliser = normaliser_;
  model.condition = condition_;
  model.threshold = unfitted_threshold();
  model.provenance = provenance_;
  model.provenance.date = io::utc_now();
  return model;
}

void Training::save_checkpoint() {
  if (stepper_) {
    stepper_->settle();
  }
  OptimizerSnapshot state;
  optimizer_.save(state);
  Checkpoint checkpoint{model_data(), guard_.good(), sums_};
  checkpoint.model.optimizer = io::OptimizerData{state.m, state.v, state.step};
  io::ProgressData& progress = checkpoint.model.progress.emplace();
  progress.epoch = epoch_;
  progress.step_in_epoch = step_in_epoch_;
  progress.seed = config_.train.seed;
  progress.learning_rate_factor = guard_.learning_rate_factor();
  progress.best_loss = best_loss_;
  progress.best_epoch = best_epoch_;
  progress.epoch_loss_sum = sums_.loss;
  progress.guard_count = guard_.in_a_row();
  write_checkpoint(run_.checkpoint(), checkpoint);
}

// A model that has heard how its machine sounds at other speeds decides by what it expects of the speed that it hears.
std::string Training::score_name() const {
  const bool hears_speeds = data_.speed_moves && data_.speed_moves->has_learnt() &&
                            config_.model.kind == io::ModelKind::glow && !condition_.names.empty() &&
                            why_not_calibrated(data_.clips, condition_).empty();
  return config_.score.score == "auto" && hears_speeds ? "score_combined" : resolve_score(config_);
}

// By a score of the model's own: what others rest on is not known yet.
io::ThresholdData Training::unfitted_threshold() const {
  io::Config own = config_;
  const std::vector<flow::Score>& scores = model_->scores();
  if (std::none_of(scores.begin(), scores.end(), [&](const flow::Score& s) { return s.name == own.score.score; })) {
    own.score.score = "auto";
  }
  return {
      resolve_score(own), std::string(io::name_of(config_.score.threshold)), config_.score.threshold_quantile, nan, {}};
}

ClipScoring Training::scoring() const {
  return {.engine = *engine_,
          .model = *model_,
          .condition = condition_,
          .window = config_.window,
          .score = config_.score,
          .scores = own_scores_,
          .score_name = score_name()};
}

// None if the parameters cannot be used.
NormalClips Training::normal_clips() {
  if (!assemble()) {
    return {};
  }
  io::Config config = config_;
  config.augment = data_.augmentation;
  return score_normal_clips(scoring(), data_.clips, config, data_.speed_moves ? &*data_.speed_moves : nullptr);
}

io::ThresholdData Training::fit_threshold_to(const NormalClips& clips, bool say) {
  if (say && !clips.without_score.empty()) {
    log_.line(fmt::format(
        "warning: the threshold leaves out {} of {} training clips whose score is not finite, the first '{}': {}",
        clips.without_score.size(), data_.clips.train.clips.size() + data_.clips.validation.clips.size(),
        clips.without_score[0].clip.path.string(), clips.without_score[0].fault));
  }
  if (say && !clips.calibration.empty()) {
    log_.line(clips.calibration);
  }
  if (say && !clips.score_name.empty() && clips.score_name != score_name()) {
    log_.line(fmt::format("warning: {} cannot be had, so {} decides", score_name(), clips.score_name));
  }
  const std::string deciding = clips.score_name.empty() ? score_name() : clips.score_name;
  try {
    const FittedThreshold fitted = fit_threshold(clips.scores, config_.score, deciding);
    if (say) {
      log_threshold(fitted);
    }
    return fitted.data;
  } catch (const io::DataError& error) {
    if (say) {
      log_.line(std::string("no threshold: ") + error.what());
    }
    io::ThresholdData unfitted = unfitted_threshold();
    unfitted.score = deciding;
    return unfitted;
  }
}

void Training::log_threshold(const FittedThreshold& fitted) {
  constexpr int64_t few = 20;
  const io::ThresholdData& threshold = fitted.data;
  log_.line(fmt::format(
      "threshold: {} above {:.6g} is anomalous (rule {}, quantile {:g}); {} of {} training clips lie above",
      threshold.score, threshold.value, threshold.method, threshold.quantile, threshold.above, threshold.clips));
  if (threshold.method == "value" && 2 * threshold.above > threshold.clips) {
    log_.line(fmt::format(
        "warning: most normal training clips lie above score.threshold_value = {:g}; is it of {}? Otherwise set "
        "score.threshold to gamma",
        threshold.value, threshold.score));
  }
  if (!fitted.why.empty()) {
    log_.line(fmt::format("threshold by the rule {}: {}", threshold.method, fitted.why));
  }
  if (fitted.rests_on < few) {
    log_.line(
        fmt::format("warning: the threshold rests on {}{} clip{}, fewer than {}: it is rough; set it by more normal "
                    "clips that are new to the model, with `evenflow calibrate`",
                    fitted.rests_on, fitted.of_held_out ? " held-out" : "", fitted.rests_on == 1 ? "" : "s", few));
  }
}

/// All that a model knows from its normal clips.
void Training::set_learnt(io::ModelData& model, const NormalClips& clips, bool say) {
  model.threshold = fit_threshold_to(clips, say);
  model.normal = clips.normal;
  model.conformal = clips.conformal;
  if (model.conformal) {
    model.conformal->date = model.provenance.date;
  }
}

// last.h5 and model.h5 with their thresholds. Afterwards the model holds the best model's parameters.
void Training::finish_models() {
  if (!ranks_.leads()) {
    return;
  }
  stepper_->settle();
  NormalClips clips = normal_clips();
  const bool no_score = clips.scores.training.empty() && clips.scores.held_out.empty();
  if (no_score && optimizer_.step() > guard_.good().step) {
    log_.line("the last step gave no finite score and is left out of the model");
    guard_.undo();
    clips = normal_clips();
  }
  io::ModelData last = model_data();
  set_learnt(last, clips, best_epoch_ < 0);
  io::write_model(run_.last(), last);
  if (best_epoch_ < 0) {
    io::write_model(run_.model(), last);
    return;
  }
  io::ModelData best = io::read_model(run_.model());
  model_->load(best.parameters);
  set_learnt(best, normal_clips(), true);
  io::write_model(run_.model(), best);
}

void Training::finish() {
  stepper_->settle();
  if (!interrupted_ && steps_done_ > 0 && optimizer_.step() == 0) {
    throw io::DataError(
        fmt::format("nothing was learnt in run '{}': every batch has values that are not finite (log.txt names clips); "
                    "prepare the recordings again",
                    options_.run.string()));
  }
  if (interrupted_ && ranks_.leads()) {
    save_checkpoint();
  }
  finish_models();
  log_.line(interrupted_
                ? fmt::format("stopped after {} epochs and {} steps; resume to go on", epoch_, step_in_epoch_)
                : fmt::format("finished {} epochs; best loss {:.6f} in epoch {}", epoch_, best_loss_, best_epoch_));
}

TrainResult Training::result() const {
  TrainResult result;
  result.epochs = epoch_;
  result.steps = steps_done_;
  result.loss = train_loss_;
  result.validation_loss = metrics_ ? metrics_->last_validation_loss() : nan;
  result.best_loss = best_loss_;
  result.best_epoch = best_epoch_;
  result.seconds = clock_.seconds();
  result.windows_per_second = static_cast<double>(windows_done_) / result.seconds;
  result.interrupted = interrupted_;
  result.stopped = stopped_;
  result.out_of_patience = epoch_ < epochs_ && out_of_patience();
  return result;
}

}  // namespace

TrainResult train(const TrainOptions& options) {
  io::validate(options.config);
  require_score(options.config);
  Training training(options);
  return training.run();
}

}  // namespace evenflow::train
