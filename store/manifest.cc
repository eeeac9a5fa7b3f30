#include "store/manifest.h"

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/wire_format_lite.h"
#include "store/layout.h"
#include "store/sha256.h"

namespace ckpt {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// The digest of a serialized manifest, leaving out field manifest_sha256 of the
// top level.  "" when the bytes are no protobuf message.
std::string DigestWithoutItself(absl::string_view bytes) {
  CodedInputStream input(reinterpret_cast<const uint8_t*>(bytes.data()),
                         static_cast<int>(bytes.size()));
  Sha256 hash;
  while (true) {
    const int start = input.CurrentPosition();
    const uint32_t tag = input.ReadTag();
    if (tag == 0) break;
    if (!WireFormatLite::SkipField(&input, tag)) return "";
    if (WireFormatLite::GetTagFieldNumber(tag) !=
        v1::Manifest::kManifestSha256FieldNumber) {
      hash.Add(
          bytes.substr(static_cast<size_t>(start),
                       static_cast<size_t>(input.CurrentPosition() - start)));
    }
  }
  if (!input.ConsumedEntireMessage()) return "";
  return hash.Finish();
}

}  // namespace

std::string EncodeManifest(v1::Manifest& manifest) {
  manifest.set_format_version(kManifestFormatVersion);
  manifest.clear_manifest_sha256();
  manifest.set_manifest_sha256(
      DigestWithoutItself(manifest.SerializeAsString()));
  return manifest.SerializeAsString();
}

absl::StatusOr<v1::Manifest> DecodeManifest(absl::string_view bytes) {
  v1::Manifest manifest;
  if (!manifest.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::DataLossError("the manifest is damaged: not a manifest");
  }
  if (manifest.manifest_sha256().size() != Sha256::kDigestBytes ||
      manifest.manifest_sha256() != DigestWithoutItself(bytes)) {
    return absl::DataLossError("the manifest is damaged: content differs");
  }
  if (manifest.format_version() > kManifestFormatVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("image format ", manifest.format_version(),
                     " is newer than this ckpt, which reads up to ",
                     kManifestFormatVersion));
  }
  return manifest;
}

absl::StatusOr<v1::Manifest> ReadManifest(int dir_fd, const std::string& path) {
  const absl::StatusOr<std::string> bytes = ReadFileAt(dir_fd, kManifestFile);
  if (absl::IsNotFound(bytes.status())) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is not a ckpt image: no ", kManifestFile));
  }
  if (!bytes.ok()) return bytes.status();
  absl::StatusOr<v1::Manifest> manifest = DecodeManifest(*bytes);
  if (manifest.ok()) return manifest;
  return WithMessage(
      manifest.status(),
      absl::StrCat("image ", path, ": ", manifest.status().message()));
}

}  // namespace ckpt
