#include "io/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evenflow::io {
namespace {
using ::testing::HasSubstr;

std::string fault_of(std::string_view text) {
  const auto fault = text_fault(text);
  return fault ? fault->what : "";
}

TEST(Text, WhatIsWrittenEntersAsItIs) {
  for (const std::string text : {"", "rail", "Lüfter 3", "速度_mm_s", "pump 🏭", "فن", "a/b,\"c\"", "ก\u200dข"}) {
    EXPECT_EQ(fault_of(text), "") << text;
    EXPECT_EQ(escaped(text), text);
  }
}

TEST(Text, WhatIsNoUtf8IsRefused) {
  for (const std::string text : {"L\xfc?", "\xc3", "a\xe2\x82", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80",
                                 "\xf4\x90\x80\x80", "\xff", "\x1b\x80"}) {
    EXPECT_EQ(fault_of(text), "is not UTF-8") << escaped(text);
  }
  EXPECT_THAT(text_fault("\xfc")->cure, HasSubstr("UTF-8"));
  EXPECT_EQ(escaped("L\xfc"
                    "fter \xe2\x82"),
            "L\\xfcfter \\xe2\\x82");
}

TEST(Text, ControlAndInvisibleCharactersAreRefusedAndEscaped) {
  EXPECT_EQ(fault_of("a\x1b[2J"), "holds the control character U+001B");
  EXPECT_EQ(fault_of("a\tb"), "holds the control character U+0009");
  EXPECT_EQ(fault_of("a\x7f"), "holds the control character U+007F");
  EXPECT_EQ(fault_of("a\u009b"
                     "2J"),
            "holds the control character U+009B");
  EXPECT_EQ(fault_of("a\r\nb"), "holds a line end");
  EXPECT_EQ(fault_of("a\u202egnp.exe"), "holds the invisible character U+202E");
  EXPECT_EQ(fault_of("\ufeffpath"), "holds the invisible character U+FEFF");
  EXPECT_EQ(escaped("\x1b[31m\n\u009b\u202e"), "\\x1b[31m\\x0a\\x9b\\u202e");
}

TEST(Text, NamesAreOfALengthThatFileNamesTake) {
  EXPECT_FALSE(name_fault(std::string(longest_name, 'v')));
  EXPECT_EQ(name_fault(std::string(300, 'v'))->what, "is 300 bytes long, and a name may have at most 80");
  EXPECT_FALSE(text_fault(std::string(300, 'v')));
}

TEST(Text, OfManyNamesTheFirstAreTold) {
  EXPECT_EQ(first_names({}), "");
  const std::vector<std::string> names = {"a", "b", "c", "d", "e"};
  EXPECT_EQ(first_names(names), "a, b, c and 2 more");
  EXPECT_EQ(first_names(names, 5), "a, b, c, d, e");
}

TEST(Text, ExcerptsAreShortAndWhole) {
  EXPECT_EQ(excerpt("short"), "short");
  std::string cut(60, 'v');
  cut += "...";
  EXPECT_EQ(excerpt(std::string(300, 'v')), cut);
  cut.erase(0, 1);
  std::string umlauts(59, 'v');
  umlauts += "üü";
  EXPECT_EQ(excerpt(umlauts), cut);
}

TEST(Utf8, IsWhatTheStandardSays) {
  for (const char* text : {"", "plain", "\x7f", "\xC2\x80", "\xC3\xBC", "\xE2\x82\xAC", "\xED\x9F\xBF", "\xEE\x80\x80",
                           "\xF0\x9F\x94\x8A", "\xF4\x8F\xBF\xBF", "a\xC3\xBC\xE2\x82\xAC z"}) {
    EXPECT_TRUE(is_utf8(text)) << text;
  }
  EXPECT_TRUE(is_utf8(std::string_view("\0", 1)));
}

TEST(Utf8, RefusesAllElse) {
  for (const char* text : {"\xFC", "caf\xE9", "\x80", "\xC3", "\xC3(", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80",
                           "\xE0\x9F\xBF", "\xE2\x82", "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF",
                           "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xF0\x9F\x94", "\xFF", "\xFE"}) {
    EXPECT_FALSE(is_utf8(text)) << text;
  }
}

}  // namespace
}  // namespace evenflow::io
