#include "experiments/monitor/machine.h"

#include <fmt/format.h>

#include "experiments/monitor/folder_machine.h"
#include "experiments/monitor/stream_machine.h"
#include "io/error.h"

namespace evenflow::experiments::monitor {

Machine::Machine(const io::MonitorSource& source, const MonitorSettings& settings, Listener& listener)
    : source_(source), settings_(settings), watch_(source.name, settings, listener) {}

std::unique_ptr<Machine> Machine::make(const io::MonitorSource& source, const MonitorSettings& settings,
                                       std::shared_ptr<LoadedModel> model, Listener& listener,
                                       const nlohmann::json& memory) {
  try {
    return make_with_memory(source, settings, std::move(model), listener, memory);
  } catch (const nlohmann::json::exception& error) {
    throw io::DataError(fmt::format("what the state says of {} is damaged ({}); move the state away to begin anew",
                                    source.name, error.what()));
  }
}

std::unique_ptr<Machine> Machine::make_with_memory(const io::MonitorSource& source, const MonitorSettings& settings,
                                                   std::shared_ptr<LoadedModel> model, Listener& listener,
                                                   const nlohmann::json& memory) {
  std::unique_ptr<Machine> machine;
  const nlohmann::json of_source = memory.is_null() ? nlohmann::json() : memory.at("source");
  if (source.source != "-" && std::filesystem::is_directory(source.source)) {
    machine = std::make_unique<FolderMachine>(source, settings, std::move(model), listener, of_source);
  } else {
    machine = std::make_unique<StreamMachine>(source, settings, std::move(model), listener, of_source);
  }
  if (!memory.is_null()) {
    machine->watch_.remember(memory.at("watch"));
    machine->lost_ = memory.at("lost").get<int64_t>();
  }
  return machine;
}

bool Machine::step() {
  const std::lock_guard lock(mutex_);
  return !ended_ && take();
}

void Machine::set_model(std::shared_ptr<LoadedModel> model) {
  const std::lock_guard lock(mutex_);
  take_model(std::move(model));
}

void Machine::fail(const std::string& why) {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  watch_.sensor_fault(why);
}

nlohmann::json Machine::memory() const {
  const std::lock_guard lock(mutex_);
  return {{"source", source_memory()}, {"watch", watch_.memory()}, {"lost", lost_}};
}

MachineStatus Machine::status() const {
  const std::lock_guard lock(mutex_);
  MachineStatus status{source_.name, watch_.counts(), watch_.last(), samples(), lost_, {}, ended_};
  for (const auto& choice : io::choices<AlarmKind>) {
    status.alarms[choice.value] = watch_.alarm(choice.value).memory();
  }
  return status;
}

}  // namespace evenflow::experiments::monitor
