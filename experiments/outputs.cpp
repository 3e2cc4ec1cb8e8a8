#include "experiments/outputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>
#include <system_error>
#include <utility>

#include "experiments/console.h"
#include "experiments/export/export.h"
#include "experiments/recordings.h"
#include "experiments/report/page.h"
#include "experiments/report/picture_file.h"
#include "frontend/audio.h"
#include "io/atomic_file.h"
#include "io/audio_names.h"
#include "io/error.h"
#include "io/hdf5_file.h"
#include "io/model_file.h"
#include "io/standard_output.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

struct Format {
  std::string_view name, endings;
};

/// Formats that a file's ending promises. An ending that is not listed promises nothing.
constexpr std::array formats = {
    Format{"HDF5", " .h5 .hdf5 .hdf "},
    Format{"CSV", " .csv .txt "},
    Format{"PNG", " .png "},
    Format{"JSON", " .json "},
    Format{"sound (WAV)", " .wav .wave "},
    Format{"sound that is not WAV", " .flac .ogg .oga .opus .mp3 .w64 .rf64 .aif .aiff .aifc .caf .au "},
    Format{"another kind of picture", " .jpg .jpeg .gif .svg .pdf .bmp .tif .tiff .webp "},
    Format{"another format", " .toml .html .htm .md .yaml .yml .xml .tsv .xlsx .npy .npz .mat .zip .gz .parquet .pt "},
    Format{"ONNX", " .onnx "},
};

struct Kind {
  std::string_view what;    ///< "a feature shard"
  std::string_view format;  ///< of `formats`
  const char* hdf5 = nullptr;
};

Kind kind_of(FileKind kind) {
  switch (kind) {
    case FileKind::shard:
      return {"a feature shard of evenflow's", "HDF5", "evenflow shard"};
    case FileKind::model:
      return {"a model that was calibrated", "HDF5", "evenflow model"};
    case FileKind::latents:
      return {"latents of evenflow's", "HDF5", "evenflow latents"};
    case FileKind::samples:
      return {"samples of evenflow's", "HDF5", "evenflow samples"};
    case FileKind::scores:
      return {"scores of evenflow's", "CSV"};
    case FileKind::picture:
      return {"a picture of evenflow's", "PNG"};
    case FileKind::evaluation:
      return {"an evaluation of evenflow's", ""};
    case FileKind::profile:
      return {"a profile of evenflow's", ""};
    case FileKind::page:
      return {"a report of evenflow's", ""};
    case FileKind::choice:
      return {"a choice of evenflow's", ""};
    case FileKind::trainings:
      return {"a table of evenflow's trainings", "CSV"};
    case FileKind::comparison:
      return {"a comparison of evenflow's", "CSV"};
    case FileKind::graph:
      return {"a graph of evenflow's", "ONNX"};
    case FileKind::sound:
      return {"sound of evenflow's", "sound (WAV)"};
    case FileKind::monitor_state:
      return {"the state of a monitor of evenflow's", "JSON"};
    case FileKind::study_table:
      break;
  }
  return {"a table of a study of evenflow's", ""};
}

bool is_evaluation(const std::string& text) {
  return text.starts_with("group,kind,normal,anomalous,measure,") ||
         text.starts_with("machine,normal,anomalous,auc,pauc,decided,") ||
         (text.starts_with("{") && text.find("\"decided_by\"") != std::string::npos);
}

/// A picture of evenflow 0.1's, which bore no mark: the table beside it vouches for it.
bool is_older_estimate(const fs::path& file) {
  return file.filename().string().starts_with("estimate_") && io::read_beginning(file).starts_with("\x89PNG\r\n") &&
         is_evaluation(io::read_beginning(file.parent_path() / "evaluation.csv"));
}

bool is_profile(const fs::path& file) {
  const std::string text = io::read_beginning(file);
  if (text.starts_with("name,phase,calls_per_step,")) {
    return true;
  }
  const fs::path json = file.parent_path() / "profile.json";
  // What is drawn bears no mark of its own; the figures beside it vouch for it.
  if (file != json && file.stem() == "roofline") {
    return fs::exists(json) && is_profile(json);
  }
  return text.starts_with("{") && text.find("\"evenflow profile\"") != std::string::npos;
}

/// What a training has left may have taken days; what `calibrate` has made of it is made again.
bool is_calibrated(const fs::path& model) {
  try {
    const io::ModelData data = io::read_model(model);
    return data.threshold.method == "conformal" && !data.progress;
  } catch (const io::DataError&) {
    return false;
  }
}

bool is_own(const fs::path& file, FileKind kind) {
  std::error_code error;
  if (fs::file_size(file, error) == 0 && !error) {
    return true;
  }
  if (const char* hdf5 = kind_of(kind).hdf5) {
    return io::hdf5_kind(file) == hdf5 && (kind != FileKind::model || is_calibrated(file));
  }
  switch (kind) {
    case FileKind::scores:
      return is_scores_table(file);
    case FileKind::picture:
      return is_own_picture(file) || is_older_estimate(file);
    case FileKind::evaluation:
      return is_evaluation(io::read_beginning(file));
    case FileKind::page:
      return is_own_page(io::read_beginning(file));
    case FileKind::choice:
      return io::read_beginning(file).starts_with("# Chosen by evenflow choose");
    case FileKind::trainings:
      return io::read_beginning(file).starts_with("exit_code,run,");
    case FileKind::comparison:
      return is_comparison_table(file);
    case FileKind::graph:
      return onnx::is_own_graph(io::read_beginning(file));
    case FileKind::sound:
      return frontend::is_own_wav(io::read_beginning(file));
    case FileKind::monitor_state:
      return io::read_beginning(file).starts_with("{\"evenflow\":\"monitor state\"");
    case FileKind::study_table:
      return is_study_table(file);
    default:
      return is_profile(file);
  }
}

/// The ending that says what a file is.
std::string_view ending_of(const Kind& kind) {
  static constexpr std::array endings = {std::pair<std::string_view, std::string_view>("HDF5", ".h5"),
                                         std::pair<std::string_view, std::string_view>("PNG", ".png"),
                                         std::pair<std::string_view, std::string_view>("ONNX", ".onnx"),
                                         std::pair<std::string_view, std::string_view>("JSON", ".json"),
                                         std::pair<std::string_view, std::string_view>("sound (WAV)", ".wav")};
  for (const auto& [format, ending] : endings) {
    if (kind.format == format) {
      return ending;
    }
  }
  return ".csv";
}

void require_ending(const fs::path& file, const Kind& kind) {
  std::string ending = file.extension().string();
  if (ending.empty()) {
    return;
  }
  for (char& c : ending) {
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  for (const Format& format : formats) {
    if (format.name == kind.format || format.endings.find(" " + ending + " ") == std::string_view::npos) {
      continue;
    }
    throw io::UsageError(fmt::format("'{}' would hold {}, but its ending says {}; give it the ending {}", file.string(),
                                     kind.format, format.name, ending_of(kind)));
  }
}

}  // namespace

bool is_comparison_table(const fs::path& file) {
  return io::read_beginning(file).starts_with("part,name,run,value,low,high\n");
}

bool is_study_table(const fs::path& file) {
  const std::string text = io::read_beginning(file);
  constexpr std::array<std::string_view, 14> headers = {"system,score,group,normal,anomalous,auc,",
                                                        "system,score,against_system,against_score,group,",
                                                        "system,group,clips,correlation,",
                                                        "system,score,group,normal,anomalous,false_alarms,",
                                                        "system,score,source_auc,",
                                                        "system,score,gap,",
                                                        "system,score,paper,group,",
                                                        "system,part,gap,",
                                                        "system,epochs,score,",
                                                        "candidate,trainings,score,",
                                                        "candidate,score,false_alarms,",  // of older programs
                                                        "rail,severity,",
                                                        "system,score,figure,folds,",
                                                        "left_out,system,score,"};
  return std::any_of(headers.begin(), headers.end(), [&](std::string_view header) { return text.starts_with(header); });
}

bool is_scores_table(const fs::path& file) {
  const std::string text = io::read_beginning(file);
  const std::string header = text.substr(0, text.find('\n'));
  return header.starts_with("path,machine,label,") && header.find(",score,") != std::string::npos &&
         header.find(",decision,split,") != std::string::npos;
}

void Outputs::reads(const fs::path& file, const std::string& what) {
  std::error_code error;
  if (const auto identity = io::identify(file)) {
    read_.try_emplace(*identity, fmt::format("{}, '{}'", what, file.string()));
  }
  if (!fs::is_directory(file, error)) {
    return;
  }
  for (const auto& entry :
       fs::recursive_directory_iterator(file, fs::directory_options::skip_permission_denied, error)) {
    if (entry.path().extension() == ".csv") {
      reads(entry.path(), "a table in the folder that is read");
    }
  }
}

void Outputs::reads(const ConfigSource& config) {
  if (config.file) {
    reads(*config.file, "the configuration");
  }
}

void Outputs::reads_listed(const io::Manifest& manifest, const fs::path& named) {
  for (const io::Clip& clip : manifest.clips) {
    const fs::path file = file_of(manifest, clip);
    if (const auto identity = io::identify(file)) {
      read_.try_emplace(*identity, fmt::format("a recording of '{}', '{}'", named.string(), file.string()));
    }
  }
}

void Outputs::reads_recordings(const fs::path& file) {
  std::error_code error;
  reads(file, "an input");
  const bool lists = fs::is_directory(file, error) ||
                     (fs::is_regular_file(file, error) && !io::is_audio(file) && io::hdf5_kind(file).empty());
  if (!lists) {
    return;
  }
  try {
    reads_listed(io::read_recordings(file), file);
  } catch (const io::DataError&) {
    // The command reads it next, and says what is wrong with it in its own words.
  }
}

void Outputs::writes(const fs::path& file, FileKind kind, const std::string& cure) {
  const Kind of = kind_of(kind);
  if (io::is_standard_output(file)) {
    if (of.format == "CSV") {
      return;
    }
    throw io::UsageError(fmt::format("'{}' is standard output, and {} goes to a file; name a file", file.string(),
                                     of.format.empty() ? of.what : of.format));
  }
  writes_own(file);
  if (!of.format.empty()) {
    require_ending(file, of);
  }
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  if (fs::is_regular_file(status) && !force_ && !is_own(file, kind)) {
    throw io::UsageError(
        fmt::format("'{}' is there and is not {}; {}, or add --force to replace it", file.string(), of.what, cure));
  }
  const bool text_to_device = of.format == "CSV" && fs::exists(status) && !fs::is_regular_file(status);
  if (!text_to_device || fs::is_directory(status)) {
    require_writable(file);
  }
}

void Outputs::writes_below(const fs::path& folder, const std::string& name, FileKind kind) {
  const fs::path file = folder / name;
  std::error_code error;
  if (fs::is_directory(file.parent_path(), error)) {
    writes(file, kind, "choose another folder");
  } else {
    writes_own(file);
  }
}

void Outputs::writes_own(const fs::path& file) {
  const auto identity = io::identify(file);
  if (!identity) {
    return;
  }
  if (const auto input = read_.find(*identity); input != read_.end()) {
    throw io::UsageError(fmt::format("'{}' cannot be written: it is {}, which is read; name another output",
                                     file.string(), input->second));
  }
  const auto [other, fresh] = written_.try_emplace(*identity, file.string());
  if (!fresh) {
    throw io::UsageError(
        fmt::format("'{}' and '{}' are one file, and two outputs; name two files", other->second, file.string()));
  }
}

}  // namespace evenflow::experiments
