#include "io/clip_table.h"

#include <cmath>
#include <limits>
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

}  // namespace

void write_clip_table(Hdf5File& file, const ClipTable& table) {
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
    for (const double v : clip.parameter) {
      parameter.push_back(std::isnan(v) ? unknown : v);
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
      const double value = parameter[i * width + p];
      if (std::isinf(value)) {
        fail_value(file, "/clip/parameter", i, "infinite", "a number, or NaN for unknown");
      }
      clip.parameter.push_back(value);
    }
  }
  return table;
}

}  // namespace evenflow::io
