#include "experiments/report/explanation_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <functional>
#include <vector>

#include "experiments/report/explanation.h"
#include "experiments/report/heat_map.h"
#include "experiments/report/page.h"
#include "frontend/audio.h"
#include "frontend/griffin_lim.h"
#include "io/png.h"
#include "kernels/mel_scale.h"
#include "train/statistics/metrics.h"

namespace evenflow::experiments {
namespace {

using train::Explanation;

// The picture's coordinates: the plot lies between margins for its axes.
constexpr int left = 62, top = 8, plot_width = 930, plot_height = 330, right = 26, bottom = 34;
constexpr int width = left + plot_width + right, height = top + plot_height + bottom;
constexpr double most_seconds = 60.0;  // of embedded sound: 2.6 MB at 16 kHz

constexpr const char* style = R"(<style>
.map svg { width: 100%; height: auto; display: block; font: 13px system-ui, "DejaVu Sans", sans-serif; }
.map image { image-rendering: pixelated; }
.map .over { mix-blend-mode: screen; }
.map text { fill: #444; }
.map .box { fill: none; stroke: #fff; stroke-width: 1.5; stroke-dasharray: 5 3; }
.controls { display: flex; flex-wrap: wrap; gap: .4rem 1.4rem; align-items: center; margin: .5rem 0; }
.controls audio { flex: 1 1 20rem; min-width: 16rem; }
.controls input[type=range] { vertical-align: middle; width: 9rem; }
.verdict { font-size: 1.15rem; padding: .7rem 1rem; border-left: 5px solid #0072b2; background: #f3f6f9; }
.verdict.odd { border-color: #d55e00; background: #fdf3ec; }
</style>
)";

// Layers are chosen and faded, and a line follows the sound; a click on the picture plays from there.
constexpr const char* script = R"(<script>
(() => {
  const map = document.getElementById('main-map'), sound = document.getElementById('sound');
  const layers = [...map.querySelectorAll('.over')], opacity = document.getElementById('opacity');
  const show = () => {
    const chosen = document.querySelector('input[name=layer]:checked').value;
    for (const layer of layers) layer.style.opacity = layer.dataset.layer === chosen ? opacity.value : 0;
  };
  document.querySelectorAll('input[name=layer]').forEach(input => input.addEventListener('change', show));
  opacity.addEventListener('input', show);
  show();
  if (!sound) return;
  const line = map.querySelector('.playhead'), seconds = +map.dataset.seconds, begin = +sound.dataset.begin;
  const left = +map.dataset.left, wide = +map.dataset.wide;
  const follow = () => {
    const x = left + (begin + sound.currentTime) / seconds * wide;
    line.setAttribute('x1', x); line.setAttribute('x2', x);
    line.style.display = 'inline';
    if (!sound.paused) requestAnimationFrame(follow);
  };
  sound.addEventListener('play', follow);
  sound.addEventListener('seeked', follow);
  map.addEventListener('click', event => {
    const box = map.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * map.viewBox.baseVal.width;
    sound.currentTime = Math.max(0, (x - left) / wide * seconds - begin);
    sound.play();
  });
})();
</script>
)";

using Colour = std::function<void(double value, uint8_t rgb[3])>;

std::string text_of_png(const std::vector<uint8_t>& png) {
  return {png.begin(), png.end()};
}

/// A map [frames, bands] as a picture of a pixel per cell, low bands at the bottom.
std::string picture(std::span<const double> map, int64_t bands, const Colour& colour) {
  const auto rows = static_cast<size_t>(bands), columns = map.size() / rows;
  std::vector<uint8_t> rgb(map.size() * 3);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t column = 0; column < columns; ++column) {
      colour(map[column * rows + rows - 1 - row], rgb.data() + 3 * (row * columns + column));
    }
  }
  return data_address("image/png", text_of_png(io::encode_png(static_cast<int>(columns), static_cast<int>(rows), rgb)));
}

/// Light on black, to be added to what lies under it: nothing up to 0, red, then yellow at 1.
void glow(double value, uint8_t rgb[3]) {
  const double x = std::isnan(value) ? 0.0 : std::clamp(value, 0.0, 1.0);
  rgb[0] = static_cast<uint8_t>(std::lround(255 * std::min(1.0, 1.6 * x)));
  rgb[1] = static_cast<uint8_t>(std::lround(210 * std::max(0.0, 1.6 * x - 0.6)));
  rgb[2] = 0;
}

/// The same, and blue for what is below 0.
void two_sided(double value, uint8_t rgb[3]) {
  if (value >= 0) {
    glow(value, rgb);
    return;
  }
  const double x = std::clamp(-value, 0.0, 1.0);
  rgb[0] = 0;
  rgb[1] = static_cast<uint8_t>(std::lround(130 * x));
  rgb[2] = static_cast<uint8_t>(std::lround(255 * x));
}

/// Axes of a spectrogram, and what goes with one.
class Plot {
 public:
  Plot(const io::FrontendSettings& frontend, int64_t frames)
      : frontend_(frontend), seconds_(static_cast<double>(frames) * frontend.hop_samples / frontend.sample_rate_hz) {}

  double seconds() const { return seconds_; }
  double x(double second) const { return left + std::clamp(second / seconds_, 0.0, 1.0) * plot_width; }
  /// Bands are evenly spaced in mels.
  double y(double hz) const {
    const double step = kernels::mels_per_band(frontend_.sample_rate_hz, frontend_.mel_bands);
    const double band = kernels::hz_to_mel(hz) / step - 0.5;
    return top + plot_height * (1.0 - std::clamp(band / frontend_.mel_bands, 0.0, 1.0));
  }

  std::string image(const std::string& address, const std::string& attributes) const {
    return fmt::format(
        "<image {} x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" href=\"{}\"/>\n",
        attributes, left, top, plot_width, plot_height, address);
  }

  std::string axes() const {
    std::string svg;
    for (const double hz : {200.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0, 32000.0}) {
      if (hz < 0.5 * frontend_.sample_rate_hz) {
        svg += fmt::format(
            "<line x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\" stroke=\"#888\"/>"
            "<text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5}</text>\n",
            left - 5, left, y(hz), left - 8, y(hz) + 4.5,
            hz < 1000 ? fmt::format("{:g} Hz", hz) : fmt::format("{:g} kHz", hz / 1000));
      }
    }
    const double step = nice_step(seconds_ / 10);
    for (double t = 0; t <= seconds_; t += step) {
      svg += fmt::format(
          "<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\" stroke=\"#888\"/>"
          "<text x=\"{0:.1f}\" y=\"{3}\" text-anchor=\"middle\">{4:g} s</text>\n",
          x(t), top + plot_height, top + plot_height + 5, top + plot_height + 20, t);
    }
    return svg;
  }

  std::string box(const train::Finding& finding) const {
    const bool banded = finding.high_hz > 0 && !finding.whole_spectrum;
    const double from = x(finding.from_s) - 3, to = x(finding.to_s) + 3;
    const double low = banded ? y(finding.low_hz) + 3 : top + plot_height - 1,
                 high = banded ? y(finding.high_hz) - 3 : top + 1;
    return fmt::format("<rect class=\"box\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>\n", from,
                       high, to - from, low - high);
  }

 private:
  static double nice_step(double least) {
    const double power = std::pow(10.0, std::floor(std::log10(least)));
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor * power >= least) {
        return factor * power;
      }
    }
    return 10.0 * power;
  }

  const io::FrontendSettings& frontend_;
  double seconds_;
};

class ExplanationPage {
 public:
  ExplanationPage(const Explanation& e, const io::ModelData& model, const ExplainedSound& sound)
      : e_(e),
        model_(model),
        sound_(sound),
        plot_(model.config.frontend, e.frames),
        page_(fmt::format("Why {} scores as it does", e.clip.clip.path.filename().string()),
              "What is heard in the recording that is not heard in normal ones, and where its score comes from.") {}

  std::string html() {
    page_.block(style);
    verdict();
    map();
    spectrum();
    score();
    operating_point();
    nearest();
    moved();
    page_.block(script);
    return page_.html();
  }

 private:
  void verdict() {
    const bool odd = e_.score == model_.threshold.score && e_.value > model_.threshold.value;
    page_.block(fmt::format("<p class=\"verdict{}\"><strong>{}.</strong><br>{}</p>\n", odd ? " odd" : "",
                            html_text(e_.sentence()),
                            html_text(fmt::format("{} {:.6g}: {}", e_.score, e_.value, decision_text(e_, model_)))));
    if (e_.findings.size() > 1) {
      std::vector<std::string> items;
      for (size_t i = 1; i < e_.findings.size(); ++i) {
        items.push_back(fmt::format("also {}", train::text_of(e_.findings[i], e_.where)));
      }
      page_.list(items);
    }
    if (const std::string compared = compared_text(e_, model_.condition); !compared.empty()) {
      page_.paragraph(compared + ".");
    }
    if (e_.expected && e_.expected->outside) {
      page_.paragraph(
          "The operating point lies outside of the normal clips', so the clip was compared with the nearest.");
    }
  }

  std::string spectrogram(std::span<const float> logmel_db) const {
    std::vector<double> map(logmel_db.begin(), logmel_db.end());
    // The faintest hundredth is digital silence or one odd point.
    const double high = train::quantile(map, 0.9995), low = std::max(train::quantile(map, 0.01), high - 80.0);
    return picture(map, e_.bands, [=](double value, uint8_t rgb[3]) {
      const double x = std::clamp((value - low) / std::max(high - low, 1.0), 0.0, 1.0);
      rgb[0] = static_cast<uint8_t>(std::lround(20 + 120 * x));
      rgb[1] = static_cast<uint8_t>(std::lround(24 + 135 * x));
      rgb[2] = static_cast<uint8_t>(std::lround(40 + 140 * x));
    });
  }

  /// Decibels above what is normal, 20 at the brightest: of a cell above the loudest that normal clips have, and of a
  /// second about it above their mean level, by more than two spreads; below 0 where it is below.
  std::string above_normal(std::span<const float> logmel_db) const {
    constexpr double most_db = 20.0, spreads = 2.0;
    const train::ExpectedSound& normal = *e_.expected;
    const auto reach = static_cast<int64_t>(0.5 * static_cast<double>(e_.frames) / plot_.seconds());
    std::vector<double> map(logmel_db.size());
    for (int64_t b = 0; b < e_.bands; ++b) {
      const auto band = static_cast<size_t>(b);
      const double allowed = spreads * normal.level_spread_db[band];
      const auto at = [&](int64_t t) { return static_cast<size_t>(t * e_.bands + b); };
      for (int64_t t = 0; t < e_.frames; ++t) {
        const int64_t first = std::max<int64_t>(0, t - reach), last = std::min(e_.frames - 1, t + reach);
        double mean = 0;
        for (int64_t i = first; i <= last; ++i) {
          mean += logmel_db[at(i)] / static_cast<double>(last - first + 1);
        }
        const double above = mean - normal.most_level_db[band], below = mean - normal.least_level_db[band];
        const double lasting = above > allowed ? above : below < -allowed ? below : 0.0;
        const double peak = logmel_db[at(t)] - normal.peak_db[band];
        map[at(t)] = std::max(lasting, peak > 0 ? 2.0 * peak : lasting) / most_db;
      }
    }
    return picture(map, e_.bands, two_sided);
  }

  std::string share_picture() const {
    std::vector<double> map = unusual_shares(e_);
    const double most = std::max(train::quantile(map, 0.9995), 1e-12), least = train::quantile(map, 0.9);
    for (double& value : map) {
      value = (value - std::max(least, 0.0)) / most;
    }
    return picture(map, e_.bands, glow);
  }

  std::string gradient_picture() const {
    std::vector<double> map = e_.gradient_input, size;
    for (const double value : map) {
      size.push_back(std::abs(value));
    }
    const double most = std::max(train::quantile(size, 0.9995), 1e-12);
    for (double& value : map) {
      value /= most;
    }
    return picture(map, e_.bands, two_sided);
  }

  void map() {
    page_.heading("What is heard, and when");
    struct Layer {
      std::string name, label, address;
    };
    std::vector<Layer> layers;
    if (e_.expected) {
      layers.push_back({"db", "louder than normal (blue: quieter)", above_normal(sound_.logmel_db)});
    }
    if (!e_.shares.empty()) {
      layers.push_back({"share", fmt::format("share of {}", e_.divided), share_picture()});
    }
    if (!e_.gradient_input.empty()) {
      layers.push_back({"gradient", "gradient × input", gradient_picture()});
    }
    layers.push_back({"none", "nothing", ""});
    std::string controls = fmt::format("<div class=\"controls\">{}", player());
    for (size_t i = 0; i < layers.size(); ++i) {
      controls += fmt::format("<label><input type=\"radio\" name=\"layer\" value=\"{}\"{}> {}</label>", layers[i].name,
                              i == 0 ? " checked" : "", html_text(layers[i].label));
    }
    controls +=
        "<label>strength <input id=\"opacity\" type=\"range\" min=\"0\" max=\"1\" step=\"0.05\" "
        "value=\"1\"></label></div>\n";
    std::string svg = plot_.image(spectrogram(sound_.logmel_db), "class=\"under\"");
    for (const Layer& layer : layers) {
      if (!layer.address.empty()) {
        svg += plot_.image(layer.address, fmt::format("class=\"over\" data-layer=\"{}\"", layer.name));
      }
    }
    for (const train::Finding& finding : e_.findings) {
      svg += plot_.box(finding);
    }
    svg += plot_.axes();
    svg += fmt::format(
        "<line class=\"playhead\" y1=\"{}\" y2=\"{}\" stroke=\"#fff\" stroke-width=\"2\" style=\"display:none\"/>\n",
        top, top + plot_height);
    page_.block(controls +
                figure("id=\"main-map\"", svg,
                       "The recording's spectrogram; over it, in red and yellow, what was chosen above. Dashed: "
                       "what the words speak of. A click plays from there."));
  }

  /// An svg of the plot's size in a figure.
  std::string figure(const std::string& attributes, const std::string& svg, const std::string& caption) const {
    return fmt::format(
        "<figure class=\"map\"><svg {} role=\"img\" aria-label=\"spectrogram\" viewBox=\"0 0 {} {}\" "
        "data-seconds=\"{:.6g}\" "
        "data-left=\"{}\" data-wide=\"{}\">\n{}</svg>\n<figcaption>{}</figcaption></figure>\n",
        attributes, width, height, plot_.seconds(), left, plot_width, svg, html_text(caption));
  }

  std::string player() const {
    const io::FrontendSettings& frontend = model_.config.frontend;
    if (sound_.samples.empty()) {
      return "";
    }
    const auto rate = static_cast<double>(frontend.sample_rate_hz);
    const auto most = static_cast<size_t>(most_seconds * rate);
    size_t begin = 0;
    if (sound_.samples.size() > most && !e_.findings.empty()) {
      const double before = e_.findings.front().from_s - most_seconds / 4;
      begin = std::min(static_cast<size_t>(std::max(0.0, before) * rate), sound_.samples.size() - most);
    }
    const auto heard = sound_.samples.subspan(begin, std::min(most, sound_.samples.size() - begin));
    return audio("id=\"sound\"", heard, static_cast<double>(begin) / rate);
  }

  std::string audio(const std::string& attributes, std::span<const float> samples, double begin_s) const {
    const int rate = model_.config.frontend.sample_rate_hz;
    return fmt::format("<audio {} controls preload=\"auto\" data-begin=\"{:.6g}\" src=\"{}\"></audio>", attributes,
                       begin_s, data_address("audio/wav", frontend::wav_bytes(samples, rate)));
  }

  /// The clip's mean spectrum against what is expected.
  void spectrum() {
    if (!e_.expected) {
      return;
    }
    page_.heading("Its spectrum against normal ones");
    const auto bands = static_cast<size_t>(e_.bands);
    std::vector<double> level(bands, 0.0);
    for (size_t i = 0; i < sound_.logmel_db.size(); ++i) {
      level[i % bands] += sound_.logmel_db[i] / static_cast<double>(e_.frames);
    }
    const train::ExpectedSound& normal = *e_.expected;
    double low = 1e9, high = -1e9;
    for (size_t b = 0; b < bands; ++b) {
      low = std::min({low, level[b], normal.least_level_db[b] - 2 * normal.level_spread_db[b]});
      high = std::max({high, level[b], normal.most_level_db[b] + 2 * normal.level_spread_db[b]});
    }
    const auto x = [&](size_t b) {
      return left + (static_cast<double>(b) + 0.5) / static_cast<double>(bands) * plot_width;
    };
    const auto y = [&](double db) { return top + plot_height * (high - db) / std::max(high - low, 1.0); };
    std::string band, middle, own;
    for (size_t b = 0; b < bands; ++b) {
      band += fmt::format("{:.1f},{:.1f} ", x(b), y(normal.most_level_db[b] + 2 * normal.level_spread_db[b]));
      middle += fmt::format("{:.1f},{:.1f} ", x(b), y(normal.level_db[b]));
      own += fmt::format("{:.1f},{:.1f} ", x(b), y(level[b]));
    }
    for (size_t b = bands; b-- > 0;) {
      band += fmt::format("{:.1f},{:.1f} ", x(b), y(normal.least_level_db[b] - 2 * normal.level_spread_db[b]));
    }
    std::string svg = fmt::format(
        "<polygon points=\"{}\" fill=\"#0072b2\" fill-opacity=\".2\"/><polyline points=\"{}\" fill=\"none\" "
        "stroke=\"#0072b2\" stroke-width=\"1.5\"/><polyline points=\"{}\" fill=\"none\" stroke=\"#d55e00\" "
        "stroke-width=\"2\"/>\n",
        band, middle, own);
    for (const double hz : {200.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0}) {
      const double step = kernels::mels_per_band(model_.config.frontend.sample_rate_hz, e_.bands);
      const double at = left + (kernels::hz_to_mel(hz) / step - 0.5) / static_cast<double>(bands) * plot_width;
      if (at < left + plot_width) {
        svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", at, top + plot_height + 20,
                           hz < 1000 ? fmt::format("{:g} Hz", hz) : fmt::format("{:g} kHz", hz / 1000));
      }
    }
    for (double db = 10 * std::ceil(low / 10); db <= high; db += 10) {
      svg += fmt::format(
          "<line x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\" stroke=\"#ddd\"/>"
          "<text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5:g} dB</text>\n",
          left, left + plot_width, y(db), left - 8, y(db) + 4.5, db);
    }
    page_.block(
        figure("", svg,
               fmt::format("Orange: mean over this recording, band by band. Blue: what is normal{}, and twice the "
                           "standard deviation between normal clips.",
                           e_.where)));
  }

  void score() {
    page_.heading("Where the score comes from");
    std::string note = shares_note(e_);
    note.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(note.front())));
    page_.paragraph(note + ".");
    if (e_.divided.empty()) {
      return;
    }
    PageTable table;
    table.head = {"part", "nats", "mean square"};
    for (const flow::Attribution::Part& part : e_.parts) {
      table.rows.push_back({part_text(part), fmt::format("{:.1f}", part.share),
                            std::isnan(part.mean_square) ? "–" : fmt::format("{:.2f}", part.mean_square)});
    }
    table.rows.push_back({fmt::format("**{}**", e_.divided), fmt::format("**{:.1f}**", e_.divided_value), ""});
    table.caption =
        "Mean over the windows that count. Mean square: of the part's values, 1 where they are as the model expects; "
        "above it "
        "the sound is unusual on that scale.";
    if (!std::isnan(e_.normal_mean)) {
      table.caption += fmt::format(" Of normal training clips `{}` is {:.1f} ± {:.1f}.", e_.divided, e_.normal_mean,
                                   e_.normal_deviation);
    }
    page_.table(table);
  }

  void operating_point() {
    if (e_.estimates.empty()) {
      return;
    }
    page_.heading("The operating point");
    std::vector<std::string> items;
    for (const Explanation::Estimate& estimate : e_.estimates) {
      items.push_back(estimate_text(estimate));
    }
    page_.list(items);
  }

  void nearest() {
    if (e_.nearest.empty()) {
      return;
    }
    page_.heading("The nearest normal clips");
    std::vector<std::string> items;
    for (const Explanation::Neighbour& neighbour : e_.nearest) {
      items.push_back(neighbour_text(neighbour, model_.condition));
    }
    page_.list(items);
    page_.paragraph("Nearest by what the model makes of them; 1 is a standard deviation between normal clips.");
  }

  void moved() {
    if (!e_.not_moved.empty()) {
      page_.paragraph(e_.not_moved + ".");
    }
    if (e_.moved_db.empty()) {
      return;
    }
    const bool asked = std::any_of(e_.estimates.begin(), e_.estimates.end(),
                                   [](const Explanation::Estimate& estimate) { return !std::isnan(estimate.asked); });
    page_.heading(asked ? "The same sound at the operating point it should have had"
                        : "The same sound, wholly as of the likeliest name");
    const io::FrontendSettings& frontend = model_.config.frontend;
    const auto most = static_cast<size_t>(most_seconds * frontend.sample_rate_hz / frontend.hop_samples);
    const size_t frames = std::min(static_cast<size_t>(e_.frames), most), bands = static_cast<size_t>(e_.bands);
    const std::vector<float> made = frontend::within_full_scale(
        frontend::sound_of(std::span(e_.moved_db).first(frames * bands), frontend, {.iterations = 32}));
    std::vector<double> difference(e_.moved_db.size());
    constexpr double most_db = 20.0;
    for (size_t i = 0; i < difference.size(); ++i) {
      difference[i] = (sound_.logmel_db[i] - e_.moved_db[i]) / most_db;
    }
    page_.block(
        fmt::format("<div class=\"controls\">{}</div>\n", audio("", made, 0.0)) +
        figure(
            "",
            plot_.image(spectrogram(e_.moved_db), "") +
                plot_.image(picture(difference, e_.bands, two_sided), "class=\"over\"") + plot_.axes(),
            fmt::format("The recording moved by the model to what it would sound like{}. Red: where the recording is "
                        "louder than that, blue: quieter, by 20 dB or more at the brightest. The sound is made "
                        "from the spectrogram; its phases are made up.",
                        e_.where)));
  }

  const Explanation& e_;
  const io::ModelData& model_;
  const ExplainedSound& sound_;
  Plot plot_;
  Page page_;
};

}  // namespace

std::string explanation_page(const Explanation& explanation, const io::ModelData& model, const ExplainedSound& sound) {
  return ExplanationPage(explanation, model, sound).html();
}

}  // namespace evenflow::experiments
