// The names in a store and in an image that are not CRIU's to choose.
#ifndef CKPT_STORE_LAYOUT_H_
#define CKPT_STORE_LAYOUT_H_

#include <algorithm>

#include "absl/strings/ascii.h"
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

// In the image, empty: another node has sent it (store/arriving_image.h).
inline constexpr char kArrivedFile[] = "ckpt-arrived";

// Beside images, followed by NAME-XXXXXX: one being written, one being removed.
inline constexpr char kPendingPrefix[] = ".ckpt-pending-";
inline constexpr char kRemovedPrefix[] = ".ckpt-removed-";

// Beside images, followed by NAME: one of which a part has arrived from another
// node (store/arriving_image.h).
inline constexpr char kArrivingPrefix[] = ".ckpt-arriving-";

// Memory pages: files that CRIU only appends to.
inline bool IsPagesFile(absl::string_view name) {
  return absl::StartsWith(name, "pages-") && absl::EndsWith(name, ".img");
}

// Of who writes an arriving image, in it (store/arriving_image.h).
inline constexpr char kArrivingOwnPrefix[] = ".arrival-";

// What may appear in an image without belonging to it: CRIU's figures, the pin,
// the mark of one that has arrived, the directories .criu.* that a restore
// leaves if it is killed, and the record of an image that arrived, if its
// receiver was killed right after.
inline bool IsNoPartOfImage(absl::string_view name) {
  return name == kDumpStatsFile || name == kRestoreStatsFile ||
         name == kPinFile || name == kArrivedFile ||
         absl::StartsWith(name, ".criu.") ||
         absl::StartsWith(name, kArrivingOwnPrefix);
}

// Letters, digits and . _ - ; no dot first, at most 200 characters: NAME_MAX is
// 255, and a hidden name adds up to 21.
inline bool IsPlainName(absl::string_view text) {
  return !text.empty() && text.size() <= 200 && text[0] != '.' &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
         });
}

// A hidden directory that belongs to nobody once its lock is free.
inline bool IsLeftoverName(absl::string_view name) {
  return absl::StartsWith(name, kPendingPrefix) ||
         absl::StartsWith(name, kRemovedPrefix);
}

}  // namespace ckpt

#endif  // CKPT_STORE_LAYOUT_H_
