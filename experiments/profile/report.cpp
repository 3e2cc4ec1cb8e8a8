#include "experiments/profile/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "experiments/report/gnuplot.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/version.h"
#include "kernels/device.h"
#include "train/loop/augmentation.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kind = "evenflow profile";
constexpr int format_version = 1;

json to_json(const Spread& spread) {
  return {{"median", spread.median}, {"p10", spread.p10}, {"p90", spread.p90}};
}

Spread spread_from(const json& value) {
  return {.median = value.at("median"), .p10 = value.at("p10"), .p90 = value.at("p90")};
}

// What must be the same in two profiles for their times to be comparable.
json identity(const io::Config& config, bool warm) {
  const kernels::Device device = kernels::parse_device(config.train.device);
  const bool cpu = device.type == kernels::DeviceType::cpu;
  json out = {{"device", kernels::describe(device)},
              {"batch", config.train.batch},
              {"caches", warm ? "warm" : "cleared"},
              {"blocks", config.model.blocks},
              {"steps", config.model.steps},
              {"hidden", config.model.hidden},
              {"invconv", io::name_of(config.model.invconv)},
              {"coupling", io::name_of(config.model.coupling)},
              {"mel_bands", config.frontend.mel_bands},
              {"window_frames", config.window.window_frames},
              {"parameters", config.condition.enabled ? std::max<size_t>(1, config.condition.parameters.size()) : 0}};
  if (config.augment.any()) {
    out["augmented"] = train::describe_augmentation(config.augment);
  }
  if (cpu) {
    out["threads"] = config.train.threads;
  } else {
    out["precision"] = io::name_of(config.train.precision);
    out["kernels"] = io::name_of(config.train.kernels);
  }
  return out;
}

std::string text_of(const json& value) {
  if (value.is_string()) {
    return fmt::format("'{}'", value.get<std::string>());
  }
  if (value.is_structured()) {
    return "no single value";
  }
  return value.is_null() ? "nothing" : value.dump();
}

/// A member, or null. No copy: it may be nested as deep as the file is long.
const json& member(const json& object, const std::string& key) {
  static const json none;
  const auto found = object.find(key);
  return found == object.end() ? none : *found;
}

// 0 where it was not measured.
double fraction(double rate, double ceiling) {
  return ceiling > 0 ? rate / ceiling : 0;
}

json operation_json(const ProfiledOperation& row, const Ceilings& ceilings) {
  const double bandwidth = row.cost.bytes / row.seconds.median, rate = row.cost.flop / row.seconds.median;
  json calls = json::array(), parts = json::array();
  for (const ProfiledCall& call : row.calls) {
    calls.push_back({{"name", call.name},
                     {"phase", call.phase},
                     {"per_step", call.per_step},
                     {"seconds", to_json(call.seconds)},
                     {"bytes", call.cost.bytes},
                     {"flop", call.cost.flop},
                     {"launches", call.launches}});
  }
  for (const ProfiledPart& part : row.parts) {
    parts.push_back({{"name", part.name}, {"seconds", to_json(part.seconds)}, {"flop", part.flop}});
  }
  json out = {{"block", row.block},
              {"operation", row.operation},
              {"seconds", to_json(row.seconds)},
              {"share", row.share},
              {"bytes", row.cost.bytes},
              {"flop", row.cost.flop},
              {"bytes_per_s", bandwidth},
              {"flop_per_s", rate},
              {"of_copy", fraction(bandwidth, ceilings.copy)},
              {"of_gemm", nullptr},
              {"launches", row.launches},
              {"calls", calls},
              {"parts", parts}};
  if (row.gemm_ceiling > 0) {
    out["of_gemm"] = fraction(rate, row.gemm_ceiling);
  }
  return out;
}

std::string row_name(const std::string& block, const std::string& operation) {
  return block.empty() ? operation : block + "." + operation;
}

Change change_of(const std::string& what, const Spread& old, const Spread& now) {
  constexpr double tolerance = 1.05;
  return {.what = what,
          .old_seconds = old.median,
          .new_seconds = now.median,
          .slower = now.median > tolerance * old.median && now.p10 > old.p90};
}

}  // namespace

json to_json(const Profile& profile) {
  json operations = json::array(), kernels = json::array(), gemm = json::object();
  for (const ProfiledOperation& row : profile.rows) {
    operations.push_back(operation_json(row, profile.ceilings));
  }
  for (const ProfiledKernel& kernel : profile.kernels) {
    kernels.push_back({{"name", kernel.name},
                       {"launches", kernel.launches},
                       {"blocks", kernel.blocks},
                       {"threads_per_block", kernel.threads_per_block},
                       {"shared_bytes", kernel.shared_bytes},
                       {"registers", kernel.registers},
                       {"local_bytes", kernel.local_bytes},
                       {"occupancy", kernel.occupancy}});
  }
  for (const auto& [name, precision] : gemm_precisions) {
    const double rate = profile.ceilings.gemm_of(precision);
    gemm[name] = rate > 0 ? json(rate) : json(nullptr);
  }
  return {{"format", kind},
          {"format_version", format_version},
          {"version", io::version()},
          {"commit", io::commit()},
          {"device", {{"name", profile.device}, {"description", profile.device_text}}},
          {"identity", identity(profile.config, profile.warm)},
          {"config", io::to_toml(profile.config)},
          {"repeat", profile.repeat},
          {"threads", profile.threads},
          {"parameters", profile.parameters},
          {"ceilings",
           {{"copy_bytes_per_s", profile.ceilings.copy},
            {"gemm_flop_per_s", gemm},
            {"gemm_note", profile.ceilings.gemm_missing}}},
          {"step",
           {{"windows", profile.windows},
            {"windows_at_once", profile.at_once},
            {"seconds", to_json(profile.whole)},
            {"sum_of_operations", to_json(profile.operations)},
            {"windows_per_s", static_cast<double>(profile.windows) / profile.whole.median},
            {"flop", profile.step_flop},
            {"flop_per_s", profile.step_flop / profile.whole.median},
            {"forward_flop_per_window", profile.forward_flop},
            {"launches", profile.launches},
            {"graph_nodes", profile.graph_nodes}}},
          {"operations", operations},
          {"kernels", kernels}};
}

std::string to_csv(const Profile& profile) {
  std::string text = "name,phase,calls_per_step,median_s,p10_s,p90_s,bytes,flop,launches\n";
  for (const ProfiledOperation& row : profile.rows) {
    for (const ProfiledCall& call : row.calls) {
      text += fmt::format("{},{},{:g},{:.9g},{:.9g},{:.9g},{:.0f},{:.0f},{}\n", call.name, call.phase, call.per_step,
                          call.seconds.median, call.seconds.p10, call.seconds.p90, call.cost.bytes, call.cost.flop,
                          call.launches);
    }
  }
  return text;
}

json read_profile(const fs::path& file) {
  json profile = json::parse(io::read_text(file), nullptr, false);
  if (!profile.is_object() || member(profile, "format") != kind || !member(profile, "identity").is_object()) {
    throw io::DataError(
        fmt::format("'{}' is not a profile; give the profile.json that `evenflow profile --out` wrote", file.string()));
  }
  if (member(profile, "format_version") != format_version) {
    throw io::DataError(
        fmt::format("'{}' is a profile of another format version; write it again with this evenflow", file.string()));
  }
  return profile;
}

void require_comparable(const json& old, const fs::path& file, const ProfileSettings& settings) {
  const json now = identity(settings.config, settings.warm);
  const json& then = old.at("identity");
  for (const auto& [key, value] : now.items()) {
    const json& before = member(then, key);
    if (before == value) {
      continue;
    }
    throw io::UsageError(
        fmt::format("'{}' was measured with {} {} and this profile has {}; only profiles of one device "
                    "and one configuration can be compared: measure both alike",
                    file.string(), key, text_of(before), text_of(value)));
  }
}

std::vector<Change> compare(const json& old, const json& now) {
  std::vector<Change> changes;
  try {
    changes.push_back(
        change_of("step", spread_from(old.at("step").at("seconds")), spread_from(now.at("step").at("seconds"))));
    std::map<std::string, Spread> before;
    for (const json& row : old.at("operations")) {
      before[row_name(row.at("block"), row.at("operation"))] = spread_from(row.at("seconds"));
    }
    for (const json& row : now.at("operations")) {
      const std::string name = row_name(row.at("block"), row.at("operation"));
      const auto found = before.find(name);
      if (found != before.end()) {
        changes.push_back(change_of(name, found->second, spread_from(row.at("seconds"))));
      }
    }
  } catch (const json::exception& error) {
    throw io::DataError(std::string("the profile to compare with is damaged (") + error.what() + "); write it again");
  }
  return changes;
}

std::string roofline_script(const Profile& profile) {
  struct Point {
    double intensity, rate, size;
    std::string block;
  };
  std::map<std::string, std::vector<Point>> series;
  const double copy = profile.ceilings.copy;
  constexpr double least_share = 1e-3;  // what is less would only hide the rest
  double left = 1, right = 1, low = 1e300, high = 0;
  for (const ProfiledOperation& row : profile.rows) {
    if (row.cost.flop == 0 || row.share < least_share) {
      continue;
    }
    const double intensity = row.cost.flop / row.cost.bytes, rate = row.cost.flop / row.seconds.median * 1e-9;
    series[row.operation].push_back(
        {intensity, rate, 0.5 + 3 * std::sqrt(row.share), row.block.empty() ? "" : row.block.substr(5)});
    left = std::min(left, intensity);
    right = std::max(right, intensity);
    low = std::min(low, rate);
    high = std::max(high, rate);
  }
  std::vector<std::pair<const char*, double>> roofs;
  for (const auto& [name, precision] : gemm_precisions) {
    const double rate = profile.ceilings.gemm_of(precision);
    if (rate == 0) {
      continue;
    }
    roofs.emplace_back(name, rate * 1e-9);
    right = std::max(right, rate / copy);
    high = std::max(high, rate * 1e-9);
  }
  left /= 2;
  right *= 4;
  if (roofs.empty()) {
    high = std::max(high, copy * right * 1e-9);
  }
  std::string text = fmt::format(
      "set terminal svg size 1040,640 noenhanced font 'sans,13' background rgb 'white'\n"
      "set output 'roofline.svg'\n"
      "set title \"{}, {} windows a step, {}\"\n"
      "set logscale xy\nset xrange [{:g}:{:g}]\nset yrange [{:g}:{:g}]\n"
      "set xlabel 'FLOP per byte that has to move (numbers: blocks, size: share of the step)'\nset ylabel 'GFLOP/s'\n"
      "set format x '%g'\nset format y '%g'\nset grid lc rgb '#dddddd'\n"
      "set key outside right top Left reverse samplen 1.5 width -2\n",
      profile.device_text, profile.windows,
      profile.warm ? "caches as the step leaves them" : "caches cleared before each operation", left, right, low / 3,
      high * 2);
  for (const auto& [operation, points] : series) {
    text += fmt::format("${} << EOD\n", operation);
    for (const Point& p : points) {
      text += fmt::format("{:g} {:g} {:g} \"{}\"\n", p.intensity, p.rate, p.size, p.block);
    }
    text += "EOD\n";
  }
  text += fmt::format("plot x * {:g} w l lw 2 lc rgb '#444444' title 'copy, {:.3g} GB/s'", copy * 1e-9, copy * 1e-9);
  int dash = 2;
  for (const auto& [name, rate] : roofs) {
    text += fmt::format(", \\\n  {:g} w l lw 2 dt {} lc rgb '#444444' title 'product {}, {:.3g} GFLOP/s'", rate, dash++,
                        name, rate);
  }
  constexpr std::array colours = {"#1f77b4", "#d62728", "#2ca02c", "#9467bd",
                                  "#ff7f0e", "#17becf", "#8c564b", "#e377c2"};
  size_t number = 0;
  for (const auto& [operation, points] : series) {
    // Eight colours, filled and then open; neighbours' labels on different sides.
    text += fmt::format(
        ", \\\n  ${0} u 1:2:3 w p pt {1} lw 2 ps variable lc rgb '{2}' title '{0}', ${0} u 1:2:4 w "
        "labels tc rgb '{2}' offset {3} notitle",
        operation, number / colours.size() % 2 == 0 ? 7 : 6, colours[number % colours.size()],
        number % 2 == 0 ? "1.4,0.7" : "-1.4,-0.7");
    ++number;
  }
  return text + "\n";
}

namespace {}  // namespace

std::string write_profile(const Profile& profile, const fs::path& folder) {
  io::write_text(folder / "profile.json", to_json(profile).dump(1) + "\n");
  io::write_text(folder / "profile.csv", to_csv(profile));
  const fs::path script = folder / "roofline.gp";
  io::write_text(script, roofline_script(profile));
  const std::string why = run_gnuplot(script);
  return why.empty() ? "" : fmt::format("no picture: {}; '{}' is what would be drawn", why, script.string());
}

}  // namespace evenflow::experiments
