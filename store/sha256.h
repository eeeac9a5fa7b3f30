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

// Movable; one that was moved from may only be assigned to, or destroyed.
// Thread-compatible.
class Sha256 {
 public:
  static constexpr size_t kDigestBytes = 32;

  Sha256();
  ~Sha256();
  Sha256(Sha256&& other) noexcept;
  Sha256& operator=(Sha256&& other) noexcept;

  void Add(absl::string_view data);
  // The digest of all that was added.  Starts over.
  std::string Finish();
  // Another one with the same state.
  Sha256 Copy() const;

 private:
  EVP_MD_CTX* context_;
};

// The digest of `data`.
std::string Sha256Of(absl::string_view data);

}  // namespace ckpt

#endif  // CKPT_STORE_SHA256_H_
