#include "io/clip_table.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

#include "io/text.h"

namespace evenflow::io {
namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

void require_count(const Hdf5File& file, const std::string& where, size_t got, size_t expected) {
  if (got != expected) {
    file.fail(where + " has " + std::to_string(got) + " entries, expected " + std::to_string(expected) +
              "; make the file again");
  }
}

[[noreturn]] void fail_value(const Hdf5File& file, const std::string& where, size_t clip, const std::string& value,
                             const std::string& expected) {
  file.fail(where + " of clip " + std::to_string(clip) + " is " + value + ", expected " + expected +
            "; make the file again");
}

/// Names that a clip has, sorted.
std::vector<std::string> used_names(const ClipTable& table, size_t p) {
  const std::vector<std::string>& names = categories_of(table.categories, p);
  std::set<std::string> used;
  for (const Clip& clip : table.clips) {
    if (!names.empty() && !std::isnan(clip.parameter[p])) {
      used.insert(names.at(static_cast<size_t>(clip.parameter[p])));
    }
  }
  return {used.begin(), used.end()};
}

/// One parameter's names after the other's; nothing where all are numbers, so that such files stay what they were.
void write_categories(Hdf5File& file, const Categories& categories) {
  std::vector<std::string> names;
  std::vector<int64_t> offsets = {0};
  for (const std::vector<std::string>& own : categories) {
    names.insert(names.end(), own.begin(), own.end());
    offsets.push_back(static_cast<int64_t>(names.size()));
  }
  if (!names.empty()) {
    file.write_texts("/clip/category", names);
    file.write("/clip/category_offset", offsets);
  }
}

Categories read_categories(const Hdf5File& file, size_t parameters) {
  Categories categories(parameters);
  if (file.version() < categories_version) {
    return categories;
  }
  const std::vector<std::string> names = file.read_texts("/clip/category");
  file.require_names("/clip/category", names);
  const std::vector<int64_t> offsets = file.read<int64_t>("/clip/category_offset");
  require_count(file, "/clip/category_offset", offsets.size(), parameters + 1);
  if (offsets.front() != 0 || offsets.back() != static_cast<int64_t>(names.size()) ||
      !std::is_sorted(offsets.begin(), offsets.end())) {
    file.fail("/clip/category_offset does not rise from 0 to the " + std::to_string(names.size()) +
              " names of /clip/category; make the file again");
  }
  for (size_t p = 0; p < parameters; ++p) {
    std::vector<std::string>& own = categories[p];
    own.assign(names.begin() + offsets[p], names.begin() + offsets[p + 1]);
    const bool rises = std::adjacent_find(own.begin(), own.end(), std::greater_equal<>()) == own.end();
    if (!rises || std::any_of(own.begin(), own.end(), [](const std::string& name) { return is_unknown(name); })) {
      file.fail("/clip/category is not sorted, or names a value twice or not at all; make the file again");
    }
  }
  return categories;
}

/// A number that is finite, or NaN; of a parameter with names the place of one.
void require_value(const Hdf5File& file, size_t clip, double value, const std::vector<std::string>& names) {
  if (std::isinf(value)) {
    fail_value(file, "/clip/parameter", clip, "infinite", "a number, or NaN for unknown");
  }
  if (!names.empty() && !is_code(value, names)) {
    fail_value(file, "/clip/parameter", clip, value_text(value, {}),
               "the place of one of " + std::to_string(names.size()) + " names, or NaN for unknown");
  }
}

}  // namespace

int64_t write_clip_table(Hdf5File& file, const ClipTable& table) {
  Categories categories(table.parameter_names.size());
  for (size_t p = 0; p < categories.size(); ++p) {
    categories[p] = used_names(table, p);
  }
  std::vector<std::string> path, machine, split, domain, section;
  std::vector<int8_t> label;
  std::vector<double> parameter;
  for (const Clip& clip : table.clips) {
    path.push_back(clip.path.string());
    machine.push_back(clip.machine);
    split.emplace_back(clip.split == Split::train ? "train" : "test");
    domain.push_back(clip.domain);
    section.push_back(clip.section);
    label.push_back(static_cast<int8_t>(clip.label));
    // One NaN for all: a hash must not depend on which operation made it.
    for (size_t p = 0; p < clip.parameter.size(); ++p) {
      const double v = clip.parameter[p];
      const std::vector<std::string>& names = categories_of(table.categories, p);
      parameter.push_back(std::isnan(v) ? unknown : names.empty() ? v : recoded(v, names, categories.at(p)));
    }
  }
  file.write_texts("/clip/path", path);
  file.write_texts("/clip/machine", machine);
  file.write_texts("/clip/split", split);
  file.write("/clip/label", label);
  file.write_texts("/clip/domain", domain);
  file.write_texts("/clip/section", section);
  file.write("/clip/parameter", {table.clips.size(), table.parameter_names.size()}, parameter.data());
  file.write_attribute("/clip/parameter", "names", table.parameter_names);
  write_categories(file, categories);
  const bool numbers = std::all_of(categories.begin(), categories.end(), [](const auto& own) { return own.empty(); });
  return numbers ? format_version : categories_version;
}

ClipTable read_clip_table(const Hdf5File& file) {
  ClipTable table;
  table.parameter_names = file.read_texts_attribute("/clip/parameter", "names");
  file.require_names("the list of parameters", table.parameter_names);
  if (std::set<std::string>(table.parameter_names.begin(), table.parameter_names.end()).size() !=
      table.parameter_names.size()) {
    file.fail("the list of parameters names one twice; make the file again");
  }
  std::vector<std::string> path = file.read_texts("/clip/path");
  const size_t count = path.size();
  const auto texts = [&](const char* where) {
    std::vector<std::string> out = file.read_texts(where);
    require_count(file, where, out.size(), count);
    return out;
  };
  std::vector<std::string> machine = texts("/clip/machine");
  const std::vector<std::string> split = texts("/clip/split");
  std::vector<std::string> domain = texts("/clip/domain");
  std::vector<std::string> section = texts("/clip/section");
  file.require_names("/clip/machine", machine);
  file.require_names("/clip/section", section);
  const std::vector<int8_t> label = file.read<int8_t>("/clip/label");
  require_count(file, "/clip/label", label.size(), count);
  Shape shape;
  const std::vector<double> parameter = file.read<double>("/clip/parameter", shape);
  const size_t width = table.parameter_names.size();
  if (shape != Shape{count, width}) {
    file.fail("/clip/parameter is not [" + std::to_string(count) + " clips, " + std::to_string(width) +
              " names]; make the file again");
  }
  table.categories = read_categories(file, width);
  table.clips.resize(count);
  for (size_t i = 0; i < count; ++i) {
    Clip& clip = table.clips[i];
    if (split[i] != "train" && split[i] != "test") {
      fail_value(file, "/clip/split", i, in_quotes(split[i]), "train or test");
    }
    if (label[i] < -1 || label[i] > 1) {
      fail_value(file, "/clip/label", i, std::to_string(label[i]), "-1, 0 or 1");
    }
    if (!domain[i].empty() && domain[i] != "source" && domain[i] != "target") {
      fail_value(file, "/clip/domain", i, in_quotes(domain[i]), "source, target or empty");
    }
    clip.path = std::move(path[i]);
    clip.machine = std::move(machine[i]);
    clip.split = split[i] == "train" ? Split::train : Split::test;
    clip.label = label[i];
    clip.domain = std::move(domain[i]);
    clip.section = std::move(section[i]);
    for (size_t p = 0; p < width; ++p) {
      clip.parameter.push_back(parameter[i * width + p]);
      require_value(file, i, clip.parameter.back(), table.categories[p]);
    }
  }
  return table;
}

}  // namespace evenflow::io
