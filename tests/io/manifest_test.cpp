#include "io/manifest.h"

#include <cmath>

#include "tests/io/testing.h"

namespace evenflow::io {
namespace {
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::put;
using ::testing::StartsWith;
using testing::TempFolder;

constexpr const char* header = "path,split,label,machine,velocity_mm_s\n";

Manifest parse(const std::string& text) {
  return parse_manifest(text, "data/m.csv");
}
std::string data_error(const std::string& text) {
  return error_of<DataError>([&] { parse(text); });
}
std::vector<std::string> cells(const std::string& text) {
  const std::vector<CsvRow> rows = parse_csv(text, "a.csv");
  return rows.size() == 1 ? rows[0].cells : std::vector<std::string>{"not one row"};
}

TEST(Csv, PlainAndEmptyCells) {
  EXPECT_THAT(cells("a,b,c"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(cells("a,b,c\n"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(cells(",,\n"), ElementsAre("", "", ""));
  EXPECT_THAT(cells("a,"), ElementsAre("a", ""));
  EXPECT_THAT(cells(" a b ,c\n"), ElementsAre(" a b ", "c"));
}

TEST(Csv, QuotesLineEndsAndByteOrderMark) {
  EXPECT_THAT(cells("\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\"\r\n"), ElementsAre("a,b", "say \"hi\"", "two\nlines"));
  EXPECT_THAT(cells("\xEF\xBB\xBFpath,b\r\n"), ElementsAre("path", "b"));
  EXPECT_THAT(cells("\"\"\n"), ElementsAre(""));
  EXPECT_THAT(cells("5\" disc,b"), ElementsAre("5\" disc", "b"));
}

TEST(Csv, RowsKnowTheirLines) {
  const std::vector<CsvRow> rows = parse_csv("a\n\n \n\"b\nc\"\nd\r\n\r\ne", "a.csv");
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0].line, 1);
  EXPECT_EQ(rows[1].line, 4);
  EXPECT_EQ(rows[2].line, 6);
  EXPECT_EQ(rows[3].line, 8);
  EXPECT_THAT(rows[1].cells, ElementsAre("b\nc"));
  EXPECT_THAT(parse_csv("", "a.csv"), IsEmpty());
}

TEST(Csv, BadQuotesAndBinaryAreNamed) {
  const auto error = [](const std::string& text) { return error_of<DataError>([&] { parse_csv(text, "a.csv"); }); };
  EXPECT_THAT(error("a\nb,\"c\nd\n"), AllOf(StartsWith("a.csv:2: "), HasSubstr("never closed")));
  EXPECT_THAT(error("a\n\"b\"c\n"), AllOf(StartsWith("a.csv:2: "), HasSubstr("after a closing quote")));
  EXPECT_THAT(error("\"b\"\rc"), HasSubstr("after a closing quote"));
  EXPECT_THAT(error(std::string("RIFF\0\0", 6)), AllOf(StartsWith("a.csv:1: "), HasSubstr("not a CSV text")));
}

TEST(Csv, CellsReadBack) {
  for (const std::string text : {"", "plain", "a,b", "\"", "a\"b", "line\nend", "cr\rlf", " space "}) {
    const std::string row = csv_cell(text) + "," + csv_cell("end");
    EXPECT_THAT(cells(row), ElementsAre(text, "end")) << row;
  }
  EXPECT_EQ(csv_cell("plain"), "plain");
}

TEST(Csv, ReadsAFile) {
  const TempFolder folder;
  put(folder / "a.csv", "a,b\n1,2\n");
  EXPECT_THAT(read_csv(folder / "a.csv"), ElementsAre(ElementsAre("a", "b"), ElementsAre("1", "2")));
}

TEST(ManifestCsv, ReadsEveryColumnInAnyOrder) {
  const Manifest m = parse(
      "velocity_mm_s,machine,label,split,path,section,weight_kg,domain\n"
      "100,rail,normal,train,a b/1.wav,00,,source\n"
      "-1.5e2, rail ,1, test ,2.wav,,+3,target\n"
      ",fan,unknown,test,/abs/3.wav,01, 0.5 ,\n"
      "0,fan,-1,test,4.wav,,,\n"
      "0,fan,0,train,5.wav,,,\n"
      "0,fan,anomaly,test,6.wav,,,\n");
  EXPECT_EQ(m.root, "data");
  EXPECT_THAT(m.parameter_names, ElementsAre("velocity_mm_s", "weight_kg"));
  ASSERT_EQ(m.clips.size(), 6u);
  EXPECT_EQ(m.clips[0].path, "a b/1.wav");
  EXPECT_EQ(m.clips[0].machine, "rail");
  EXPECT_EQ(m.clips[0].split, Split::train);
  EXPECT_EQ(m.clips[0].label, 0);
  EXPECT_EQ(m.clips[0].domain, "source");
  EXPECT_EQ(m.clips[0].section, "00");
  EXPECT_EQ(m.clips[0].parameter[0], 100.0);
  EXPECT_TRUE(std::isnan(m.clips[0].parameter[1]));
  EXPECT_EQ(m.clips[1].machine, "rail");
  EXPECT_EQ(m.clips[1].split, Split::test);
  EXPECT_THAT(m.clips[1].parameter, ElementsAre(-150.0, 3.0));
  EXPECT_EQ(m.clips[1].domain, "target");
  EXPECT_EQ(m.clips[1].section, "");
  EXPECT_EQ(m.root / m.clips[2].path, "/abs/3.wav");
  EXPECT_TRUE(std::isnan(m.clips[2].parameter[0]));
  EXPECT_EQ(m.clips[2].parameter[1], 0.5);
  std::vector<int> labels;
  for (const Clip& clip : m.clips) {
    labels.push_back(clip.label);
  }
  EXPECT_THAT(labels, ElementsAre(0, 1, -1, -1, 0, 1));
}

TEST(ManifestCsv, NeedsNoParameters) {
  const Manifest m = parse("path,split,label,machine\r\na.wav,train,normal,fan\r\n");
  EXPECT_THAT(m.parameter_names, IsEmpty());
  EXPECT_THAT(m.clips.at(0).parameter, IsEmpty());
}

TEST(ManifestCsv, ErrorsNameLineAndCure) {
  const std::string h = header;
  EXPECT_THAT(data_error(""), AllOf(HasSubstr("'data/m.csv' is empty"), HasSubstr("path,split,label,machine")));
  EXPECT_THAT(data_error(h), AllOf(HasSubstr("'data/m.csv' lists no recordings"), HasSubstr("add one line")));
  EXPECT_THAT(data_error("path,split,machine\na,train,m\n"),
              AllOf(StartsWith("data/m.csv:1: no column 'label'"), HasSubstr("path,split,label,machine")));
  EXPECT_THAT(data_error("path;split;label;machine\na;train;normal;m\n"), HasSubstr("separated by commas"));
  EXPECT_THAT(data_error("path,split,label,machine,v,v\n"), HasSubstr("column 'v' occurs twice"));
  EXPECT_THAT(data_error("path,split,label,machine,\n"), HasSubstr("column 5 has no name"));
  EXPECT_THAT(data_error(h + "a,train,normal,m\n"),
              AllOf(StartsWith("data/m.csv:2: 4 cells where the header has 5"), HasSubstr("quote a cell")));
  EXPECT_THAT(data_error(h + "a,train,normal,m,1,2\n"), StartsWith("data/m.csv:2: 6 cells"));
  EXPECT_THAT(data_error(h + "\na,dev,normal,m,1\n"), StartsWith("data/m.csv:3: split 'dev' must be train or test"));
  EXPECT_THAT(data_error(h + "a,train,good,m,1\n"),
              StartsWith("data/m.csv:2: label 'good' must be normal, anomaly or unknown"));
  EXPECT_THAT(data_error(h + "a,train,,m,1\n"), StartsWith("data/m.csv:2: label '' must be"));
  EXPECT_THAT(data_error(h + ",train,normal,m,1\n"), StartsWith("data/m.csv:2: the path is empty"));
  EXPECT_THAT(data_error("path,split,label,machine,domain\na,train,normal,m,other\n"),
              StartsWith("data/m.csv:2: domain 'other' must be source, target or empty"));
}

TEST(ManifestCsv, AColumnThatIsNoParameterNamesRowColumnValueAndCure) {
  for (const std::string value : {"fast", "1,5", "12 mm", "nan", "inf", "1e999", "0x10", "+-1", "--1"}) {
    EXPECT_THAT(data_error(std::string(header) + "a,train,normal,m,1\nb,train,normal,m," + csv_cell(value) + "\n"),
                AllOf(StartsWith("data/m.csv:3: column 'velocity_mm_s' holds '" + value + "', not a number"),
                      HasSubstr("decimal point")))
        << value;
  }
  // A number that was spoilt is none of the names of a column of names either.
  EXPECT_THAT(data_error(std::string(header) + "a,train,normal,m,nan\n"), HasSubstr("a name or a number"));
  for (const std::string value : {"nan", "1,5"}) {
    EXPECT_THAT(data_error("path,split,label,machine,tool:category\na,train,normal,m," + csv_cell(value) + "\n"),
                AllOf(HasSubstr("column 'tool' holds '" + value + "'"), HasSubstr("leave the cell empty")));
  }
}

TEST(ManifestCsv, AColumnOfNamesIsACategory) {
  const Manifest m = parse(
      "path,split,label,machine,tool,velocity_mm_s\n"
      "1.wav,train,normal,rail, b ,100\n2.wav,train,normal,rail,a,\n3.wav,test,normal,rail,,noAttribute\n"
      "4.wav,test,normal,rail,noAttribute,1\n5.wav,test,normal,rail,\u00fc,2\n");
  EXPECT_THAT(m.parameter_names, ElementsAre("tool", "velocity_mm_s"));
  EXPECT_THAT(m.categories, ElementsAre(ElementsAre("a", "b", "\u00fc"), IsEmpty()));
  std::vector<std::string> tools;
  for (const Clip& clip : m.clips) {
    tools.push_back(value_text(clip.parameter.at(0), m.categories[0]));
  }
  EXPECT_THAT(tools, ElementsAre("b", "a", "", "", "\u00fc"));
  EXPECT_TRUE(std::isnan(m.clips[2].parameter[1]));
}

TEST(ManifestCsv, NumbersAreNamesWhereTheyAreDeclared) {
  const std::string rows = "a.wav,train,normal,m,01\nb.wav,train,normal,m,2\nc.wav,train,normal,m,";
  const Manifest numbers = parse("path,split,label,machine,tool\n" + rows + "1\n");
  EXPECT_THAT(numbers.categories, ElementsAre(IsEmpty()));
  for (const Manifest& m : {parse("path,split,label,machine,tool:category\n" + rows + "new\n"),
                            parse_manifest("path,split,label,machine,tool\n" + rows + "new\n", "m.csv", {"tool"})}) {
    EXPECT_THAT(m.parameter_names, ElementsAre("tool"));
    EXPECT_THAT(m.categories, ElementsAre(ElementsAre("01", "2", "new")));
    EXPECT_EQ(m.clips.at(1).parameter.at(0), 1.0);
  }
  EXPECT_THAT(data_error("path,split,label,machine,tool\n" + rows + "new\n"),
              AllOf(StartsWith("data/m.csv:4: column 'tool' holds 'new', not a number as on line 2"),
                    HasSubstr("call the column 'tool:category'")));
  EXPECT_THAT(data_error("path,split,label,machine,tool,tool:category\n"), HasSubstr("column 'tool' occurs twice"));
  EXPECT_THAT(data_error("path,split,label,machine,tool:Category\n" + rows + "3\n"),
              StartsWith("data/m.csv:1: column 'tool:Category' is no category; write 'tool:category', in lower case"));
  EXPECT_THAT(data_error("path,split,label,machine,:category\n" + rows + "3\n"),
              StartsWith("data/m.csv:1: column ':category' has no name"));
  EXPECT_THAT(data_error("path,split,label,machine,tool\na,train,normal,m," + std::string(100, 'x') + "\n"),
              AllOf(StartsWith("data/m.csv:2: column 'tool': name 'xxx"), HasSubstr("100 bytes long")));
}

TEST(ManifestCsv, DuplicatesNameBothLines) {
  EXPECT_THAT(data_error(std::string(header) + "x/a.wav,train,normal,m,1\nb.wav,train,normal,m,1\n"
                                               "x/./y/../a.wav,test,normal,m,1\n"),
              AllOf(StartsWith("data/m.csv:4: 'x/a.wav' is already listed on line 2"), HasSubstr("remove one")));
}

TEST(ManifestCsv, TextsThatMayNotEnterNameLineAndCure) {
  const std::string h = header;
  EXPECT_THAT(
      data_error(h + "a,train,normal,L\xfc"
                     "fter,1\n"),
      AllOf(StartsWith("data/m.csv:2: machine 'L\\xfcfter' is not UTF-8"), HasSubstr("save the file as UTF-8")));
  EXPECT_THAT(data_error("path,split,label,machine,L\xe4nge\na,train,normal,m,1\n"),
              StartsWith("data/m.csv:1: column 'L\\xe4nge' is not UTF-8"));
  EXPECT_THAT(
      data_error(h + "b,train,normal,m,1\n\x1b[2Ja,train,normal,m,1\n"),
      AllOf(StartsWith("data/m.csv:3: path '\\x1b[2Ja' holds the control character U+001B"), HasSubstr("remove")));
  EXPECT_THAT(data_error(h + "a,train,normal,\"two\nlines\",1\n"),
              HasSubstr("machine 'two\\x0alines' holds a line end"));
  EXPECT_THAT(data_error("path,split,label,machine,section\na,train,normal,m,\u202e00\n"),
              HasSubstr("section '\\u202e00' holds the invisible character U+202E"));
  EXPECT_THAT(data_error("path,split,label,machine," + std::string(300, 'v') + "\na,train,normal,m,1\n"),
              AllOf(StartsWith("data/m.csv:1: column 'vvv"), HasSubstr("300 bytes long"), HasSubstr("shorten")));
  EXPECT_THAT(data_error(h + "a,train,normal," + std::string(300, 'm') + ",1\n"), HasSubstr("machine 'mmm"));
  EXPECT_THAT(data_error(std::string("\xff\xfep\0a\0", 6)), AllOf(HasSubstr("m.csv"), HasSubstr("UTF-16")));
  EXPECT_THAT(data_error("path,split,label,machine,v\ra,train,normal,m,1\r"), HasSubstr("CR alone"));
  EXPECT_THAT(data_error(h + "a," + std::string(2000, 'x') + ",normal,m,1\n").size(), ::testing::Lt(200u));
  EXPECT_EQ(parse(h + "L\u00fcfter/1.wav,train,normal,\u901f\u5ea6,1\n").clips.at(0).machine, "\u901f\u5ea6");
}

TEST(ManifestCsv, ColumnsInOtherLettersAreNamed) {
  EXPECT_THAT(data_error("path,Split,label,machine\na,train,normal,m\n"),
              AllOf(HasSubstr("no column 'split'"), HasSubstr("write 'Split' in lower case")));
  EXPECT_THAT(parse(" path ,split,label,machine\t\na,train,normal,m\n").parameter_names, IsEmpty());
}

TEST(ManifestCsv, FileBesideItsRecordings) {
  const TempFolder folder;
  put(folder / "m.csv", std::string(header) + "a.wav,train,normal,m,1\n");
  EXPECT_EQ(read_manifest(folder / "m.csv").root, folder.path());
  EXPECT_EQ(parse_manifest(std::string(header) + "a.wav,train,normal,m,1\n", "m.csv").root, ".");
}

TEST(PlainFolder, EveryRecordingSortedAndUnlabelled) {
  const TempFolder folder;
  for (const char* name : {"b.wav", "a/x.FLAC", "a/y.ogg", "notes.txt", ".hidden.wav", ".git/z.wav", "c.wav.bak"}) {
    put(folder / name, "x");
  }
  const Manifest m = read_folder(folder.path());
  EXPECT_EQ(m.root, folder.path());
  std::vector<std::string> paths;
  for (const Clip& clip : m.clips) {
    paths.push_back(clip.path);
    EXPECT_EQ(clip.label, -1);
    EXPECT_EQ(clip.split, Split::test);
    EXPECT_EQ(clip.machine, "");
  }
  EXPECT_THAT(paths, ElementsAre("a/x.FLAC", "a/y.ogg", "b.wav"));
}

TEST(PlainFolder, EmptyOrMissingIsAnError) {
  const TempFolder folder;
  EXPECT_THAT(error_of<DataError>([&] { read_folder(folder.path()); }),
              AllOf(HasSubstr(folder.path().string()), HasSubstr("no recordings")));
  EXPECT_THAT(error_of<DataError>([&] { read_folder(folder / "none"); }), HasSubstr((folder / "none").string()));
}

TEST(Recordings, AreToldByLooking) {
  const TempFolder folder;
  put(folder / "m.csv", std::string(header) + "a.wav,train,normal,m,1\n");
  put(folder / "plain/a.wav", "x");
  put(folder / "dcase/fan/train/section_00_source_train_normal_0000_m-n_W.wav", "x");
  EXPECT_EQ(read_recordings(folder / "m.csv").clips.at(0).split, Split::train);
  EXPECT_EQ(read_recordings(folder / "plain").clips.at(0).path, "a.wav");
  EXPECT_EQ(read_recordings(folder / "dcase").clips.at(0).machine, "fan");
  const Manifest single = read_recordings(folder / "plain/a.wav");
  EXPECT_EQ(single.root, folder / "plain");
  ASSERT_EQ(single.clips.size(), 1u);
  EXPECT_EQ(single.clips[0].path, "a.wav");
  EXPECT_EQ(single.clips[0].label, -1);
  EXPECT_THAT(error_of<DataError>([&] { read_recordings(folder / "none"); }),
              AllOf(HasSubstr((folder / "none").string()), HasSubstr("does not exist")));
}

}  // namespace
}  // namespace evenflow::io
