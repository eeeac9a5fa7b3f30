#include "store/sha256.h"

#include <string>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"

namespace ckpt {
namespace {

// FIPS 180-4, "abc".
constexpr char kAbc[] =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

TEST(Sha256Test, AgreesWithThePublishedExample) {
  EXPECT_EQ(absl::BytesToHexString(Sha256Of("abc")), kAbc);
}

TEST(Sha256Test, PiecesGiveTheSameAsTheWhole) {
  Sha256 hash;
  hash.Add("a");
  hash.Add("");
  hash.Add("bc");
  EXPECT_EQ(absl::BytesToHexString(hash.Finish()), kAbc);
}

TEST(Sha256Test, FinishStartsOver) {
  Sha256 hash;
  hash.Add("something else");
  hash.Finish();
  hash.Add("abc");
  EXPECT_EQ(absl::BytesToHexString(hash.Finish()), kAbc);
}

}  // namespace
}  // namespace ckpt
