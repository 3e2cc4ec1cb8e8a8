#include "tests/ptx/module.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstring>

namespace evenflow::ptx {
namespace {

bool is_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' || c == '%';
}

/// Past the bracket that closes the one at `at`; comments do not count.
size_t past_closing(std::string_view text, size_t at, char open, char close) {
  int depth = 0;
  for (; at < text.size(); ++at) {
    if (text[at] == '/' && at + 1 < text.size() && text[at + 1] == '/') {
      at = std::min(text.find('\n', at), text.size() - 1);
    }
    depth += text[at] == open ? 1 : 0;
    depth -= text[at] == close ? 1 : 0;
    if (depth == 0 && text[at] == close) {
      return at + 1;
    }
  }
  throw DecodeError("a bracket is not closed");
}

size_t past_space(std::string_view text, size_t at) {
  while (at < text.size() && std::isspace(static_cast<unsigned char>(text[at])) != 0) {
    ++at;
  }
  return at;
}

}  // namespace

Module::Module(std::string file, std::string text) : file_(std::move(file)), text_(std::move(text)) {
  scan();
}

void Module::scan() {
  constexpr std::array lines{".version", ".target", ".address_size"};  // directives that end with their line
  constexpr std::array linkage{".visible", ".weak", ".extern"};
  const std::string_view text = text_;
  for (size_t at = past_space(text, 0); at < text.size(); at = past_space(text, at)) {
    if (text.substr(at, 2) == "//") {
      at = std::min(text.find('\n', at), text.size());
      continue;
    }
    size_t end = at + 1;
    while (end < text.size() && is_name(text[end])) {
      ++end;
    }
    const std::string_view word = text.substr(at, end - at);
    if (std::find(lines.begin(), lines.end(), word) != lines.end()) {
      constexpr std::string_view architecture = ".target sm_";
      if (text.substr(at, architecture.size()) == architecture) {
        std::from_chars(text.data() + at + architecture.size(), text.data() + text.size(), target_);
      }
      at = std::min(text.find('\n', at), text.size());
    } else if (std::find(linkage.begin(), linkage.end(), word) != linkage.end()) {
      at = end;
    } else if (word == ".entry" || word == ".func") {
      at = take_function(end, word == ".entry");
    } else if (word == ".global" || word == ".shared" || word == ".const") {
      at = take_variable(at);
    } else {
      fail(at, "the directive " + std::string(word) + " is not known");
    }
  }
}

size_t Module::take_function(size_t at, bool entry) {
  const std::string_view text = text_;
  Function function;
  at = past_space(text, at);
  if (text[at] == '(') {
    const size_t end = past_closing(text, at, '(', ')');
    function.results = text.substr(at + 1, end - at - 2);
    at = past_space(text, end);
  }
  size_t end = at;
  while (is_name(text[end])) {
    ++end;
  }
  const std::string name(text.substr(at, end - at));
  at = past_space(text, end);
  if (text[at] == '(') {
    end = past_closing(text, at, '(', ')');
    function.parameters = text.substr(at + 1, end - at - 2);
    at = end;
  }
  const size_t body = text.find_first_of("{;", at);
  if (body == std::string_view::npos) {
    fail(at, "a function has no end");
  }
  function.directives = text.substr(at, body - at);
  if (text[body] == ';') {
    return body + 1;  // announced
  }
  end = past_closing(text, body, '{', '}');
  function.body = text.substr(body + 1, end - body - 2);
  function.body_line = line_of(body);
  (entry ? entries_ : functions_)[name] = function;
  return end;
}

/// .global .align 16 .b8 name[128] = {1, 2, ...}; or .shared .align 16 .b8 name[];
size_t Module::take_variable(size_t at) {
  const size_t end = text_.find(';', at);
  const std::string_view text = std::string_view(text_).substr(at, end - at);
  const size_t bracket = text.find('[');
  if (bracket == std::string_view::npos || text.find(".b8") == std::string_view::npos) {
    fail(at, "a variable that is no array of .b8");
  }
  size_t begin = bracket;
  while (begin > 0 && is_name(text[begin - 1])) {
    --begin;
  }
  const std::string name(text.substr(begin, bracket - begin));
  if (text.substr(0, 7) == ".shared") {
    if (text.substr(bracket, 2) != "[]") {
      fail(at, "shared memory of a fixed size");
    }
    variables_[name] = shared_base;
    return end + 1;
  }
  size_t size = 0;
  std::from_chars(text.data() + bracket + 1, text.data() + text.size(), size);
  std::vector<double>& data = data_.emplace_back(size / sizeof(double) + 2);
  auto* bytes = reinterpret_cast<unsigned char*>(data.data());
  bytes += (16 - reinterpret_cast<uintptr_t>(bytes) % 16) % 16;
  size_t i = text.find('{');
  for (size_t n = 0; i != std::string_view::npos && n < size; ++n) {
    i = past_space(text, i + 1);
    unsigned value = 0;
    const auto [next, error] = std::from_chars(text.data() + i, text.data() + text.size(), value);
    if (error != std::errc() || value > 255) {
      fail(at, "a variable's bytes cannot be read");
    }
    bytes[n] = static_cast<unsigned char>(value);
    i = text.find_first_of(",}", static_cast<size_t>(next - text.data()));
    i = text[i] == '}' ? std::string_view::npos : i;
  }
  variables_[name] = reinterpret_cast<uint64_t>(bytes);
  device_variables_.push_back({bytes, size});
  return end + 1;
}

std::vector<std::string> Module::kernel_names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) {
    names.push_back(name);
  }
  return names;
}

const Kernel& Module::kernel(const std::string& name) {
  std::unique_ptr<Kernel>& kernel = decoded_[name];
  if (!kernel) {
    const auto entry = entries_.find(name);
    if (entry == entries_.end()) {
      throw DecodeError(file_ + " has no kernel " + name);
    }
    kernel = std::make_unique<Kernel>(decode(*this, name, entry->second));
  }
  return *kernel;
}

const Module::Function* Module::function(std::string_view name) const {
  const auto found = functions_.find(name);
  return found == functions_.end() ? nullptr : &found->second;
}

const uint64_t* Module::variable(std::string_view name) const {
  const auto found = variables_.find(name);
  return found == variables_.end() ? nullptr : &found->second;
}

int Module::line_of(size_t at) const {
  return 1 + static_cast<int>(std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
}

void Module::fail(size_t at, const std::string& what) const {
  throw DecodeError(file_ + ":" + std::to_string(line_of(at)) + ": " + what);
}

}  // namespace evenflow::ptx
