#include "experiments/report/page.h"

#include <cstdint>
#include <string_view>

#include <fmt/format.h>

namespace evenflow::experiments {
namespace {

constexpr std::string_view style = R"(
:root { color-scheme: light; }
body { max-width: 62rem; margin: 2.5rem auto 5rem; padding: 0 1.2rem; color: #222; background: #fff;
  font: 16px/1.55 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .6rem; }
h2 { margin: 2.6rem 0 .6rem; padding-top: .8rem; border-top: 1px solid #ddd; font-size: 1.35rem; }
h3 { margin: 1.8rem 0 .4rem; font-size: 1.08rem; }
p.lead { font-size: 1.08rem; color: #444; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .88em; background: #f3f3f1; }
code { padding: .08em .3em; border-radius: 3px; }
pre { padding: .8rem 1rem; overflow-x: auto; border-radius: 4px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0 .4rem; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .7rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child, .texts td { text-align: left; }
.texts td { white-space: normal; }
.texts thead { display: none; }
thead th { border-bottom: 2px solid #777; vertical-align: bottom; }
tbody tr { border-bottom: 1px solid #ececec; }
caption { caption-side: bottom; text-align: left; color: #555; padding: .5rem 0 1rem; white-space: normal; }
figure { margin: 1.4rem 0 2rem; }
figure img { width: 100%; height: auto; }
figcaption { color: #555; font-size: .92rem; }
nav { font-size: .92rem; columns: 2; margin: 1rem 0; }
nav a { display: block; color: #06548c; text-decoration: none; }
@media print { body { max-width: none; margin: 0; } nav { display: none; } }
)";

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// Every second stretch between `mark`s goes into <tag>.
std::string marked(const std::string& text, std::string_view mark, std::string_view tag) {
  std::string out;
  size_t from = 0;
  bool inside = false;
  for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, from)) {
    if (!inside && text.find(mark, at + mark.size()) == std::string::npos) {
      break;
    }
    out += text.substr(from, at - from) + fmt::format("<{}{}>", inside ? "/" : "", tag);
    inside = !inside;
    from = at + mark.size();
  }
  return out + text.substr(from);
}

std::string prose(const std::string& text) {
  return marked(marked(escape(text), "`", "code"), "**", "strong");
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8U | (i + j < bytes.size() ? static_cast<uint8_t>(bytes[i + j]) : 0U);
    }
    for (size_t j = 0; j < 4; ++j) {
      out += i + j <= bytes.size() ? digits[group >> (18U - 6U * static_cast<uint32_t>(j)) & 63U] : '=';
    }
  }
  return out;
}

}  // namespace

Page::Page(std::string title, const std::string& lead) : title_(std::move(title)) {
  body_ = fmt::format("<p class=\"lead\">{}</p>\n", prose(lead));
}

void Page::heading(const std::string& text) {
  headings_.push_back(text);
  body_ += fmt::format("<h2 id=\"s{}\">{}</h2>\n", headings_.size(), prose(text));
}

void Page::subheading(const std::string& text) {
  body_ += fmt::format("<h3>{}</h3>\n", prose(text));
}

void Page::paragraph(const std::string& text) {
  body_ += fmt::format("<p>{}</p>\n", prose(text));
}

void Page::list(const std::vector<std::string>& items) {
  body_ += "<ul>\n";
  for (const std::string& item : items) {
    body_ += fmt::format("<li>{}</li>\n", prose(item));
  }
  body_ += "</ul>\n";
}

void Page::code(const std::string& text) {
  body_ += fmt::format("<pre>{}</pre>\n", escape(text));
}

void Page::table(const PageTable& table) {
  body_ += fmt::format("<div class=\"wide\"><table{}>\n", table.texts ? " class=\"texts\"" : "");
  if (!table.caption.empty()) {
    body_ += fmt::format("<caption>{}</caption>\n", prose(table.caption));
  }
  body_ += "<thead><tr>";
  for (const std::string& cell : table.head) {
    body_ += fmt::format("<th scope=\"col\">{}</th>", prose(cell));
  }
  body_ += "</tr></thead>\n<tbody>\n";
  for (const std::vector<std::string>& row : table.rows) {
    body_ += "<tr>";
    for (const std::string& cell : row) {
      body_ += fmt::format("<td>{}</td>", prose(cell));
    }
    body_ += "</tr>\n";
  }
  body_ += "</tbody></table></div>\n";
}

void Page::figure(const std::string& svg, const std::string& caption, const std::string& alt) {
  // As an image of its own: names inside one SVG cannot meet those of another.
  body_ += fmt::format(
      "<figure><img alt=\"{}\" src=\"data:image/svg+xml;base64,{}\">\n<figcaption>{}</figcaption></figure>\n",
      escape(alt), base64(svg), prose(caption));
}

void Page::block(const std::string& html) {
  body_ += html;
}

std::string html_text(std::string_view text) {
  return escape(text);
}

std::string data_address(std::string_view type, std::string_view bytes) {
  return fmt::format("data:{};base64,{}", type, base64(bytes));
}

bool is_own_page(std::string_view html) {
  return html.starts_with("<!doctype html>") && html.find(style) != std::string_view::npos;
}

std::string Page::html() const {
  std::string contents;
  if (headings_.size() > 2) {
    contents = "<nav aria-label=\"Contents\">\n";
    for (size_t i = 0; i < headings_.size(); ++i) {
      contents += fmt::format("<a href=\"#s{}\">{}</a>\n", i + 1, prose(headings_[i]));
    }
    contents += "</nav>\n";
  }
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{0}</title>\n"
      "<style>{1}</style>\n</head>\n<body>\n<h1>{0}</h1>\n{2}{3}</body>\n</html>\n",
      escape(title_), style, contents, body_);
}

}  // namespace evenflow::experiments
