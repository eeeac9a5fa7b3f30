#include "rpc/tls_files.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "rpc/openssl_objects.h"

namespace ckpt::rpc {
namespace {

constexpr char kDefaultDirectory[] = "/etc/ckpt/tls";

absl::Status NoPem(const std::string& path, const char* kind) {
  ::ERR_clear_error();
  return absl::FailedPreconditionError(
      absl::StrCat(path, " holds no ", kind, " in PEM; see docs/security.md"));
}

// Of a file whose contents are a secret, if `is_secret`.
absl::StatusOr<std::string> ReadPem(const std::string& path, bool is_secret) {
  auto fd = OpenAt(AT_FDCWD, path, O_RDONLY);
  if (!fd.ok()) {
    return WithMessage(
        fd.status(),
        absl::StrCat(fd.status().message(),
                     "; TLS needs ca.pem, cert.pem and key.pem in /etc/ckpt/tls"
                     ", in $CKPT_TLS_DIR, or where --tls-ca, --tls-cert and "
                     "--tls-key say"));
  }
  struct stat about = {};
  if (::fstat(fd->get(), &about) != 0) {
    return ErrnoToStatus(errno, "stat", path);
  }
  const bool is_ours = about.st_uid == 0 || about.st_uid == ::geteuid();
  if (is_secret && (!is_ours || (about.st_mode & 0077) != 0)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the key ", path,
        " can be read by others than its owner, or is another user's: make a "
        "new one if they may have done so, then chmod 600 ",
        path));
  }
  return ReadFile(absl::StrCat("/proc/self/fd/", fd->get()));
}

// No terminal is asked for a password.
int NoPassword(char*, int, int, void*) { return -1; }

}  // namespace

TlsFiles TlsFiles::In(const std::string& directory) {
  return {.ca = directory + "/ca.pem",
          .cert = directory + "/cert.pem",
          .key = directory + "/key.pem"};
}

TlsFiles TlsFiles::Default() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets it
  const char* const directory = std::getenv("CKPT_TLS_DIR");
  return In(directory == nullptr || *directory == '\0' ? kDefaultDirectory
                                                       : directory);
}

TlsFiles TlsFiles::OrDefault() const {
  TlsFiles files = Default();
  if (!ca.empty()) files.ca = ca;
  if (!cert.empty()) files.cert = cert;
  if (!key.empty()) files.key = key;
  return files;
}

absl::StatusOr<TlsIdentity> LoadTls(const TlsFiles& files) {
  TlsIdentity identity;
  CKPT_ASSIGN_OR_RETURN(identity.ca, ReadPem(files.ca, /*is_secret=*/false));
  CKPT_ASSIGN_OR_RETURN(identity.cert, ReadPem(files.cert, false));
  CKPT_ASSIGN_OR_RETURN(identity.key, ReadPem(files.key, /*is_secret=*/true));
  const Certificate authority(::PEM_read_bio_X509(
      Reading(identity.ca).get(), nullptr, &NoPassword, nullptr));
  if (authority == nullptr) return NoPem(files.ca, "certificate");
  const Certificate own(::PEM_read_bio_X509(Reading(identity.cert).get(),
                                            nullptr, &NoPassword, nullptr));
  if (own == nullptr) return NoPem(files.cert, "certificate");
  const Key key(::PEM_read_bio_PrivateKey(Reading(identity.key).get(), nullptr,
                                          &NoPassword, nullptr));
  if (key == nullptr) {
    return NoPem(files.key, "private key without a password");
  }
  if (::X509_check_private_key(own.get(), key.get()) != 1) {
    ::ERR_clear_error();
    return absl::FailedPreconditionError(
        absl::StrCat("the key ", files.key, " is not that of the certificate ",
                     files.cert, "; both change together"));
  }
  return identity;
}

}  // namespace ckpt::rpc
