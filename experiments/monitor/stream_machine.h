// A machine whose sound comes as one stream of samples.
#pragma once

#include <optional>
#include <string>

#include "experiments/monitor/byte_feed.h"
#include "experiments/monitor/machine.h"

namespace evenflow::experiments::monitor {

class StreamMachine final : public Machine {
 public:
  StreamMachine(const io::MonitorSource& source, const MonitorSettings& settings, std::shared_ptr<LoadedModel> model,
                Listener& listener, const nlohmann::json& memory);
  int descriptor() const override { return feed_.descriptor(); }

 protected:
  bool take() override;
  void take_model(std::shared_ptr<LoadedModel> model) override { cutter_.set_model(std::move(model)); }
  nlohmann::json source_memory() const override;
  int64_t samples() const override { return cutter_.samples(); }

 private:
  void hear(const std::string& bytes);
  void watch_clock(int64_t arrived);
  void lose(int64_t samples);
  void note_unheard();
  /// io::DataError: no sound came.
  void end();
  void remember(const nlohmann::json& memory);

  ByteFeed feed_;
  Cutter cutter_;
  Cutter::Visitor visitor_;
  std::optional<ArrivalClock> clock_;  // of a live source, once its rate is known
  int64_t samples_before_ = 0;         // of an earlier monitor
  bool goes_on_ = false;               // in a file, where that one stopped
  std::string bytes_;
};

}  // namespace evenflow::experiments::monitor
