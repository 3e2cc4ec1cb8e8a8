#include "experiments/console.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <system_error>

#include "experiments/interrupt.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/text.h"

namespace evenflow::experiments {
namespace {

/// Characters in a line of the terminal; a status line that wraps could not be rewritten in place.
size_t terminal_columns() {
  winsize size = {};
  return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

bool begins_character(char c) {
  return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
}

/// Of a word that no path people use is as long as, its beginning and its end.
std::string with_short_words(const std::string& text) {
  constexpr size_t longest = 400, kept = 150;
  std::string out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    if (end - begin <= longest) {
      out += text.substr(begin, end - begin);
    } else {
      size_t head = begin + kept, tail = end - kept;
      while (head > begin && !begins_character(text[head])) {
        --head;
      }
      while (tail < end && !begins_character(text[tail])) {
        ++tail;
      }
      out += text.substr(begin, head - begin) + "..." + text.substr(tail, end - tail);
    }
    if (end < text.size()) {
      out += ' ';
    }
    begin = end + 1;
  }
  return out;
}

}  // namespace

bool on_terminal() {
  return ::isatty(STDOUT_FILENO) == 1;
}

std::string duration_text(double seconds) {
  if (!(seconds >= 0.0) || !std::isfinite(seconds)) {
    return "?";
  }
  if (seconds < 9.95) {
    return fmt::format("{:.1f} s", seconds);
  }
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 60) {
    return fmt::format("{} s", whole);
  }
  if (whole < 3600) {
    return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  }
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::string count_text(int64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string shell_word(const std::string& text) {
  constexpr std::string_view plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./=:,+@%";
  if (!text.empty() && text.find_first_not_of(plain) == std::string::npos) {
    return text;
  }
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + '\'';
}

std::string one_line(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\n' && text[i] != '\r') {
      out += text[i];
      continue;
    }
    while (i + 1 < text.size() && (text[i + 1] == ' ' || text[i + 1] == '\n' || text[i + 1] == '\r')) {
      ++i;
    }
    if (i + 1 == text.size()) {
      break;
    }
    const char last = out.empty() ? ' ' : out.back();
    out += last == ':' || last == '.' || last == ';' ? " " : "; ";
  }
  return with_short_words(out);
}

void print_note(std::string_view sentence) {
  fmt::print("note: {}\n", io::escaped(sentence));
}

StatusLine::StatusLine(double plain_interval)
    : terminal_(on_terminal()),
      interval_(std::chrono::milliseconds(terminal_ ? 100 : static_cast<int64_t>(plain_interval * 1000.0))),
      next_(std::chrono::steady_clock::now() + interval_) {}

StatusLine::~StatusLine() {
  clear();
}

bool StatusLine::due() const {
  return std::chrono::steady_clock::now() >= next_;
}

void StatusLine::show(const std::string& text) {
  if (!due()) {
    return;
  }
  if (terminal_) {
    fmt::print("\r{}\033[K", io::escaped(text).substr(0, terminal_columns() - 1));
    shown_ = true;
  } else {
    fmt::print("{}\n", io::escaped(text));
  }
  std::fflush(stdout);
  next_ = std::chrono::steady_clock::now() + interval_;
}

void StatusLine::show_clips(int64_t done, int64_t total) {
  if (!due()) {
    return;
  }
  const double fraction = static_cast<double>(done) / static_cast<double>(total);
  show(fmt::format("{} {} of {} clips", bar_text(fraction, 30), done, total));
}

std::function<void(int64_t done, int64_t total)> StatusLine::clip_progress() {
  return [this](int64_t done, int64_t total) { show_clips(done, total); };
}

void StatusLine::show_part(const std::string& what, double fraction) {
  if (due()) {
    show(fmt::format("{} {}", bar_text(fraction, 30), what));
  }
}

void StatusLine::print(const std::string& text) {
  clear();
  fmt::print("{}\n", io::escaped(text));
  std::fflush(stdout);
}

void StatusLine::clear() {
  if (!shown_) {
    return;
  }
  fmt::print("\r\033[K");
  std::fflush(stdout);
  shown_ = false;
}

std::string bar_text(double fraction, int width) {
  const int full = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * width);
  std::string bar(static_cast<size_t>(full), '=');
  if (full < width) {
    bar += '>';
  }
  bar.resize(static_cast<size_t>(width), ' ');
  return "[" + bar + "]";
}

void TextTable::add(std::vector<std::string> cells) {
  for (std::string& cell : cells) {
    cell = io::escaped(cell);
  }
  rows_.push_back(std::move(cells));
}

std::string TextTable::text() const {
  std::vector<size_t> width;
  for (const auto& row : rows_) {
    width.resize(std::max(width.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      width[i] = std::max(width[i], row[i].size());
    }
  }
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += i == 0 ? fmt::format("{:<{}}", row[i], width[i]) : fmt::format("  {:>{}}", row[i], width[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

void require_writable(const std::filesystem::path& file) {
  const HeldSignals held;
  const io::AtomicFile probe(file);
}

}  // namespace evenflow::experiments
