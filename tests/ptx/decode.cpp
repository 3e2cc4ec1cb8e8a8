// From a kernel's text to instructions: registers become places, labels become indices, and where a branch's lanes meet
// again is worked out. Calls are written out in place.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <functional>
#include <optional>
#include <utility>

#include "tests/ptx/memory.h"
#include "tests/ptx/module.h"
#include "tests/ptx/operations.h"
#include "tests/ptx/reconvergence.h"

namespace evenflow::ptx {
namespace {

constexpr int lane_slot = 64;  // registers begin at multiples of so many bytes

std::string_view trimmed(std::string_view text) {
  const auto space = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  while (!text.empty() && space(text.front())) {
    text.remove_prefix(1);
  }
  while (!text.empty() && space(text.back())) {
    text.remove_suffix(1);
  }
  return text;
}

/// At the commas that stand in no bracket.
std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  int depth = 0;
  size_t begin = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? text[i] : ',';
    depth += c == '{' || c == '[' || c == '(' ? 1 : 0;
    depth -= c == '}' || c == ']' || c == ')' ? 1 : 0;
    if (c == ',' && (depth == 0 || i == text.size())) {
      parts.push_back(trimmed(text.substr(begin, i - begin)));
      begin = i + 1;
    }
  }
  if (parts.size() == 1 && parts[0].empty()) {
    parts.clear();
  }
  return parts;
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  for (text = trimmed(text); !text.empty(); text = trimmed(text)) {
    const size_t end = std::min(text.find_first_of(" \t\n"), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

std::optional<Kind> kind_named(std::string_view type) {
  static const std::map<std::string_view, Kind> kinds{
      {".pred", Kind::predicate}, {".b16", Kind::b16}, {".u16", Kind::b16}, {".s16", Kind::b16},
      {".b32", Kind::b32},        {".u32", Kind::b32}, {".s32", Kind::b32}, {".b64", Kind::b64},
      {".u64", Kind::b64},        {".s64", Kind::b64}, {".f32", Kind::f32}, {".f64", Kind::f64}};
  const auto found = kinds.find(type);
  return found == kinds.end() ? std::nullopt : std::optional(found->second);
}

struct Register {
  int place = -1;
  Kind kind{};
};

/// Names of a pair of braces.
struct Scope {
  struct Range {
    int first_place = 0, count = 0;
    Kind kind{};
  };
  std::map<std::string, Register, std::less<>> registers;
  std::map<std::string, Range, std::less<>> ranges;        // %r<12>
  std::map<std::string, uint64_t, std::less<>> addresses;  // of local memory, and of parameters
  std::map<std::string, bool, std::less<>> parameters;     // those that are the launch's
  bool of_function = false;                                // what is outside cannot be seen
};

class Decoder {
 public:
  Decoder(const Module& module, std::string name, const Module::Function& entry) : module_(module) {
    kernel_.name = std::move(name);
    kernel_.file = module.file();
    constexpr int first_that_overlaps = 90;
    kernel_.overlaps = module.target() >= first_that_overlaps;
    scopes_.emplace_back().of_function = true;
    for (const std::string_view parameter : split(entry.parameters)) {
      declare_memory(parameter, kernel_.parameter_bytes, parameter_base, true);
    }
    for (const std::string_view word : words_of(entry.directives)) {
      read_directive(word);
    }
    line_ = entry.body_line;
    take_body(entry.body);
    Instruction& end = emit(Flow::ret);
    end.line = line_;
    resolve_labels();
    find_joins(kernel_.code);
    kernel_.register_bytes = static_cast<size_t>(next_place_);
  }
  Kernel take() { return std::move(kernel_); }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw DecodeError(module_.file() + ":" + std::to_string(line_) + ": " + what);
  }

  void read_directive(std::string_view word) {
    if (word == ".maxntid") {
      kernel_.most_threads = 1;
      in_most_threads_ = true;
    } else if (word.front() == '.') {
      in_most_threads_ = false;
    } else if (in_most_threads_) {
      int value = 0;
      std::from_chars(word.data(), word.data() + word.size(), value);
      kernel_.most_threads *= value;
    }
  }

  int take_place(int bytes) {
    const int place = next_place_;
    next_place_ += (bytes + lane_slot - 1) / lane_slot * lane_slot;
    return place;
  }
  static int slot_bytes(Kind kind) { return kind == Kind::predicate ? 4 : warp_lanes * bytes_of(kind); }

  /// .param .align 8 .b8 name[16], .param .u64 name, .local .align 8 .b8 name[40]: at the end of `used`.
  void declare_memory(std::string_view text, size_t& used, uint64_t base, bool launch) {
    size_t align = 0, bytes = 0;
    std::string name;
    const std::vector<std::string_view> words = words_of(text);
    for (size_t i = 0; i < words.size(); ++i) {
      const std::string_view word = words[i];
      if (word == ".align" && i + 1 < words.size()) {
        std::from_chars(words[i + 1].data(), words[i + 1].data() + words[i + 1].size(), align);
        ++i;
      } else if (word == ".b8" || word == ".u8" || word == ".s8") {
        bytes = 1;
      } else if (const auto kind = kind_named(word); kind) {
        bytes = static_cast<size_t>(bytes_of(*kind));
      } else if (word.front() != '.') {
        name = word;
      }
    }
    align = align == 0 ? bytes : align;
    if (const size_t bracket = name.find('['); bracket != std::string::npos) {
      size_t elements = 0;
      std::from_chars(name.data() + bracket + 1, name.data() + name.size(), elements);
      bytes *= elements;
      name.resize(bracket);
    }
    if (bytes == 0 || align == 0 || name.empty()) {
      fail("cannot read the declaration " + std::string(text));
    }
    used = (used + align - 1) / align * align;
    scopes_.back().addresses[name] = base + used;
    scopes_.back().parameters[name] = launch;
    used += bytes;
  }

  void declare_registers(std::string_view text) {
    text.remove_prefix(4);
    text = trimmed(text);
    const size_t space = text.find_first_of(" \t");
    const auto kind = kind_named(text.substr(0, space));
    if (!kind) {
      fail("registers of the type " + std::string(text.substr(0, space)));
    }
    for (const std::string_view name : split(text.substr(space))) {
      const size_t angle = name.find('<');
      if (angle == std::string_view::npos) {
        scopes_.back().registers[std::string(name)] = {take_place(slot_bytes(*kind)), *kind};
        continue;
      }
      int count = 0;
      std::from_chars(name.data() + angle + 1, name.data() + name.size(), count);
      Scope::Range range{.first_place = next_place_, .count = count, .kind = *kind};
      for (int i = 0; i < count; ++i) {
        take_place(slot_bytes(*kind));
      }
      scopes_.back().ranges[std::string(name.substr(0, angle))] = range;
    }
  }

  /// Statements end with a semicolon; braces that begin one are a scope, others an operand.
  void take_body(std::string_view body) {
    std::string statement;
    int depth = 0;
    const auto flush = [&] {
      const std::string_view text = trimmed(statement);
      if (!text.empty()) {
        take_statement(text);
      }
      statement.clear();
    };
    for (size_t i = 0; i < body.size(); ++i) {
      const char c = body[i];
      line_ += c == '\n' ? 1 : 0;
      if (c == '/' && body.substr(i, 2) == "//") {
        i = std::min(body.find('\n', i), body.size()) - 1;
      } else if (c == '{' && trimmed(statement).empty()) {
        scopes_.emplace_back();
      } else if (c == '}' && depth == 0) {
        flush();
        scopes_.pop_back();
      } else if (c == ';') {
        flush();
      } else if (c == ':' && trimmed(statement).find_first_of(" \t\n") == std::string_view::npos) {
        labels_[label(trimmed(statement))] = static_cast<int>(kernel_.code.size());
        statement.clear();
      } else {
        depth += c == '{' ? 1 : 0;
        depth -= c == '}' ? 1 : 0;
        statement += c;
      }
    }
    flush();
  }

  std::string label(std::string_view name) const { return std::to_string(calls_.back()) + ":" + std::string(name); }

  void take_statement(std::string_view text) {
    if (text.substr(0, 4) == ".reg") {
      declare_registers(text);
      return;
    }
    if (text.substr(0, 6) == ".local" || text.substr(0, 6) == ".param") {
      declare_memory(text, kernel_.local_bytes, local_base, false);
      return;
    }
    if (text.substr(0, 7) == ".pragma") {
      constexpr std::string_view used = "\"used_bytes_mask ";
      if (const size_t at = text.find(used); at != std::string_view::npos) {
        uint32_t bytes = 0;
        std::from_chars(text.data() + at + used.size(), text.data() + text.size(), bytes);
        used_bytes_ = bytes;
      }
      return;
    }
    if (text.front() == '.') {
      fail("the directive " + std::string(text) + " is not known");
    }
    take_instruction(text);
    used_bytes_.reset();
  }

  void take_instruction(std::string_view text) {
    int guard = -1;
    bool negated = false;
    if (text.front() == '@') {
      negated = text.size() > 1 && text[1] == '!';
      const size_t end = text.find_first_of(" \t\n");
      guard = register_named(text.substr(negated ? 2 : 1, end - (negated ? 2 : 1)), Kind::predicate);
      text = trimmed(text.substr(std::min(end, text.size())));
    }
    const size_t end = std::min(text.find_first_of(" \t\n"), text.size());
    const std::string_view opcode = text.substr(0, end);
    const std::vector<std::string_view> operands = split(text.substr(end));
    const size_t first = kernel_.code.size();
    if (opcode == "call.uni" && guard < 0) {
      take_call(text.substr(end));
      return;
    }
    dispatch(opcode, operands);
    for (size_t i = first; i < kernel_.code.size(); ++i) {
      kernel_.code[i].guard = guard;
      kernel_.code[i].guard_negated = negated;
    }
  }

  void dispatch(std::string_view opcode, const std::vector<std::string_view>& operands) {
    if (opcode == "bra" || opcode == "bra.uni") {
      emit(Flow::branch);
      jumps_.emplace_back(kernel_.code.size() - 1, label(operands.at(0)));
    } else if (opcode == "ret" && calls_.size() > 1) {
      emit(Flow::branch);  // of what is written out in place
      jumps_.emplace_back(kernel_.code.size() - 1, label("end of the function"));
    } else if (opcode == "ret" || opcode == "exit") {
      emit(Flow::ret);
    } else if (const auto access = find_access(opcode); access) {
      take_access(*access, opcode, operands);
    } else if (opcode == "cp.async.cg.shared.global") {
      take_copy(operands);
    } else if (opcode == "atom.acq_rel.gpu.global.inc.u32") {
      Instruction& atom = emit(Flow::next);
      atom.run = increment_counter;
      put(atom, register_named(operands.at(0), Kind::b32));
      put_address(atom, operands.at(1));
      put(atom, operand(operands.at(2), Kind::b32));
    } else if (opcode == "mov.b32" || opcode == "mov.b64") {
      take_move(opcode, operands);
    } else {
      take_form(std::string(opcode) + variant(opcode, operands), flat(operands));
    }
  }

  /// What the table calls an opcode that has operands of two kinds.
  std::string variant(std::string_view opcode, const std::vector<std::string_view>& operands) const {
    if (opcode == "bar.sync" && operands.size() == 2) {
      return " of some";
    }
    if (opcode.substr(0, 4) == "cvt." && opcode.substr(opcode.size() - 3) == "s32" && operands.size() == 2) {
      const auto named = find_register(operands[1]);
      return named && bytes_of(named->kind) == 8 ? " of 64 bits" : "";  // whose upper half does not count
    }
    return "";
  }

  /// {a, b} and a|b are operands one after the other.
  static std::vector<std::string_view> flat(const std::vector<std::string_view>& operands) {
    std::vector<std::string_view> out;
    for (const std::string_view operand : operands) {
      if (operand.front() == '{') {
        for (const std::string_view part : split(operand.substr(1, operand.size() - 2))) {
          out.push_back(part);
        }
      } else if (const size_t bar = operand.find('|'); bar != std::string_view::npos) {
        out.push_back(operand.substr(0, bar));
        out.push_back(operand.substr(bar + 1));
      } else {
        out.push_back(operand);
      }
    }
    return out;
  }

  void take_form(std::string_view opcode, const std::vector<std::string_view>& operands) {
    const Form* form = find_form(opcode);
    if (form == nullptr) {
      fail("the opcode " + std::string(opcode) + " is not known");
    }
    if (operands.size() != form->operands.size()) {
      fail(std::string(opcode) + " with " + std::to_string(operands.size()) + " operands");
    }
    Instruction& instruction = emit(form->flow);
    instruction.run = form->run;
    for (size_t i = 0; i < operands.size(); ++i) {
      const int place = operand(operands[i], form->operands[i]);  // may make a constant, but no instruction
      put(instruction, place);
    }
  }

  /// Between registers of any type, and of one with two halves.
  void take_move(std::string_view opcode, const std::vector<std::string_view>& operands) {
    const Kind kind = opcode == "mov.b32" ? Kind::b32 : Kind::b64;
    const bool to_parts = operands.at(0).front() == '{', from_parts = operands.at(1).front() == '{';
    const std::string_view form = to_parts ? "halves of " : from_parts ? "joined " : "";
    if (form.empty()) {
      take_form(opcode, operands);
      return;
    }
    const Kind half = kind == Kind::b64 ? Kind::b32 : Kind::b16;
    const Form* found = find_form(std::string(form) + std::string(opcode));
    const std::vector<std::string_view> places = flat(operands);
    if (found == nullptr || places.size() != 3) {
      fail("a move that is not known");
    }
    Instruction& instruction = emit(Flow::next);
    instruction.run = found->run;
    for (size_t i = 0; i < 3; ++i) {
      const bool whole = to_parts ? i == 2 : i == 0;
      const int place = operand(places[i], whole ? kind : half);
      put(instruction, place);
    }
  }

  void take_access(Access access, std::string_view opcode, const std::vector<std::string_view>& operands) {
    if (operands.size() != 2) {
      fail(std::string(opcode) + " with " + std::to_string(operands.size()) + " operands");
    }
    const std::vector<std::string_view> values = flat({operands[access.load ? 0 : 1]});
    const std::string_view address = operands[access.load ? 1 : 0];
    if (static_cast<int>(values.size()) != access.elements) {
      fail(std::string(opcode) + " of " + std::to_string(values.size()) + " registers");
    }
    Instruction& instruction = emit(Flow::next);
    put_address(instruction, address);
    if (access.space == Space::parameter && !of_launch(address)) {
      access.space = Space::local;
    }
    int register_bytes = 0;
    for (const std::string_view value : values) {
      const auto named = find_register(value);
      if (!named && access.load) {
        fail("no register is called " + std::string(value));
      }
      const Kind literal = access.type == "f32"        ? Kind::f32
                           : access.type == "f64"      ? Kind::f64
                           : access.element_bytes == 8 ? Kind::b64
                                                       : Kind::b32;
      const Kind kind = named ? named->kind : literal;
      register_bytes = bytes_of(kind);
      put(instruction, operand(value, kind));
    }
    instruction.run = access_handler(access, register_bytes);
    instruction.used_bytes = used_bytes_.value_or(~0U);
    if (instruction.run == nullptr) {
      fail("the opcode " + std::string(opcode) + " with registers of " + std::to_string(register_bytes) + " bytes");
    }
  }

  void take_copy(const std::vector<std::string_view>& operands) {
    if (operands.size() != 3 || operands[2] != "16") {
      fail("a copy that is not of 16 bytes");
    }
    Instruction& copy = emit(Flow::next);
    copy.run = copy_async;
    put_address(copy, operands[0]);
    const int64_t shared_offset = std::exchange(copy.offset, 0);
    const bool narrow = copy.narrow_address;
    put_address(copy, operands[1]);
    if (shared_offset != 0 || !narrow || copy.narrow_address) {
      fail("addresses of a copy that are not known");
    }
  }

  /// call.uni (results), function, (arguments): the function's text, with the caller's memory for its parameters.
  void take_call(std::string_view text) {
    const std::vector<std::string_view> parts = split(text);
    if (parts.size() != 3) {
      fail("a call that is not known");
    }
    const Module::Function* function = module_.function(parts[1]);
    if (function == nullptr || calls_.size() > 8) {
      fail("a call of " + std::string(parts[1]) + ", which is not there or calls itself");
    }
    const auto inside = [](std::string_view list) { return split(list.substr(1, list.size() - 2)); };
    Scope scope;
    scope.of_function = true;
    const auto hand_over = [&](std::string_view given, std::string_view taken) {
      const std::vector<std::string_view> from = inside(given);
      const std::vector<std::string_view> to = split(taken);
      if (from.size() != to.size()) {
        fail("a call with too few or too many arguments");
      }
      for (size_t i = 0; i < to.size(); ++i) {
        const std::string_view name = words_of(to[i]).back();
        const auto address = find_address(from[i]);
        if (!address) {
          fail("an argument that is no parameter");
        }
        const std::string key(name.substr(0, name.find('[')));
        scope.addresses[key] = *address;
        scope.parameters[key] = false;
      }
    };
    hand_over(parts[0], function->results);
    hand_over(parts[2], function->parameters);
    scopes_.push_back(std::move(scope));
    calls_.push_back(++call_count_);
    const int line = std::exchange(line_, function->body_line);
    take_body(function->body);
    line_ = line;
    labels_[label("end of the function")] = static_cast<int>(kernel_.code.size());
    calls_.pop_back();
    scopes_.pop_back();
  }

  Instruction& emit(Flow flow) {
    Instruction& instruction = kernel_.code.emplace_back();
    instruction.flow = flow;
    instruction.line = line_;
    return instruction;
  }
  void put(Instruction& instruction, int place) {
    if (instruction.count == instruction.operands.size()) {
      fail("too many operands");
    }
    instruction.operands[instruction.count++] = place;
  }

  std::optional<Register> find_register(std::string_view name) const {
    size_t digits = name.size();
    while (digits > 0 && std::isdigit(static_cast<unsigned char>(name[digits - 1])) != 0) {
      --digits;
    }
    int number = -1;
    std::from_chars(name.data() + digits, name.data() + name.size(), number);
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (const auto found = scope->registers.find(name); found != scope->registers.end()) {
        return found->second;
      }
      const auto range = scope->ranges.find(name.substr(0, digits));
      if (range != scope->ranges.end() && number >= 0 && number < range->second.count) {
        const int bytes = (slot_bytes(range->second.kind) + lane_slot - 1) / lane_slot * lane_slot;
        return Register{range->second.first_place + number * bytes, range->second.kind};
      }
      if (scope->of_function) {
        break;
      }
    }
    return std::nullopt;
  }

  static bool go_together(Kind a, Kind b) {
    return (a == Kind::predicate) == (b == Kind::predicate) && bytes_of(a) == bytes_of(b);
  }

  int register_named(std::string_view name, Kind kind) const {
    const auto found = find_register(name);
    if (!found) {
      fail("no register is called " + std::string(name));
    }
    if (!go_together(found->kind, kind)) {
      fail("the register " + std::string(name) + " is of another width");
    }
    return found->place;
  }

  std::optional<uint64_t> find_address(std::string_view name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (const auto found = scope->addresses.find(name); found != scope->addresses.end()) {
        return found->second;
      }
      if (scope->of_function) {
        break;
      }
    }
    const uint64_t* variable = module_.variable(name);
    return variable == nullptr ? std::nullopt : std::optional(*variable);
  }

  /// Whether an address of ld.param is in the launch's parameters: a register's always is.
  bool of_launch(std::string_view address) const {
    const std::string_view name = address.substr(1, address.find_first_of("+]") - 1);
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (const auto found = scope->parameters.find(name); found != scope->parameters.end()) {
        return found->second;
      }
      if (scope->of_function) {
        break;
      }
    }
    return true;
  }

  /// [register+12], [name], [register+-4]
  void put_address(Instruction& instruction, std::string_view text) {
    if (text.size() < 3 || text.front() != '[') {
      fail("an address that is not known");
    }
    text = text.substr(1, text.size() - 2);
    const size_t plus = text.find('+');
    if (plus != std::string_view::npos) {
      const std::string_view offset = text.substr(plus + 1);
      std::from_chars(offset.data(), offset.data() + offset.size(), instruction.offset);
      text = text.substr(0, plus);
    }
    if (const auto named = find_register(text); named) {
      instruction.narrow_address = bytes_of(named->kind) == 4;
      put(instruction, named->place);
    } else if (const auto address = find_address(text); address) {
      instruction.narrow_address = false;
      put(instruction, constant(*address, 8));
    } else {
      fail("nothing is called " + std::string(text));
    }
  }

  int constant(uint64_t bits, int bytes) {
    const auto [at, fresh] = constants_.try_emplace({bits, bytes}, 0);
    if (fresh) {
      at->second = take_place(bytes == 0 ? 4 : warp_lanes * bytes);  // 0: a predicate's mask
      kernel_.constants.push_back({at->second, bytes, bits});
    }
    return at->second;
  }

  std::optional<int> special(std::string_view name) {
    static const std::map<std::string_view, Special> names{
        {"%tid.x", Special::tid_x},       {"%tid.y", Special::tid_y},       {"%tid.z", Special::tid_z},
        {"%ntid.x", Special::ntid_x},     {"%ntid.y", Special::ntid_y},     {"%ntid.z", Special::ntid_z},
        {"%ctaid.x", Special::ctaid_x},   {"%ctaid.y", Special::ctaid_y},   {"%ctaid.z", Special::ctaid_z},
        {"%nctaid.x", Special::nctaid_x}, {"%nctaid.y", Special::nctaid_y}, {"%nctaid.z", Special::nctaid_z},
        {"%laneid", Special::laneid}};
    const auto found = names.find(name);
    if (found == names.end()) {
      return std::nullopt;
    }
    const auto [at, fresh] = specials_.try_emplace(found->second, 0);
    if (fresh) {
      at->second = take_place(slot_bytes(Kind::b32));
      kernel_.specials.push_back({found->second, at->second});
    }
    return at->second;
  }

  int operand(std::string_view text, Kind kind) {
    if (find_register(text)) {
      return register_named(text, kind);
    }
    if (const auto place = special(text); place && kind == Kind::b32) {
      return *place;
    }
    const int bytes = kind == Kind::predicate ? 0 : bytes_of(kind);
    if (const auto address = find_address(text); address && (kind == Kind::b32 || kind == Kind::b64)) {
      return constant(*address, bytes);
    }
    const std::string_view prefix = kind == Kind::f32 ? "0f" : kind == Kind::f64 ? "0d" : "";
    uint64_t bits = 0;
    std::from_chars_result result{};
    const char* end = text.data() + text.size();
    if (!prefix.empty()) {
      if (text.substr(0, 2) != prefix) {
        fail("the operand " + std::string(text) + " is not known");
      }
      result = std::from_chars(text.data() + 2, end, bits, 16);
    } else if (text.substr(0, 2) == "0x") {
      result = std::from_chars(text.data() + 2, end, bits, 16);
    } else if (text.front() == '-') {
      int64_t value = 0;
      result = std::from_chars(text.data(), end, value);
      bits = static_cast<uint64_t>(value);
    } else {
      result = std::from_chars(text.data(), end, bits);
    }
    if (result.ec != std::errc() || result.ptr != end) {
      fail("the operand " + std::string(text) + " is not known");
    }
    if (kind == Kind::predicate) {
      bits = bits != 0 ? all_lanes : 0;
    }
    return constant(bits, bytes);
  }

  void resolve_labels() {
    for (const auto& [index, name] : jumps_) {
      const auto found = labels_.find(name);
      if (found == labels_.end()) {
        line_ = kernel_.code[index].line;
        fail("no label " + name.substr(name.find(':') + 1));
      }
      kernel_.code[index].target = found->second;
    }
  }

  const Module& module_;
  Kernel kernel_;
  int line_ = 0, next_place_ = 0, call_count_ = 0;
  bool in_most_threads_ = false;
  std::optional<uint32_t> used_bytes_;
  std::vector<Scope> scopes_;
  std::vector<int> calls_{0};
  std::map<std::string, int, std::less<>> labels_;
  std::vector<std::pair<size_t, std::string>> jumps_;
  std::map<std::pair<uint64_t, int>, int> constants_;
  std::map<Special, int> specials_;
};

}  // namespace

Kernel decode(const Module& module, const std::string& name, const Module::Function& entry) {
  return Decoder(module, name, entry).take();
}

}  // namespace evenflow::ptx
