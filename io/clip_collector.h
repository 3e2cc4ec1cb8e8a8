// Clips that come one by one with attributes of their own (internal to io).
#pragma once

#include <cstddef>
#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "io/dcase.h"
#include "io/manifest.h"
#include "io/parameter_columns.h"

namespace evenflow::io {

/// Makes a manifest of clips and their attributes, which become its parameters in the order in which they appear: a
/// number, its unit moved into the name, if all values of the attribute are and it is not declared a category.
class ClipCollector {
 public:
  ClipCollector(const std::filesystem::path& root, const DeclaredCategories& declared)
      : declared_(declared.begin(), declared.end()) {
    manifest_.root = root;
  }
  /// A sentence for Manifest::notes.
  void note(std::string sentence) { manifest_.notes.push_back(std::move(sentence)); }
  /// DataError: a text that io/text.h refuses.
  void add(Clip clip, const Attributes& attributes);
  /// The manifest, with notes on attributes of numbers and names, and on words that stand alone. DataError: a clip with
  /// two values of an attribute.
  Manifest finish();

 private:
  /// The parameter that an attribute gives a value, and whether it is one that is a category.
  struct Value {
    std::string name;
    ParameterCell cell;
    bool is_category = false;
  };
  Value value_of(const Attribute& attribute) const;
  size_t column_of(const Value& value);

  Manifest manifest_;
  std::set<std::string> declared_;
  std::vector<Attributes> attributes_;               // of each clip; without words that stand alone
  std::set<std::string> with_names_, with_numbers_;  // attributes with a value that is none, or is, a number
  std::vector<bool> is_category_;                    // of each parameter
  size_t words_ = 0;                                 // clips with words that stand alone
  std::string word_example_;
};

}  // namespace evenflow::io
