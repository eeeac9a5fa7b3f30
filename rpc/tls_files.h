// Who one is in TLS: a certificate with its key, and the authority by which the
// other end's certificate is judged.
//
//   CKPT_ASSIGN_OR_RETURN(const TlsIdentity identity,
//                         LoadTls(TlsFiles::Default()));
//
// All are PEM files.  The key is a secret: one that others can read is refused.
#ifndef CKPT_RPC_TLS_FILES_H_
#define CKPT_RPC_TLS_FILES_H_

#include <string>

#include "absl/status/statusor.h"

namespace ckpt::rpc {

// Value type.
struct TlsFiles {
  std::string ca;    // certificates of authorities
  std::string cert;  // ours; those between it and the authority may follow
  std::string key;

  // ca.pem, cert.pem and key.pem of a directory.
  static TlsFiles In(const std::string& directory);
  // Those of $CKPT_TLS_DIR, or of /etc/ckpt/tls.
  static TlsFiles Default();
  // Those that are not named are Default()'s.
  TlsFiles OrDefault() const;
};

// What the files hold.  Value type.
struct TlsIdentity {
  std::string ca;
  std::string cert;
  std::string key;
};

// Errors name the file, and what to do: NotFound, PermissionDenied;
// FailedPrecondition when the key is not ours and root's alone, a file holds no
// PEM of its kind, or the key is another certificate's.
absl::StatusOr<TlsIdentity> LoadTls(const TlsFiles& files);

}  // namespace ckpt::rpc

#endif  // CKPT_RPC_TLS_FILES_H_
