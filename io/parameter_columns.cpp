#include "io/parameter_columns.h"

#include <algorithm>
#include <set>

namespace evenflow::io {

void set_parameters(Manifest& manifest, const std::vector<std::vector<ParameterCell>>& rows,
                    const std::vector<bool>& is_category) {
  manifest.categories.assign(is_category.size(), {});
  for (Clip& clip : manifest.clips) {
    clip.parameter.assign(is_category.size(), std::numeric_limits<double>::quiet_NaN());
  }
  for (size_t p = 0; p < is_category.size(); ++p) {
    std::set<std::string> distinct;
    for (const std::vector<ParameterCell>& row : rows) {
      if (is_category[p] && !row[p].text.empty()) {
        distinct.insert(row[p].text);
      }
    }
    std::vector<std::string>& names = manifest.categories[p];
    names.assign(distinct.begin(), distinct.end());
    for (size_t i = 0; i < rows.size(); ++i) {
      const ParameterCell& cell = rows[i][p];
      if (!cell.text.empty()) {
        manifest.clips[i].parameter[p] =
            is_category[p]
                ? static_cast<double>(std::lower_bound(names.begin(), names.end(), cell.text) - names.begin())
                : cell.number;
      }
    }
  }
}

}  // namespace evenflow::io
