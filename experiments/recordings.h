// What is known of clips, in words, and which of them are there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "io/manifest.h"

namespace evenflow::experiments {

/// io::read_recordings for a command that ends in a table: io::DataError also if a parameter is called like one of its
/// columns.
io::Manifest read_clips(const std::filesystem::path& input, const io::DeclaredCategories& declared = {});

/// io::DataError naming (up to three of) the recordings that do not exist, all at once.
void require_recordings(const io::Manifest& manifest, const std::filesystem::path& named);

/// What is known of both is the same: split, label, machine, domain, section and parameters.
bool agree(const io::Clip& a, const io::Clip& b);

/// Of clips that are one file (a link, another spelling) the first stays, and a note of the manifest says so.
/// io::DataError names two that differ in split or label, or in what else is known of them.
void drop_repeated(io::Manifest& manifest, const std::filesystem::path& named);

/// io::UsageError if two of the files are the same one, by whatever path.
void require_distinct(std::span<const std::filesystem::path> files);

/// A clip's file, absolute or below the manifest's folder.
std::filesystem::path file_of(const io::Manifest& manifest, const io::Clip& clip);

/// Distinct known values, ascending.
std::vector<double> distinct_values(std::span<const io::Clip> clips, size_t parameter);

/// "50, 100, 150" or, of many, "50, 100, ..., 750 (15 values)".
std::string values_text(const std::vector<double>& values);
/// The same of codes: "A, B, C", and of many " and 3 more".
std::string values_text(const std::vector<double>& codes, const std::vector<std::string>& names);

/// "fan, pump" and, of many, " and 3 more".
std::string listed(const std::set<std::string>& names);

/// A sentence on clips of machines that a model was not trained on, from how many there are of each; empty if there are
/// none, or nothing is known of either.
std::string other_machines(const std::map<std::string, int64_t>& clips, const std::vector<std::string>& trained);

/// How many clips there are of each machine; those that do not say, under the empty name.
std::map<std::string, int64_t> count_machines(std::span<const io::Clip> clips);

/// What stands between a model and sound of machines that it was not trained on: io::UsageError naming both and
/// --other-machines or, if that is `allowed`, a note. Nothing where clips or model do not say. `trained`:
/// io::Provenance::machines. Every command that takes a model and other recordings calls it before any work.
void require_own_machines(const std::map<std::string, int64_t>& clips, const std::vector<std::string>& trained,
                          bool allowed);

/// Lines on splits, labels, machines, domains and parameters, each indented by two blanks and ended. `categories`: what
/// the codes of parameters stand for.
std::string describe_clips(std::span<const io::Clip> clips, const std::vector<std::string>& parameter_names,
                           const io::Categories& categories);

}  // namespace evenflow::experiments
