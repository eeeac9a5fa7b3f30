#include "tests/support/test_ca.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "tests/support/job.h"
#include "tests/testcases/workloads.h"

namespace ckpt {

std::string TestCa::Make(const std::string& names, int days) const {
  const auto made = RunCommand({RunfilesPath("tools/dev_ca"), "--days",
                                absl::StrCat(days), dir_.File("ca"), names});
  EXPECT_TRUE(made.ok() && made->exit_status == 0)
      << made.status() << (made.ok() ? made->err : "");
  std::string first = names.substr(0, names.find(','));
  first = first.substr(first.rfind('/') + 1);
  return absl::StrCat(dir_.File("ca"), "/", first);
}

void TestCa::Renew(const std::string& names, int days) const {
  const std::string first = names.substr(0, names.find(','));
  const std::string place =
      absl::StrCat(dir_.File("ca"), "/", first.substr(first.rfind('/') + 1));
  const std::string old = dir_.MakeDirectory("old") + "/tls";
  ASSERT_EQ(std::rename(place.c_str(), old.c_str()), 0);
  const std::string fresh = Make(names, days);
  for (const char* const name : {"/key.pem", "/cert.pem", "/ca.pem"}) {
    ASSERT_EQ(std::rename((fresh + name).c_str(), (old + name).c_str()), 0);
  }
  ASSERT_EQ(std::remove(fresh.c_str()), 0);
  ASSERT_EQ(std::rename(old.c_str(), place.c_str()), 0);
}

}  // namespace ckpt
