// SPACE.toml: what it may say, and the sentence for what it may not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "io/error.h"
#include "io/sweep_file.h"
#include "tests/support/error_message.h"

namespace evenflow::io {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SweepFiles : public ::testing::Test {
 protected:
  SweepFiles() { fs::create_directories(folder_); }
  ~SweepFiles() override { fs::remove_all(folder_); }
  fs::path put(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  SweepFile read(const std::string& text) const { return read_sweep_file(put("space.toml", text)); }
  std::string refusal(const std::string& text) const {
    return tests::message_of<UsageError>([&] { read(text); });
  }
  fs::path folder_ = fs::path(::testing::TempDir()) /
                     (std::string("sweep_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(SweepFiles, SaysEverything) {
  put("base.toml", "[train]\nepochs = 30\nbatch = 16\n");
  const SweepFile sweep = read(R"(
base = "base.toml"
[config.train]
batch = 8
[sweep]
sampler = "tpe"
trials = 20
repeats = 3
seed = 7
objectives = ["auc", "windows_per_s"]
labelled = "labelled.h5"
[halving]
min_epochs = 3
[space]
condition.k = { log_uniform = [1e-3, 0.1], when = { model.coupling = ["additive", "tanh"] } }
model.coupling = ["sigmoid", "additive"]
[space.train]
learning_rate = { log_uniform = [1e-4, 1e-2], points = 4 }
windows_per_clip = { integer = [2, 8] }
batch = { choice = [8, 16, 32] }
[slurm]
partition = "cpu"
cpus-per-task = 2
exclusive = true
grace_s = 60
)");
  EXPECT_EQ(sweep.base.train.epochs, 30);
  EXPECT_EQ(sweep.base.train.batch, 8);
  EXPECT_EQ(sweep.sampler, SamplerKind::tpe);
  EXPECT_EQ(sweep.trials, 20);
  EXPECT_EQ(sweep.repeats, 3);
  EXPECT_EQ(sweep.seed, 7U);
  EXPECT_THAT(sweep.objectives, ElementsAre(Objective::auc, Objective::windows_per_s));
  EXPECT_EQ(fs::path(sweep.labelled), folder_ / "labelled.h5");
  EXPECT_EQ(sweep.halving, (HalvingSettings{3, 3}));
  EXPECT_THAT(sweep.slurm.arguments, ElementsAre("--cpus-per-task=2", "--exclusive", "--partition=cpu"));
  EXPECT_EQ(sweep.slurm.grace_s, 60);
  // In the order of the file, but a condition's key first.
  ASSERT_EQ(sweep.space.size(), 5U);
  EXPECT_EQ(sweep.space[0], (Domain{"model.coupling", DomainKind::choice, {"sigmoid", "additive"}, 0, 0, 0, {}}));
  EXPECT_EQ(
      sweep.space[1],
      (Domain{"condition.k", DomainKind::log_uniform, {}, 1e-3, 0.1, 0, {{"model.coupling", {"additive", "tanh"}}}}));
  EXPECT_EQ(sweep.space[2], (Domain{"train.learning_rate", DomainKind::log_uniform, {}, 1e-4, 1e-2, 4, {}}));
  EXPECT_EQ(sweep.space[3], (Domain{"train.windows_per_clip", DomainKind::integer, {}, 2, 8, 0, {}}));
  EXPECT_EQ(sweep.space[4], (Domain{"train.batch", DomainKind::choice, {"8", "16", "32"}, 0, 0, 0, {}}));
}

TEST_F(SweepFiles, TheThreeWaysToWriteAKeyAreOne) {
  const SweepFile plain = read("[space]\ntrain.batch = [8, 16]\n");
  EXPECT_EQ(read("[space]\n\"train.batch\" = [8, 16]\n"), plain);
  EXPECT_EQ(read("[space.train]\nbatch = [8, 16]\n"), plain);
  EXPECT_EQ(read("[space]\ncondition.k = [0.1, [0.2]]\n"), read("[space]\ncondition.k = [[0.1], [0.2]]\n"));
  EXPECT_EQ(plain.sampler, SamplerKind::sobol);
  EXPECT_THAT(plain.objectives, ElementsAre(Objective::held_out_loss));
}

TEST_F(SweepFiles, TheBaseMayBeGivenInPlaceOfTheFiles) {
  const fs::path file = put("space.toml", "base = \"gone.toml\"\n[space]\ntrain.batch = [8, 16]\n");
  Config base;
  base.train.epochs = 3;
  EXPECT_EQ(read_sweep_file(file, &base).base, base);
  EXPECT_THROW(read_sweep_file(file), UsageError);
}

TEST_F(SweepFiles, RefusesWithFileLineAndCure) {
  const auto expect = [&](const std::string& text, int line, const std::vector<std::string>& words) {
    const std::string said = refusal(text);
    EXPECT_THAT(said, HasSubstr("space.toml:" + std::to_string(line) + ": ")) << text;
    for (const std::string& word : words) {
      EXPECT_THAT(said, HasSubstr(word)) << text;
    }
  };
  expect("[space]\ntrain.bath = [8]\n", 2, {"unknown key 'train.bath'", "train.batch"});
  expect("[space]\ntrain.batch = [8, 0]\n", 2, {"train.batch = 0", "1 to 1000000"});
  expect("[space]\ntrain.batch = [8, 8]\n", 2, {"train.batch lists 8 twice"});
  expect("[space]\ntrain.batch = []\n", 2, {"train.batch lists no value"});
  expect("[space]\ntrain.batch = 8\n", 2, {"varies nothing", "square brackets", "[config]"});
  expect("[space]\ntrain.batch = { uniform = [8, 16] }\n", 2, {"whole number", "integer"});
  expect("[space]\ntrain.learning_rate = { integer = [1, 2] }\n", 2, {"not a whole number", "uniform"});
  expect("[space]\ntrain.learning_rate = { uniform = [1e-3, 1e-4] }\n", 2, {"the first number must be below"});
  expect("[space]\ntrain.learning_rate = { uniform = [0.5, 2] }\n", 2, {"train.learning_rate = 2.0", "<= 1.0"});
  expect("[space]\ntrain.clip_norm = { log_uniform = [0, 2] }\n", 2, {"no logarithm"});
  expect("[space]\ntrain.clip_norm = { when = { model.blocks = 1 } }\n", 2, {"lacks its values"});
  expect("[space]\nvae.layers = { integer = [2, 8] }\n", 2, {"vae.layers = 3", "even"});
  expect("[space]\nmodel.coupling = { integer = [2, 8] }\n", 2, {"is no number"});
  expect("[space]\ntrain.seed = [1, 2]\n", 2, {"train.seed", "sweep.repeats"});
  expect("[space]\nfrontend.n_fft = [512, 1024]\n", 2, {"frontend.n_fft", "prepared already"});
  expect("[space]\ntrain.batch = { choice = [8], unless = 3 }\n", 2, {"train.batch.unless", "did you mean"});
  expect("[swep]\n[space]\ntrain.batch = [8]\n", 1, {"unknown key 'swep'", "'sweep'"});
  expect("[sweep]\ntrails = 3\n[space]\ntrain.batch = [8]\n", 2, {"sweep.trails", "sweep.trials"});
  expect("[sweep]\ntrials = 0\n[space]\ntrain.batch = [8]\n", 2, {"sweep.trials = 0", "from 1"});
  expect("[sweep]\nsampler = \"bayes\"\n[space]\ntrain.batch = [8]\n", 2, {"sweep.sampler", "\"sobol\""});
  expect("[sweep]\nobjectives = [\"accuracy\"]\n[space]\ntrain.batch = [8]\n", 2, {"accuracy", "held_out_loss"});
  expect("[halving]\nfactor = 3\n[space]\ntrain.batch = [8]\n", 1, {"min_epochs"});
  expect("[slurm]\narray = \"0-3\"\n[space]\ntrain.batch = [8]\n", 2, {"slurm.array", "itself"});
  expect("[config.train]\nbatch = 0\n[space]\ntrain.batch = [8]\n", 2, {"train.batch = 0"});
  expect("[space\n", 1, {"not valid TOML"});
  EXPECT_THAT(refusal("[config.train]\nbatch = 8\n"), AllOf(HasSubstr("space.toml"), HasSubstr("varies nothing")));
}

TEST_F(SweepFiles, AConditionThatCanNeverHoldIsRefused) {
  const std::string couplings = "[space]\nmodel.coupling = [\"sigmoid\", \"additive\"]\n";
  EXPECT_THAT(refusal(couplings + "condition.k = { uniform = [0.1, 1], when = { model.coupling = \"tanh\" } }\n"),
              AllOf(HasSubstr(":3: "), HasSubstr("condition.k can never hold"), HasSubstr("model.coupling")));
  EXPECT_THAT(refusal(couplings + "condition.k = { uniform = [0.1, 1], when = { model.coupling = \"additiv\" } }\n"),
              AllOf(HasSubstr(":3: "), HasSubstr("model.coupling = \"additiv\" is not allowed")));
  EXPECT_THAT(refusal("[space]\ncondition.k = { uniform = [0.1, 1], when = { model.blocks = 2 } }\n"),
              AllOf(HasSubstr("model.blocks"), HasSubstr("the space does not vary")));
  EXPECT_THAT(refusal("[space]\nmodel.blocks = { integer = [1, 3] }\n"
                      "condition.k = { uniform = [0.1, 1], when = { model.blocks = 4 } }\n"),
              HasSubstr("can never hold"));
  EXPECT_THAT(refusal("[space]\nmodel.blocks = { choice = [1, 3], when = { model.steps = 2 } }\n"
                      "model.steps = { choice = [1, 2], when = { model.blocks = 3 } }\n"),
              HasSubstr("leads back to"));
  EXPECT_THAT(refusal("[space]\ntrain.clip_norm = { uniform = [1, 3] }\n"
                      "model.steps = { choice = [1, 2], when = { train.clip_norm = 2.0 } }\n"),
              HasSubstr("drawn from a range"));
}

TEST_F(SweepFiles, AConditionThatOthersRuleOutIsRefused) {
  // `hidden` needs 3 blocks itself and, by way of `steps`, 1.
  EXPECT_THAT(refusal("[space]\nmodel.blocks = [1, 3]\n"
                      "model.steps = { choice = [2, 4], when = { model.blocks = 1 } }\n"
                      "model.hidden = { choice = [8, 16], when = { model.steps = 4, model.blocks = 3 } }\n"),
              AllOf(HasSubstr(":4: "), HasSubstr("model.hidden can never hold")));
}

}  // namespace
}  // namespace evenflow::io
