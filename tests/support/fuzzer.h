// What every fuzzer is made of: tests/<room>/fuzz_<reader>.cpp defines reads(), libFuzzer calls it with its inputs.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace evenflow::fuzz {

/// Gives `input` to the reader. True if it is accepted, false if it is refused by the error that the reader documents;
/// any other exception, and std::abort() where what was read contradicts itself, is a find. The count of accepted
/// inputs is printed at the end of the run: `./dev fuzz` asks it of the seeds that must be.
bool reads(std::string_view input);

/// A folder of this process's own, removed at its end. A real one: a reader looks at what kind of file it is given.
const std::filesystem::path& folder();

/// The file `name` in folder(), which holds `input` until the next call.
std::filesystem::path as_file(std::string_view input, const std::string& name);

}  // namespace evenflow::fuzz
