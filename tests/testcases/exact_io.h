// read() and write() of whole records, for workloads.
#ifndef CKPT_TESTS_TESTCASES_EXACT_IO_H_
#define CKPT_TESTS_TESTCASES_EXACT_IO_H_

#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace ckpt {

// False at the end of the file and after an error; errno is 0 at the end.
inline bool ReadExactly(int fd, void* data, size_t size_bytes) {
  char* at = static_cast<char*>(data);
  while (size_bytes > 0) {
    const ssize_t got = ::read(fd, at, size_bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      if (got == 0) errno = 0;
      return false;
    }
    at += got;
    size_bytes -= got;
  }
  return true;
}

inline bool WriteExactly(int fd, const void* data, size_t size_bytes) {
  const char* at = static_cast<const char*>(data);
  while (size_bytes > 0) {
    const ssize_t put = ::write(fd, at, size_bytes);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    at += put;
    size_bytes -= put;
  }
  return true;
}

}  // namespace ckpt

#endif  // CKPT_TESTS_TESTCASES_EXACT_IO_H_
