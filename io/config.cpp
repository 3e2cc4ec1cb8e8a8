#include "io/config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <type_traits>
#include <utility>

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

#include "io/atomic_file.h"
#include "io/error.h"

namespace evenflow::io {
namespace {

/// A key as the outside sees it, and as TOML.
struct Row {
  ConfigKey key;
  std::function<std::string(const Config&)> toml;
  std::function<void(Config&, const toml::node&)> set_toml;
};

[[noreturn]] void refuse(const std::string& key, const std::string& value, const std::string& allowed) {
  throw UsageError(key + " = " + value + " is not allowed: it must be " + allowed);
}

/// Shortest text that reads back as the same double, and as a TOML float.
std::string float_text(double value) {
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  std::string text(buffer.data(), end);
  if (std::isfinite(value) && text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string toml_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      constexpr char hex[] = "0123456789ABCDEF";
      out += "\\u00";
      out += hex[static_cast<unsigned char>(c) >> 4];
      out += hex[static_cast<unsigned char>(c) & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

template <class T>
bool parse_number(std::string_view text, T& value) {
  text = trimmed(text);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

/// How a node of the wrong type is shown in an error.
std::string node_text(const toml::node& node) {
  std::ostringstream out;
  if (const auto* value = node.as_string())
    out << toml_string(value->get());
  else
    node.visit([&](const auto& concrete) { out << concrete; });
  return std::move(out).str();
}

/// The elements of a list given as text: "a, b" or, where an element holds a comma or quote, a TOML array.
toml::array list_from_text(const std::string& key, std::string_view text, const std::string& type) {
  text = trimmed(text);
  if (!text.empty() && text.front() == '[') {
    try {
      toml::table table = toml::parse("list = " + std::string(text));
      if (auto* list = table["list"].as_array()) return std::move(*list);
    } catch (const toml::parse_error&) {
      refuse(key, std::string(text), "a " + type);
    }
  }
  toml::array list;
  if (text.empty()) return list;
  for (;;) {
    const size_t comma = text.find(',');
    const std::string_view element = trimmed(text.substr(0, comma));
    double number = 0.0;
    if (type == "list of float" && parse_number(element, number))
      list.push_back(number);
    else
      list.push_back(std::string(element));
    if (comma == std::string_view::npos) return list;
    text.remove_prefix(comma + 1);
  }
}

template <class Section, class T>
struct Field {
  Section Config::*section;
  T Section::*member;
  T& of(Config& config) const { return config.*section.*member; }
  const T& of(const Config& config) const { return config.*section.*member; }
};
template <class Section, class T>  // for clang before 17, which deduces no aggregates
Field(Section Config::*, T Section::*)->Field<Section, T>;

template <class Section, class T>
Row integer(const char* name, Field<Section, T> field, int64_t low, int64_t high, const std::string& help) {
  const std::string allowed = "a whole number from " + std::to_string(low) + " to " + std::to_string(high);
  const std::string key = name;
  auto store = [=](Config& config, int64_t value) {
    if (value < low || value > high) refuse(key, std::to_string(value), allowed);
    field.of(config) = static_cast<T>(value);
  };
  auto get = [=](const Config& config) { return std::to_string(field.of(config)); };
  auto set = [=](Config& config, std::string_view text) {
    int64_t value = 0;
    if (!parse_number(text, value)) refuse(key, std::string(text), allowed);
    store(config, value);
  };
  auto set_toml = [=](Config& config, const toml::node& node) {
    if (!node.is_integer()) refuse(key, node_text(node), allowed);
    store(config, node.as_integer()->get());
  };
  return {{key, help, "int", get, set}, get, set_toml};
}

/// Bounds are part of the range unless `open` says otherwise.
struct FloatRange {
  double low, high;
  bool open_low = false, open_high = false;
};

template <class Section>
Row real(const char* name, Field<Section, double> field, FloatRange range, const std::string& help) {
  std::string allowed = std::string("a number ") + (range.open_low ? "> " : ">= ") + float_text(range.low);
  if (std::isfinite(range.high))
    allowed += std::string(" and ") + (range.open_high ? "< " : "<= ") + float_text(range.high);
  const std::string key = name;
  auto store = [=](Config& config, double value, const std::string& shown) {
    const bool inside = (range.open_low ? value > range.low : value >= range.low) &&
                        (range.open_high ? value < range.high : value <= range.high) && std::isfinite(value);
    if (!inside) refuse(key, shown, allowed);
    field.of(config) = value;
  };
  auto get = [=](const Config& config) { return float_text(field.of(config)); };
  auto set = [=](Config& config, std::string_view text) {
    double value = 0.0;
    if (!parse_number(text, value)) refuse(key, std::string(text), allowed);
    store(config, value, std::string(text));
  };
  auto set_toml = [=](Config& config, const toml::node& node) {
    if (!node.is_number()) refuse(key, node_text(node), allowed);
    const double value =
        node.is_integer() ? static_cast<double>(node.as_integer()->get()) : node.as_floating_point()->get();
    store(config, value, float_text(value));
  };
  return {{key, help, "float", get, set}, get, set_toml};
}

template <class Section>
Row boolean(const char* name, Field<Section, bool> field, const std::string& help) {
  const std::string key = name;
  auto get = [=](const Config& config) { return std::string(field.of(config) ? "true" : "false"); };
  auto set = [=](Config& config, std::string_view text) {
    const std::string_view word = trimmed(text);
    if (word != "true" && word != "false") refuse(key, std::string(text), "true or false");
    field.of(config) = word == "true";
  };
  auto set_toml = [=](Config& config, const toml::node& node) {
    if (!node.is_boolean()) refuse(key, node_text(node), "true or false");
    field.of(config) = node.as_boolean()->get();
  };
  return {{key, help, "bool", get, set}, get, set_toml};
}

using Accepts = std::function<bool(std::string_view)>;

template <class Section>
Row text(const char* name, Field<Section, std::string> field, const std::string& allowed, const Accepts& accepts,
         const std::string& help) {
  const std::string key = name;
  auto get = [=](const Config& config) { return field.of(config); };
  auto set = [=](Config& config, std::string_view value) {
    if (!accepts(value)) refuse(key, toml_string(std::string(value)), allowed);
    field.of(config) = value;
  };
  auto set_toml = [=](Config& config, const toml::node& node) {
    if (!node.is_string()) refuse(key, node_text(node), allowed + " (in quotes)");
    set(config, node.as_string()->get());
  };
  return {{key, help, "text", get, set}, [=](const Config& config) { return toml_string(field.of(config)); }, set_toml};
}

template <class Section>
Row choice(const char* name, Field<Section, std::string> field, const std::vector<std::string>& choices,
           const std::string& help) {
  std::string allowed;
  for (const std::string& word : choices) allowed += (allowed.empty() ? "" : " or ") + toml_string(word);
  return text(
      name, field, allowed,
      [=](std::string_view value) { return std::find(choices.begin(), choices.end(), value) != choices.end(); }, help);
}

template <class Section, class T>
Row list(const char* name, Field<Section, std::vector<T>> field, const std::string& help) {
  constexpr bool floats = std::is_same_v<T, double>;
  const std::string key = name;
  const std::string type = floats ? "list of float" : "list of text";
  auto to_toml = [=](const Config& config) {
    std::string out = "[";
    for (const T& element : field.of(config)) {
      if (out.size() > 1) out += ", ";
      if constexpr (floats)
        out += float_text(element);
      else
        out += toml_string(element);
    }
    return out + "]";
  };
  auto get = [=](const Config& config) {
    std::string out;
    bool plain = true;
    bool first = true;
    for (const T& element : field.of(config)) {
      if (!std::exchange(first, false)) out += ",";
      if constexpr (floats) {
        out += float_text(element);
      } else {
        plain = plain && !element.empty() && element.find_first_of(",\"[") == std::string::npos &&
                trimmed(element).size() == element.size();
        out += element;
      }
    }
    return plain ? out : to_toml(config);
  };
  auto store = [=](Config& config, const toml::array& array, const std::string& shown) {
    std::vector<T> values;
    for (const toml::node& element : array) {
      if constexpr (floats) {
        const auto value = element.value<double>();
        if (!element.is_number() || !value || !std::isfinite(*value)) refuse(key, shown, "a list of finite numbers");
        values.push_back(*value);
      } else {
        if (!element.is_string() || element.as_string()->get().empty()) refuse(key, shown, "a list of non-empty texts");
        values.push_back(element.as_string()->get());
      }
    }
    field.of(config) = std::move(values);
  };
  auto set = [=](Config& config, std::string_view value) {
    store(config, list_from_text(key, value, type), std::string(value));
  };
  auto set_toml = [=](Config& config, const toml::node& node) {
    if (!node.is_array()) refuse(key, node_text(node), "a " + type + " in square brackets");
    store(config, *node.as_array(), node_text(node));
  };
  return {{key, help, type, get, set}, to_toml, set_toml};
}

bool is_digits(std::string_view value) {
  return !value.empty() && value.size() <= 4 && value.find_first_not_of("0123456789") == std::string_view::npos;
}

std::vector<Row> make_table() {
  using F = FrontendSettings;
  using W = WindowSettings;
  using M = ModelSettings;
  using C = ConditionSettings;
  using T = TrainSettings;
  using S = ScoreSettings;
  constexpr auto f = &Config::frontend;
  constexpr auto w = &Config::window;
  constexpr auto m = &Config::model;
  constexpr auto c = &Config::condition;
  constexpr auto t = &Config::train;
  constexpr auto s = &Config::score;
  constexpr int64_t million = 1'000'000;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  return {
      integer("frontend.sample_rate_hz", Field{f, &F::sample_rate_hz}, 1, million,
              "recordings of another rate are resampled to this"),
      text(
          "frontend.channel", Field{f, &F::channel}, "\"mean\" or a channel index from \"0\"",
          [](std::string_view value) { return value == "mean" || is_digits(value); },
          "\"mean\" of all channels, or the index of one (from \"0\")"),
      integer("frontend.n_fft", Field{f, &F::n_fft}, 2, 1 << 20, "samples in a frame of the short-time transform"),
      integer("frontend.hop_samples", Field{f, &F::hop_samples}, 1, 1 << 20, "samples from one frame to the next"),
      choice("frontend.pad_mode", Field{f, &F::pad_mode}, {"reflect", "zero"},
             "how the ends of a recording are padded: \"reflect\" or \"zero\""),
      integer("frontend.mel_bands", Field{f, &F::mel_bands}, 1, 4096, "mel bands from 0 Hz to half the rate"),

      choice("window.normalise", Field{w, &W::normalise}, {"per_band", "global", "none"},
             "standardise frames \"per_band\", \"global\" or \"none\", fitted on training frames"),
      integer("window.window_frames", Field{w, &W::window_frames}, 1, 65536, "consecutive frames in one window"),
      integer("window.window_hop_frames", Field{w, &W::window_hop_frames}, 1, 65536,
              "frames from one window to the next"),

      choice("model.kind", Field{m, &M::kind}, {"glow"}, "\"glow\""),
      integer("model.blocks", Field{m, &M::blocks}, 1, 8, "1 is single-scale; the paper's multi-scale model has 3"),
      integer("model.steps", Field{m, &M::steps}, 1, 256, "flow steps in a block"),
      integer("model.hidden", Field{m, &M::hidden}, 1, 4096, "hidden channels of a coupling's network"),
      choice("model.invconv", Field{m, &M::invconv}, {"plu", "dense"},
             "invertible 1x1 convolution: \"plu\" or \"dense\""),
      choice("model.coupling", Field{m, &M::coupling}, {"sigmoid", "tanh"},
             "bound of the coupling's scale: \"sigmoid\" or \"tanh\""),

      boolean("condition.enabled", Field{c, &C::enabled}, "false: a conventional Glow that knows no parameters"),
      list("condition.parameters", Field{c, &C::parameters},
           "physical parameters the latent zd carries; empty: all of the shard's"),
      list("condition.k", Field{c, &C::k},
           "slope per unit of each parameter; empty: k (v - v0) spans [-3, 3] over the training values"),
      list("condition.v0", Field{c, &C::v0}, "centre of each parameter; empty: mean of the training values"),

      text(
          "train.device", Field{t, &T::device}, "\"auto\", \"cpu\" or \"cuda:N\"",
          [](std::string_view value) {
            return value == "auto" || value == "cpu" || (value.starts_with("cuda:") && is_digits(value.substr(5)));
          },
          "\"auto\", \"cpu\" or \"cuda:N\""),
      integer("train.threads", Field{t, &T::threads}, 0, 4096, "CPU threads; 0: one per core"),
      text(
          "train.machine", Field{t, &T::machine}, "text", [](std::string_view) { return true; },
          "train on this machine's clips only; empty: all"),
      integer("train.epochs", Field{t, &T::epochs}, 1, million, "passes over the training windows"),
      integer("train.batch", Field{t, &T::batch}, 1, million, "windows in a step"),
      real("train.learning_rate", Field{t, &T::learning_rate}, {0.0, 1.0, true}, "Adam's learning rate"),
      choice("train.schedule", Field{t, &T::schedule}, {"constant", "cosine"},
             "learning rate over the run: \"constant\" or \"cosine\""),
      integer("train.warmup_steps", Field{t, &T::warmup_steps}, 0, million,
              "steps over which the learning rate rises from 0"),
      real("train.clip_norm", Field{t, &T::clip_norm}, {0.0, infinity}, "largest norm of the gradient; 0: no clipping"),
      real("train.validation_fraction", Field{t, &T::validation_fraction}, {0.0, 1.0, false, true},
           "share of the normal training clips kept aside, chosen by clip"),
      integer("train.windows_per_clip", Field{t, &T::windows_per_clip}, 0, million,
              "windows drawn per clip and epoch; 0: all"),
      integer("train.checkpoint_epochs", Field{t, &T::checkpoint_epochs}, 1, million, "epochs between checkpoints"),
      integer("train.resident_mib", Field{t, &T::resident_mib}, 0, 1 << 30,
              "memory for frames in MiB; what is beyond it is streamed from the shard"),
      integer("train.seed", Field{t, &T::seed}, 0, std::numeric_limits<int64_t>::max(),
              "decides initial weights, data order and the held-out clips"),

      choice("score.score", Field{s, &S::score}, {"auto", "score_zc", "score_zc_logdet", "score_scatter", "nll"},
             "the score decisions are made on; \"auto\": the model's default"),
      choice("score.aggregate", Field{s, &S::aggregate}, {"mean", "max", "top_k"},
             "over a clip's windows: \"mean\", \"max\" or \"top_k\""),
      integer("score.top_k", Field{s, &S::top_k}, 1, million, "windows averaged by \"top_k\""),
      choice("score.threshold", Field{s, &S::threshold}, {"gamma", "quantile"},
             "threshold from normal training clips: a \"gamma\" fit or an empirical \"quantile\""),
      real("score.threshold_quantile", Field{s, &S::threshold_quantile}, {0.0, 1.0, true, true},
           "share of normal clips below the threshold"),
  };
}

const std::vector<Row>& table() {
  static const std::vector<Row> rows = make_table();
  return rows;
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::pair<std::string, std::string> split_key(const std::string& name) {
  const size_t dot = name.find('.');
  if (dot == std::string::npos) return {"", name};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

/// A known key in the wrong section counts as near as one typing error.
std::string nearest_key(const std::string& unknown) {
  // Distance is quadratic, and a hostile file may hold keys of any length.
  const std::string name = unknown.substr(0, 100);
  const std::string leaf = split_key(name).second;
  std::string best;
  size_t best_distance = std::numeric_limits<size_t>::max();
  for (const Row& row : table()) {
    const std::string& known = row.key.name;
    const size_t distance = std::min(edit_distance(name, known), edit_distance(leaf, split_key(known).second) + 1);
    if (distance < best_distance) {
      best_distance = distance;
      best = known;
    }
  }
  return best;
}

std::string place(const std::string& origin, const toml::source_region& source) {
  return origin + ":" + std::to_string(source.begin.line) + ": ";
}

void apply(Config& config, const toml::table& values, const std::string& prefix, const std::string& origin) {
  for (const auto& [key, node] : values) {
    const std::string name = prefix + std::string(key.str());
    const auto row = std::find_if(table().begin(), table().end(), [&](const Row& r) { return r.key.name == name; });
    if (row != table().end()) {
      try {
        row->set_toml(config, node);
      } catch (const UsageError& error) {
        throw UsageError(place(origin, node.source()) + error.what());
      }
      continue;
    }
    const bool is_section = prefix.empty() && std::any_of(table().begin(), table().end(), [&](const Row& r) {
                              return split_key(r.key.name).first == name;
                            });
    const toml::table* section = node.as_table();
    if (is_section && section == nullptr)
      throw UsageError(place(origin, key.source()) + "'" + name + "' is a section: write [" + name + "]");
    // An unknown section is told by its first key, which is what the user meant to set.
    if (section == nullptr || (!is_section && section->empty()))
      throw UsageError(place(origin, key.source()) + "unknown key '" + name + "'; did you mean '" + nearest_key(name) +
                       "'?");
    apply(config, *section, name + ".", origin);
  }
}

}  // namespace

const std::vector<ConfigKey>& config_keys() {
  static const std::vector<ConfigKey> keys = [] {
    std::vector<ConfigKey> out;
    for (const Row& row : table()) out.push_back(row.key);
    return out;
  }();
  return keys;
}

Config parse_config(std::string_view toml, const std::string& origin, const Config& base) {
  Config config = base;
  try {
    apply(config, toml::parse(toml, origin), "", origin);
  } catch (const toml::parse_error& error) {
    throw UsageError(place(origin, error.source()) + "not valid TOML: " + std::string(error.description()));
  }
  return config;
}

Config read_config(const std::filesystem::path& file, const Config& base) {
  std::string text;
  try {
    text = read_text(file);
  } catch (const DataError& error) {
    throw UsageError(error.what());
  }
  return parse_config(text, file.string(), base);
}

std::string to_toml(const Config& config) {
  std::string out;
  std::string section;
  for (const Row& row : table()) {
    const auto [own_section, leaf] = split_key(row.key.name);
    if (own_section != section) {
      out += (section.empty() ? "[" : "\n[") + own_section + "]\n";
      section = own_section;
    }
    out += "# " + row.key.help + "\n" + leaf + " = " + row.toml(config) + "\n";
  }
  return out;
}

void validate(const Config& config) {
  // Through the table once more: a configuration filled in by code has met no range check yet.
  Config checked = config;
  if (config.train.seed > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
    refuse("train.seed", std::to_string(config.train.seed), "at most 9223372036854775807");
  for (const Row& row : table()) row.key.set(checked, row.key.get(config));

  const int side = 1 << config.model.blocks;
  auto check_side = [&](const char* key, int value) {
    if (value % side != 0)
      throw UsageError(std::string(key) + " = " + std::to_string(value) +
                       " does not fit model.blocks = " + std::to_string(config.model.blocks) +
                       ": every block halves it, so it must be a multiple of " + std::to_string(side));
  };
  check_side("frontend.mel_bands", config.frontend.mel_bands);
  check_side("window.window_frames", config.window.window_frames);

  const ConditionSettings& condition = config.condition;
  std::set<std::string> seen;
  for (const std::string& name : condition.parameters)
    if (!seen.insert(name).second) throw UsageError("condition.parameters names '" + name + "' twice; name it once");
  auto check_size = [&](const char* key, size_t size) {
    if (size != 0 && !condition.parameters.empty() && size != condition.parameters.size())
      throw UsageError(std::string(key) + " has " + std::to_string(size) + " values but condition.parameters names " +
                       std::to_string(condition.parameters.size()) + ": give one each, or leave it empty");
  };
  check_size("condition.k", condition.k.size());
  check_size("condition.v0", condition.v0.size());
  if (!condition.k.empty() && !condition.v0.empty() && condition.k.size() != condition.v0.size())
    throw UsageError("condition.k has " + std::to_string(condition.k.size()) + " values but condition.v0 has " +
                     std::to_string(condition.v0.size()) + ": give one each per parameter");
  for (const double k : condition.k)
    if (k == 0.0) throw UsageError("condition.k = 0 carries no parameter: give a slope other than 0, or leave k empty");
}

}  // namespace evenflow::io
