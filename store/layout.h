// The names in a store and in an image that are not CRIU's to choose.
#ifndef CKPT_STORE_LAYOUT_H_
#define CKPT_STORE_LAYOUT_H_

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace ckpt {

// In the image: the list of its files, written last.
inline constexpr char kManifestFile[] = "ckpt-manifest.pb";

// In the image: CRIU's figures, written when a dump or a restore is over.
inline constexpr char kDumpStatsFile[] = "stats-dump";
inline constexpr char kRestoreStatsFile[] = "stats-restore";

// In the image, empty: it is not to be removed (store/pin.h).
inline constexpr char kPinFile[] = "ckpt-pinned";

// Beside images, followed by NAME-XXXXXX: one being written, one being removed.
inline constexpr char kPendingPrefix[] = ".ckpt-pending-";
inline constexpr char kRemovedPrefix[] = ".ckpt-removed-";

// What may appear in an image without belonging to it: CRIU's figures, the pin,
// and the directories .criu.* that a restore leaves if it is killed.
inline bool IsNoPartOfImage(absl::string_view name) {
  return name == kDumpStatsFile || name == kRestoreStatsFile ||
         name == kPinFile || absl::StartsWith(name, ".criu.");
}

// A hidden directory that belongs to nobody once its lock is free.
inline bool IsLeftoverName(absl::string_view name) {
  return absl::StartsWith(name, kPendingPrefix) ||
         absl::StartsWith(name, kRemovedPrefix);
}

}  // namespace ckpt

#endif  // CKPT_STORE_LAYOUT_H_
