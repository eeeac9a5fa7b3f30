#include "run/output_copier.h"

#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "tests/support/test_dir.h"

namespace ckpt::run {
namespace {

class OutputCopierTest : public testing::Test {
 protected:
  OutputCopierTest() {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    reading_.Reset(ends[0]);
    writing_.Reset(ends[1]);
  }

  void Append(const std::string& text) const {
    std::ofstream(path_, std::ios::app) << text;
  }

  // What has come out; copies a newline first, so that there is something.
  std::string Copied() const {
    EXPECT_EQ(::write(writing_.get(), "\n", 1), 1);
    char buffer[100];
    const ssize_t count = ::read(reading_.get(), buffer, sizeof(buffer));
    return std::string(buffer, static_cast<size_t>(count - 1));
  }

  TestDir dir_;
  const std::string path_ = dir_.File("out");
  UniqueFd reading_, writing_;
};

TEST_F(OutputCopierTest, CopiesWhatIsAppendedOnce) {
  OutputCopier copier(path_, 0, writing_.get());
  copier.Copy();
  EXPECT_EQ(Copied(), "");
  Append("one ");
  copier.Copy();
  copier.Copy();
  EXPECT_EQ(Copied(), "one ");
  Append("two");
  copier.Copy();
  EXPECT_EQ(Copied(), "two");
}

TEST_F(OutputCopierTest, BeginsAtTheOffset) {
  Append("earlier now");
  OutputCopier copier(path_, 8, writing_.get());
  copier.Copy();
  EXPECT_EQ(Copied(), "now");
}

TEST_F(OutputCopierTest, ShortenedFileGoesOnFromItsNewEnd) {
  Append("12345");
  OutputCopier copier(path_, 0, writing_.get());
  copier.Copy();
  ASSERT_EQ(::truncate(path_.c_str(), 2), 0);
  copier.Copy();
  Append("abc");
  copier.Copy();
  EXPECT_EQ(Copied(), "12345abc");
}

TEST_F(OutputCopierTest, ReaderThatHasGoneIsNoError) {
  (void)::signal(SIGPIPE, SIG_IGN);
  OutputCopier copier(path_, 0, writing_.get());
  Append("lost");
  reading_.Reset();
  copier.Copy();
  Append("more");
  copier.Copy();
}

}  // namespace
}  // namespace ckpt::run
