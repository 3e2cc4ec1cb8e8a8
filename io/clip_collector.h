// Clips that come one by one with attributes of their own (internal to io).
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "io/dcase.h"
#include "io/manifest.h"

namespace evenflow::io {

/// Makes a manifest of clips and their attributes, whose names become its parameters in the order in which they appear.
class ClipCollector {
 public:
  explicit ClipCollector(const std::filesystem::path& root) { manifest_.root = root; }
  /// A sentence for Manifest::notes.
  void note(std::string sentence) { manifest_.notes.push_back(std::move(sentence)); }
  /// DataError: a path or name that io/text.h refuses, or two values of one attribute.
  void add(Clip clip, const Attributes& attributes);
  /// The manifest, with a note on attributes that are no numbers.
  Manifest finish();

 private:
  struct Seen {
    size_t count = 0;
    std::string example;
  };
  std::string words_text() const;

  Manifest manifest_;
  std::vector<std::map<std::string, double>> values_;  // by attribute, of each clip
  std::map<std::string, size_t> column_;
  std::map<std::string, Seen> words_;  // attributes that are no numbers
};

}  // namespace evenflow::io
