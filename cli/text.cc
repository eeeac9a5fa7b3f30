#include "cli/text.h"

#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "cli/render.h"

namespace ckpt::cli {

std::string Row(absl::string_view name, absl::string_view value) {
  return absl::StrFormat("  %-11s%s\n", name, value);
}

std::string Plural(int64_t count, absl::string_view one,
                   absl::string_view many) {
  return absl::StrCat(count, " ", count == 1 ? one : many);
}

std::string Date(int64_t unix_ns) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", absl::FromUnixNanos(unix_ns),
                          absl::UTCTimeZone());
}

std::string StateWord(v1::FreezerState state) {
  constexpr size_t kPrefix = sizeof("FREEZER_STATE_") - 1;
  return v1::FreezerState_Name(state).substr(kPrefix);
}

std::string Size(uint64_t bytes) {
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

std::string Time(double seconds) {
  return seconds < 1 ? absl::StrFormat("%.1f ms", 1000 * seconds)
                     : absl::StrFormat("%.2f s", seconds);
}

}  // namespace ckpt::cli
