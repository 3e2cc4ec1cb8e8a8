// Pictures drawn by gnuplot, a program of its own: each as SVG, as PNG, and as the script that drew it, data included.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace evenflow::experiments {

struct Picture {
  int width_px = 960, height_px = 480;
  std::string data;    ///< data blocks, from data_block()
  std::string script;  ///< plot commands; terminal and output are not theirs to set
};

/// "$name << ..." of rows of numbers, by which the script names them. NaN is a missing value. A name of letters,
/// digits and underscores.
std::string data_block(const std::string& name, const std::vector<std::vector<double>>& rows);
/// A text as gnuplot takes it, in quotes, without its markup.
std::string gnuplot_text(const std::string& text);

/// io::UsageError unless gnuplot can be run, naming the package that holds it.
void require_gnuplot();
/// io::UsageError, naming it: the folder is, or has in it, a link, through which a script would be written elsewhere.
void require_no_links(const std::filesystem::path& folder);
/// Runs a script in its folder. Why there is no picture, or nothing.
std::string run_gnuplot(const std::filesystem::path& script);
/// Writes STEM.gp, STEM.svg and STEM.png; gives back the SVG. io::DataError with gnuplot's own words.
std::string draw(const Picture& picture, const std::filesystem::path& stem);

}  // namespace evenflow::experiments
