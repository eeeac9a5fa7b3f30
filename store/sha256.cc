#include "store/sha256.h"

#include <cstdlib>
#include <utility>

namespace ckpt {
namespace {

// OpenSSL fails here only when memory or the library itself is broken.  A
// wrong digest would be worse than the end of the process.
void Check(bool ok) {
  if (!ok) std::abort();
}

void Start(EVP_MD_CTX* context) {
  // Looked up once: a fetch costs more than the digest of a small file.
  static const EVP_MD* const algorithm =
      EVP_MD_fetch(nullptr, "SHA256", nullptr);
  Check(algorithm != nullptr &&
        EVP_DigestInit_ex2(context, algorithm, nullptr) == 1);
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  Check(context_ != nullptr);
  Start(context_);
}

Sha256::~Sha256() { EVP_MD_CTX_free(context_); }

Sha256::Sha256(Sha256&& other) noexcept
    : context_(std::exchange(other.context_, nullptr)) {}

Sha256& Sha256::operator=(Sha256&& other) noexcept {
  std::swap(context_, other.context_);
  return *this;
}

Sha256 Sha256::Copy() const {
  Sha256 copy;
  Check(EVP_MD_CTX_copy_ex(copy.context_, context_) == 1);
  return copy;
}

void Sha256::Add(absl::string_view data) {
  Check(EVP_DigestUpdate(context_, data.data(), data.size()) == 1);
}

std::string Sha256::Finish() {
  std::string digest(kDigestBytes, '\0');
  unsigned int size = 0;
  Check(EVP_DigestFinal_ex(context_,
                           reinterpret_cast<unsigned char*>(digest.data()),
                           &size) == 1 &&
        size == kDigestBytes);
  Start(context_);
  return digest;
}

std::string Sha256Of(absl::string_view data) {
  Sha256 hash;
  hash.Add(data);
  return hash.Finish();
}

}  // namespace ckpt
