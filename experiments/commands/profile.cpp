// evenflow profile: where a training step's time goes.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "experiments/command.h"
#include "experiments/configuration.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "experiments/profile/profile.h"
#include "experiments/profile/report.h"
#include "io/error.h"
#include "io/output_folder.h"
#include "io/standard_output.h"
#include "kernels/probe.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

struct ProfileArguments {
  ConfigSource config;
  int repeat = 20;
  bool warm = false, nvtx = false;
  std::optional<fs::path> out, compare;
  bool force = false;  ///< replace what is not evenflow's own
};

/// What a step's time depends on.
bool is_of_step(const std::string& key) {
  return key.starts_with("model.") || key.starts_with("condition.") || key.starts_with("augment.") ||
         key == "frontend.mel_bands" || key == "window.window_frames" || key == "train.device" ||
         key == "train.threads" || key == "train.batch" || key == "train.precision" || key == "train.kernels" ||
         key == "train.seed" || key == "train.clip_norm";
}

void declare(Options& options, ProfileArguments& arguments) {
  options.number("--repeat", arguments.repeat, 3, 10000, "training steps to measure");
  options.flag("--warm", arguments.warm, "do not clear the caches before each operation");
  options.flag("--nvtx", arguments.nvtx, "name the operations for Nsight; on by default if Nsight started the program");
  options.file("--out", arguments.out, "folder for profile.json, profile.csv and the picture roofline.svg")
      .shown_as("FOLDER");
  options.file("--compare", arguments.compare, "an older profile.json of this device and configuration");
  options.force(arguments.force);
  options.config(arguments.config, is_of_step, true, unaugmented());
}

std::string time_text(double seconds) {
  if (seconds >= 1) {
    return fmt::format("{:.3g} s", seconds);
  }
  if (seconds >= 1e-3) {
    return fmt::format("{:.4g} ms", seconds * 1e3);
  }
  return fmt::format("{:.4g} us", seconds * 1e6);
}

std::string spread_text(const Spread& spread) {
  return fmt::format("{} ({} to {})", time_text(spread.median), time_text(spread.p10), time_text(spread.p90));
}

std::string percent_text(double rate, double ceiling) {
  return ceiling > 0 ? fmt::format("{:.1f} %", 100 * rate / ceiling) : "-";
}

// A rate in units of 1e9, or nothing where there is no work of the kind.
std::string giga_text(double rate) {
  if (rate == 0) {
    return "-";
  }
  return rate >= 1e11 ? fmt::format("{:.0f}", rate * 1e-9) : fmt::format("{:.3g}", rate * 1e-9);
}

void print_ceilings(const Profile& profile) {
  const Ceilings& ceilings = profile.ceilings;
  fmt::print("Ceilings{}: copy {} GB/s (read and written); matrix product ",
             profile.graph_nodes == 0 ? " of one thread" : "", giga_text(ceilings.copy));
  std::string products;
  for (const auto& [name, precision] : gemm_precisions) {
    if (const double rate = ceilings.gemm_of(precision); rate > 0) {
      products += fmt::format("{}{} {} GFLOP/s", products.empty() ? "" : ", ", name, giga_text(rate));
    }
  }
  fmt::print("{}\n", products.empty() ? ceilings.gemm_missing : products);
}

void print_operations(const Profile& profile) {
  TextTable table;
  const bool launches = profile.graph_nodes > 0;
  std::vector<std::string> head = {"operation", "block", "calls",   "a step",  "10 % to 90 %",
                                   "share",     "GB/s",  "of copy", "GFLOP/s", "of product"};
  if (launches) {
    head.emplace_back("launches");
  }
  table.add(head);
  for (const ProfiledOperation& row : profile.rows) {
    const double bandwidth = row.cost.bytes / row.seconds.median, rate = row.cost.flop / row.seconds.median;
    double calls = 0;
    for (const ProfiledCall& call : row.calls) {
      calls += call.per_step;
    }
    std::vector<std::string> cells = {row.operation,
                                      row.block.empty() ? "" : row.block.substr(5),
                                      fmt::format("{:g}", calls),
                                      time_text(row.seconds.median),
                                      fmt::format("{} to {}", time_text(row.seconds.p10), time_text(row.seconds.p90)),
                                      fmt::format("{:.1f} %", 100 * row.share),
                                      giga_text(bandwidth),
                                      percent_text(bandwidth, profile.ceilings.copy),
                                      giga_text(rate),
                                      rate > 0 ? percent_text(rate, row.gemm_ceiling) : "-"};
    if (launches) {
      cells.push_back(std::to_string(row.launches));
    }
    table.add(cells);
    for (const ProfiledPart& part : row.parts) {
      const double part_rate = part.flop / part.seconds.median;
      table.add({"  " + part.name, "", "", time_text(part.seconds.median),
                 fmt::format("{} to {}", time_text(part.seconds.p10), time_text(part.seconds.p90)), "", "", "",
                 giga_text(part_rate), part_rate > 0 ? percent_text(part_rate, row.gemm_ceiling) : "-"});
    }
  }
  fmt::print("{}", table.text());
}

void print_kernels(const Profile& profile) {
  if (profile.kernels.empty()) {
    return;
  }
  TextTable table;
  table.add({"kernel", "launches", "blocks", "threads", "shared bytes", "registers", "local bytes", "occupancy"});
  for (const ProfiledKernel& k : profile.kernels) {
    table.add({k.name, std::to_string(k.launches), std::to_string(k.blocks), std::to_string(k.threads_per_block),
               std::to_string(k.shared_bytes), std::to_string(k.registers), std::to_string(k.local_bytes),
               fmt::format("{:.0f} %", 100 * k.occupancy)});
  }
  fmt::print("\nKernels of a step, each with its largest launch (a library's own are not in it):\n{}", table.text());
}

void print_step(const Profile& profile) {
  const double windows = static_cast<double>(profile.windows);
  const bool graph = profile.graph_nodes > 0;
  const std::string how = graph ? fmt::format("one graph of {}", count_text(profile.graph_nodes, "node"))
                                : count_text(profile.threads, "thread");
  fmt::print("\nSum of the operations, each alone: {}", spread_text(profile.operations));
  if (graph) {
    fmt::print(", {} launches", profile.launches);
  }
  fmt::print("\nWhole step ({}): {}, {:.0f} windows/s, {} GFLOP/s\n", how, spread_text(profile.whole),
             windows / profile.whole.median, giga_text(profile.step_flop / profile.whole.median));
}

// Returns whether anything became slower.
bool print_changes(const std::vector<Change>& changes, const fs::path& old) {
  TextTable table;
  table.add({"", "before", "now", "ratio", ""});
  int64_t slower = 0;
  for (const Change& change : changes) {
    if (change.slower) {
      ++slower;
    }
    table.add({change.what, time_text(change.old_seconds), time_text(change.new_seconds),
               fmt::format("{:.3f}", change.ratio()), change.slower ? "slower" : ""});
  }
  fmt::print("\nAgainst {}:\n{}", old.string(), table.text());
  if (slower > 0) {
    fmt::print("{} slower, by more than 5 % and by more than both profiles' spread.\n", count_text(slower, "line"));
  }
  return slower > 0;
}

int run(const ProfileArguments& arguments) {
  ProfileSettings settings;
  settings.config = resolve(arguments.config, unaugmented());
  if (settings.config.model.kind != io::ModelKind::glow) {
    throw io::UsageError("profile measures flows; leave model.kind at \"glow\"");
  }
  settings.repeat = arguments.repeat;
  settings.warm = arguments.warm;
  settings.ranges = arguments.nvtx || kernels::tool_attached();
  stop_on_signals();
  Outputs outputs(arguments.force);
  outputs.reads(arguments.config);
  if (arguments.compare) {
    outputs.reads(*arguments.compare, "the older profile");
  }
  nlohmann::json old;
  if (arguments.compare) {
    old = read_profile(*arguments.compare);
    require_comparable(old, *arguments.compare, settings);
  }
  if (arguments.out) {
    if (io::is_standard_output(*arguments.out)) {
      throw io::UsageError("--out takes a folder; the figures are on standard output without it");
    }
    for (const char* name : {"profile.json", "profile.csv", "roofline.gp", "roofline.svg"}) {
      outputs.writes_below(*arguments.out, name, FileKind::profile);
    }
    io::make_folder(*arguments.out);
  }
  StatusLine line{1.0};
  settings.progress = [&](const std::string& what) {
    throw_if_stopped();
    line.show(what + " ...");
  };
  const Profile profile = run_profile(settings);
  line.clear();

  fmt::print("A training step of {} windows, {} parameters, on {}\n", profile.windows, profile.parameters,
             profile.device_text);
  print_ceilings(profile);
  fmt::print("\n");
  print_operations(profile);
  print_kernels(profile);
  print_step(profile);
  if (arguments.out) {
    const std::string no_picture = write_profile(profile, *arguments.out);
    fmt::print("Written: {}\n", (*arguments.out / "profile.json").string());
    if (!no_picture.empty()) {
      fmt::print("{}\n", no_picture);
    }
  }
  if (!arguments.compare) {
    return exit_ok;
  }
  return print_changes(compare(old, to_json(profile)), *arguments.compare) ? exit_slower : exit_ok;
}

}  // namespace

Command profile_command() {
  return make_command<ProfileArguments>(
      "profile",
      "Measures where a training step's time goes. It times every operation alone (median of the repetitions, 10th to "
      "90th percentile, with the caches cleared before it) and the step as a whole, on random weights and windows. "
      "Bytes and FLOP are counted from the shapes: each input read once, each output written once. Percentages are of "
      "a large copy and of a large matrix product, measured in the same run. With --compare the exit code is 1 if "
      "anything is slower by more than 5 % and by more than both profiles' spread.",
      "  evenflow profile --device cuda:0 --out profiles/today\n"
      "  evenflow profile --config experiments/configs/paper.toml --precision bf16 --kernels fused\n"
      "  evenflow profile --device cpu --compare profiles/today/profile.json",
      declare, run);
}

}  // namespace evenflow::experiments
