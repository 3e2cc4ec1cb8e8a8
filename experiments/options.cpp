#include "experiments/options.h"

#include <CLI/CLI.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <type_traits>

#include "io/config.h"
#include "io/error.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

// Short names of the keys that are given most.
const std::map<std::string, std::string> short_names_of_keys = {
    {"train.epochs", "--epochs"},   {"train.batch", "--batch"},         {"train.learning_rate", "--learning-rate"},
    {"train.seed", "--seed"},       {"train.threads", "--threads"},     {"train.device", "--device"},
    {"train.machine", "--machine"}, {"train.precision", "--precision"}, {"train.kernels", "--kernels"},
    {"condition.k", "--k"},
};

std::string value_text(const std::string& type) {
  if (type == "int") {
    return "N";
  }
  if (type == "float") {
    return "X";
  }
  if (type == "bool") {
    return "true|false";
  }
  if (type == "list of text") {
    return "TEXT,...";
  }
  if (type == "list of float") {
    return "X,...";
  }
  return "TEXT";
}

template <class T>
constexpr const char* number_text = std::is_floating_point_v<T> ? "X" : "N";

/// CLI11's own range check writes itself into the help.
template <class T>
std::function<std::string(const std::string&)> in_range(double low, double high) {
  return [=](const std::string& text) -> std::string {
    T value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool read = error == std::errc() && end == text.data() + text.size();
    if (read && static_cast<double>(value) >= low && static_cast<double>(value) <= high) {
      return "";
    }
    const char* kind = std::is_floating_point_v<T> ? "number" : "whole number";
    return fmt::format("'{}' must be a {} from {:g} to {:g}", text, kind, low, high);
  };
}

std::string not_empty(const std::string& name) {
  return name.empty() ? "a file's name cannot be empty; give one" : "";
}

}  // namespace

Option Option::required() {
  option_->required();
  return *this;
}

Option Option::shown_as(const std::string& value) {
  option_->type_name(value);
  return *this;
}

Option Option::default_text(const std::string& text) {
  option_->default_str(text);
  return *this;
}

Option Option::excludes(const Option& other) {
  option_->excludes(other.option_);
  return *this;
}

Option Options::file(const std::string& names, fs::path& target, const std::string& help) {
  const auto fill = [&target](const std::string& text) { target = text; };
  return Option(app_.add_option_function<std::string>(names, fill, help)->check(not_empty)->type_name("FILE"));
}

Option Options::file(const std::string& names, std::optional<fs::path>& target, const std::string& help) {
  const auto fill = [&target](const std::string& text) { target = fs::path(text); };
  return Option(app_.add_option_function<std::string>(names, fill, help)->check(not_empty)->type_name("FILE"));
}

Option Options::files(const std::string& names, std::vector<fs::path>& target, const std::string& help) {
  using Texts = std::vector<std::string>;
  const auto fill = [&target](const Texts& texts) { target.assign(texts.begin(), texts.end()); };
  return Option(app_.add_option_function<Texts>(names, fill, help)->check(not_empty)->type_name("FILE"));
}

template <class T>
Option Options::number(const std::string& names, T& target, double low, double high, const std::string& help) {
  CLI::Option* option = app_.add_option(names, target, help);
  return Option(option->check(in_range<T>(low, high))->capture_default_str()->type_name(number_text<T>));
}

template <class T>
Option Options::number(const std::string& names, std::optional<T>& target, double low, double high,
                       const std::string& help) {
  const auto fill = [&target](const T& value) { target = value; };
  CLI::Option* option = app_.add_option_function<T>(names, fill, help);
  return Option(option->check(in_range<T>(low, high))->type_name(number_text<T>));
}

template Option Options::number(const std::string&, int&, double, double, const std::string&);
template Option Options::number(const std::string&, int64_t&, double, double, const std::string&);
template Option Options::number(const std::string&, uint64_t&, double, double, const std::string&);
template Option Options::number(const std::string&, double&, double, double, const std::string&);
template Option Options::number(const std::string&, std::optional<int>&, double, double, const std::string&);
template Option Options::number(const std::string&, std::optional<int64_t>&, double, double, const std::string&);
template Option Options::number(const std::string&, std::optional<double>&, double, double, const std::string&);

Option Options::numbers(const std::string& names, std::vector<double>& target, const std::string& help) {
  return Option(app_.add_option(names, target, help)->delimiter(',')->allow_extra_args(false)->type_name("X,..."));
}

Option Options::word(const std::string& names, std::string& target, const std::vector<std::string>& choices,
                     const std::string& help) {
  CLI::Option* option = app_.add_option(names, target, help)->capture_default_str();
  if (choices.empty()) {
    return Option(option->type_name("TEXT"));
  }
  const std::string shown = fmt::format("{}", fmt::join(choices, "|"));
  return Option(option->type_name(shown)->check([choices, shown](const std::string& text) {
    const bool known = std::find(choices.begin(), choices.end(), text) != choices.end();
    return known ? std::string() : "'" + text + "' must be " + shown;
  }));
}

Option Options::words(const std::string& names, std::vector<std::string>& target, const std::string& help) {
  return Option(app_.add_option(names, target, help)->allow_extra_args(false)->type_name("TEXT"));
}

Option Options::flag(const std::string& names, bool& target, const std::string& help) {
  return Option(app_.add_flag(names, target, help));
}

void Options::force(bool& target) {
  flag("--force", target, "replace a file, or write in a folder, that is not evenflow's own");
}

void Options::threads(int& target) {
  number("--threads", target, 0, 4096, "CPU threads; 0: one per core");
}

void Options::compute(Compute& target) {
  word("--device", target.device, {}, "\"auto\", \"cpu\" or \"cuda:N\"");
  threads(target.threads);
}

void Options::other_machines(bool& target) {
  flag("--other-machines", target, "take clips of machines that the model was not trained on, too");
}

void Options::each_machine(bool& target, const std::string& help) {
  const auto fill = [&target](const std::string& /*machine*/) { target = true; };
  CLI::Option* option = app_.add_option_function<std::string>("--each", fill, help);
  option->type_name("machine")->check([](const std::string& text) {
    return text == "machine" ? std::string() : fmt::format("'{}' must be machine", text);
  });
}

void Options::config(ConfigSource& target, const std::function<bool(const std::string&)>& wanted, bool short_names) {
  const io::Config defaults;
  config(target, wanted, short_names, defaults);
}

void Options::config(ConfigSource& target, const std::function<bool(const std::string&)>& wanted, bool short_names,
                     const io::Config& defaults) {
  file("--config", target.file, "TOML file with the keys below; flags override it").shown_as("FILE.toml");
  for (const io::ConfigKey& key : io::config_keys()) {
    if (!wanted(key.name)) {
      continue;
    }
    const auto short_name = short_names_of_keys.find(key.name);
    const bool has_short = short_names && short_name != short_names_of_keys.end();
    const auto fill = [&target, name = key.name](const std::string& text) { target.flags.push_back({name, text}); };
    CLI::Option* option = app_.add_option_function<std::string>(
        "--" + key.name + (has_short ? "," + short_name->second : ""), fill, key.help);
    const std::string section = key.name.substr(0, key.name.find('.'));
    option->type_name(value_text(key.type))->group("Section [" + section + "] of the configuration");
    if (const std::string text = key.get(defaults); !text.empty()) {
      option->default_str(text);
    }
  }
}

void fill_from_words(std::vector<std::string> words, const std::function<void(Options&)>& declare) {
  CLI::App app;
  app.set_help_flag();
  Options options(app);
  declare(options);
  std::reverse(words.begin(), words.end());  // as CLI11 wants them
  try {
    app.parse(std::move(words));
  } catch (const CLI::ExtrasError&) {
    throw io::UsageError(fmt::format("'{}' is not an option there", fmt::join(app.remaining(), " ")));
  } catch (const CLI::ParseError& error) {
    throw io::UsageError(error.what());
  }
}

}  // namespace evenflow::experiments
