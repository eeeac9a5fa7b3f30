// Pieces of text that several reports have.
#ifndef CKPT_CLI_TEXT_H_
#define CKPT_CLI_TEXT_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace ckpt::cli {

// "  image      /var/lib/ckpt/monday\n".
std::string Row(absl::string_view name, absl::string_view value);
// "1 thread", "2 threads".
std::string Plural(int64_t count, absl::string_view one,
                   absl::string_view many);
// "2026-01-31 12:00:00 UTC".
std::string Date(int64_t unix_ns);

}  // namespace ckpt::cli

#endif  // CKPT_CLI_TEXT_H_
