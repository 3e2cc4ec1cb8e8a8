#include "experiments/report/dcase_files.h"

#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <tuple>

#include "io/error.h"
#include "io/manifest.h"
#include "train/statistics/metrics.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;
constexpr double no_figure = std::numeric_limits<double>::quiet_NaN();
constexpr double max_fpr = 0.1;

using ClipPointers = std::vector<const train::ClipScore*>;
using Wanted = std::function<bool(const train::ClipScore&)>;

struct Key {
  std::string machine, section;
  bool operator<(const Key& other) const { return std::tie(machine, section) < std::tie(other.machine, other.section); }
};

/// A name as part of a file's name.
std::string file_word(std::string text) {
  for (char& c : text) {
    if (c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20) {
      c = '_';
    }
  }
  return text;
}

std::map<Key, ClipPointers> by_section(const std::vector<train::ClipScore>& clips) {
  std::map<Key, ClipPointers> groups;
  for (const train::ClipScore& clip : clips) {
    if (clip.clip.split != io::Split::test) {
      continue;
    }
    groups[{clip.clip.machine.empty() ? "machine" : clip.clip.machine,
            clip.clip.section.empty() ? "00" : clip.clip.section}]
        .push_back(&clip);
  }
  return groups;
}

ClipPointers chosen(const ClipPointers& clips, const Wanted& wanted) {
  ClipPointers out;
  for (const train::ClipScore* clip : clips) {
    if (wanted(*clip)) {
      out.push_back(clip);
    }
  }
  return out;
}

double merit(const ClipPointers& clips, const Wanted& wanted, bool partial) {
  std::vector<double> scores;
  std::vector<int> labels;
  for (const train::ClipScore* clip : clips) {
    if (clip->clip.label < 0 || !wanted(*clip)) {
      continue;
    }
    scores.push_back(clip->score);
    labels.push_back(clip->clip.label);
  }
  const std::set<int> classes(labels.begin(), labels.end());
  if (classes.size() < 2) {
    return no_figure;
  }
  return partial ? train::partial_auc(scores, labels, max_fpr) : train::auc(scores, labels);
}

/// F1 of the decisions, as the baselines give it beside the AUC.
double f1(const ClipPointers& clips, const Wanted& wanted) {
  std::vector<int> decisions, labels;
  for (const train::ClipScore* clip : clips) {
    if (clip->clip.label < 0 || clip->decision < 0 || !wanted(*clip)) {
      continue;
    }
    decisions.push_back(clip->decision);
    labels.push_back(clip->clip.label);
  }
  return decisions.empty() ? no_figure : train::decision_quality(decisions, labels).f1;
}

std::string cell(double value) {
  return std::isnan(value) ? std::string() : fmt::format("{}", value);
}

/// Rows of figures under the harmonic mean of each column.
class ResultTable {
 public:
  ResultTable(std::string labels, const std::vector<std::string>& figures)
      : labels_(std::move(labels)), columns_(figures.size()) {
    text_ = labels_;
    for (const std::string& figure : figures) {
      text_ += ',' + figure;
    }
    text_ += '\n';
  }
  void add(const std::string& labels, const std::vector<double>& figures) {
    text_ += labels;
    for (size_t i = 0; i < figures.size(); ++i) {
      text_ += ',';
      text_ += cell(figures[i]);
      if (!std::isnan(figures[i])) {
        columns_[i].push_back(figures[i]);
      }
    }
    text_ += '\n';
  }
  /// With the harmonic means, "harmonic mean" filling the label cells.
  std::string text() const {
    std::string out = text_ + "harmonic mean";
    for (const char c : labels_) {
      if (c == ',') {
        out += ',';
      }
    }
    for (const std::vector<double>& column : columns_) {
      out += ',';
      out += cell(column.empty() ? no_figure : train::harmonic_mean(column));
    }
    return out + "\n";
  }

 private:
  std::string labels_, text_;
  std::vector<std::vector<double>> columns_;
};

class Files {
 public:
  explicit Files(fs::path folder) : folder_(std::move(folder)) {}

  void add(const std::string& name, std::string text) { files_.push_back({folder_ / name, std::move(text)}); }

  /// result.csv is written first: by it a folder is known as evenflow's, whatever interrupts the rest.
  std::vector<DcaseFile> after_result(std::string text) {
    files_.insert(files_.begin(), {folder_ / "result.csv", std::move(text)});
    return std::move(files_);
  }

  void add_clips(const ClipPointers& clips, const std::string& what) {
    std::string scores, decisions;
    bool decided = true;
    for (const train::ClipScore* clip : clips) {
      const std::string name = io::csv_cell(clip->clip.path.filename().string());
      scores += fmt::format("{},{}\n", name, clip->score);
      decisions += fmt::format("{},{}\n", name, clip->decision);
      decided = decided && clip->decision >= 0;
    }
    add("anomaly_score_" + what + "_test.csv", scores);
    if (decided) {
      add("decision_result_" + what + "_test.csv", decisions);
    }
  }

 private:
  fs::path folder_;
  std::vector<DcaseFile> files_;
};

std::string section_name(const Key& key) {
  return file_word(key.machine) + "_section_" + file_word(key.section);
}

/// Two machines must not share a file.
void require_distinct(const std::map<Key, ClipPointers>& groups) {
  std::map<std::string, Key> named;
  for (const auto& [key, clips] : groups) {
    const auto [other, fresh] = named.try_emplace(section_name(key), key);
    if (fresh) {
      continue;
    }
    throw io::DataError(fmt::format(
        "machine '{}', section '{}', and machine '{}', section '{}', would share the file anomaly_score_{}_test.csv; "
        "rename one of them in the scores",
        other->second.machine, other->second.section, key.machine, key.section, other->first));
  }
}

std::vector<DcaseFile> files_2021(const std::map<Key, ClipPointers>& groups, const fs::path& folder) {
  Files out(folder);
  ResultTable table("machine,section,domain", {"auc", "pauc", "f1"});
  for (const auto& [key, clips] : groups) {
    for (const std::string domain : {"source", "target"}) {
      const Wanted wanted = [&](const train::ClipScore& clip) { return clip.clip.domain == domain; };
      const ClipPointers own = chosen(clips, wanted);
      if (own.empty()) {
        continue;
      }
      out.add_clips(own, section_name(key) + "_" + domain);
      table.add(io::csv_cell(key.machine) + "," + io::csv_cell(key.section) + "," + domain,
                {merit(own, wanted, false), merit(own, wanted, true), f1(own, wanted)});
    }
  }
  return out.after_result(table.text());
}

std::vector<DcaseFile> files_2022(const std::map<Key, ClipPointers>& groups, const fs::path& folder) {
  Files out(folder);
  ResultTable table("machine,section", {"auc_source", "auc_target", "pauc", "f1_source", "f1_target"});
  for (const auto& [key, clips] : groups) {
    out.add_clips(clips, section_name(key));
    const auto against_all = [](const std::string& domain) {
      return [=](const train::ClipScore& clip) { return clip.clip.label == 1 || clip.clip.domain == domain; };
    };
    const auto of = [](const std::string& domain) {
      return [=](const train::ClipScore& clip) { return clip.clip.domain == domain; };
    };
    const auto every = [](const train::ClipScore&) { return true; };
    table.add(io::csv_cell(key.machine) + "," + io::csv_cell(key.section),
              {merit(clips, against_all("source"), false), merit(clips, against_all("target"), false),
               merit(clips, every, true), f1(clips, of("source")), f1(clips, of("target"))});
  }
  return out.after_result(table.text());
}

}  // namespace

std::vector<DcaseFile> dcase_files(const std::vector<train::ClipScore>& clips, const fs::path& folder) {
  for (const train::ClipScore& clip : clips) {
    if (clip.clip.split != io::Split::test || std::isfinite(clip.score)) {
      continue;
    }
    throw io::DataError("clip '" + clip.clip.path.string() +
                        "' has no finite score, and DCASE's files take one for every test clip; see what `evenflow "
                        "score` said about it");
  }
  const std::map<Key, ClipPointers> groups = by_section(clips);
  require_distinct(groups);
  std::vector<DcaseFile> files = files_2022(groups, folder / "2022");
  bool domains = false;
  for (const train::ClipScore& clip : clips) {
    domains = domains || !clip.clip.domain.empty();
  }
  if (domains) {
    std::vector<DcaseFile> more = files_2021(groups, folder / "2021");
    files.insert(files.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
  return files;
}

}  // namespace evenflow::experiments
