// Any bytes as a scores CSV are a table that reads back as it was written, or a DataError.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "io/error.h"
#include "tests/support/fuzzer.h"
#include "train/detect/score_table.h"

namespace evenflow::fuzz {
namespace {

bool same(double a, double b) {
  return a == b || (a != a && b != b);
}

bool same(const train::ClipScore& a, const train::ClipScore& b) {
  return a.clip.path == b.clip.path && a.clip.machine == b.clip.machine && a.clip.label == b.clip.label &&
         a.clip.split == b.clip.split && a.decision == b.decision && a.outside_calibration == b.outside_calibration &&
         same(a.score, b.score) && same(a.p_value, b.p_value) &&
         std::equal(a.scores.begin(), a.scores.end(), b.scores.begin(), b.scores.end(),
                    [](double x, double y) { return same(x, y); });
}

}  // namespace

bool reads(std::string_view input) {
  try {
    const train::ScoreTable table = train::read_scores(as_file(input, "scores.csv"));
    const auto again = folder() / "again.csv";
    train::write_scores(again, table);
    const train::ScoreTable reread = train::read_scores(again);
    if (reread.clips.size() != table.clips.size() || reread.score_names != table.score_names) {
      std::abort();
    }
    for (size_t i = 0; i < table.clips.size(); ++i) {
      if (!same(table.clips[i], reread.clips[i])) {
        std::abort();
      }
    }
  } catch (const io::DataError&) {
    return false;
  }
  return true;
}

}  // namespace evenflow::fuzz
