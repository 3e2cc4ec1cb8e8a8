// What a command takes on the command line: options, each with its help and the place that it fills.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "experiments/configuration.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's own name
class App;
class Option;
}  // namespace CLI

namespace evenflow::experiments {

/// The device and CPU threads of a command that runs a model.
struct Compute {
  std::string device = "auto";
  int threads = 0;
};

/// An option that was declared.
class Option {
 public:
  Option required();
  /// How the help names its value: "FOLDER".
  Option shown_as(const std::string& value);
  /// The default that the help shows.
  Option default_text(const std::string& text);
  Option excludes(const Option& other);

 private:
  friend class Options;
  explicit Option(CLI::Option* option) : option_(option) {}
  CLI::Option* option_;
};

/// The options of one command, in the order of its help. `names`: "--seed", "-n,--count", or "INPUT" for what stands by
/// itself. `target` must live until the command line is parsed.
class Options {
 public:
  explicit Options(CLI::App& app) : app_(app) {}

  Option file(const std::string& names, std::filesystem::path& target, const std::string& help);
  Option file(const std::string& names, std::optional<std::filesystem::path>& target, const std::string& help);
  Option files(const std::string& names, std::vector<std::filesystem::path>& target, const std::string& help);
  /// A number from `low` to `high`. T: int, int64_t, uint64_t or double.
  template <class T>
  Option number(const std::string& names, T& target, double low, double high, const std::string& help);
  template <class T>
  Option number(const std::string& names, std::optional<T>& target, double low, double high, const std::string& help);
  /// "100,200"
  Option numbers(const std::string& names, std::vector<double>& target, const std::string& help);
  /// One of `choices`; any word if there are none.
  Option word(const std::string& names, std::string& target, const std::vector<std::string>& choices,
              const std::string& help);
  /// A word each time it is given.
  Option words(const std::string& names, std::vector<std::string>& target, const std::string& help);
  Option flag(const std::string& names, bool& target, const std::string& help);

  /// --force, --threads, --device with --threads, --other-machines: the same wherever they are taken.
  void force(bool& target);
  void threads(int& target);
  void compute(Compute& target);
  void other_machines(bool& target);
  /// --each machine, whose help says what there is for each.
  void each_machine(bool& target, const std::string& help);

  /// --config and a flag for every key for which `wanted` holds; with `short_names` the keys that are given most have
  /// a second one ("--epochs"). `defaults`: what the command's configuration is based on.
  void config(ConfigSource& target, const std::function<bool(const std::string&)>& wanted, bool short_names,
              const io::Config& defaults);
  void config(ConfigSource& target, const std::function<bool(const std::string&)>& wanted, bool short_names);

 private:
  CLI::App& app_;
};

/// Fills what `declare` names from words, as from a command line of its own. io::UsageError.
void fill_from_words(std::vector<std::string> words, const std::function<void(Options&)>& declare);

}  // namespace evenflow::experiments
