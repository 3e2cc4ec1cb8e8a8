#include <fmt/format.h>

#include <numeric>

#include "frontend/features.h"
#include "io/error.h"
#include "io/latents_file.h"
#include "train/detect/config_match.h"
#include "train/detect/detector_state.h"

namespace evenflow::train {
namespace {

constexpr int64_t group_windows = 128;

int64_t count_windows(const io::Shard& shard, const io::WindowSettings& window) {
  int64_t total = 0;
  for (size_t i = 0; i < shard.clips().size(); ++i) {
    total += frontend::windows_in(shard.offsets()[i + 1] - shard.offsets()[i], window);
  }
  return total;
}

/// Collects windows' latents, one behind the other.
LatentVisitor collect(std::vector<float>& zc, std::vector<float>& zd) {
  return [&](int64_t, std::span<const float> window_zc, std::span<const float> window_zd) {
    zc.insert(zc.end(), window_zc.begin(), window_zc.end());
    zd.insert(zd.end(), window_zd.begin(), window_zd.end());
  };
}

// Where each of a group's windows stands; `clip` counts the shard's clips and goes on.
void place_windows(const ClipGroup& group, const io::WindowSettings& window, int32_t& clip, io::LatentsTable& table) {
  for (size_t c = 0; c + 1 < group.first.size(); ++c, ++clip) {
    for (int64_t w = 0; w < group.first[c + 1] - group.first[c]; ++w) {
      table.clip.push_back(clip);
      table.frame.push_back(w * window.window_hop_frames);
    }
  }
}

// A column for each of a model's terms and scores.
std::vector<std::pair<std::string, std::vector<double>>> empty_columns(const flow::Model& model) {
  std::vector<std::pair<std::string, std::vector<double>>> columns;
  for (const std::string& term : model.terms()) {
    columns.emplace_back(term, std::vector<double>());
  }
  for (const flow::Score& score : model.scores()) {
    columns.emplace_back(score.name, std::vector<double>());
  }
  return columns;
}

void add_windows(const flow::WindowScores& windows, io::LatentsTable& table) {
  for (int64_t w = 0; w < windows.size(); ++w) {
    auto column = table.columns.begin();
    for (const double term : windows.terms[w]) {
      (column++)->second.push_back(term);
    }
    for (const double score : windows.scores[w]) {
      (column++)->second.push_back(score);
    }
    const std::span<const double> estimate = windows.estimates[w];
    table.estimates.insert(table.estimates.end(), estimate.begin(), estimate.end());
  }
}

}  // namespace

void Detector::encode(const io::Shard& shard, const std::filesystem::path& out,
                      const std::function<void(int64_t done, int64_t total)>& progress) {
  State& s = *state_;
  require_frontend(shard, s.model.config.frontend, "the model");
  const io::WindowSettings& window = s.model.config.window;

  io::LatentsWriter writer(out, count_windows(shard, window), s.network->zc_size(), s.network->zd_size());
  io::LatentsTable table;
  table.estimated = s.model.condition.names;
  table.clips = shard.clips();
  table.parameter_names = shard.parameter_names();
  table.categories = shard.categories();
  table.columns = empty_columns(*s.network);
  flow::WindowScores scores(*s.network);
  int32_t clip = 0;
  std::vector<float> zc, zd;
  std::vector<std::string> not_finite;
  const auto encode_group = [&](ClipGroup& group) {
    scores.resize(static_cast<int64_t>(group.start.size()));
    zc.clear();
    zd.clear();
    s.engine->encode(group.batch(), scores, collect(zc, zd));
    writer.append(zc, zd);
    for (size_t i = 0; i < group.clips.size(); ++i) {
      if (!group.finite[i]) {
        not_finite.push_back(group.clips[i].path.string());
      }
    }
    place_windows(group, window, clip, table);
    add_windows(scores, table);
    if (progress) {
      progress(clip, static_cast<int64_t>(shard.clips().size()));
    }
  };
  std::vector<int32_t> all(shard.clips().size());
  std::iota(all.begin(), all.end(), 0);
  for_each_group(shard, all, s.model.condition, window, group_windows, encode_group);
  writer.finish(table);
  if (!not_finite.empty()) {
    throw io::DataError(
        fmt::format("{} of {} clips have frames that are not finite, first '{}': their latents in '{}' mean nothing; "
                    "prepare the recordings again",
                    not_finite.size(), shard.clips().size(), not_finite.front(), out.string()));
  }
}

ClipLatents Detector::encode(const io::Clip& clip, std::span<const float> logmel_db,
                             const std::vector<std::string>& parameter_names, const io::Categories& categories) {
  State& s = *state_;
  const ClipGroup group = s.group_of(clip, logmel_db, parameter_names, categories);
  const auto windows = static_cast<int64_t>(group.start.size());
  ClipLatents out{group.start, {}, {}, flow::WindowScores(*s.network, windows)};
  out.zc.reserve(static_cast<size_t>(windows * s.network->zc_size()));
  out.zd.reserve(static_cast<size_t>(windows * s.network->zd_size()));
  s.engine->encode(group.batch(), out.scores, collect(out.zc, out.zd));
  return out;
}

}  // namespace evenflow::train
