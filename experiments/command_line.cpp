#include "experiments/command_line.h"

#include <CLI/CLI.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "experiments/commands/commands.h"
#include "io/edit_distance.h"
#include "io/error.h"
#include "io/version.h"

namespace evenflow::experiments {
namespace {

constexpr const char* about =
    "evenflow learns how a healthy machine sounds, at whatever operating point (speed, load, ...) it runs, and finds "
    "recordings that sound different.";

constexpr const char* first_steps =
    "Example, from nothing to a table of results:\n"
    "  evenflow synth rails --preset demo\n"
    "  evenflow prepare rails/manifest.csv --out features.h5\n"
    "  evenflow train features.h5 --run runs/first\n"
    "  evenflow score --model runs/first/model.h5 features.h5 --out scores.csv\n"
    "  evenflow evaluate scores.csv --model runs/first/model.h5\n"
    "\n"
    "Each command has its own help: evenflow train --help\n"
    "Exit codes: 0 done, 2 wrong usage, 3 wrong data, 130 interrupted.";

constexpr size_t help_width = 110, option_column = 38;

/// A paragraph in lines of at most `width` characters.
std::string wrapped(const std::string& text, size_t width) {
  std::string out;
  size_t column = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    if (column > 0 && column + 1 + end - begin > width) {
      out += '\n';
      column = 0;
    } else if (column > 0) {
      out += ' ';
      ++column;
    }
    out += text.substr(begin, end - begin);
    column += end - begin;
    begin = end + 1;
  }
  return out;
}

/// Help in lines of help_width; the list of commands shows each one's first sentence.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(option_column); }
  std::string make_description(const CLI::App* app) const override {
    return wrapped(app->get_description(), help_width) + "\n\n";
  }
  std::string make_option_desc(const CLI::Option* option) const override {
    return wrapped(option->get_description(), help_width - option_column);
  }
  std::string make_subcommand(const CLI::App* command) const override {
    const std::string& text = command->get_description();
    return fmt::format("  {:<12}{}\n", command->get_name(), text.substr(0, text.find(". ")));
  }
};

struct Declared {
  const CLI::App* app;
  Run run;
};

void declare(const std::vector<Command>& commands, CLI::App& parent, std::vector<Declared>& all) {
  for (const Command& command : commands) {
    CLI::App* app = parent.add_subcommand(command.name, command.about);
    app->footer("Example:\n" + command.example);
    // Before the command that they are below: of those that are asked for, the first runs.
    declare(command.subcommands, *app, all);
    if (command.declare) {
      Options options(*app);
      all.push_back({app, command.declare(options)});
    } else {
      app->require_subcommand(1);
    }
  }
}

/// "; did you mean '--train.epochs'?", or nothing if no candidate is near.
std::string suggestion(const std::string& unknown, const std::vector<std::string>& candidates) {
  const auto near = std::min_element(candidates.begin(), candidates.end(), [&](const auto& a, const auto& b) {
    return io::edit_distance(unknown, a) < io::edit_distance(unknown, b);
  });
  if (near == candidates.end() || io::edit_distance(unknown, *near) > std::max<size_t>(2, unknown.size() / 3)) {
    return "";
  }
  return "; did you mean '" + *near + "'?";
}

std::vector<std::string> command_names(const CLI::App& program) {
  std::vector<std::string> names;
  for (const CLI::App* command : program.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  return names;
}

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      names.push_back("--" + name);
    }
  }
  return names;
}

/// What is wrong with an option among the words that CLI11 could not place, if one is.
std::optional<std::string> option_fault(const std::vector<std::string>& extra, const CLI::App& command) {
  // Behind "--" nothing is an option; CLI11 counts the mark itself among what is left.
  const auto mark = std::find(extra.begin(), extra.end(), "--");
  const auto option = std::find_if(extra.begin(), mark, [](const std::string& word) { return word.starts_with('-'); });
  if (option == mark) {
    return std::nullopt;
  }
  const std::string name = option->substr(0, option->find('='));
  const std::vector<std::string> known = option_names(command);
  if (std::find(known.begin(), known.end(), name) == known.end()) {
    return "unknown option '" + name + "'" + suggestion(name, known);
  }
  return "option '" + name + "' belongs after its command: evenflow " + command.get_name() + " " + name + " ...";
}

/// What to tell of an error of CLI11's: its own text, with the nearest option where one is unknown.
std::string fault(const CLI::ParseError& error, const CLI::App& program, const CLI::App& command) {
  const std::vector<std::string> extra = program.remaining(true);
  const bool is_group = command.get_require_subcommand_min() > 0;
  const std::vector<std::string> below = is_group ? command_names(command) : std::vector<std::string>();
  const auto surplus = std::find_if(extra.begin(), extra.end(), [&](const std::string& word) {
    return word != "--" && (below.empty() || !word.starts_with('-'));
  });
  if (!below.empty() && surplus != extra.end()) {
    return "there is no " + command.get_name() + " '" + *surplus + "'" + suggestion(*surplus, below);
  }
  if (const auto wrong = option_fault(extra, command)) {
    return *wrong;
  }
  if (!below.empty() && extra.empty()) {
    return fmt::format("say which {}: {}", command.get_name(), fmt::join(below, ", "));
  }
  if (surplus != extra.end()) {
    return "one argument too many: '" + *surplus + "'";
  }
  return error.what();
}

/// The sentence, with the help that tells more.
std::string sentence(const CLI::ParseError& error, const CLI::App& program) {
  std::string help = "evenflow";
  const CLI::App* chosen = &program;
  while (!chosen->get_subcommands().empty()) {
    chosen = chosen->get_subcommands().front();
    help += " " + chosen->get_name();
  }
  return fault(error, program, *chosen) + " (see " + help + " --help)";
}

Run show(const std::string& text) {
  return [text] {
    fmt::print("{}", text);
    return exit_ok;
  };
}

}  // namespace

Run parse_command_line(int argc, const char* const* argv) {
  CLI::App program(about, "evenflow");
  program.formatter(std::make_shared<HelpFormatter>());
  program.set_version_flag("--version", fmt::format("evenflow {} (commit {})", io::version(), io::commit()),
                           "Release and commit");
  program.footer(first_steps);
  program.require_subcommand(1);
  std::vector<Declared> declared;
  declare(commands(), program, declared);

  const std::vector<std::string> names = command_names(program);
  if (argc > 1 && argv[1][0] != '-' && std::find(names.begin(), names.end(), argv[1]) == names.end()) {
    throw io::UsageError(std::string("there is no command '") + argv[1] + "'" + suggestion(argv[1], names) +
                         " (see evenflow --help)");
  }
  try {
    program.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return show(program.help());
  } catch (const CLI::CallForVersion& version) {
    return show(std::string(version.what()) + "\n");
  } catch (const CLI::ParseError& error) {
    throw io::UsageError(sentence(error, program));
  }
  const auto asked = std::find_if(declared.begin(), declared.end(), [](const Declared& d) { return d.app->parsed(); });
  return asked->run;
}

}  // namespace evenflow::experiments
