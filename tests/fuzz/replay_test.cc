// Runs all targets over the corpus: the seeds, and what fuzzing once found.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "tests/fuzz/target.h"

namespace ckpt::fuzz {
namespace {

class ReplayTest : public testing::TestWithParam<Target> {};

std::string Corpus(const std::string& target) {
  return absl::StrCat("tests/fuzz/corpus/", target);
}

TEST_P(ReplayTest, NothingInTheCorpusBreaksIt) {
  const Target& target = GetParam();
  const auto names = ListDirectory(Corpus(target.name));
  ASSERT_TRUE(names.ok()) << names.status();
  EXPECT_FALSE(names->empty());
  for (const std::string& name : *names) {
    const auto bytes = ReadFile(absl::StrCat(Corpus(target.name), "/", name));
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    SCOPED_TRACE(name);
    target.run(*bytes);
  }
}

TEST_P(ReplayTest, NothingAtAllDoesNotBreakIt) { GetParam().run(""); }

INSTANTIATE_TEST_SUITE_P(All, ReplayTest, testing::ValuesIn(AllTargets()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace ckpt::fuzz
