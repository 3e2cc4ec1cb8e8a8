#include "experiments/report/explanation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "io/text.h"
#include "train/detect/findings.h"

namespace evenflow::experiments {
namespace {

using train::Explanation;

double frame_s(const io::FrontendSettings& frontend) {
  return static_cast<double>(frontend.hop_samples) / frontend.sample_rate_hz;
}

std::string parts_text(const Explanation& e) {
  std::string text;
  for (const flow::Attribution::Part& part : e.parts) {
    text += fmt::format("{}{} {:.5g}", text.empty() ? "" : ", ", part.name, part.share);
    if (!std::isnan(part.mean_square)) {
      text += fmt::format(" (mean square {:.2f})", part.mean_square);
    }
  }
  return text;
}

/// A number, or the name of which it is the code.
nlohmann::json json_value(double value, const std::vector<std::string>& names) {
  return names.empty() || std::isnan(value) ? nlohmann::json(value) : nlohmann::json(io::value_text(value, names));
}

nlohmann::json json_of(const train::Finding& finding, const std::string& where) {
  return {{"kind", train::name_of(finding.kind)},
          {"text", train::text_of(finding, where)},
          {"from_s", finding.from_s},
          {"to_s", finding.to_s},
          {"low_hz", finding.low_hz},
          {"high_hz", finding.high_hz},
          {"above_db", finding.above_db},
          {"times", finding.times},
          {"throughout", finding.throughout}};
}

}  // namespace

std::string part_text(const flow::Attribution::Part& part) {
  if (part.name == "zd") {
    return "operating point (`zd`)";
  }
  if (part.name == "log_det") {
    return "change of volume (`log_det`)";
  }
  if (part.bands > 1) {
    return fmt::format("`{}`: {} bands by {} frames", part.name, part.bands, part.frames);
  }
  return fmt::format("`{}`", part.name);
}

std::string decision_text(const Explanation& e, const io::ModelData& model) {
  if (e.score != model.threshold.score || std::isnan(model.threshold.value)) {
    return std::isnan(model.threshold.value) ? std::string("no threshold in the model")
                                             : fmt::format("the model decides by {}", model.threshold.score);
  }
  const std::string p = std::isnan(e.clip.p_value) ? "" : fmt::format(", p = {:.3g}", e.clip.p_value);
  return fmt::format("{} (threshold {:.6g}{})", e.value > model.threshold.value ? "anomalous" : "normal",
                     model.threshold.value, p);
}

namespace {

std::string name_text(const Explanation::Estimate& estimate) {
  std::string text =
      fmt::format("{}: {}", estimate.name,
                  std::isnan(estimate.value)
                      ? "not to be told"
                      : fmt::format("estimated {} (probability {:.2f})",
                                    io::value_text(estimate.value, estimate.categories), estimate.probability));
  text += fmt::format(", among {}", io::first_names(estimate.categories, 8));
  if (!estimate.inside) {
    text += "; the sound is like none of them, or like several";
  }
  if (!std::isnan(estimate.asked)) {
    text += "; said to be " + io::value_text(estimate.asked, estimate.categories);
  }
  return io::escaped(text);
}

}  // namespace

std::string estimate_text(const Explanation::Estimate& estimate) {
  if (!estimate.categories.empty()) {
    return name_text(estimate);
  }
  std::string text = fmt::format("{}: estimated {:.4g}, {} the trained range ({:g} to {:g})", estimate.name,
                                 estimate.value, estimate.inside ? "inside" : "outside", estimate.low, estimate.high);
  if (!std::isnan(estimate.asked)) {
    text += fmt::format("; said to be {:g}", estimate.asked);
  }
  return text;
}

std::string neighbour_text(const Explanation::Neighbour& neighbour, const io::ConditionData& condition) {
  std::string at;
  for (size_t p = 0; p < neighbour.v.size(); ++p) {
    if (std::isnan(neighbour.v[p])) {
      continue;
    }
    const std::string value = condition.is_category(p)
                                  ? io::escaped(io::value_text(neighbour.v[p], condition.categories[p]))
                                  : fmt::format("{:g}", neighbour.v[p]);
    at += fmt::format(", {} = {}", condition.names[p], value);
  }
  return fmt::format("{} ({:.2f} away{})", neighbour.path.empty() ? "a training clip" : io::escaped(neighbour.path),
                     neighbour.distance, at);
}

std::string shares_note(const Explanation& e) {
  if (e.divided.empty()) {
    return fmt::format(
        "{} is no sum over the sound, so it has no shares by band and time{}", e.score,
        e.gradient_input.empty() ? "" : "; its gradient times the input says where it would change first");
  }
  if (e.divided != e.score) {
    return fmt::format("{} is computed over {}, whose shares these are", e.score, e.divided);
  }
  return fmt::format("the shares add up to {}", e.score);
}

std::vector<double> unusual_shares(const Explanation& e) {
  std::vector<double> map(e.shares.size(), 0.0), column;
  const auto bands = static_cast<size_t>(e.bands);
  for (size_t b = 0; b < bands && !map.empty(); ++b) {
    column.clear();
    for (size_t t = 0; t < e.coverage.size(); ++t) {
      if (e.coverage[t] > 0) {
        map[t * bands + b] = e.shares[t * bands + b] / e.coverage[t];
        column.push_back(map[t * bands + b]);
      }
    }
    const auto middle = column.begin() + static_cast<std::ptrdiff_t>(column.size() / 2);
    std::nth_element(column.begin(), middle, column.end());
    for (size_t t = 0; t < e.coverage.size(); ++t) {
      map[t * bands + b] -= e.coverage[t] > 0 ? *middle : 0.0;
    }
  }
  return map;
}

Peak densest(const Explanation& e, const io::FrontendSettings& frontend) {
  // Of a single cell much is chance: a cell is taken with two to each side.
  constexpr int64_t reach = 2;
  const std::vector<double> cells = unusual_shares(e);
  std::vector<double> map(cells.size());
  for (int64_t i = 0; i < static_cast<int64_t>(cells.size()); ++i) {
    double sum = 0;
    for (int64_t t = std::max<int64_t>(0, i / e.bands - reach); t <= std::min(e.frames - 1, i / e.bands + reach); ++t) {
      for (int64_t b = std::max<int64_t>(0, i % e.bands - reach); b <= std::min(e.bands - 1, i % e.bands + reach);
           ++b) {
        sum += cells[static_cast<size_t>(t * e.bands + b)];
      }
    }
    map[static_cast<size_t>(i)] = sum;
  }
  const auto at = std::max_element(map.begin(), map.end()) - map.begin();
  const auto band = at % e.bands, frame = at / e.bands;
  const train::Frequencies hz = train::frequencies_of(band, band, frontend);
  return {static_cast<double>(frame) * frame_s(frontend), 0.5 * (hz.low_hz + hz.high_hz)};
}

std::string compared_text(const Explanation& e, const io::ConditionData& condition) {
  std::string estimates, at;
  for (size_t p = 0; p < e.known.size(); ++p) {
    if (e.known[p] == Explanation::Known::spectrum) {
      at += fmt::format("{}{} = {:.4g}", at.empty() ? "" : ", ", condition.names[p], e.expected->at[p]);
      estimates += fmt::format("{}{} = {:.4g}", estimates.empty() ? "" : ", ", condition.names[p], e.clip.estimate[p]);
    }
  }
  if (estimates.empty()) {
    return estimates;
  }
  constexpr double audible_db = 1.0;
  return fmt::format(
      "Its spectrum is that of normal clips at {}{}, so it was compared with those and not with clips at the estimate, "
      "{}. "
      "--at says the operating point",
      at,
      std::abs(e.louder_db) < audible_db
          ? ""
          : fmt::format(", but {:.1f} dB {}", std::abs(e.louder_db), e.louder_db < 0 ? "quieter" : "louder"),
      estimates);
}

std::string explanation_text(const Explanation& e, const io::ModelData& model) {
  std::string text = fmt::format("{}: {} {:.6g}, {}\n", io::escaped(e.clip.clip.path.string()), e.score, e.value,
                                 decision_text(e, model));
  text += fmt::format("  {}.\n", e.sentence());
  for (size_t i = 1; i < e.findings.size(); ++i) {
    text += fmt::format("  Also {}.\n", train::text_of(e.findings[i], e.where));
  }
  if (const std::string compared = compared_text(e, model.condition); !compared.empty()) {
    text += fmt::format("  {}.\n", io::escaped(compared));
  }
  if (e.expected && e.expected->outside) {
    text += "  The operating point lies outside of the normal clips'; it was compared with the nearest.\n";
  }
  if (!e.divided.empty()) {
    const Peak peak = densest(e, model.config.frontend);
    text += fmt::format("  {} {:.6g}{}: {}; densest at {:.2f} s, {:.0f} Hz\n", e.divided, e.divided_value,
                        std::isnan(e.normal_mean)
                            ? ""
                            : fmt::format(" (normal clips {:.5g} ± {:.3g})", e.normal_mean, e.normal_deviation),
                        parts_text(e), peak.time_s, peak.frequency_hz);
  } else {
    text += fmt::format("  {}.\n", shares_note(e));
  }
  for (const Explanation::Estimate& estimate : e.estimates) {
    text += fmt::format("  {}\n", estimate_text(estimate));
  }
  if (!e.not_moved.empty()) {
    text += fmt::format("  {}.\n", io::escaped(e.not_moved));
  }
  for (size_t i = 0; i < std::min<size_t>(e.nearest.size(), 3); ++i) {
    text += fmt::format("  {}{}\n", i == 0 ? "nearest normal clips: " : "                      ",
                        neighbour_text(e.nearest[i], model.condition));
  }
  return text;
}

std::string explanation_json(const Explanation& e, const io::ModelData& model) {
  nlohmann::json json = {{"clip", e.clip.clip.path.string()},
                         {"score", e.score},
                         {"value", e.value},
                         {"sentence", e.sentence()},
                         {"where", e.where}};
  json["compared_at"] = nlohmann::json::array();
  for (size_t p = 0; p < e.known.size(); ++p) {
    constexpr const char* names[] = {"given", "estimate", "spectrum"};
    json["compared_at"].push_back(
        {{"name", model.condition.names[p]},
         {"value", json_value(e.expected->at[p], io::categories_of(model.condition.categories, p))},
         {"from", names[static_cast<size_t>(e.known[p])]}});
  }
  const bool decides = e.score == model.threshold.score && !std::isnan(model.threshold.value);
  json["threshold"] = decides ? nlohmann::json(model.threshold.value) : nlohmann::json(nullptr);
  json["decision"] = decides ? nlohmann::json(e.value > model.threshold.value ? 1 : 0) : nlohmann::json(nullptr);
  json["p_value"] = decides ? e.clip.p_value : std::nan("");
  json["findings"] = nlohmann::json::array();
  for (const train::Finding& finding : e.findings) {
    json["findings"].push_back(json_of(finding, e.where));
  }
  json["divided"] = e.divided;
  json["divided_value"] = e.divided_value;
  json["normal"] = {{"mean", e.normal_mean}, {"deviation", e.normal_deviation}};
  json["parts"] = nlohmann::json::array();
  for (const flow::Attribution::Part& part : e.parts) {
    json["parts"].push_back({{"name", part.name},
                             {"share", part.share},
                             {"mean_square", part.mean_square},
                             {"bands", part.bands},
                             {"frames", part.frames}});
  }
  json["by_band"] = e.by_band;
  json["by_frame"] = e.by_frame;
  json["frame_s"] = frame_s(model.config.frontend);
  for (int64_t b = 0; b < e.bands; ++b) {
    const train::Frequencies hz = train::frequencies_of(b, b, model.config.frontend);
    json["band_hz"].push_back(0.5 * (hz.low_hz + hz.high_hz));
  }
  if (!e.divided.empty()) {
    const Peak peak = densest(e, model.config.frontend);
    json["densest"] = {{"time_s", peak.time_s}, {"frequency_hz", peak.frequency_hz}};
  }
  json["estimates"] = nlohmann::json::array();
  for (const Explanation::Estimate& estimate : e.estimates) {
    nlohmann::json& entry = json["estimates"].emplace_back();
    entry = {{"name", estimate.name},     {"value", json_value(estimate.value, estimate.categories)},
             {"low", estimate.low},       {"high", estimate.high},
             {"inside", estimate.inside}, {"asked", json_value(estimate.asked, estimate.categories)}};
    if (!estimate.categories.empty()) {
      entry["probability"] = estimate.probability;
      entry["categories"] = estimate.categories;
    }
  }
  json["nearest"] = nlohmann::json::array();
  for (const Explanation::Neighbour& neighbour : e.nearest) {
    nlohmann::json parameters = nlohmann::json::array();
    for (size_t p = 0; p < neighbour.v.size(); ++p) {
      parameters.push_back(json_value(neighbour.v[p], io::categories_of(model.condition.categories, p)));
    }
    json["nearest"].push_back(
        {{"path", neighbour.path}, {"distance", neighbour.distance}, {"parameters", std::move(parameters)}});
  }
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace evenflow::experiments
