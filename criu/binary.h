// Which CRIU to run.
#ifndef CKPT_CRIU_BINARY_H_
#define CKPT_CRIU_BINARY_H_

#include <string>

#include "absl/status/statusor.h"

namespace ckpt::criu {

// Where tools/setup puts a CRIU of ckpt's own.
inline constexpr char kOwnCriu[] = "/opt/ckpt/bin/criu";

struct Version {
  int major = 0;
  int minor = 0;
  int sublevel = 0;

  std::string ToString() const;
  auto operator<=>(const Version&) const = default;
};

// Older ones cannot start on Linux >= 6.13 (the vDSO's layout changed) and lack
// what ckpt builds on.
inline constexpr Version kOldestVersion = {4, 1, 0};

// `asked` (from --criu) if not empty, else $CKPT_CRIU, else kOwnCriu if it is
// there, else "criu" in PATH and the sbin directories.  NotFound with the
// places looked at; InvalidArgument when a named one is no executable file.
absl::StatusOr<std::string> FindCriu(const std::string& asked);

// FailedPrecondition, with the reason and what to do, for a version that is too
// old.
absl::Status CheckVersion(const std::string& binary, const Version& version);

}  // namespace ckpt::criu

#endif  // CKPT_CRIU_BINARY_H_
