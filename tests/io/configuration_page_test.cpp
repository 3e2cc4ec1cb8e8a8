// docs/configuration.md has the table of keys as the program has it.
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "io/config.h"

namespace evenflow::io {
namespace {

std::string table_of_keys() {
  std::string section, text;
  for (const ConfigKey& key : config_keys()) {
    const size_t dot = key.name.find('.');
    if (key.name.substr(0, dot) != section) {
      section = key.name.substr(0, dot);
      text += "\n## [" + section + "]\n\n| key | type | default | what |\n|---|---|---|---|\n";
    }
    const std::string value = key.get(Config());
    text += "| `" + key.name.substr(dot + 1) + "` | " + key.type + " | " + (value.empty() ? "" : "`" + value + "`") +
            " | " + key.help + " |\n";
  }
  return text;
}

TEST(ConfigurationPage, HasTheKeysOfTheProgram) {
  std::stringstream page;
  page << std::ifstream(EVENFLOW_CONFIGURATION_PAGE).rdbuf();
  const std::string text = page.str();
  const std::string expected = text.substr(0, text.find("\n## [")) + table_of_keys();
  if (std::getenv("EVENFLOW_UPDATE") != nullptr) {
    std::ofstream(EVENFLOW_CONFIGURATION_PAGE) << expected;
  } else {
    EXPECT_EQ(text, expected) << "to update the page: EVENFLOW_UPDATE=1 ./dev test -R ConfigurationPage";
  }
}

}  // namespace
}  // namespace evenflow::io
