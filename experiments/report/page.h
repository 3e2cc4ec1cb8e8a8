// One self-contained HTML page: text, tables and pictures, readable without a network.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace evenflow::experiments {

struct PageTable {
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;  ///< a row that begins with an empty cell goes on with the one above
  std::string caption;
  bool texts = false;  ///< cells are texts, to the left, rather than numbers
};

/// True if the text begins as a page's html() does.
bool is_own_page(std::string_view html);

/// A text with what HTML reserves escaped.
std::string html_text(std::string_view text);
/// Bytes as a "data:" address, type "image/png".
std::string data_address(std::string_view type, std::string_view bytes);

/// Plain texts go in; the page escapes them. `code` in back quotes is set as code, **this** in bold.
class Page {
 public:
  Page(std::string title, const std::string& lead);
  void heading(const std::string& text);
  void subheading(const std::string& text);
  void paragraph(const std::string& text);
  void list(const std::vector<std::string>& items);
  void code(const std::string& text);
  void table(const PageTable& table);
  /// `svg`: the picture itself; `alt`: what it shows, for those who cannot see it.
  void figure(const std::string& svg, const std::string& caption, const std::string& alt);
  /// HTML that the caller vouches for: nothing in it is escaped.
  void block(const std::string& html);
  std::string html() const;

 private:
  std::string title_, body_;
  std::vector<std::string> headings_;
};

}  // namespace evenflow::experiments
