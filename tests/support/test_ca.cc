#include "tests/support/test_ca.h"

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

}  // namespace ckpt
