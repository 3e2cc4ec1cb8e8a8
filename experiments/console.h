// What a person sees while a command works: progress on a terminal or as plain lines, tables, durations.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace evenflow::experiments {

/// True if standard output is a terminal.
bool on_terminal();

/// "0.8 s", "2 min 05 s", "3 h 07 min".
std::string duration_text(double seconds);
/// "1 clip", "12 clips".
std::string count_text(int64_t count, std::string_view noun);
/// A text as a shell takes it: in quotes only where it must be.
std::string shell_word(const std::string& text);
/// An error's text as one line: what stood on lines of its own follows behind a semicolon. Of a word of more than 400
/// bytes the middle is left out.
std::string one_line(std::string_view text);

/// A sentence on what was guessed or left out, on a line of its own.
void print_note(std::string_view sentence);

/// A line that is rewritten in place on a terminal, at most ten times a second. Elsewhere a plain line at most once in
/// `plain_interval` seconds.
class StatusLine {
 public:
  explicit StatusLine(double plain_interval = 10.0);
  ~StatusLine();
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;
  /// True if a line given now would be shown; saves building it.
  bool due() const;
  void show(const std::string& text);
  /// "[===>  ] 3 of 10 clips", if it is due.
  void show_clips(int64_t done, int64_t total);
  /// show_clips, for as long as this line lives.
  std::function<void(int64_t done, int64_t total)> clip_progress();
  /// "[===>  ] what", if it is due.
  void show_part(const std::string& what, double fraction);
  /// Prints a line that stays.
  void print(const std::string& text);
  /// Removes what stands on the terminal.
  void clear();

 private:
  bool terminal_;
  std::chrono::steady_clock::duration interval_;
  std::chrono::steady_clock::time_point next_;
  bool shown_ = false;
};

/// "[=====>    ]" of `width` characters between the brackets.
std::string bar_text(double fraction, int width);

/// Rows of cells in columns: the first to the left, the others to the right. Cells are shown as io::escaped has them.
class TextTable {
 public:
  void add(std::vector<std::string> cells);
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// Makes sure, before hours of work, that `file` can be made. Throws what io::AtomicFile throws.
void require_writable(const std::filesystem::path& file);

}  // namespace evenflow::experiments
