#include "experiments/report/gnuplot.h"

#include <cmath>
#include <cstring>
#include <system_error>

#include <fmt/format.h>

#include "experiments/process.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/temporary.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

// The same commands for both kinds of file.
std::string whole_script(const Picture& picture, const std::string& name) {
  std::string script = fmt::format("# gnuplot draws {0}.svg and {0}.png from this.\n{1}", name, picture.data);
  const std::string size = fmt::format("{},{}", picture.width_px, picture.height_px);
  for (const auto& [terminal, ending] :
       {std::pair{"svg standalone enhanced font 'DejaVu Sans,13' background '#ffffff'", ".svg"},
        std::pair{"pngcairo enhanced font 'DejaVu Sans,10'", ".png"}}) {
    script += fmt::format("reset\nset terminal {} size {}\nset output '{}{}'\n", terminal, size, name, ending);
    script += "set border 3 lc rgb '#555555'\nset tics nomirror textcolor rgb '#333333'\nset grid lc rgb '#e4e4e4'\n";
    script += picture.script;
    script += "unset output\n";
  }
  return script;
}

}  // namespace

std::string data_block(const std::string& name, const std::vector<std::vector<double>>& rows) {
  std::string text = fmt::format("${} << EOD\n", name);
  for (const std::vector<double>& row : rows) {
    for (const double value : row) {
      text += std::isfinite(value) ? fmt::format("{:.7g} ", value) : "NaN ";
    }
    text += '\n';
  }
  text += "EOD\n";
  return text;
}

std::string gnuplot_text(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    // Markup characters of enhanced text take two backslashes in double quotes.
    if (std::strchr("_^{}@&~", c) != nullptr) {
      out += "\\\\";
    } else if (c == '"' || c == '\\' || c == '`') {
      out += '\\';
    }
    out += c == '\n' ? ' ' : c;
  }
  return out + "\"";
}

void require_gnuplot() {
  if (run_program({"gnuplot", "--version"}).code == 0) {
    return;
  }
  throw io::UsageError(
      "gnuplot, which draws the pictures, cannot be run; install it (the package gnuplot-nox on Debian and Ubuntu)");
}

void require_no_links(const fs::path& folder) {
  std::error_code error;
  const auto require_none = [&](const fs::path& file) {
    if (fs::is_symlink(fs::symlink_status(file, error))) {
      throw io::UsageError(fmt::format(
          "'{}' is a link, and pictures are drawn there; remove it or choose another folder", file.string()));
    }
  };
  require_none(folder);
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    require_none(entry.path());
  }
}

std::string run_gnuplot(const fs::path& script) {
  // Drawn aside and moved: a picture appears whole.
  const fs::path whole = fs::absolute(script);
  const io::TemporaryFolder aside(whole.parent_path());
  const ProgramOutput gnuplot = run_program({"gnuplot", whole.string()}, aside.path());
  if (gnuplot.code == 0) {
    for (const auto& entry : fs::directory_iterator(aside.path())) {
      const std::string name = entry.path().filename().string();
      if (name != io::lock_name) {
        fs::rename(entry.path(), whole.parent_path() / name);
      }
    }
    return "";
  }
  if (gnuplot.code < 0) {
    return "gnuplot is not installed (gnuplot-nox)";
  }
  const std::string words = gnuplot.out + gnuplot.err;
  return fmt::format("gnuplot failed on '{}': {}", script.string(),
                     words.empty() ? fmt::format("exit code {}", gnuplot.code) : words);
}

std::string draw(const Picture& picture, const fs::path& stem) {
  const fs::path folder = fs::absolute(stem).parent_path();
  std::error_code error;
  fs::create_directories(folder, error);
  const std::string name = stem.filename().string();
  const fs::path script = folder / (name + ".gp");
  io::write_text(script, whole_script(picture, name));
  if (const std::string why = run_gnuplot(script); !why.empty()) {
    throw io::DataError(fmt::format("no picture '{}': {}", stem.string(), why));
  }
  return io::read_text(folder / (name + ".svg"));
}

}  // namespace evenflow::experiments
