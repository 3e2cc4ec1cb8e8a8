// evenflow monitor: sound as it comes, to alarms.
#include <fmt/format.h>

#include <charconv>
#include <csignal>
#include <optional>
#include <vector>

#include "experiments/command.h"
#include "experiments/interrupt.h"
#include "experiments/monitor/monitor.h"
#include "experiments/outputs.h"
#include "frontend/pcm.h"
#include "io/error.h"
#include "io/hdf5_file.h"
#include "io/sources_file.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

struct MonitorArguments {
  fs::path model, source, machines;
  io::MonitorSource one;  ///< what the command line says of SOURCE
  monitor::MonitorSettings settings;
  std::string raise = "3/5", shift = "auto", per = "clip";
  bool force = false;  ///< replace what is not evenflow's own
};

template <class E>
std::vector<std::string> names_of() {
  std::vector<std::string> names;
  names.reserve(io::choices<E>.size());
  for (const io::Choice<E>& choice : io::choices<E>) {
    names.emplace_back(choice.name);
  }
  return names;
}

void declare_source(Options& options, MonitorArguments& arguments) {
  options.file("MODEL", arguments.model, "the model (model.h5)");
  options.file("SOURCE", arguments.source, "-: standard input; a file, FIFO or device with samples; or a folder")
      .shown_as("-|FILE|FOLDER");
  options.file("--machines", arguments.machines, "several machines, in place of MODEL and SOURCE")
      .shown_as("FILE.toml");
  options.word("--name", arguments.one.name, {}, "of the machine, in all lines").default_text("the source");
  options.word("--format", arguments.one.format, names_of<frontend::SampleFormat>(),
               "of raw samples; without, a stream begins with a WAV header");
  options.number("--rate", arguments.one.rate_hz, 1000, 1'000'000, "of raw samples, in Hz").default_text("");
  options.number("--channels", arguments.one.channels, 1, frontend::most_channels, "of raw samples").default_text("1");
  options.flag("--follow", arguments.one.follow, "a file goes on growing; without, its end is the end");
  options.flag("--live", arguments.one.live, "sound comes by the clock: gaps and wrong rates are faults of the sensor");
  options.flag("--existing", arguments.settings.existing, "recordings that lie in the folder already are clips too");
  options.number("--clip", arguments.one.clip_s, 0.01, 3600, "seconds that are judged together")
      .default_text("as long as the model's normal clips, or 10");
}

void declare_decision(Options& options, MonitorArguments& arguments) {
  monitor::MonitorSettings& settings = arguments.settings;
  options.word("--score", settings.decision.score, {}, "decides in place of the model's");
  const Option threshold = options.number("--threshold", settings.decision.threshold, -1e300, 1e300,
                                          "a clip above is anomalous, in place of the model's");
  options
      .number("--false-alarms", settings.decision.false_alarms, 1e-6, 0.5,
              "share of normal clips above the threshold, by the model's scores of normal clips")
      .excludes(threshold);
  options.word("--raise", arguments.raise, {}, "an alarm is raised when so many of the last so many clips are bad")
      .shown_as("N/M");
  options.number("--clear", settings.alarm.clear, 1, 1000, "it is cleared after so many good clips in a row");
  options.number("--hold-off", settings.alarm.hold_off_s, 0, 1e6,
                 "once raised it is not raised again for so many seconds of sound");
  options.word(
      "--shift", arguments.shift, names_of<monitor::Shift>(),
      "what is told as a change of the operating point: an estimate off the trained ones (range), and one that "
      "creeps (creep); auto: range, if the model estimates any");
  options.number("--clipping", settings.sensor.clipped_share, 0, 1, "share of samples at full scale that is a fault");
  options.number("--gap", settings.sensor.gap_s, 0.1, 1e6, "seconds without sound that are a fault, with --live");
}

void declare(Options& options, MonitorArguments& arguments) {
  monitor::MonitorSettings& settings = arguments.settings;
  declare_source(options, arguments);
  declare_decision(options, arguments);
  options.word("--per", arguments.per, {"clip", "window"}, "window: a line for each window as well");
  options.flag("--json", settings.json, "lines of JSON (docs/formats.md)");
  options.word("--exec", settings.exec, {}, "a command for the shell when an alarm is raised or cleared")
      .shown_as("COMMAND");
  options.number("--exec-limit", settings.exec_limit_s, 0.1, 3600, "seconds after which that command is ended");
  options.number("--metrics", settings.metrics_port, 0, 65535, "serve Prometheus metrics on this port of 127.0.0.1");
  options.file("--state", settings.state, "what is remembered from one start to the next (JSON)");
  options.number("--save-every", settings.save_s, 0.1, 3600,
                 "seconds between savings of the state; alarms save at once");
  options.force(arguments.force);
  options.number("--threads", settings.threads, 1, 4096, "threads that machines are dealt to");
  options.word("--device", settings.device, {}, "\"cpu\" or \"cuda:N\"");
}

/// "3/5"
void read_raise(const std::string& text, monitor::AlarmRule& rule) {
  constexpr int most = 64;
  const char* const end = text.data() + text.size();
  const auto [slash, error] = std::from_chars(text.data(), end, rule.raise);
  if (error == std::errc() && slash != end && *slash == '/') {
    const auto [stop, bad] = std::from_chars(slash + 1, end, rule.of);
    if (bad == std::errc() && stop == end && rule.raise >= 1 && rule.raise <= rule.of && rule.of <= most) {
      return;
    }
  }
  throw io::UsageError(fmt::format("--raise {} is not allowed: it is N/M with 1 <= N <= M <= {}", text, most));
}

std::vector<io::MonitorSource> sources_of(const MonitorArguments& arguments) {
  const bool one = !arguments.model.empty() && !arguments.source.empty();
  if (arguments.machines.empty() ? !one : !arguments.model.empty()) {
    throw io::UsageError(
        "give MODEL and SOURCE, such as \"evenflow monitor model.h5 -\", or --machines FILE.toml alone");
  }
  if (!arguments.machines.empty()) {
    const io::MonitorSource& said = arguments.one;
    if (said != io::MonitorSource{}) {
      throw io::UsageError(
          "--name, --format, --rate, --channels, --follow, --live and --clip describe SOURCE; with "
          "--machines they stand in the file");
    }
    return io::read_sources_file(arguments.machines);
  }
  io::MonitorSource source = arguments.one;
  source.model = arguments.model;
  source.source = arguments.source.string();
  if (source.name.empty()) {
    source.name = source.source == "-" ? "stdin" : source.source;
  }
  return {source};
}

int run(const MonitorArguments& arguments) {
  const std::atomic<bool>& stop = stop_on_signals();
  std::atomic<bool>& reload = reload_on_hangup();
  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes is an error of write, after which the state is still saved
  monitor::MonitorSettings settings = arguments.settings;
  read_raise(arguments.raise, settings.alarm);
  settings.shift = *io::value_of<monitor::Shift>(arguments.shift);
  settings.windows = arguments.per == "window";
  settings.replace_state = arguments.force;
  const std::vector<io::MonitorSource> sources = sources_of(arguments);
  Outputs outputs(arguments.force);
  for (const io::MonitorSource& source : sources) {
    outputs.reads(source.model, "a model");
    if (io::looks_like_hdf5(source.source)) {
      throw io::UsageError(
          fmt::format("'{}' holds features or a model, not sound that arrives; use evenflow score", source.source));
    }
    outputs.reads(source.source, "a source");
  }
  if (!arguments.machines.empty()) {
    outputs.reads(arguments.machines, "the list of machines");
  }
  if (settings.state) {
    outputs.writes(*settings.state, FileKind::monitor_state);
  }
  monitor::run_monitor(sources, settings, {stop, reload});
  return exit_ok;
}

}  // namespace

Command monitor_command() {
  return make_command<MonitorArguments>(
      "monitor",
      "Listens to a machine and raises alarms. Sound comes from standard input, a FIFO, a file that grows, or a folder "
      "of recordings; each clip is scored as `score` does. A fault of the machine is told from a change of its "
      "operating "
      "point and from a fault of the sensor. Ctrl-C or SIGTERM ends it, SIGHUP reads the models anew.",
      "  arecord -f S16_LE -r 16000 -t raw | evenflow monitor model.h5 - --format s16le --rate 16000 --live\n"
      "  evenflow monitor model.h5 incoming/ --json --state monitor.json --exec ./notify\n"
      "  evenflow monitor --machines plant.toml --metrics 9464",
      declare, run);
}

}  // namespace evenflow::experiments
