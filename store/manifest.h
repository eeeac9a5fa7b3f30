// The manifest as bytes: the file ckpt-manifest.pb.
//
//   const std::string bytes = EncodeManifest(manifest);
//   CKPT_ASSIGN_OR_RETURN(v1::Manifest same, DecodeManifest(bytes));
//
// The manifest carries its own digest: SHA-256 over the file without the field
// manifest_sha256.  It is taken over the bytes as they are, not over a message
// written anew, so that fields which only a later ckpt knows do not disturb it.
#ifndef CKPT_STORE_MANIFEST_H_
#define CKPT_STORE_MANIFEST_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/image.pb.h"

namespace ckpt {

// The newest format that this code reads, and the one that it writes.
inline constexpr uint32_t kManifestFormatVersion = 1;

// Sets format_version and manifest_sha256 of `manifest` and returns its bytes.
// Thread-safe.
std::string EncodeManifest(v1::Manifest& manifest);

// DataLoss: the bytes are not those of a manifest, or were changed.
// FailedPrecondition: they are right, and of a newer format.  Thread-safe.
absl::StatusOr<v1::Manifest> DecodeManifest(absl::string_view bytes);

// Reads and decodes the manifest in a directory; `path` is its name, for the
// message.  DataLoss: damaged.  FailedPrecondition: there is none, so this is
// no image; or it is of a newer format.  Thread-safe.
absl::StatusOr<v1::Manifest> ReadManifest(int dir_fd, const std::string& path);

}  // namespace ckpt

#endif  // CKPT_STORE_MANIFEST_H_
