// SHA-256, in pieces or at once.
//
//   Sha256 hash;
//   hash.Add(part);
//   const std::string digest = hash.Finish();  // 32 bytes
#ifndef CKPT_STORE_SHA256_H_
#define CKPT_STORE_SHA256_H_

#include <openssl/evp.h>

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace ckpt {

// Thread-compatible.
class Sha256 {
 public:
  static constexpr size_t kDigestBytes = 32;

  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Add(absl::string_view data);
  // The digest of all that was added.  Starts over.
  std::string Finish();

 private:
  EVP_MD_CTX* const context_;
};

// The digest of `data`.
std::string Sha256Of(absl::string_view data);

}  // namespace ckpt

#endif  // CKPT_STORE_SHA256_H_
