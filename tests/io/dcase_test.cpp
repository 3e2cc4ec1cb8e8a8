#include "io/dcase.h"

#include <algorithm>
#include <cmath>

#include "io/manifest.h"
#include "tests/io/testing.h"

namespace evenflow::io {
namespace {
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using testing::put;
using testing::TempFolder;

const Clip& clip_at(const Manifest& manifest, const std::string& path) {
  for (const Clip& clip : manifest.clips) {
    if (clip.path == path) {
      return clip;
    }
  }
  throw std::runtime_error("no clip " + path);
}

double value_of(const Manifest& manifest, const Clip& clip, const std::string& name) {
  for (size_t i = 0; i < manifest.parameter_names.size(); ++i) {
    if (manifest.parameter_names[i] == name) {
      return clip.parameter.at(i);
    }
  }
  throw std::runtime_error("no parameter " + name);
}

TEST(DcaseName, SectionsSince2021) {
  const auto development = parse_dcase_name("section_02_target_test_anomaly_0025_vel_6_loc_A");
  ASSERT_TRUE(development);
  EXPECT_EQ(development->section, "02");
  EXPECT_EQ(development->domain, "target");
  EXPECT_EQ(development->split, "test");
  EXPECT_EQ(development->label, "anomaly");
  EXPECT_THAT(development->attributes, ElementsAre("vel", "6", "loc", "A"));

  const auto none = parse_dcase_name("section_00_source_train_normal_0000_noAttribute");
  ASSERT_TRUE(none);
  EXPECT_EQ(none->label, "normal");
  EXPECT_THAT(none->attributes, IsEmpty());

  // What is unknown has a key; nothing slips into its place.
  const auto partly = parse_dcase_name("section_00_source_train_normal_0000_loc_noAttribute_spd_0");
  ASSERT_TRUE(partly);
  const Attributes known = read_attributes(partly->attributes);
  ASSERT_EQ(known.size(), 1U);
  EXPECT_EQ(known[0].key, "spd");
  EXPECT_EQ(known[0].value, "0");

  const auto evaluation_2021 = parse_dcase_name("section_03_source_test_0000");
  ASSERT_TRUE(evaluation_2021);
  EXPECT_EQ(evaluation_2021->domain, "source");
  EXPECT_EQ(evaluation_2021->label, "");

  const auto evaluation = parse_dcase_name("section_00_0001");
  ASSERT_TRUE(evaluation);
  EXPECT_EQ(evaluation->section, "00");
  EXPECT_EQ(evaluation->domain + evaluation->split + evaluation->label, "");
}

TEST(DcaseName, OthersAreNone) {
  for (const char* stem : {"", "section", "section_00", "section_xx_0001", "normal_id_00", "normal_id_x_00000000",
                           "abnormal_id_00_00000000", "normal_00_00000000", "id_00", "id_00_1_2", "section_00_x_0001",
                           "section_00_source_train_normal", "section_00_train_source_normal_0000", "section__0001"}) {
    EXPECT_FALSE(parse_dcase_name(stem)) << stem;
  }
}

TEST(DcaseName, Of2020) {
  const auto normal = parse_dcase_name("normal_id_02_00000025");
  ASSERT_TRUE(normal);
  EXPECT_EQ(normal->section, "02");
  EXPECT_EQ(normal->label, "normal");
  EXPECT_EQ(normal->domain + normal->split, "");
  EXPECT_THAT(normal->attributes, IsEmpty());
  EXPECT_EQ(parse_dcase_name("anomaly_id_00_00000000")->label, "anomaly");
  const auto evaluation = parse_dcase_name("id_05_00000001");
  ASSERT_TRUE(evaluation);
  EXPECT_EQ(evaluation->section, "05");
  EXPECT_EQ(evaluation->label, "");
}

std::vector<NumericAttribute> numeric_attributes(const std::vector<std::string>& words) {
  std::vector<NumericAttribute> numbers;
  for (const Attribute& attribute : read_attributes(words)) {
    if (const auto number = numeric_attribute(attribute.key, attribute.value); number && !attribute.key.empty()) {
      numbers.push_back(*number);
    }
  }
  return numbers;
}

/// Key and value of those that are no numbers; a word that stands alone has no key.
std::vector<std::pair<std::string, std::string>> other_attributes(const std::vector<std::string>& words) {
  std::vector<std::pair<std::string, std::string>> others;
  for (const Attribute& attribute : read_attributes(words)) {
    if (attribute.key.empty() || !numeric_attribute(attribute.key, attribute.value)) {
      others.emplace_back(attribute.key, attribute.value);
    }
  }
  return others;
}

TEST(DcaseAttributes, NumbersUnitsAndWords) {
  EXPECT_THAT(numeric_attributes({"vel", "6", "loc", "A"}), ElementsAre(Pair("vel", 6.0)));
  EXPECT_THAT(numeric_attributes({"m-n", "W"}), IsEmpty());
  EXPECT_THAT(numeric_attributes({"car", "A1", "spd", "28V", "mic", "1", "noise", "2"}),
              ElementsAre(Pair("spd_V", 28.0), Pair("mic", 1.0), Pair("noise", 2.0)));
  EXPECT_THAT(numeric_attributes({"volt", "1.5", "wt", "-50"}), ElementsAre(Pair("volt", 1.5), Pair("wt", -50.0)));
  EXPECT_THAT(numeric_attributes({"strength", "1", "ambient"}), ElementsAre(Pair("strength", 1.0)));
  EXPECT_THAT(numeric_attributes({"0", "g", "25", "mm", "2000", "mV", "none"}),
              ElementsAre(Pair("g", 0.0), Pair("mm", 25.0), Pair("mV", 2000.0)));
  EXPECT_THAT(numeric_attributes({"vel"}), IsEmpty());
  EXPECT_THAT(numeric_attributes({}), IsEmpty());
  for (const char* text : {"nan", "inf", "-", "", "1-2", "1.2.3", "A1", "+1", ".5", "4%x1"}) {
    EXPECT_FALSE(numeric_attribute("key", text)) << text;
  }
}

TEST(DcaseAttributes, GluedToOneWord) {
  const auto others = [](const std::string& word) { return other_attributes({word}); };
  EXPECT_THAT(numeric_attributes({"A1Spd28VMic1"}), ElementsAre(Pair("Spd_V", 28.0), Pair("Mic", 1.0)));
  EXPECT_THAT(others("A1Spd28VMic1"), ElementsAre(Pair("", "A1")));
  EXPECT_THAT(numeric_attributes({"B1Spd10Mic2"}), ElementsAre(Pair("Spd", 10.0), Pair("Mic", 2.0)));
  EXPECT_THAT(numeric_attributes({"Spd28V"}), ElementsAre(Pair("Spd_V", 28.0)));
  EXPECT_THAT(numeric_attributes({"Mic1"}), ElementsAre(Pair("Mic", 1.0)));
  EXPECT_THAT(numeric_attributes({"Freq50.5HzLen20mmMic1"}),
              ElementsAre(Pair("Freq_Hz", 50.5), Pair("Len_mm", 20.0), Pair("Mic", 1.0)));
  EXPECT_THAT(numeric_attributes({"spd28mic1"}), ElementsAre(Pair("spd", 28.0), Pair("mic", 1.0)));
  EXPECT_THAT(numeric_attributes({"A1", "Spd28V", "Mic1"}), ElementsAre(Pair("Spd_V", 28.0), Pair("Mic", 1.0)));
  EXPECT_THAT(numeric_attributes({"car", "A1", "Spd28VMic1"}), ElementsAre(Pair("Spd_V", 28.0), Pair("Mic", 1.0)));
  EXPECT_THAT(numeric_attributes({"A1Spd28VMic1", "noise", "2"}),
              ElementsAre(Pair("Spd_V", 28.0), Pair("Mic", 1.0), Pair("noise", 2.0)));
  // A number that follows makes it a key.
  EXPECT_THAT(numeric_attributes({"temp1", "25", "temp2", "30"}),
              ElementsAre(Pair("temp1", 25.0), Pair("temp2", 30.0)));
  EXPECT_THAT(numeric_attributes({"v1pat", "03"}), ElementsAre(Pair("v1pat", 3.0)));
  for (const char* word : {"A1", "A1B2", "ambient", "Spd", "v1pat", "Spd-28", "28", "Spd28-", "1Spd"}) {
    EXPECT_THAT(numeric_attributes({word}), IsEmpty()) << word;
    EXPECT_THAT(others(word), ElementsAre(Pair("", word)));
  }
}

TEST(DcaseAttributes, WhatIsNoNumberIsKept) {
  EXPECT_THAT(other_attributes({"car", "A1", "spd", "28V", "mic"}), ElementsAre(Pair("car", "A1"), Pair("", "mic")));
  EXPECT_THAT(other_attributes({"0", "g", "none"}), ElementsAre(Pair("", "none")));
}

TEST(DcaseFolder, SeveralMachinesWithAndWithoutAttributeFiles) {
  const TempFolder folder;
  const std::string bearing_train = "bearing/train/section_00_source_train_normal_0000_vel_6_loc_A.wav";
  const std::string bearing_other = "bearing/train/section_01_target_train_normal_0001_vel_8.wav";
  const std::string bearing_test = "bearing/test/section_00_target_test_anomaly_0002_vel_4.wav";
  const std::string fan_train = "fan/train/section_00_source_train_normal_0000_m-n_W.wav";
  const std::string fan_eval = "fan/test/section_00_0001.wav";
  for (const std::string& file : {bearing_train, bearing_other, bearing_test, fan_train, fan_eval}) {
    put(folder / file, "x");
  }
  // The table says 7 where the name says 6, and gives a value to the clip whose name has none.
  put(folder / "bearing/attributes_00.csv",
      "file_name,d1p,d1v,d2p,d2v\n" + bearing_train + ",vel,7,loc,A\n" + bearing_test + ",vel,4,,\n");
  put(folder / "fan/attributes_00.csv", "file_name,d1p,d1v\nfan/test/section_00_0001.wav,weight,12kg\n");
  put(folder / "fan/supplemental/section_00_noise_supplemental_normal_0000.wav", "x");
  put(folder / "fan/train/.section_00_hidden.wav", "x");
  put(folder / "fan/train/readme.txt", "x");

  const Manifest m = read_folder(folder.path());
  EXPECT_EQ(m.root, folder.path());
  ASSERT_EQ(m.clips.size(), 5u);
  EXPECT_THAT(m.parameter_names, ElementsAre("vel", "loc", "m-n", "weight_kg"));
  EXPECT_THAT(m.categories, ElementsAre(IsEmpty(), ElementsAre("A"), ElementsAre("W"), IsEmpty()));

  const Clip& first = clip_at(m, bearing_train);
  EXPECT_EQ(first.machine, "bearing");
  EXPECT_EQ(first.split, Split::train);
  EXPECT_EQ(first.label, 0);
  EXPECT_EQ(first.domain, "source");
  EXPECT_EQ(first.section, "00");
  EXPECT_EQ(value_of(m, first, "vel"), 7.0);
  EXPECT_TRUE(std::isnan(value_of(m, first, "weight_kg")));

  EXPECT_EQ(value_of(m, clip_at(m, bearing_other), "vel"), 8.0);  // in no table: from its name
  EXPECT_EQ(clip_at(m, bearing_other).section, "01");

  const Clip& anomaly = clip_at(m, bearing_test);
  EXPECT_EQ(anomaly.split, Split::test);
  EXPECT_EQ(anomaly.label, 1);
  EXPECT_EQ(anomaly.domain, "target");

  EXPECT_TRUE(std::isnan(value_of(m, clip_at(m, fan_train), "vel")));
  const Clip& unlabelled = clip_at(m, fan_eval);
  EXPECT_EQ(unlabelled.machine, "fan");
  EXPECT_EQ(unlabelled.split, Split::test);
  EXPECT_EQ(unlabelled.label, -1);
  EXPECT_EQ(unlabelled.domain, "");
  EXPECT_EQ(value_of(m, unlabelled, "weight_kg"), 12.0);
}

TEST(DcaseFolder, Of2021TakesTheDomainFromTheSubfolder) {
  const TempFolder folder;
  put(folder / "fan/source_test/section_03_0000.wav", "x");
  put(folder / "fan/target_test/section_03_0001.wav", "x");
  put(folder / "fan/source_train/section_03_0002.wav", "x");
  const Manifest m = read_folder(folder.path());
  EXPECT_EQ(clip_at(m, "fan/source_test/section_03_0000.wav").domain, "source");
  EXPECT_EQ(clip_at(m, "fan/target_test/section_03_0001.wav").domain, "target");
  EXPECT_EQ(clip_at(m, "fan/target_test/section_03_0001.wav").split, Split::test);
  EXPECT_EQ(clip_at(m, "fan/source_train/section_03_0002.wav").split, Split::train);
}

TEST(DcaseFolder, OneMachineByItsFolder) {
  const TempFolder folder;
  put(folder / "data/raw/fan/train/section_00_source_train_normal_0000.wav", "x");
  const std::string clip = "train/section_00_source_train_normal_0000.wav";
  EXPECT_EQ(clip_at(read_folder(folder / "data/raw/fan"), clip).machine, "fan");
  EXPECT_EQ(clip_at(read_folder(folder / "data/raw/fan/"), clip).machine, "fan");
  EXPECT_EQ(clip_at(read_folder(folder.path()), "data/raw/fan/" + clip).machine, "fan");
}

TEST(DcaseFolder, StrangeNamesAndFoldersAreNamed) {
  const TempFolder folder;
  put(folder / "fan/train/section_00_source_train_normal_0000.wav", "x");
  put(folder / "fan/train/door slam.wav", "x");
  EXPECT_THAT(error_of<DataError>([&] { read_folder(folder.path()); }),
              AllOf(HasSubstr((folder / "fan/train/door slam.wav").string()), HasSubstr("manifest")));
  std::filesystem::remove(folder / "fan/train/door slam.wav");
  put(folder / "fan/attributes_00.csv", "name,d1p\n");
  EXPECT_THAT(error_of<DataError>([&] { read_folder(folder.path()); }),
              AllOf(HasSubstr("attributes_00.csv"), HasSubstr("file_name")));
}

TEST(DcaseFolder, OneOfItsFoldersOrRecordings) {
  const TempFolder folder;
  put(folder / "fan/train/section_01_source_train_normal_0000.wav", "x");
  put(folder / "fan/test/section_01_target_test_anomaly_0000_spd_3V.wav", "x");
  put(folder / "fan/attributes_01.csv",
      "file_name,d1p,d1v\nfan/train/section_01_source_train_normal_0000.wav,spd,4V\n");
  const Manifest train = read_folder(folder / "fan/train");
  const Clip& normal = clip_at(train, "section_01_source_train_normal_0000.wav");
  EXPECT_EQ(normal.machine, "fan");
  EXPECT_EQ(normal.split, Split::train);
  EXPECT_EQ(normal.section, "01");
  EXPECT_EQ(value_of(train, normal, "spd_V"), 4.0);
  const Manifest single = read_recordings(folder / "fan/test/section_01_target_test_anomaly_0000_spd_3V.wav");
  ASSERT_EQ(single.clips.size(), 1u);
  EXPECT_EQ(single.clips[0].label, 1);
  EXPECT_EQ(single.clips[0].domain, "target");
  EXPECT_EQ(single.clips[0].machine, "fan");
  EXPECT_EQ(value_of(single, single.clips[0], "spd_V"), 3.0);
}

TEST(DcaseFolder, Of2020) {
  const TempFolder folder;
  for (const char* file :
       {"train/normal_id_00_00000000.wav", "train/normal_id_02_00000000.wav", "test/normal_id_00_00000000.wav",
        "test/anomaly_id_00_00000000.wav", "test/id_01_00000000.wav"}) {
    put(folder / "fan" / file, "x");
  }
  const Manifest m = read_folder(folder.path());
  EXPECT_EQ(m.clips.size(), 5u);
  const Clip& train = clip_at(m, "fan/train/normal_id_02_00000000.wav");
  EXPECT_EQ(train.machine, "fan");
  EXPECT_EQ(train.split, Split::train);
  EXPECT_EQ(train.label, 0);
  EXPECT_EQ(train.section, "02");
  EXPECT_EQ(train.domain, "");
  EXPECT_EQ(clip_at(m, "fan/test/normal_id_00_00000000.wav").split, Split::test);
  EXPECT_EQ(clip_at(m, "fan/test/anomaly_id_00_00000000.wav").label, 1);
  EXPECT_EQ(clip_at(m, "fan/test/id_01_00000000.wav").label, -1);
}

TEST(DcaseFolder, SaysWhatItLeavesOut) {
  const TempFolder folder;
  for (int i = 0; i < 3; ++i) {
    put(folder / ("car/train/section_00_source_train_normal_000" + std::to_string(i) + "_A1Spd28VMic1.wav"), "x");
  }
  put(folder / "car/train/section_00_source_train_normal_0003_car_B2.wav", "x");
  put(folder / "car/supplemental/section_00_supplemental_0000.wav", "x");
  put(folder / "car/supplemental/section_00_supplemental_0001.wav", "x");
  put(folder / "car/attributes_00.csv",
      "file_name,d1p,d1v\ncar/train/section_00_source_train_normal_0002_A1Spd28VMic1.wav,Spd,31V\n");
  put(folder / "car/readme.md", "x");
  EXPECT_THAT(read_folder(folder.path()).notes,
              ElementsAre(HasSubstr("attributes_*.csv contradicts the name of 1 recording;"),
                          HasSubstr("words without a name (2 clips, such as 'A1')"),
                          HasSubstr("2 in 'car/supplemental'"), AllOf(HasSubstr("left out"), HasSubstr("1 .md"))));
}

std::string name_of(const Manifest& manifest, const std::string& path, const std::string& name) {
  const size_t p =
      static_cast<size_t>(std::find(manifest.parameter_names.begin(), manifest.parameter_names.end(), name) -
                          manifest.parameter_names.begin());
  return value_text(clip_at(manifest, path).parameter.at(p), categories_of(manifest.categories, p));
}

// As of 2021 to 2026: numbers, names, both in one attribute, and clips that lack them.
TEST(DcaseFolder, AttributesComeInAsWhatTheyAre) {
  const TempFolder folder;
  const std::string first = "car/train/section_00_source_train_normal_0000_car_B1_spd_28V_mic_1_noise_x.wav";
  const std::string second = "car/train/section_00_source_train_normal_0001_car_A2_spd_31V_mic_2_noise_3.wav";
  const std::string third = "car/test/section_00_source_test_normal_0002_noAttribute.wav";
  const std::string fourth = "car/test/section_00_target_test_normal_0003.wav";
  for (const std::string& file : {first, second, third, fourth}) {
    put(folder / file, "x");
  }
  put(folder / "car/attributes_00.csv",
      "file_name,d1p,d1v,d2p,d2v\n" + fourth + ",car,A2,noise,noAttribute\n" + third + ",noAttribute,,,\n");
  const Manifest m = read_folder(folder.path());
  EXPECT_THAT(m.parameter_names, ElementsAre("car", "spd_V", "mic", "noise"));
  EXPECT_THAT(m.categories, ElementsAre(ElementsAre("A2", "B1"), IsEmpty(), IsEmpty(), ElementsAre("3", "x")));
  EXPECT_EQ(name_of(m, first, "car"), "B1");
  EXPECT_EQ(name_of(m, second, "car"), "A2");
  EXPECT_EQ(name_of(m, fourth, "car"), "A2");
  EXPECT_EQ(name_of(m, third, "car"), "");
  EXPECT_EQ(name_of(m, second, "noise"), "3");
  EXPECT_EQ(name_of(m, fourth, "noise"), "");
  EXPECT_EQ(value_of(m, clip_at(m, second), "spd_V"), 31.0);
  EXPECT_THAT(m.notes, ElementsAre(HasSubstr("the attribute 'noise' has numbers and names")));

  const Manifest declared = read_folder(folder.path(), {"mic", "spd"});
  EXPECT_THAT(declared.parameter_names, ElementsAre("car", "spd", "mic", "noise"));
  EXPECT_THAT(declared.categories[1], ElementsAre("28V", "31V"));
  EXPECT_THAT(declared.categories[2], ElementsAre("1", "2"));
}

TEST(DcaseFolder, ContradictionsAreRefused) {
  const auto refused = [](const std::string& file) {
    const TempFolder folder;
    put(folder / file, "x");
    return error_of<DataError>([&] { read_folder(folder.path()); });
  };
  EXPECT_THAT(refused("fan/train/section_00_source_test_normal_0000.wav"), HasSubstr("but lies in 'train'"));
  EXPECT_THAT(refused("fan/source_test/section_00_target_test_normal_0000.wav"), HasSubstr("'target'"));
  EXPECT_THAT(refused("fan/train/section_00_source_train_normal_0000_vel_1_vel_2.wav"),
              HasSubstr("two values of the attribute 'vel'"));
  EXPECT_THAT(refused("good/section_00_source_test_anomaly_0000.wav"), HasSubstr("folder of normal clips"));
}

TEST(DcaseFolder, AttributesOfRecordingsOfOneName) {
  const TempFolder folder;
  put(folder / "fan/train/normal_id_00_00000000.wav", "x");
  put(folder / "fan/test/normal_id_00_00000000.wav", "x");
  put(folder / "fan/attributes_00.csv",
      "file_name,d1p,d1v\nfan/train/normal_id_00_00000000.wav,vel,1\nfan/test/normal_id_00_00000000.wav,vel,2\n");
  const Manifest m = read_folder(folder.path());
  EXPECT_EQ(value_of(m, clip_at(m, "fan/train/normal_id_00_00000000.wav"), "vel"), 1.0);
  EXPECT_EQ(value_of(m, clip_at(m, "fan/test/normal_id_00_00000000.wav"), "vel"), 2.0);
}

TEST(DcaseFolder, AttributeTextsAreChecked) {
  const TempFolder folder;
  put(folder / "fan/train/section_00_source_train_normal_0000.wav", "x");
  const auto refused = [&](const std::string& row) {
    put(folder / "fan/attributes_00.csv",
        "file_name,d1p,d1v\nfan/train/section_00_source_train_normal_0000.wav," + row);
    return error_of<DataError>([&] { read_folder(folder.path()); });
  };
  EXPECT_THAT(refused("L\xfc"
                      "fter,1\n"),
              AllOf(HasSubstr("attributes_00.csv:2"), HasSubstr("UTF-8")));
  EXPECT_THAT(refused("a\x1b[2J,1\n"), AllOf(HasSubstr("attributes_00.csv:2"), HasSubstr("\\x1b")));
  EXPECT_THAT(refused(std::string(100, 'v') + ",1\n"), HasSubstr("100 bytes long"));
}

TEST(DcaseFolder, AFolderCalledTestAloneIsNotDcase) {
  const TempFolder folder;
  put(folder / "test/song.wav", "x");
  EXPECT_FALSE(is_dcase_folder(folder.path()));
  EXPECT_FALSE(is_dcase_folder(folder / "test"));
}

}  // namespace
}  // namespace evenflow::io
