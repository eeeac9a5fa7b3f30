// A certificate authority of a test's own, by tools/dev_ca.
//
//   TestCa ca;
//   const std::string node = ca.Make("node,localhost,127.0.0.1");
//   Start("--tls-cert", node + "/cert.pem", ...);
#ifndef CKPT_TESTS_SUPPORT_TEST_CA_H_
#define CKPT_TESTS_SUPPORT_TEST_CA_H_

#include <string>

#include "tests/support/test_dir.h"

namespace ckpt {

// Thread-compatible.
class TestCa {
 public:
  // Makes a certificate for the names, separated by commas, that is valid for
  // so many days; a negative number is of one that has expired.  Returns the
  // directory with its ca.pem, cert.pem and key.pem, which is named by the
  // first name.  Fails the test when it cannot.
  std::string Make(const std::string& names, int days = 30) const;

 private:
  TestDir dir_;
};

}  // namespace ckpt

#endif  // CKPT_TESTS_SUPPORT_TEST_CA_H_
