#include "io/model_file.h"

#include <algorithm>
#include <limits>
#include <new>
#include <utility>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/hdf5_file.h"

namespace evenflow::io {
namespace {

constexpr const char* model_kind = "evenflow model";
constexpr int64_t model_version = 1;

void write_tensor(Hdf5File& file, const Tensor& tensor) {
  if (tensor.name.empty() || tensor.name == "." || tensor.name.find('/') != std::string::npos)
    file.fail("a tensor cannot be called '" + tensor.name + "'");
  const std::string where = "/parameters/" + tensor.name;
  Shape shape;
  uint64_t count = 1;
  for (const int64_t n : tensor.shape) {
    shape.push_back(static_cast<hsize_t>(n));
    count *= static_cast<uint64_t>(n);
  }
  const bool is_float = tensor.type == Tensor::Type::float32;
  const size_t given = is_float ? tensor.values.size() : tensor.integers.size();
  if (given != count)
    file.fail(where + " has " + std::to_string(given) + " values for a shape of " + std::to_string(count));
  if (is_float) {
    file.write(where, shape, tensor.values.data());
  } else if (tensor.type == Tensor::Type::int32) {
    file.write(where, shape, tensor.integers.data());
  } else {
    std::vector<int8_t> narrow;
    for (const int32_t value : tensor.integers) {
      if (value < -128 || value > 127) file.fail(where + " holds " + std::to_string(value) + ", beyond an int8");
      narrow.push_back(static_cast<int8_t>(value));
    }
    file.write(where, shape, narrow.data());
  }
}

Tensor read_tensor(const Hdf5File& file, const std::string& name) {
  const std::string where = "/parameters/" + name;
  const Handle type = file.type_of(where);
  Tensor tensor;
  tensor.name = name;
  Shape shape;
  if (H5Tequal(type.get(), H5T_STD_I32LE) > 0) {
    tensor.type = Tensor::Type::int32;
    tensor.integers = file.read<int32_t>(where, shape);
  } else if (H5Tequal(type.get(), H5T_STD_I8LE) > 0) {
    tensor.type = Tensor::Type::int8;
    const std::vector<int8_t> narrow = file.read<int8_t>(where, shape);
    tensor.integers.assign(narrow.begin(), narrow.end());
  } else {
    tensor.values = file.read<float>(where, shape);
  }
  for (const hsize_t n : shape) tensor.shape.push_back(static_cast<int64_t>(n));
  return tensor;
}

void write_condition(Hdf5File& file, const ConditionData& condition) {
  const size_t count = condition.names.size();
  if (condition.k.size() != count || condition.v0.size() != count || condition.mean.size() != count ||
      condition.std.size() != count || condition.training_values.size() != count)
    file.fail("/condition does not give k, v0, mean, std and training values for each of its " + std::to_string(count) +
              " parameters");
  file.make_group("/condition");
  file.write_texts("/condition/names", condition.names);
  file.write("/condition/k", condition.k);
  file.write("/condition/v0", condition.v0);
  file.write("/condition/mean", condition.mean);
  file.write("/condition/std", condition.std);
  std::vector<double> values;
  std::vector<int64_t> offset = {0};
  for (const std::vector<double>& of_one : condition.training_values) {
    values.insert(values.end(), of_one.begin(), of_one.end());
    offset.push_back(static_cast<int64_t>(values.size()));
  }
  file.write("/condition/training_values", values);
  file.write("/condition/training_offset", offset);
}

ConditionData read_condition(const Hdf5File& file) {
  ConditionData condition;
  condition.names = file.read_texts("/condition/names");
  const size_t count = condition.names.size();
  const auto per_parameter = [&](const std::string& where) {
    std::vector<double> out = file.read<double>(where);
    if (out.size() != count)
      file.fail(where + " has " + std::to_string(out.size()) + " values for " + std::to_string(count) +
                " parameters; make the model anew");
    return out;
  };
  condition.k = per_parameter("/condition/k");
  condition.v0 = per_parameter("/condition/v0");
  condition.mean = per_parameter("/condition/mean");
  condition.std = per_parameter("/condition/std");
  const std::vector<double> values = file.read<double>("/condition/training_values");
  const std::vector<int64_t> offset = file.read<int64_t>("/condition/training_offset");
  if (offset.size() != count + 1 || offset.front() != 0 || offset.back() != static_cast<int64_t>(values.size()) ||
      !std::is_sorted(offset.begin(), offset.end()))
    file.fail("/condition/training_offset does not divide the training values; make the model anew");
  for (size_t i = 0; i < count; ++i)
    condition.training_values.emplace_back(values.begin() + offset[i], values.begin() + offset[i + 1]);
  return condition;
}

void write_threshold(Hdf5File& file, const ThresholdData& threshold) {
  file.make_group("/threshold");
  file.write_attribute("/threshold", "score", threshold.score);
  file.write_attribute("/threshold", "method", threshold.method);
  file.write_attribute("/threshold", "quantile", threshold.quantile);
  file.write_attribute("/threshold", "value", threshold.value);
  file.write("/threshold/gamma", threshold.gamma);
}

ThresholdData read_threshold(const Hdf5File& file) {
  ThresholdData threshold;
  threshold.score = file.read_text_attribute("/threshold", "score");
  threshold.method = file.read_text_attribute("/threshold", "method");
  threshold.quantile = file.read_attribute<double>("/threshold", "quantile");
  threshold.value = file.read_attribute<double>("/threshold", "value");
  threshold.gamma = file.read<double>("/threshold/gamma");
  if (!threshold.gamma.empty() && threshold.gamma.size() != 3)
    file.fail("/threshold/gamma has " + std::to_string(threshold.gamma.size()) +
              " values, expected shape, location and scale; make the model anew");
  return threshold;
}

void write_provenance(Hdf5File& file, const Provenance& provenance) {
  file.make_group("/provenance");
  file.write_attribute("/provenance", "commit", provenance.commit);
  file.write_attribute("/provenance", "data_hash", provenance.data_hash);
  file.write_attribute("/provenance", "device", provenance.device);
  file.write_attribute("/provenance", "date", provenance.date);
  file.write_attribute("/provenance", "version", provenance.version);
  file.write_attribute("/provenance", "seed", provenance.seed);
}

Provenance read_provenance(const Hdf5File& file) {
  Provenance provenance;
  provenance.commit = file.read_text_attribute("/provenance", "commit");
  provenance.data_hash = file.read_text_attribute("/provenance", "data_hash");
  provenance.device = file.read_text_attribute("/provenance", "device");
  provenance.date = file.read_text_attribute("/provenance", "date");
  provenance.version = file.read_text_attribute("/provenance", "version");
  provenance.seed = file.read_attribute<uint64_t>("/provenance", "seed");
  return provenance;
}

void write_optimizer(Hdf5File& file, const OptimizerData& optimizer) {
  if (optimizer.m.size() != optimizer.v.size())
    file.fail("/optimizer has " + std::to_string(optimizer.m.size()) + " first and " +
              std::to_string(optimizer.v.size()) + " second moments");
  file.make_group("/optimizer");
  file.write("/optimizer/m", optimizer.m);
  file.write("/optimizer/v", optimizer.v);
  file.write("/optimizer/step", Shape{}, &optimizer.step);
}

OptimizerData read_optimizer(const Hdf5File& file) {
  OptimizerData optimizer;
  optimizer.m = file.read<float>("/optimizer/m");
  optimizer.v = file.read<float>("/optimizer/v");
  if (optimizer.m.size() != optimizer.v.size())
    file.fail("/optimizer/m and /optimizer/v differ in size; use another checkpoint");
  Shape shape;
  const std::vector<int64_t> step = file.read<int64_t>("/optimizer/step", shape);
  if (step.size() != 1) file.fail("/optimizer/step is not a single number; use another checkpoint");
  optimizer.step = step[0];
  return optimizer;
}

void write_progress(Hdf5File& file, const ProgressData& progress) {
  file.make_group("/progress");
  file.write_attribute("/progress", "epoch", progress.epoch);
  file.write_attribute("/progress", "step_in_epoch", progress.step_in_epoch);
  file.write_attribute("/progress", "seed", progress.seed);
  file.write_attribute("/progress", "learning_rate_factor", progress.learning_rate_factor);
  file.write_attribute("/progress", "best_loss", progress.best_loss);
  file.write_attribute("/progress", "best_epoch", progress.best_epoch);
  file.write_attribute("/progress", "epoch_loss_sum", progress.epoch_loss_sum);
  file.write_attribute("/progress", "guard_count", progress.guard_count);
}

ProgressData read_progress(const Hdf5File& file) {
  ProgressData progress;
  progress.epoch = file.read_attribute<int64_t>("/progress", "epoch");
  progress.step_in_epoch = file.read_attribute<int64_t>("/progress", "step_in_epoch");
  progress.seed = file.read_attribute<uint64_t>("/progress", "seed");
  progress.learning_rate_factor = file.read_attribute<double>("/progress", "learning_rate_factor");
  progress.best_loss = file.read_attribute<double>("/progress", "best_loss");
  progress.best_epoch = file.read_attribute<int64_t>("/progress", "best_epoch");
  progress.epoch_loss_sum = file.read_attribute<double>("/progress", "epoch_loss_sum");
  progress.guard_count = file.read_attribute<int64_t>("/progress", "guard_count");
  return progress;
}

void write_contents(Hdf5File& file, const ModelData& model) {
  const std::string config = to_toml(model.config);
  bool reads_back = false;
  try {
    reads_back = parse_config(config, "/config") == model.config;
  } catch (const UsageError& error) {
    file.fail(std::string("its configuration cannot be stored: ") + error.what());
  }
  if (!reads_back) file.fail("its configuration cannot be stored: it does not read back as it was");
  file.write_attribute("/", "kind", std::string(model_kind));
  file.write_attribute("/", "format_version", model_version);
  file.write_text("/config", config);
  file.make_group("/parameters");
  for (const Tensor& tensor : model.parameters) write_tensor(file, tensor);
  if (model.normaliser.mean.size() != model.normaliser.std.size())
    file.fail("/normaliser has " + std::to_string(model.normaliser.mean.size()) + " means and " +
              std::to_string(model.normaliser.std.size()) + " deviations");
  file.make_group("/normaliser");
  file.write("/normaliser/mean", model.normaliser.mean);
  file.write("/normaliser/std", model.normaliser.std);
  write_condition(file, model.condition);
  write_threshold(file, model.threshold);
  write_provenance(file, model.provenance);
  if (model.optimizer) write_optimizer(file, *model.optimizer);
  if (model.progress) write_progress(file, *model.progress);
}

ModelData read_contents(const Hdf5File& file) {
  ModelData model;
  try {
    model.config = parse_config(file.read_text("/config"), "/config");
  } catch (const UsageError& error) {
    file.fail(std::string(error.what()) + "; use the program that wrote it, or train anew");
  }
  for (const std::string& name : file.children("/parameters")) model.parameters.push_back(read_tensor(file, name));
  model.normaliser.mean = file.read<float>("/normaliser/mean");
  model.normaliser.std = file.read<float>("/normaliser/std");
  if (model.normaliser.mean.size() != model.normaliser.std.size())
    file.fail("/normaliser/mean and /normaliser/std differ in size; make the model anew");
  model.condition = read_condition(file);
  model.threshold = read_threshold(file);
  model.provenance = read_provenance(file);
  if (file.exists("/optimizer")) model.optimizer = read_optimizer(file);
  if (file.exists("/progress")) model.progress = read_progress(file);
  return model;
}

}  // namespace

void write_model(const std::filesystem::path& file, const ModelData& model) {
  const Hdf5Lock lock;
  AtomicFile atomic(file);
  Hdf5File out = Hdf5File::create(atomic.temporary(), file);
  write_contents(out, model);
  out.close();
  atomic.commit();
}

ModelData read_model(const std::filesystem::path& file) {
  const Hdf5Lock lock;
  try {
    return read_contents(Hdf5File::open(file, model_kind, model_version));
  } catch (const std::bad_alloc&) {
    throw DataError("'" + file.string() + "': not enough memory to read it");
  }
}

bool is_model(const std::filesystem::path& file) {
  return hdf5_kind(file) == model_kind;
}

}  // namespace evenflow::io
