#include "io/sources_file.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "io/config/rows.h"
#include "io/edit_distance.h"
#include "io/error.h"
#include "io/text.h"
#include "io/wrapped_file.h"

namespace evenflow::io {
namespace {

namespace fs = std::filesystem;
using namespace config_rows;

constexpr std::array<std::string_view, 10> keys = {"name",     "model",  "source", "format", "rate",
                                                   "channels", "follow", "live",   "clip",   "exec"};

class SourcesReader {
 public:
  explicit SourcesReader(const fs::path& file) : file_(file) {
    try {
      read(parse_toml(read_plain_text(file_), file_.string()));
    } catch (const toml::parse_error& error) {
      fail(error.source(), "not valid TOML: " + std::string(error.description()));
    } catch (const DataError& error) {
      throw UsageError(error.what());
    }
  }
  std::vector<MonitorSource> take() { return std::move(sources_); }

 private:
  [[noreturn]] void fail(const toml::source_region& place, const std::string& why) const {
    throw UsageError(file_.string() + ":" + std::to_string(place.begin.line) + ": " + why);
  }

  void read(const toml::table& file) {
    const toml::array* machines = file["machine"].as_array();
    for (const auto& [key, node] : file) {
      if (key.str() != "machine") {
        fail(key.source(), "'" + std::string(key.str()) + "' stands outside of every machine; " +
                               (is_key(key.str()) ? "move it below a [[machine]]" : all_keys()));
      }
    }
    if (machines == nullptr || machines->empty() || !machines->is_homogeneous<toml::table>()) {
      throw UsageError(file_.string() +
                       " must list machines and nothing else: write [[machine]] and below it name, model and source");
    }
    for (const toml::node& machine : *machines) {
      read_machine(*machine.as_table());
    }
  }

  void read_machine(const toml::table& table) {
    MonitorSource source;
    for (const auto& [key, node] : table) {
      read_key(source, std::string(key.str()), node, key.source());
    }
    if (source.name.empty() || source.model.empty() || source.source.empty()) {
      fail(table.source(), std::string("a machine lacks its ") + (source.name.empty()    ? "name"
                                                                  : source.model.empty() ? "model"
                                                                                         : "source"));
    }
    for (const MonitorSource& other : sources_) {
      if (other.name == source.name) {
        fail(table.source(), "two machines are called '" + source.name + "'; names tell lines and states apart");
      }
      if (other.source == "-" && source.source == "-") {
        fail(table.source(), "two machines read standard input; give each a FIFO of its own");
      }
    }
    sources_.push_back(std::move(source));
  }

  void read_key(MonitorSource& source, const std::string& key, const toml::node& node,
                const toml::source_region& place) const {
    if (key == "name") {
      source.name = text(key, node);
    } else if (key == "model") {
      source.model = beside(text(key, node));
    } else if (key == "source") {
      const std::string named = text(key, node);
      source.source = named == "-" ? named : beside(named).string();
    } else if (key == "format") {
      source.format = text(key, node);
    } else if (key == "rate") {
      source.rate_hz = whole(key, node, 1000, 1'000'000);
    } else if (key == "channels") {
      source.channels = whole(key, node, 1, 1024);
    } else if (key == "follow") {
      source.follow = truth(key, node);
    } else if (key == "live") {
      source.live = truth(key, node);
    } else if (key == "clip") {
      source.clip_s = number(key, node, 0.01, 3600);
    } else if (key == "exec") {
      source.exec = text(key, node);
    } else {
      fail(place, "unknown key '" + excerpt(key) + "'; " + meant_by(key));
    }
  }

  static bool is_key(std::string_view key) { return std::find(keys.begin(), keys.end(), key) != keys.end(); }

  static std::string all_keys() {
    std::string text = "a machine may have ";
    for (const std::string_view key : keys) {
      text += std::string(key == keys.front() ? "" : key == keys.back() ? " and " : ", ").append(key);
    }
    return text + ", and all else are options of evenflow monitor";
  }

  static std::string meant_by(const std::string& key) {
    const auto distance = [&](std::string_view other) { return edit_distance(key.substr(0, 100), other); };
    const std::string_view nearest = *std::min_element(
        keys.begin(), keys.end(), [&](std::string_view a, std::string_view b) { return distance(a) < distance(b); });
    return distance(nearest) > std::max<size_t>(2, key.size() / 3) ? all_keys()
                                                                   : "did you mean '" + std::string(nearest) + "'?";
  }

  fs::path beside(const std::string& named) const { return (file_.parent_path() / named).lexically_normal(); }

  std::string text(const std::string& key, const toml::node& node) const {
    if (!node.is_string() || node.as_string()->get().empty()) {
      fail(node.source(), key + " = " + node_text(node) + " is not allowed: it is a text in quotes");
    }
    return node.as_string()->get();
  }

  double number(const std::string& key, const toml::node& node, double low, double high) const {
    const double value = node.value_or(low - 1.0);
    if (!node.is_number() || !(value >= low && value <= high)) {
      fail(node.source(), key + " = " + node_text(node) + " is not allowed: it must be a number from " +
                              float_text(low) + " to " + float_text(high));
    }
    return value;
  }

  int whole(const std::string& key, const toml::node& node, int low, int high) const {
    const int64_t value = node.is_integer() ? node.as_integer()->get() : low - int64_t{1};
    if (value < low || value > high) {
      fail(node.source(), key + " = " + node_text(node) + " is not allowed: it must be a whole number from " +
                              std::to_string(low) + " to " + std::to_string(high));
    }
    return static_cast<int>(value);
  }

  bool truth(const std::string& key, const toml::node& node) const {
    if (!node.is_boolean()) {
      fail(node.source(), key + " = " + node_text(node) + " is not allowed: it is true or false");
    }
    return node.as_boolean()->get();
  }

  fs::path file_;
  std::vector<MonitorSource> sources_;
};

}  // namespace

std::vector<MonitorSource> read_sources_file(const fs::path& file) {
  return SourcesReader(file).take();
}

}  // namespace evenflow::io
