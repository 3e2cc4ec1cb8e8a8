// Standard output as the place of a command's result.
#pragma once

#include <filesystem>
#include <string_view>

namespace evenflow::io {

/// True for "-" and the system's names of standard output.
bool is_standard_output(const std::filesystem::path& file);

/// From now on standard output belongs to the result: what the program says otherwise goes to standard error.
void keep_standard_output_for_result();

/// DataError names the system's reason.
void write_to_standard_output(std::string_view text);

}  // namespace evenflow::io
