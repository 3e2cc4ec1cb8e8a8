#include "io/sweep_file.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string_view>
#include <tuple>

#include "io/config/rows.h"
#include "io/edit_distance.h"
#include "io/error.h"
#include "io/wrapped_file.h"

namespace evenflow::io {
namespace {

namespace fs = std::filesystem;
using namespace config_rows;

class SweepReader {
 public:
  SweepReader(const fs::path& file, const Config* base) : file_(file) {
    try {
      read(parse_toml(plain_text(), file_.string()), base);
    } catch (const toml::parse_error& error) {
      fail(error.source(), "not valid TOML: " + std::string(error.description()));
    }
  }
  SweepFile take() { return std::move(sweep_); }

 private:
  struct Placed {
    Domain domain;
    toml::source_region place;
  };

  [[noreturn]] void fail(const toml::source_region& place, const std::string& why) const {
    throw UsageError(file_.string() + ":" + std::to_string(place.begin.line) + ": " + why);
  }

  /// Runs what may refuse a value; the error tells its line.
  template <class Work>
  auto at(const toml::source_region& place, const Work& work) const {
    try {
      return work();
    } catch (const UsageError& error) {
      fail(place, error.what());
    }
  }

  std::string plain_text() const {
    std::string text;
    try {
      text = read_plain_text(file_);
    } catch (const DataError& error) {
      throw UsageError(error.what());
    }
    return text;
  }

  void read(const toml::table& file, const Config* base) {
    require_known(file, "", {"base", "config", "sweep", "halving", "space", "slurm"});
    read_base(file, base);
    read_sweep(section(file, "sweep"));
    read_halving(section(file, "halving"));
    read_slurm(section(file, "slurm"));
    const toml::table& space = section(file, "space");
    if (space.empty()) {
      throw UsageError(file_.string() +
                       " varies nothing: write [space] and below it a key with its values, such as "
                       "train.learning_rate = { log_uniform = [1e-4, 1e-2] }");
    }
    read_space(space, "");
    order_space();
  }

  const toml::table& section(const toml::table& file, const char* name) const {
    static const toml::table none;
    const toml::node* node = file.get(name);
    if (node == nullptr) {
      return none;
    }
    if (!node->is_table()) {
      fail(node->source(), std::string("'") + name + "' is a section: write [" + name + "]");
    }
    return *node->as_table();
  }

  void require_known(const toml::table& table, const std::string& where, const std::vector<std::string>& known) const {
    for (const auto& [key, node] : table) {
      const std::string name(key.str());
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        const auto nearest = std::min_element(known.begin(), known.end(), [&](const auto& a, const auto& b) {
          return edit_distance(name.substr(0, 100), a) < edit_distance(name.substr(0, 100), b);
        });
        fail(key.source(), "unknown key '" + where + name + "'; did you mean '" + where + *nearest + "'?");
      }
    }
  }

  // ------------------------------------------------------------------------------------------------ plain settings

  void read_base(const toml::table& file, const Config* base) {
    if (base != nullptr) {
      sweep_.base = *base;
      return;
    }
    if (const toml::node* node = file.get("base")) {
      if (!node->is_string()) {
        fail(node->source(), "base is the name of a configuration file, in quotes");
      }
      const fs::path named = node->as_string()->get();
      sweep_.base = at(node->source(), [&] { return read_config(file_.parent_path() / named); });
    }
    apply_table(sweep_.base, section(file, "config"), "", file_.string());
    validate(sweep_.base);
  }

  int64_t whole(const toml::table& table, const std::string& where, const char* name, int64_t low, int64_t high,
                int64_t usual) const {
    const toml::node* node = table.get(name);
    if (node == nullptr) {
      return usual;
    }
    if (!node->is_integer() || node->as_integer()->get() < low || node->as_integer()->get() > high) {
      fail(node->source(), where + name + " = " + node_text(*node) +
                               " is not allowed: it must be a whole number from " + std::to_string(low) + " to " +
                               std::to_string(high));
    }
    return node->as_integer()->get();
  }

  template <class E>
  E named(const toml::node& node, const std::string& what) const {
    const std::optional<E> known = node.is_string() ? value_of<E>(node.as_string()->get()) : std::nullopt;
    if (!known) {
      fail(node.source(), what + " = " + node_text(node) + " is not allowed: it must be " + names_text<E>());
    }
    return *known;
  }

  void read_sweep(const toml::table& table) {
    constexpr int64_t million = 1'000'000;
    require_known(table, "sweep.", {"sampler", "trials", "repeats", "seed", "objectives", "labelled"});
    if (const toml::node* node = table.get("sampler")) {
      sweep_.sampler = named<SamplerKind>(*node, "sweep.sampler");
    }
    sweep_.trials = whole(table, "sweep.", "trials", 1, million, 0);
    sweep_.repeats = whole(table, "sweep.", "repeats", 1, 1000, 1);
    sweep_.seed = static_cast<uint64_t>(whole(table, "sweep.", "seed", 0, std::numeric_limits<int64_t>::max(), 1));
    if (const toml::node* node = table.get("objectives")) {
      read_objectives(*node);
    }
    if (const toml::node* node = table.get("labelled")) {
      if (!node->is_string() || node->as_string()->get().empty()) {
        fail(node->source(), "sweep.labelled is the name of a feature shard, in quotes");
      }
      sweep_.labelled = (file_.parent_path() / node->as_string()->get()).lexically_normal().string();
    }
  }

  void read_objectives(const toml::node& node) {
    sweep_.objectives.clear();
    const auto add = [&](const toml::node& one) {
      const auto objective = named<Objective>(one, "sweep.objectives");
      if (std::find(sweep_.objectives.begin(), sweep_.objectives.end(), objective) != sweep_.objectives.end()) {
        fail(one.source(), "sweep.objectives names '" + std::string(name_of(objective)) + "' twice; name it once");
      }
      sweep_.objectives.push_back(objective);
    };
    if (const toml::array* several = node.as_array(); several != nullptr && !several->empty()) {
      std::for_each(several->begin(), several->end(), add);
    } else {
      add(node);
    }
  }

  void read_halving(const toml::table& table) {
    require_known(table, "halving.", {"min_epochs", "factor"});
    sweep_.halving.factor = whole(table, "halving.", "factor", 2, 100, 3);
    sweep_.halving.min_epochs = whole(table, "halving.", "min_epochs", 1, 1'000'000, 0);
    if (!table.empty() && sweep_.halving.min_epochs == 0) {
      fail(table.source(), "[halving] lacks min_epochs, after which a trial may first be stopped");
    }
  }

  /// What sbatch is told besides what the sweep tells it itself: partition = "gpu" is --partition=gpu.
  void read_slurm(const toml::table& table) {
    sweep_.slurm.grace_s = whole(table, "slurm.", "grace_s", 1, 65535, sweep_.slurm.grace_s);
    if (const toml::node* node = table.get("poll_s")) {
      if (!node->is_number() || !(node->value_or(0.0) >= 0.1 && node->value_or(0.0) <= 3600.0)) {
        fail(node->source(), "slurm.poll_s = " + node_text(*node) + " is not allowed: it must be 0.1 to 3600 seconds");
      }
      sweep_.slurm.poll_s = node->value_or(0.0);
    }
    for (const auto& [key, node] : table) {
      const std::string name(key.str());
      if (name == "grace_s" || name == "poll_s") {
        continue;
      }
      for (const char* own : {"array", "signal", "requeue", "no-requeue", "output", "error", "job-name", "chdir",
                              "wait", "parsable", "open-mode", "wrap"}) {
        if (name == own) {
          fail(key.source(), "slurm." + name + " is set by the sweep itself; leave it out");
        }
      }
      sweep_.slurm.arguments.push_back(sbatch_word(name, node));
    }
  }

  std::string sbatch_word(const std::string& name, const toml::node& node) const {
    if (node.is_string()) {
      return "--" + name + "=" + node.as_string()->get();
    }
    if (node.is_integer()) {
      return "--" + name + "=" + std::to_string(node.as_integer()->get());
    }
    if (node.is_boolean() && node.as_boolean()->get()) {
      return "--" + name;
    }
    fail(node.source(), "slurm." + name + " = " + node_text(node) +
                            " is not allowed: it must be a text, a whole number or true, as sbatch takes it");
  }

  // ------------------------------------------------------------------------------------------------ the space

  static const Row* row_of(const std::string& name) {
    const auto row = std::find_if(table().begin(), table().end(), [&](const Row& r) { return r.key.name == name; });
    return row == table().end() ? nullptr : &*row;
  }

  /// train.batch = ..., "train.batch" = ... and [space.train] batch = ... are the same.
  void read_space(const toml::table& values, const std::string& prefix) {
    for (const auto& [key, node] : values) {
      const std::string name = prefix + std::string(key.str());
      if (const Row* row = row_of(name)) {
        require_free(name, key.source());
        placed_.push_back({read_domain(*row, node), key.source()});
      } else if (const toml::table* inner = node.as_table(); inner != nullptr && !inner->empty()) {
        read_space(*inner, name + ".");
      } else {
        at(key.source(), [&] { return &config_key(name); });
      }
    }
  }

  void require_free(const std::string& name, const toml::source_region& place) const {
    if (name.starts_with("frontend.")) {
      fail(place, "the space varies " + name + ", but the features are prepared already; leave it out");
    }
    if (name == "train.seed") {
      fail(place, "the space varies train.seed; leave it out, and set sweep.repeats to train with several seeds");
    }
  }

  /// A value as its key takes it, as text. A list of one may go without its brackets.
  std::string value_text(const Row& row, const toml::node& node) const {
    return at(node.source(), [&] {
      Config config = sweep_.base;
      if (row.key.type.starts_with("list") && (node.is_number() || node.is_string())) {
        row.key.set(config, node.is_string() ? node.as_string()->get() : node_text(node));
      } else {
        row.set_toml(config, node);
      }
      return row.key.get(config);
    });
  }

  Domain read_domain(const Row& row, const toml::node& node) const {
    Domain domain;
    domain.key = row.key.name;
    if (const toml::array* listed = node.as_array()) {
      read_choices(domain, row, *listed, node.source());
      return domain;
    }
    const toml::table* table = node.as_table();
    if (table == nullptr) {
      fail(node.source(), domain.key + " = " + node_text(node) +
                              " varies nothing: list its values in square brackets, or write it below [config]");
    }
    const std::string where = domain.key + ".";
    require_known(*table, where, {"choice", "uniform", "log_uniform", "integer", "log_integer", "points", "when"});
    const toml::node* values = nullptr;
    for (const auto& known : choices<DomainKind>) {
      if (const toml::node* found = table->get(known.name)) {
        if (values != nullptr) {
          fail(found->source(), domain.key + " has two kinds of values; give one");
        }
        domain.kind = known.value;
        values = found;
      }
    }
    if (values == nullptr || !values->is_array()) {
      fail(node.source(), domain.key + " lacks its values: write { uniform = [LOW, HIGH] }, or choice, log_uniform, " +
                              "integer or log_integer");
    }
    if (domain.kind == DomainKind::choice) {
      read_choices(domain, row, *values->as_array(), values->source());
    } else {
      read_range(domain, row, *values->as_array(), values->source());
    }
    domain.points = whole(*table, where, "points", 2, 1'000'000, 0);
    if (const toml::node* when = table->get("when")) {
      if (!when->is_table() || when->as_table()->empty()) {
        fail(when->source(), where + "when is a table: write when = { model.coupling = \"additive\" }");
      }
      read_conditions(domain, *when->as_table(), "");
    }
    return domain;
  }

  void read_choices(Domain& domain, const Row& row, const toml::array& listed, const toml::source_region& place) const {
    for (const toml::node& value : listed) {
      std::string text = value_text(row, value);
      if (std::find(domain.choices.begin(), domain.choices.end(), text) != domain.choices.end()) {
        fail(value.source(), domain.key + " lists " + node_text(value) + " twice; list it once");
      }
      domain.choices.push_back(std::move(text));
    }
    if (domain.choices.empty()) {
      fail(place, domain.key + " lists no value; list those to try");
    }
  }

  void read_range(Domain& domain, const Row& row, const toml::array& bounds, const toml::source_region& place) const {
    const std::string kind(name_of(domain.kind));
    const bool whole_numbers = domain.kind == DomainKind::integer || domain.kind == DomainKind::log_integer;
    const bool is_int = row.key.type == "int";
    if (!is_int && row.key.type != "float" && row.key.type != "list of float") {
      fail(place, domain.key + " is no number: list its values in square brackets");
    }
    if (is_int != whole_numbers) {
      fail(place, domain.key +
                      (is_int ? " is a whole number: write integer or log_integer instead of "
                              : " is not a whole number: write uniform or log_uniform instead of ") +
                      kind);
    }
    if (bounds.size() != 2 || !bounds[0].is_number() || !bounds[1].is_number()) {
      fail(place, domain.key + " = " + node_text(bounds) + " is no range: write " + kind + " = [LOW, HIGH]");
    }
    domain.low = *bounds[0].value<double>();
    domain.high = *bounds[1].value<double>();
    if (!(domain.low < domain.high)) {
      fail(place, domain.key + " = " + node_text(bounds) + " is no range: the first number must be below the second");
    }
    const bool logarithmic = domain.kind == DomainKind::log_uniform || domain.kind == DomainKind::log_integer;
    if (logarithmic && !(domain.low > 0)) {
      fail(place, domain.key + " = " + node_text(bounds) + " has no logarithm: begin above 0, or write uniform");
    }
    at(place, [&] { require_range(domain, row, whole_numbers); });
  }

  void require_range(const Domain& domain, const Row& row, bool whole_numbers) const {
    const auto set = [&](double value) {
      Config config = sweep_.base;
      row.key.set(config, whole_numbers ? std::to_string(static_cast<int64_t>(value)) : float_text(value));
    };
    set(domain.low);
    set(domain.high);
    if (whole_numbers) {
      set(domain.low + 1);  // of keys that are even
    }
  }

  void read_conditions(Domain& domain, const toml::table& table, const std::string& prefix) const {
    for (const auto& [key, node] : table) {
      const std::string name = prefix + std::string(key.str());
      const Row* row = row_of(name);
      if (row == nullptr) {
        if (const toml::table* inner = node.as_table(); inner != nullptr && !inner->empty()) {
          read_conditions(domain, *inner, name + ".");
          continue;
        }
        at(key.source(), [&] { return &config_key(name); });
      }
      DomainCondition condition{name, {}};
      if (const toml::array* several = node.as_array()) {
        for (const toml::node& value : *several) {
          condition.values.push_back(value_text(*row, value));
        }
      } else {
        condition.values.push_back(value_text(*row, node));
      }
      domain.when.push_back(std::move(condition));
    }
  }

  // ------------------------------------------------------------------------------------------------ conditions

  const Placed* placed(const std::string& key) const {
    const auto found =
        std::find_if(placed_.begin(), placed_.end(), [&](const Placed& p) { return p.domain.key == key; });
    return found == placed_.end() ? nullptr : &*found;
  }

  static bool may_have(const Domain& domain, const std::string& value) {
    if (domain.kind == DomainKind::choice) {
      return std::find(domain.choices.begin(), domain.choices.end(), value) != domain.choices.end();
    }
    double number = 0;
    return parse_number(value, number) && number >= domain.low && number <= domain.high;
  }

  /// Puts what a condition asks for before the key that it is a condition of.
  void order_space() {
    const auto position = [](const Placed& p) { return std::tuple(p.place.begin.line, p.place.begin.column); };
    std::sort(placed_.begin(), placed_.end(),
              [&](const Placed& a, const Placed& b) { return position(a) < position(b); });
    std::vector<std::string> open;
    for (const Placed& p : placed_) {
      place_after_conditions(p, open);
    }
    for (const Placed& p : placed_) {
      std::map<std::string, std::vector<std::string>> wanted;
      require_possible(p, p, wanted);
    }
  }

  void place_after_conditions(const Placed& p, std::vector<std::string>& open) {
    const auto is_placed = [&](const Domain& d) { return d.key == p.domain.key; };
    if (std::any_of(sweep_.space.begin(), sweep_.space.end(), is_placed)) {
      return;
    }
    if (std::find(open.begin(), open.end(), p.domain.key) != open.end()) {
      fail(p.place, "the condition of " + p.domain.key + " leads back to " + p.domain.key + "; leave one out");
    }
    open.push_back(p.domain.key);
    for (const DomainCondition& condition : p.domain.when) {
      const Placed* asked = placed(condition.key);
      if (asked == nullptr) {
        fail(p.place, "the condition of " + p.domain.key + " asks for " + condition.key +
                          ", which the space does not vary; leave the condition out, or vary that key");
      }
      if (asked->domain.kind == DomainKind::uniform || asked->domain.kind == DomainKind::log_uniform) {
        fail(p.place, "the condition of " + p.domain.key + " asks for a value of " + condition.key +
                          ", which is drawn from a range; conditions need listed values or whole numbers");
      }
      place_after_conditions(*asked, open);
    }
    open.pop_back();
    sweep_.space.push_back(p.domain);
  }

  /// All that must hold for `p` to be tried, one condition after the other, narrows what its keys may be.
  void require_possible(const Placed& whose, const Placed& p,
                        std::map<std::string, std::vector<std::string>>& wanted) const {
    for (const DomainCondition& condition : p.domain.when) {
      const Placed& asked = *placed(condition.key);
      const auto [known, inserted] = wanted.try_emplace(condition.key, condition.values);
      const bool fresh = inserted;
      std::erase_if(known->second, [&](const std::string& value) {
        return !may_have(asked.domain, value) ||
               (!fresh && std::find(condition.values.begin(), condition.values.end(), value) == condition.values.end());
      });
      if (known->second.empty()) {
        fail(whose.place, "the condition of " + whose.domain.key + " can never hold: " + condition.key +
                              " is never what it asks for; correct its values, or leave the key out");
      }
      require_possible(whose, asked, wanted);
    }
  }

  const fs::path& file_;
  SweepFile sweep_;
  std::vector<Placed> placed_;
};

}  // namespace

SweepFile read_sweep_file(const fs::path& file, const Config* base) {
  return SweepReader(file, base).take();
}

}  // namespace evenflow::io
