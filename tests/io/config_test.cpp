#include "io/config.h"

#include <bit>
#include <cmath>
#include <random>
#include <set>

#include "io/edit_distance.h"
#include "io/parameter_value.h"
#include "tests/io/testing.h"

namespace evenflow::io {
namespace {
using ::testing::AllOf;
using testing::error_of;
using ::testing::HasSubstr;
using testing::put;
using ::testing::StartsWith;
using testing::TempFolder;

Config config_of(const std::string& toml) {
  return parse_config(toml, "a.toml");
}
std::string usage_error(const std::string& toml) {
  return error_of<UsageError>([&] { config_of(toml); });
}
const ConfigKey& key(const std::string& name) {
  for (const ConfigKey& candidate : config_keys()) {
    if (candidate.name == name) {
      return candidate;
    }
  }
  throw std::runtime_error("no key " + name);
}

/// Every field away from its default.
Config unusual() {
  Config c;
  c.frontend = {44100, "1", 2048, 441, PadMode::zero, 64};
  c.window = {Normalisation::global, 32, 7};
  c.model = {ModelKind::glow, 1, 9, 48, InvconvKind::dense, CouplingKind::tanh};
  c.condition = {false,           {"velocity_mm_s", "weight, kg", "qu\"o\\te\n\t\x01\x7f \xC3\xA9"},
                 {0.1, -3e-5, 1}, {1e300, -0.0, 7},
                 ZdHalf::first,   {"weight, kg"}};
  c.augment = {60.5, SpeedChange::warp, 0.75, "weight, kg", 0.2, 9, 5};
  c.train = {"cuda:3",
             5,
             Precision::bf16,
             CouplingKernels::layered,
             "slide rail",
             {"velocity_mm_s=300"},
             700,
             1000,
             7,
             64,
             3e-3,
             Schedule::cosine,
             20,
             5.0,
             0.25,
             8,
             3,
             0,
             9223372036854775807u};
  c.score = {"nll", Aggregate::top_k, 3, ThresholdMethod::value, 0.99, -2.5};
  c.calibration = {5, 62.5, {80.0, 1e-3, 7.0}};
  return c;
}

template <class E>
void expect_one_name_each() {
  std::set<std::string_view> names;
  for (const Choice<E>& choice : choices<E>) {
    EXPECT_TRUE(names.insert(choice.name).second) << choice.name;
    EXPECT_EQ(value_of<E>(choice.name), choice.value);
    EXPECT_EQ(name_of(choice.value), choice.name);
  }
  EXPECT_FALSE(names.empty());
  EXPECT_EQ(value_of<E>("something else"), std::nullopt);
}

TEST(Choice, ValuesAndNamesArePairs) {
  expect_one_name_each<PadMode>();
  expect_one_name_each<Normalisation>();
  expect_one_name_each<ModelKind>();
  expect_one_name_each<InvconvKind>();
  expect_one_name_each<CouplingKind>();
  expect_one_name_each<ZdHalf>();
  expect_one_name_each<Precision>();
  expect_one_name_each<CouplingKernels>();
  expect_one_name_each<Schedule>();
  expect_one_name_each<Aggregate>();
  expect_one_name_each<ThresholdMethod>();
}

TEST(Choice, NamesAsErrorsAndAsHelpListThem) {
  EXPECT_EQ(names_text<Aggregate>(), "\"mean\" or \"max\" or \"top_k\"");
  EXPECT_EQ(names_text<Aggregate>(", "), "\"mean\", \"max\" or \"top_k\"");
  EXPECT_THROW(name_of(static_cast<PadMode>(7)), std::logic_error);
}

TEST(EditDistance, CountsLettersAddedLeftOutAndReplaced) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("batch", "batch"), 0U);
  EXPECT_EQ(edit_distance("btach", "batch"), 2U);
  EXPECT_EQ(edit_distance("learnig_rate", "learning_rate"), 1U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(edit_distance("sitting", "kitten"), 3U);
}

TEST(Config, DefaultsRoundTrip) {
  EXPECT_EQ(config_of(to_toml(Config{})), Config{});
  EXPECT_NO_THROW(validate(Config{}));
}

TEST(Config, EveryFieldRoundTripsOverOtherValues) {
  EXPECT_EQ(config_of(to_toml(unusual())), unusual());
  EXPECT_EQ(parse_config(to_toml(Config{}), "a.toml", unusual()), Config{});
  EXPECT_TRUE(std::signbit(config_of(to_toml(unusual())).condition.v0[1]));
  EXPECT_NO_THROW(validate(unusual()));
}

TEST(Config, DoublesRoundTripToTheBit) {
  std::mt19937_64 random(1);
  Config c;
  while (c.condition.k.size() < 20'000) {
    const double value = std::bit_cast<double>(random());
    if (std::isfinite(value)) {
      c.condition.k.push_back(value);
    }
  }
  c.condition.k.push_back(5e-324);
  c.condition.k.push_back(1.7976931348623157e308);
  const Config back = config_of(to_toml(c));
  ASSERT_EQ(back.condition.k.size(), c.condition.k.size());
  for (size_t i = 0; i < c.condition.k.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint64_t>(back.condition.k[i]), std::bit_cast<uint64_t>(c.condition.k[i])) << i;
  }
}

TEST(Config, DoublesAreShort) {
  EXPECT_THAT(to_toml(Config{}), HasSubstr("validation_fraction = 0.1\n"));
}

TEST(Config, KeysReadBackTheirOwnText) {
  // Over the other configuration, so that a `set` without effect shows.
  Config forth;
  Config back = unusual();
  for (const ConfigKey& k : config_keys()) {
    k.set(forth, k.get(unusual()));
    k.set(back, k.get(Config{}));
  }
  EXPECT_EQ(forth, unusual());
  EXPECT_EQ(back, Config{});
}

TEST(Config, EveryKeyIsDocumentedOnceAndCommentedInToml) {
  std::set<std::string> names;
  const std::string toml = to_toml(Config{});
  for (const ConfigKey& k : config_keys()) {
    EXPECT_TRUE(names.insert(k.name).second) << k.name;
    EXPECT_THAT(toml, HasSubstr("# " + k.help + "\n" + k.name.substr(k.name.find('.') + 1) + " = "));
    EXPECT_THAT((std::vector<std::string>{"int", "float", "bool", "text", "list of text", "list of float"}),
                ::testing::Contains(k.type));
  }
  // A field added to a struct but not to the table would be lost by to_toml; `unusual` above catches that.
  EXPECT_EQ(names.size(), 64u);
}

TEST(Config, KeepsTheBaseWhereTheFileIsSilent) {
  const Config read = parse_config("[train]\nepochs = 7\n", "a.toml", unusual());
  Config expected = unusual();
  expected.train.epochs = 7;
  EXPECT_EQ(read, expected);
}

TEST(Config, TakesDottedKeysAndWholeNumbersForFloats) {
  const Config read = config_of("train.epochs = 7\ntrain.clip_norm = 5\n[condition]\nk = [1, 0.5]\n");
  EXPECT_EQ(read.train.epochs, 7);
  EXPECT_EQ(read.train.clip_norm, 5.0);
  EXPECT_EQ(read.condition.k, (std::vector<double>{1.0, 0.5}));
}

TEST(Config, UnknownKeyNamesFileLineAndNearestKey) {
  EXPECT_EQ(usage_error("[train]\nepochs = 3\nlearnig_rate = 1e-3\n"),
            "a.toml:3: unknown key 'train.learnig_rate'; did you mean 'train.learning_rate'?");
  EXPECT_EQ(usage_error("[model]\nepochs = 3\n"), "a.toml:2: unknown key 'model.epochs'; did you mean 'train.epochs'?");
  EXPECT_EQ(usage_error("epochs = 3\n"), "a.toml:1: unknown key 'epochs'; did you mean 'train.epochs'?");
  EXPECT_EQ(usage_error("\n[trian]\nbatch = 3\n"), "a.toml:3: unknown key 'trian.batch'; did you mean 'train.batch'?");
  EXPECT_THAT(usage_error("[nothing]\n"), StartsWith("a.toml:1: unknown key 'nothing'"));
  EXPECT_THAT(usage_error(std::string(100'000, 'x') + " = 1"), StartsWith("a.toml:1: unknown key"));
}

TEST(Config, ASectionGivenAValueSaysSo) {
  EXPECT_EQ(usage_error("train = 3\n"), "a.toml:1: 'train' is a section: write [train]");
}

TEST(Config, WrongTomlNamesFileAndLine) {
  // Assertions of toml++ would end the program here.
  EXPECT_THAT(usage_error("\n[!train]\nepochs = 3\n"), AllOf(StartsWith("a.toml:2: "), HasSubstr("not valid TOML")));
  EXPECT_THAT(usage_error("[train]\nepochs = \n"), AllOf(StartsWith("a.toml:2: "), HasSubstr("not valid TOML")));
  EXPECT_THAT(usage_error("[train]\nepochs = 1\nepochs = 2\n"), StartsWith("a.toml:3: "));
}

struct Bad {
  const char* name;
  const char* value;    // as in a flag
  const char* toml;     // as in the file
  const char* allowed;  // part of the sentence
};

TEST(Config, BadValuesAreRefusedInFlagsAndFiles) {
  const Bad rows[] = {
      {"frontend.sample_rate_hz", "0", "0", "from 1000 to"},
      {"frontend.channel", "left", "\"left\"", "\"mean\" or a channel index"},
      {"frontend.channel", "", "\"\"", "\"mean\" or a channel index"},
      {"frontend.n_fft", "0", "0", "an even number from 2 to"},
      {"frontend.n_fft", "1023", "1023", "an even number from 2 to"},
      {"frontend.hop_samples", "0", "0", "from 1 to"},
      {"frontend.pad_mode", "constant", "\"constant\"", "\"reflect\" or \"zero\""},
      {"frontend.mel_bands", "-3", "-3", "from 1 to"},
      {"window.normalise", "yes", "true", "\"per_band\" or \"global\" or \"none\""},
      {"window.window_frames", "0", "0", "from 1 to"},
      {"window.window_hop_frames", "0", "0", "from 1 to"},
      {"model.kind", "gan", "\"gan\"", "\"glow\" or \"vae\""},
      {"vae.layers", "3", "3", "an even number from 2 to"},
      {"vae.beta", "-1", "-1", ">= 0"},
      {"model.blocks", "0", "0", "from 1 to 8"},
      {"model.steps", "0", "0", "from 1 to"},
      {"model.hidden", "0", "0", "from 1 to"},
      {"model.invconv", "lu", "\"lu\"", "\"plu\" or \"dense\""},
      {"model.coupling", "exp", "\"exp\"", "\"sigmoid\" or \"tanh\" or \"additive\""},
      {"condition.enabled", "yes", "\"yes\"", "true or false"},
      {"condition.enabled", "1", "1", "true or false"},
      {"condition.parameters", "a,,b", "[\"a\", \"\"]", "list of non-empty texts"},
      {"condition.k", "1,x", "[1, \"x\"]", "list of finite numbers"},
      {"condition.k", "nan", "[nan]", "list of finite numbers"},
      {"condition.v0", "[1, inf]", "[1, inf]", "list of finite numbers"},
      {"train.device", "gpu", "\"gpu\"", "\"cuda:N\""},
      {"train.device", "cuda:", "\"cuda:\"", "\"cuda:N\""},
      {"train.device", "cuda:-1", "\"cuda:-1\"", "\"cuda:N\""},
      {"train.threads", "-1", "-1", "from 0 to"},
      {"train.precision", "fp16", "\"fp16\"", "\"tf32\" or \"bf16\" or \"float32\""},
      {"train.kernels", "cudnn", "\"cudnn\"", "\"auto\" or \"layered\" or \"fused\""},
      {"train.epochs", "-1", "-1", "from 0 to"},
      {"train.steps", "0", "0", "from 1 to"},
      {"train.patience", "-2", "-2", "from -1 to"},
      {"train.epochs", "1.5", "1.5", "whole number"},
      {"train.epochs", "ten", "\"ten\"", "whole number"},
      {"train.epochs", "", "\"\"", "whole number"},
      {"train.epochs", "99999999999999999999", "9999999999999999", "whole number"},
      {"train.batch", "0", "0", "from 1 to"},
      {"train.learning_rate", "0", "0", "> 0.0 and <= 1.0"},
      {"train.learning_rate", "nan", "nan", "> 0.0"},
      {"train.learning_rate", "-1e-4", "-1e-4", "> 0.0"},
      {"train.schedule", "step", "\"step\"", "\"constant\" or \"cosine\""},
      {"train.warmup_steps", "-1", "-1", "from 0 to"},
      {"train.clip_norm", "-1", "-1", ">= 0.0"},
      {"train.clip_norm", "inf", "inf", ">= 0.0"},
      {"train.validation_fraction", "1", "1", "< 1.0"},
      {"train.windows_per_clip", "-1", "-1", "from 0 to"},
      {"train.checkpoint_epochs", "0", "0", "from 1 to"},
      {"train.resident_mib", "-1", "-1", "from 0 to"},
      {"train.seed", "-1", "-1", "from 0 to 9223372036854775807"},
      {"score.score", "zc", "\"zc\"", "\"score_zc\""},
      {"score.aggregate", "median", "\"median\"", "\"top_k\""},
      {"score.top_k", "0", "0", "from 1 to"},
      {"score.threshold", "fixed", "\"fixed\"", "\"gamma\" or \"quantile\""},
      {"score.threshold_quantile", "1", "1.0", "< 1.0"},
      {"score.threshold_quantile", "0", "0.0", "> 0.0"},
  };
  for (const Bad& bad : rows) {
    SCOPED_TRACE(std::string(bad.name) + " = " + bad.value);
    Config config;
    const std::string flag = error_of<UsageError>([&] { key(bad.name).set(config, bad.value); });
    EXPECT_THAT(flag, AllOf(HasSubstr(bad.name), HasSubstr(bad.value), HasSubstr(bad.allowed)));
    EXPECT_EQ(config, Config{});
    const std::string file = usage_error(std::string("\n") + bad.name + " = " + bad.toml + "\n");
    EXPECT_THAT(file, AllOf(StartsWith("a.toml:2: "), HasSubstr(bad.name), HasSubstr(bad.allowed)));
  }
}

TEST(Config, ValuesOfAnyTomlTypeAreShown) {
  EXPECT_THAT(usage_error("train.epochs = [1, [\"a\", true], 2e-3]"),
              HasSubstr("train.epochs = [1, [\"a\", true], 0.002] is not allowed"));
  EXPECT_THAT(usage_error("train.epochs = {a = 1}"), HasSubstr("train.epochs = (a table) is not allowed"));
  EXPECT_THAT(usage_error("train.machine = 2021-01-01"), HasSubstr("train.machine = (a date or time) is not allowed"));
}

TEST(Config, LeavesOutOperatingPointsByTheirValues) {
  EXPECT_EQ(parse_config("[train]\nleave_out = [\"velocity_mm_s=300\", \"tool=B 2\"]\n", "a.toml").train.leave_out,
            (std::vector<std::string>{"velocity_mm_s=300", "tool=B 2"}));
  EXPECT_EQ(parse_parameter_value("v=x=100").value().name, "v=x");
  const std::vector<std::string> parameters = {"tool", "v", "v=x"};
  EXPECT_EQ(split_parameter_value("tool=B=2", parameters).value().text, "B=2");
  EXPECT_EQ(split_parameter_value("tool==2", parameters).value().text, "=2");
  EXPECT_EQ(split_parameter_value("v=x=100", parameters).value().name, "v=x");
  EXPECT_EQ(split_parameter_value("load=B=2", parameters).value().name, "load=B");
  EXPECT_FALSE(split_parameter_value("tool=", parameters));
  for (const char* wrong : {"velocity_mm_s=fast", "velocity_mm_s=inf", "v=1 2"}) {
    EXPECT_FALSE(parse_parameter_value(wrong)) << wrong;
    EXPECT_TRUE(split_parameter_value(wrong)) << wrong;
  }
  for (const char* wrong : {"300", "=300", "velocity_mm_s="}) {
    Config config;
    config.train.leave_out = {wrong};
    EXPECT_THAT(error_of<UsageError>([&] { validate(config); }), HasSubstr("which is not a parameter and its value"))
        << wrong;
  }
}

TEST(Config, ListsAsFlags) {
  Config c;
  key("condition.parameters").set(c, "velocity_mm_s, weight_kg");
  EXPECT_EQ(c.condition.parameters, (std::vector<std::string>{"velocity_mm_s", "weight_kg"}));
  key("condition.parameters").set(c, "");
  EXPECT_TRUE(c.condition.parameters.empty());
  key("condition.parameters").set(c, R"(["a, b", "c"])");
  EXPECT_EQ(c.condition.parameters, (std::vector<std::string>{"a, b", "c"}));
  key("condition.k").set(c, "0.01,-2");
  EXPECT_EQ(c.condition.k, (std::vector<double>{0.01, -2.0}));
}

TEST(Config, MissingFileIsNamed) {
  const TempFolder folder;
  EXPECT_THAT(error_of<UsageError>([&] { read_config(folder / "none.toml"); }),
              AllOf(HasSubstr((folder / "none.toml").string()), HasSubstr("No such file")));
  put(folder / "a.toml", "[train]\nepochs = -1\n");
  EXPECT_THAT(error_of<UsageError>([&] { read_config(folder / "a.toml"); }),
              StartsWith((folder / "a.toml").string() + ":2: train.epochs = -1"));
}

TEST(Config, ValidateSeesRangesOfAConfigurationFilledByCode) {
  Config c;
  c.train.epochs = -1;
  EXPECT_THAT(error_of<UsageError>([&] { validate(c); }), HasSubstr("train.epochs = -1"));
  c = {};
  c.train.seed = 9223372036854775808u;
  EXPECT_THAT(error_of<UsageError>([&] { validate(c); }), HasSubstr("train.seed = 9223372036854775808"));
}

TEST(Config, ValidateSeesCombinations) {
  Config c;
  c.frontend.mel_bands = 100;
  EXPECT_THAT(error_of<UsageError>([&] { validate(c); }),
              AllOf(HasSubstr("frontend.mel_bands = 100"), HasSubstr("multiple of 8")));
  c = {};
  c.window.window_frames = 60;
  EXPECT_THAT(error_of<UsageError>([&] { validate(c); }), HasSubstr("window.window_frames = 60"));
  c.model.blocks = 2;
  EXPECT_NO_THROW(validate(c));
  c = {};
  c.condition.parameters = {"v", "v"};
  EXPECT_THAT(error_of<UsageError>([&] { validate(c); }), HasSubstr("'v' twice"));
  c = {};
  c.condition.parameters = {"v"};
  c.condition.k = {1.0, 2.0};
  EXPECT_THAT(error_of<UsageError>([&] { validate(c); }), HasSubstr("condition.k has 2 values"));
  c = {};
  c.condition.k = {1.0, 2.0};
  c.condition.v0 = {0.0};
  EXPECT_THAT(error_of<UsageError>([&] { validate(c); }), HasSubstr("condition.v0 has 1"));
  c = {};
  c.condition.k = {0.0};
  EXPECT_THAT(error_of<UsageError>([&] { validate(c); }), HasSubstr("condition.k = 0"));
  c = {};
  c.condition.parameters = {"v"};
  c.calibration.bandwidth = {1.0, 2.0};
  EXPECT_THAT(error_of<UsageError>([&] { validate(c); }), HasSubstr("calibration.bandwidth has 2 values"));
  c.calibration.bandwidth = {0.0};
  EXPECT_THAT(error_of<UsageError>([&] { validate(c); }), HasSubstr("calibration.bandwidth has a value that is not"));
  c = {};
  c.augment.mask_bands = 128;
  EXPECT_THAT(error_of<UsageError>([&] { validate(c); }),
              AllOf(HasSubstr("augment.mask_bands = 128"), HasSubstr("less than frontend.mel_bands = 128")));
  c.augment.mask_bands = 127;
  c.augment.mask_frames = 64;
  EXPECT_THAT(error_of<UsageError>([&] { validate(c); }), HasSubstr("less than window.window_frames = 64"));
  c.augment.mask_frames = 63;
  EXPECT_NO_THROW(validate(c));
}

TEST(Config, SpeedAndNoiseAreLeftToTheProgramByDefault) {
  EXPECT_EQ(Config().augment.speed, AugmentSettings::automatic);
  EXPECT_EQ(Config().augment.noise, AugmentSettings::automatic);
  EXPECT_FALSE(AugmentSettings::none().any());
  EXPECT_FALSE(config_of("[augment]\nspeed = 0\nnoise = 0\n").augment.any());
  EXPECT_TRUE(config_of("[augment]\nspeed = 60\n").augment.any());
  EXPECT_TRUE(config_of("[augment]\nnoise = 0.2\n").augment.any());
  EXPECT_TRUE(config_of("[augment]\nmask_bands = 8\n").augment.any());
  EXPECT_TRUE(config_of("[augment]\nmask_frames = 8\n").augment.any());
  EXPECT_THAT(usage_error("[augment]\nspeed = -2\n"), HasSubstr("augment.speed"));
  EXPECT_THAT(usage_error("[augment]\nspeed_probability = 1.5\n"), HasSubstr("augment.speed_probability"));
  EXPECT_THAT(usage_error("[augment]\nnoise = -2\n"), HasSubstr("augment.noise"));
}

}  // namespace
}  // namespace evenflow::io
