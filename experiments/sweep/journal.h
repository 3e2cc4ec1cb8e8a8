// What happened in a sweep, event by event: an append-only journal of small files, FOLDER/journal/00000001.jsonl.
//
// Each file appears whole, by rename, and is never changed. A network file system needs nothing more, and a reader no
// lock. One process writes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "experiments/sweep/space.h"
#include "io/choice.h"

namespace evenflow::experiments {

enum class EventKind {
  trial,   ///< a point was taken up: index, hash, values
  start,   ///< a seed's training was handed to the runner: rung, attempt, where
  done,    ///< it reached the rung's epoch: objectives
  ended,   ///< it ended before that and is to go on: why
  failed,  ///< it ended and would end again: why
  retry,   ///< a failed one is to be tried again
};

struct Event {
  EventKind kind = EventKind::trial;
  int64_t trial = 0;  ///< from 0, in the order in which they were taken up
  uint64_t seed = 0;
  int64_t index = 0;  ///< the sampler's
  std::string hash{};
  Values values{};
  int64_t rung = 0, attempt = 0;
  std::string where{};  ///< how the runner finds it again
  std::vector<double> objectives{};
  std::string why{};
  double time = 0;  ///< seconds since 1970
};

class Journal {
 public:
  explicit Journal(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// Every event of the files that were not read yet, in order. A file that a crash of the machine has left empty or
  /// cut short gives the events that are whole. io::DataError: a file that is no journal's.
  std::vector<Event> read();
  /// Notes an event down; flush() writes all of them in one file. io::DataError: it cannot be written, and nothing of
  /// it is there.
  void add(Event event) { unwritten_.push_back(std::move(event)); }
  void flush();

 private:
  std::filesystem::path folder_;
  int64_t last_ = 0;  ///< the number of the newest file that is known
  std::vector<Event> unwritten_;
};

/// A text into a file that appears whole, without waiting for the disk as io::write_text does: for what can be made
/// again. io::DataError names the file and the system's reason.
void write_quickly(const std::filesystem::path& file, const std::string& text);

/// Seconds since 1970.
double now();

}  // namespace evenflow::experiments
