// One thing that CRIU may or may not be able to dump, in a process of its own:
//
//   odd_job --ready FILE KIND [ARGUMENT...]
//
// makes it, writes "ready" into FILE, and sleeps for good.  Ends with status 64
// for a kind that it does not know, with 77 when this kernel has no such thing,
// with 70 when something else went wrong; FILE tells what then, too.
#ifndef CKPT_TESTS_TESTCASES_ODD_JOB_H_
#define CKPT_TESTS_TESTCASES_ODD_JOB_H_

#include <string>
#include <vector>

namespace ckpt {

using OddArguments = std::vector<std::string>;

struct OddKind {
  const char* name;
  void (*make)(const OddArguments& arguments);
};

// By the file that makes them.
const std::vector<OddKind>& OddDescriptors();
const std::vector<OddKind>& OddSockets();
const std::vector<OddKind>& OddProcesses();

// End the process, with errno's text.
[[noreturn]] void Fail(const char* what);
[[noreturn]] void NotHere(const char* what);

// `value` if it is not negative.  NotHere() for what the kernel does not know,
// Fail() for all else.
int Must(long value, const char* what);

// argument `index`, or Fail().
const std::string& ArgumentOf(const OddArguments& arguments, size_t index);

}  // namespace ckpt

#endif  // CKPT_TESTS_TESTCASES_ODD_JOB_H_
