#include "experiments/monitor/metrics.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "io/error.h"

namespace evenflow::experiments::monitor {
namespace {

/// As the format wants it inside of quotes.
std::string label(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') {
      out += '\\';
    }
    out += c;
  }
  return out;
}

std::string number(double value) {
  return std::isnan(value) ? "NaN" : std::isinf(value) ? (value > 0 ? "+Inf" : "-Inf") : fmt::format("{}", value);
}

/// One metric: its head, then a line of each machine.
class Family {
 public:
  Family(std::string& out, std::string name, const char* type, const char* help) : out_(out), name_(std::move(name)) {
    out_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name_, help, name_, type);
  }
  void add(const MachineStatus& machine, double value,
           const std::vector<std::pair<std::string_view, std::string>>& labels = {}) {
    out_ += fmt::format("{}{{machine=\"{}\"", name_, label(machine.name));
    for (const auto& [key, of] : labels) {
      out_ += fmt::format(",{}=\"{}\"", key, label(of));
    }
    out_ += fmt::format("}} {}\n", number(value));
  }

 private:
  std::string& out_;
  std::string name_;
};

void send_all(int client, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::send(client, text.data(), text.size(), MSG_NOSIGNAL);
    if (count <= 0) {
      return;
    }
    text.remove_prefix(static_cast<size_t>(count));
  }
}

}  // namespace

std::string metrics_text(const std::vector<MachineStatus>& machines) {
  std::string out;
  const auto each = [&](const char* name, const char* type, const char* help, const auto& add) {
    Family family(out, name, type, help);
    for (const MachineStatus& machine : machines) {
      add(family, machine);
    }
  };
  using Status = MachineStatus;
  each("evenflow_up", "gauge", "1 while the source is heard",
       [](Family& f, const Status& m) { f.add(m, m.ended ? 0 : 1); });
  each("evenflow_samples_total", "counter", "samples heard, per channel",
       [](Family& f, const Status& m) { f.add(m, static_cast<double>(m.samples)); });
  each("evenflow_lost_samples_total", "counter", "samples of broken clips, and missing by the clock",
       [](Family& f, const Status& m) { f.add(m, static_cast<double>(m.lost)); });
  each("evenflow_clips_total", "counter", "clips by verdict", [](Family& f, const Status& m) {
    for (const auto& verdict : io::choices<Verdict>) {
      const auto count = m.counts.by_verdict.find(verdict.value);
      f.add(m, count == m.counts.by_verdict.end() ? 0.0 : static_cast<double>(count->second),
            {{"verdict", std::string(verdict.name)}});
    }
  });
  each("evenflow_alarm", "gauge", "1 while the alarm is raised", [](Family& f, const Status& m) {
    for (const auto& alarm : io::choices<AlarmKind>) {
      f.add(m, m.alarms.at(alarm.value).raised ? 1 : 0, {{"alarm", std::string(alarm.name)}});
    }
  });
  each("evenflow_alarms_total", "counter", "how often the alarm was raised", [](Family& f, const Status& m) {
    for (const auto& alarm : io::choices<AlarmKind>) {
      f.add(m, static_cast<double>(m.alarms.at(alarm.value).raised_times), {{"alarm", std::string(alarm.name)}});
    }
  });
  const auto of_last = [&](const char* name, const char* help, double ClipRecord::*figure) {
    each(name, "gauge", help, [=](Family& f, const Status& m) {
      if (m.last.clip > 0) {
        f.add(m, m.last.*figure);
      }
    });
  };
  of_last("evenflow_score", "the last clip's score", &ClipRecord::score);
  of_last("evenflow_threshold", "a clip with a higher score is anomalous", &ClipRecord::threshold);
  of_last("evenflow_p_value", "how rarely a normal clip scores so high", &ClipRecord::p_value);
  each("evenflow_estimate", "gauge", "the last clip's operating point", [](Family& f, const Status& m) {
    for (const Estimate& estimate : m.last.estimates) {
      if (estimate.category.empty()) {
        f.add(m, estimate.value, {{"parameter", estimate.parameter}});
      }
    }
  });
  each("evenflow_category", "gauge", "1: what the last clip's sound tells of a parameter that has names",
       [](Family& f, const Status& m) {
         for (const Estimate& estimate : m.last.estimates) {
           if (!estimate.category.empty()) {
             f.add(m, 1, {{"parameter", estimate.parameter}, {"category", estimate.category}});
           }
         }
       });
  return out;
}

MetricsServer::MetricsServer(int port, std::function<std::string()> text) : text_(std::move(text)) {
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  ::setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* const generic = std::bit_cast<sockaddr*>(&address);
  if (socket_ < 0 || ::bind(socket_, generic, length) != 0 || ::listen(socket_, 8) != 0 ||
      ::getsockname(socket_, generic, &length) != 0) {
    const std::string why = std::strerror(errno);
    ::close(socket_);
    throw io::UsageError(
        fmt::format("cannot serve metrics on 127.0.0.1:{}: {}; name another --metrics PORT", port, why));
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { serve(); });
}

MetricsServer::~MetricsServer() {
  ending_ = true;
  thread_.join();
  ::close(socket_);
}

void MetricsServer::serve() {
  constexpr int look_ms = 100;
  while (!ending_) {
    pollfd waiting = {socket_, POLLIN, 0};
    if (::poll(&waiting, 1, look_ms) <= 0) {
      continue;
    }
    const int client = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) {
      continue;
    }
    const timeval limit = {2, 0};
    ::setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    answer(client);
    ::close(client);
  }
}

void MetricsServer::answer(int client) const {
  constexpr size_t longest = 8192;
  std::string request;
  std::array<char, 1024> buffer;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (request.find("\r\n\r\n") == std::string::npos) {
    const ssize_t count = ::recv(client, buffer.data(), buffer.size(), 0);
    if (count <= 0 || request.size() > longest || std::chrono::steady_clock::now() > end) {
      return;
    }
    request.append(buffer.data(), static_cast<size_t>(count));
  }
  const bool known = request.starts_with("GET /metrics ");
  const std::string body = known ? text_() : "the metrics are at /metrics\n";
  send_all(client, fmt::format("HTTP/1.1 {}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                               "Content-Length: {}\r\nConnection: close\r\n\r\n{}",
                               known ? "200 OK" : "404 Not Found", body.size(), body));
}

}  // namespace evenflow::experiments::monitor
