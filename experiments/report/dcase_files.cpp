#include "experiments/report/dcase_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>

#include "experiments/report/dcase_score.h"
#include "io/error.h"
#include "io/manifest.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

using ClipPointers = std::vector<const train::ClipScore*>;

/// A name as part of a file's name.
std::string file_word(std::string text) {
  for (char& c : text) {
    if (c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20) {
      c = '_';
    }
  }
  return text;
}

std::string cell(double value) {
  return std::isnan(value) ? std::string() : fmt::format("{}", value);
}

/// result.csv: the figures, the harmonic mean of each, and the official score in the first of their columns.
std::string result_text(const DcaseTable& table) {
  const bool by_domain = table.rule == DcaseRule::of_2021;
  const std::string label_cells = by_domain ? ",," : ",";
  std::string text = by_domain ? "machine,section,domain" : "machine,section";
  std::string means = fmt::format("harmonic mean{}", label_cells);
  std::string official = fmt::format("official score{}", label_cells);
  for (size_t i = 0; i < table.names.size(); ++i) {
    text += ',' + table.names[i];
    means += ',' + cell(table.pooled(i));
    official += ',' + (i == 0 ? cell(table.official_score()) : std::string());
  }
  text += '\n';
  for (const DcaseRow& row : table.rows) {
    text += io::csv_cell(row.machine) + ',' + io::csv_cell(row.section) + (by_domain ? ',' + row.domain : "");
    for (const double figure : row.figures) {
      text += ',' + cell(figure);
    }
    text += '\n';
  }
  return text + means + '\n' + official + '\n';
}

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

std::string section_name(const DcaseSection& section) {
  return file_word(section.first) + "_section_" + file_word(section.second);
}

/// Two machines must not share a file.
void require_distinct(const std::map<DcaseSection, ClipPointers>& sections) {
  std::map<std::string, DcaseSection> named;
  for (const auto& [section, clips] : sections) {
    const auto [other, fresh] = named.try_emplace(section_name(section), section);
    if (fresh) {
      continue;
    }
    throw io::DataError(fmt::format(
        "machine '{}', section '{}', and machine '{}', section '{}', would share the file anomaly_score_{}_test.csv; "
        "rename one of them in the scores",
        other->second.first, other->second.second, section.first, section.second, other->first));
  }
}

std::vector<DcaseFile> files_2021(const std::vector<train::ClipScore>& clips, const fs::path& folder) {
  Files out(folder);
  for (const auto& [section, all] : dcase_sections(clips)) {
    for (const std::string domain : {"source", "target"}) {
      ClipPointers own;
      std::copy_if(all.begin(), all.end(), std::back_inserter(own),
                   [&](const train::ClipScore* clip) { return clip->clip.domain == domain; });
      if (!own.empty()) {
        out.add_clips(own, section_name(section) + "_" + domain);
      }
    }
  }
  return out.after_result(result_text(dcase_table(clips, DcaseRule::of_2021)));
}

std::vector<DcaseFile> files_2022(const std::vector<train::ClipScore>& clips, const fs::path& folder) {
  Files out(folder);
  for (const auto& [section, own] : dcase_sections(clips)) {
    out.add_clips(own, section_name(section));
  }
  return out.after_result(result_text(dcase_table(clips, DcaseRule::of_2022)));
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
  require_distinct(dcase_sections(clips));
  std::vector<DcaseFile> files = files_2022(clips, folder / "2022");
  if (dcase_rules(clips).size() > 1) {
    std::vector<DcaseFile> more = files_2021(clips, folder / "2021");
    files.insert(files.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
  return files;
}

}  // namespace evenflow::experiments
