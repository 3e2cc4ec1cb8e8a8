// A machine whose sound comes as recordings in a folder, a clip each.
#pragma once

#include "experiments/monitor/folder_feed.h"
#include "experiments/monitor/machine.h"

namespace evenflow::experiments::monitor {

class FolderMachine final : public Machine {
 public:
  FolderMachine(const io::MonitorSource& source, const MonitorSettings& settings, std::shared_ptr<LoadedModel> model,
                Listener& listener, const nlohmann::json& memory);
  int descriptor() const override { return feed_.descriptor(); }

 protected:
  bool take() override;
  void take_model(std::shared_ptr<LoadedModel> model) override { model_ = std::move(model); }
  nlohmann::json source_memory() const override;
  int64_t samples() const override { return samples_; }

 private:
  void hear(const std::filesystem::path& recording);

  std::shared_ptr<LoadedModel> model_;
  FolderFeed feed_;
  int64_t clips_ = 0, samples_ = 0;
  double start_s_ = 0;
};

}  // namespace evenflow::experiments::monitor
