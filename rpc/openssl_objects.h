// Objects of OpenSSL that free themselves.
#ifndef CKPT_RPC_OPENSSL_OBJECTS_H_
#define CKPT_RPC_OPENSSL_OBJECTS_H_

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace ckpt::rpc {

template <auto kFree>
struct Freeing {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Bio = std::unique_ptr<BIO, Freeing<&BIO_free>>;
using Certificate = std::unique_ptr<X509, Freeing<&X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freeing<&EVP_PKEY_free>>;

// Reads from the text, which it borrows.
inline Bio Reading(const std::string& pem) {
  return Bio(::BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

}  // namespace ckpt::rpc

#endif  // CKPT_RPC_OPENSSL_OBJECTS_H_
