#include "io/run_folder.h"

#include <string>
#include <system_error>

#include "io/atomic_file.h"
#include "io/error.h"

namespace evenflow::io {
namespace {
namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& folder, const std::string& why) {
  throw DataError("run folder '" + folder.string() + "' " + why);
}
}  // namespace

RunFolder RunFolder::create(const fs::path& folder, Existing existing) {
  std::error_code error;
  RunFolder run(folder);
  const fs::file_status status = fs::status(folder, error);
  if (fs::exists(status) && !fs::is_directory(status))
    fail(folder, "cannot be made: a file of that name is in the way; choose another name");
  if (fs::is_directory(status)) {
    const bool empty = fs::is_empty(folder, error);
    if (error) fail(folder, "cannot be read (" + error.message() + "); choose another folder");
    const bool is_run = fs::exists(run.config(), error);
    if (!empty && !is_run) fail(folder, "is not empty and holds no run (no config.toml); choose another name");
    if (is_run && existing == Existing::refuse) fail(folder, "already holds a run; resume it or choose another name");
    // config.toml goes last: interrupted half-way, the folder is still a run and can be replaced again.
    for (const fs::path& file :
         {run.model(), run.last(), run.checkpoint(), run.metrics(), run.log(), run.tensorboard(), run.config()}) {
      fs::remove_all(file, error);
      if (error) fail(folder, "cannot be replaced: '" + file.string() + "': " + error.message());
    }
  }
  fs::create_directories(folder, error);
  if (error) fail(folder, "cannot be made: " + error.message() + "; choose a folder you can write to");
  try {
    const fs::path probe = folder / ".writable";
    write_text(probe, "");
    fs::remove(probe, error);
  } catch (const DataError& refused) {
    fail(folder, std::string("cannot be written (") + refused.what() + "); choose another folder or free its disk");
  }
  return run;
}

RunFolder RunFolder::open(const fs::path& folder) {
  std::error_code error;
  RunFolder run(folder);
  if (!fs::is_directory(folder, error)) fail(folder, "does not exist; train first or check the name");
  if (!fs::exists(run.config(), error)) fail(folder, "holds no run (no config.toml); check the name");
  return run;
}

}  // namespace evenflow::io
