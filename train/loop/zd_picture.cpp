#include "train/loop/zd_picture.h"

#include "train/detect/score_clips.h"
#include "train/loop/scatter_picture.h"

namespace evenflow::train {
namespace {

ScatterSeries series_of(const std::string& title, std::array<uint8_t, 3> rgb, const std::vector<ClipScore>& clips,
                        const io::ConditionData& condition, size_t index, const io::Shard& shard) {
  ScatterSeries series{.name = title, .rgb = rgb};
  for (const ClipScore& clip : clips) {
    series.x.push_back(values_of(clip.clip, {shard.parameter_names(), shard.categories()}, condition).v[index]);
    series.y.push_back(clip.estimate[index]);
  }
  return series;
}

}  // namespace

ClipSelection thinned(const ClipSelection& clips) {
  constexpr size_t most = 400;
  const size_t stride = clips.clips.size() / most + 1;
  ClipSelection kept{clips.shards, {}};
  for (size_t i = 0; i < clips.clips.size(); i += stride) {
    kept.clips.push_back(clips.clips[i]);
  }
  return kept;
}

std::vector<uint8_t> draw_estimates(const io::ConditionData& condition, size_t index, const io::Shard& shard,
                                    const std::vector<ClipScore>& train, const std::vector<ClipScore>& validation) {
  const std::string& name = condition.names[index];
  ScatterPlot plot;
  plot.title = "estimate from zd against " + name;
  plot.x_label = name;
  plot.y_label = "estimate of " + name;
  plot.series.push_back(series_of("training", {31, 95, 191}, train, condition, index, shard));
  if (!validation.empty()) {
    plot.series.push_back(series_of("validation", {214, 96, 28}, validation, condition, index, shard));
  }
  return draw_scatter(plot);
}

}  // namespace evenflow::train
