// A directory of a test's own, short enough for names of Unix sockets.
//
//   TestDir dir;
//   Start(dir.File("status"));
//
// It is in /tmp (TEST_TMPDIR of Bazel is longer than a socket's 107 bytes), and
// removed with all it holds.  Mounts below it, such as an early killed CRIU
// leaves, are unmounted first and never followed.
#ifndef CKPT_TESTS_SUPPORT_TEST_DIR_H_
#define CKPT_TESTS_SUPPORT_TEST_DIR_H_

#include <string>

namespace ckpt {

// Thread-compatible.  Ends the test program when no directory can be made.
class TestDir {
 public:
  TestDir();
  ~TestDir();

  TestDir(const TestDir&) = delete;
  TestDir& operator=(const TestDir&) = delete;

  const std::string& path() const { return path_; }

  // path() + "/" + `name`.
  std::string File(const std::string& name) const { return path_ + "/" + name; }

  // Makes a directory in it and returns its path.
  std::string MakeDirectory(const std::string& name) const;

 private:
  std::string path_;
};

}  // namespace ckpt

#endif  // CKPT_TESTS_SUPPORT_TEST_DIR_H_
