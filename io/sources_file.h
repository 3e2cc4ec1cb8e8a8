// SOURCES.toml: the machines that `evenflow monitor` listens to, a [[machine]] each.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace evenflow::io {

/// Where a machine's sound comes from, and which model hears it.
struct MonitorSource {
  std::string name;             ///< of the machine, unique
  std::filesystem::path model;  ///< relative to the file that names it
  std::string source;           ///< "-", or a file, FIFO, device or folder, relative to the file that names it
  std::string format;           ///< of raw samples: "s16le"; empty: the stream begins with a WAV header
  int rate_hz = 0;              ///< 0: not said
  int channels = 0;             ///< 0: not said
  bool follow = false;          ///< a file goes on growing
  bool live = false;            ///< it comes by the clock: gaps and wrong rates are faults
  double clip_s = 0;            ///< 0: as long as the model's clips
  std::string exec;             ///< run on its alarms; empty: what the command line says
  bool operator==(const MonitorSource&) const = default;
};

/// UsageError names the file and line: an unknown key with the nearest known one, a value out of range, a machine
/// without name, model or source, two of one name, or two that read standard input.
std::vector<MonitorSource> read_sources_file(const std::filesystem::path& file);

}  // namespace evenflow::io
