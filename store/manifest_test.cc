#include "store/manifest.h"

#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "store/sha256.h"
#include "store/test_support.h"

namespace ckpt {
namespace {

v1::Manifest SomeManifest() {
  v1::Manifest manifest;
  manifest.set_image_id("0123");
  manifest.mutable_job()->set_root_pid(7);
  v1::ManifestFile& file = *manifest.add_files();
  file.set_name("pages-1.img");
  file.set_size_bytes(4096);
  file.set_sha256(Sha256Of("x"));
  return manifest;
}

TEST(ManifestTest, ComesBackAsItWas) {
  v1::Manifest manifest = SomeManifest();
  const auto decoded = DecodeManifest(EncodeManifest(manifest));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->SerializeAsString(), manifest.SerializeAsString());
  EXPECT_EQ(decoded->format_version(), kManifestFormatVersion);
}

TEST(ManifestTest, EncodingTwiceGivesTheSame) {
  v1::Manifest manifest = SomeManifest();
  const std::string once = EncodeManifest(manifest);
  EXPECT_EQ(EncodeManifest(manifest), once);
}

TEST(ManifestTest, EveryFlippedBitIsDataLoss) {
  v1::Manifest manifest = SomeManifest();
  const std::string bytes = EncodeManifest(manifest);
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(DecodeManifest(damaged).status().code(),
              absl::StatusCode::kDataLoss)
        << "bit " << bit;
  }
}

TEST(ManifestTest, EveryTruncationIsDataLoss) {
  v1::Manifest manifest = SomeManifest();
  const std::string bytes = EncodeManifest(manifest);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(DecodeManifest(bytes.substr(0, size)).status().code(),
              absl::StatusCode::kDataLoss)
        << "size " << size;
  }
}

// A later ckpt adds a field that this one does not know, in front of others.
TEST(ManifestTest, FieldsOfALaterVersionAreCoveredAndDoNoHarm) {
  v1::Manifest manifest = SomeManifest();
  const std::string unknown = "\xd2\x06\x03new";  // field 106, length 3
  manifest.set_format_version(1);
  const std::string body = unknown + manifest.SerializeAsString();
  v1::Manifest digest;
  digest.set_manifest_sha256(Sha256Of(body));
  const std::string bytes = body + digest.SerializeAsString();

  const auto decoded = DecodeManifest(bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->image_id(), "0123");

  std::string damaged = bytes;
  damaged[4] = 'N';
  EXPECT_EQ(DecodeManifest(damaged).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST(ManifestTest, NewerFormatIsRefused) {
  v1::Manifest manifest = SomeManifest();
  manifest.set_format_version(kManifestFormatVersion + 1);
  manifest.set_manifest_sha256(Sha256Of(manifest.SerializeAsString()));
  const auto decoded = DecodeManifest(manifest.SerializeAsString());
  EXPECT_EQ(decoded.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(decoded.status().message(),
            "image format 2 is newer than this ckpt, which reads up to 1");
}

TEST(ManifestTest, DirectoryWithoutManifestIsNoImage) {
  const TempDirectory dir;
  const auto read = ReadManifest(dir.fd(), "/x/job");
  EXPECT_EQ(read.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(read.status().message(),
            "/x/job is not a ckpt image: no ckpt-manifest.pb");
}

}  // namespace
}  // namespace ckpt
