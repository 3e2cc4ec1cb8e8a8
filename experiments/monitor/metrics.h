// What a monitor counts, for Prometheus.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "experiments/monitor/machine.h"

namespace evenflow::experiments::monitor {

/// The text format, version 0.0.4. docs/formats.md, "Monitor", lists the names.
std::string metrics_text(const std::vector<MachineStatus>& machines);

/// Answers GET /metrics on 127.0.0.1, one client at a time, each within two seconds.
class MetricsServer {
 public:
  /// `text` is called from the server's thread. `port` 0: any that is free. io::UsageError: the port is taken.
  MetricsServer(int port, std::function<std::string()> text);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;
  int port() const { return port_; }

 private:
  void serve();
  void answer(int client) const;

  std::function<std::string()> text_;
  int socket_ = -1, port_ = 0;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace evenflow::experiments::monitor
