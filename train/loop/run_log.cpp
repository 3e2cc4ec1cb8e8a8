#include "train/loop/run_log.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <numbers>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/manifest.h"
#include "io/utc_time.h"

namespace evenflow::train {
namespace {

constexpr const char* header =
    "epoch,step,learning_rate,train_loss,train_bits_per_dim,validation_loss,gradient_norm_mean,gradient_norm_max,"
    "windows_per_s,seconds,guard_events\n";
constexpr size_t validation_column = 5;

// A line reaches the system in one write, so that a killed process leaves whole lines.
void append_line(std::ofstream& out, const std::filesystem::path& file, const std::string& line) {
  out.write(line.data(), static_cast<std::streamsize>(line.size()));
  out.flush();
  if (!out) {
    throw io::DataError("cannot write '" + file.string() + "'; is the disk full?");
  }
}

std::string number(double value) {
  return std::isnan(value) ? std::string() : fmt::format("{}", value);
}

double parse_number(const std::string& cell) {
  double value = std::numeric_limits<double>::quiet_NaN();
  std::from_chars(cell.data(), cell.data() + cell.size(), value);
  return value;
}

}  // namespace

RunLog::RunLog(const std::filesystem::path& file, std::function<void(const std::string&)> also)
    : file_(file), out_(file, std::ios::app | std::ios::binary), also_(std::move(also)) {}

void RunLog::line(const std::string& text) {
  if (file_.empty()) {
    return;
  }
  append_line(out_, file_, io::utc_now() + " " + text + "\n");
  if (also_) {
    also_(text);
  }
}

double EpochMetrics::bits_per_dimension() const {
  return train_loss / std::numbers::ln2;
}

MetricsFile::MetricsFile(std::filesystem::path file, int64_t epochs)
    : file_(std::move(file)), last_validation_loss_(std::numeric_limits<double>::quiet_NaN()) {
  std::string text = header;
  if (epochs > 0 && std::filesystem::exists(file_)) {
    for (std::vector<std::string>& cells : io::read_csv(file_)) {
      const double epoch = parse_number(cells[0]);
      if (!(epoch <= static_cast<double>(epochs)) || cells.size() <= validation_column) {
        continue;
      }
      last_validation_loss_ = parse_number(cells[validation_column]);
      for (std::string& cell : cells) {
        cell = io::csv_cell(cell);
      }
      text += fmt::format("{}\n", fmt::join(cells, ","));
    }
  }
  io::write_text(file_, text);
}

void MetricsFile::append(const EpochMetrics& row) {
  std::ofstream out(file_, std::ios::app | std::ios::binary);
  append_line(out, file_,
              fmt::format("{},{},{},{},{},{},{},{},{:.1f},{:.3f},{}\n", row.epoch, row.step, row.learning_rate,
                          number(row.train_loss), number(row.bits_per_dimension()), number(row.validation_loss),
                          number(row.gradient_norm_mean), number(row.gradient_norm_max), row.windows_per_s, row.seconds,
                          row.guard_events));
  last_validation_loss_ = row.validation_loss;
}

}  // namespace evenflow::train
