// Numbered records in pipes: to a child and back, and through a pipe of the
// root's own that is never empty.
#include <fcntl.h>
#include <unistd.h>

#include "tests/testcases/sequence.h"
#include "tests/testcases/workload.h"

namespace ckpt {
namespace {

constexpr int kPipeSizeBytes = 128 * 1024;  // twice the kernel's default

void Run(Workload& workload) {
  int there[2];
  int back[2];
  int own[2];
  if (::pipe2(there, O_CLOEXEC) != 0 || ::pipe2(back, O_CLOEXEC) != 0 ||
      ::pipe2(own, O_CLOEXEC | O_NONBLOCK) != 0) {
    workload.Die("pipe2");
  }
  if (::fcntl(own[0], F_SETPIPE_SZ, kPipeSizeBytes) != kPipeSizeBytes) {
    workload.Die("F_SETPIPE_SZ");
  }
  ForkChild(workload, [&] {
    ::close(there[1]);
    ::close(back[0]);
    AnswerSequence(workload, there[0], back[1], 1);
  });
  ::close(there[0]);
  ::close(back[1]);

  Conversation conversation(workload, back[0], there[1], 1);
  SequenceReader own_out(own[0], 2);
  SequenceWriter own_in(own[1], 2);
  own_in.Write(workload, Conversation::kInFlight);
  for (;;) {
    conversation.Round(workload);
    own_out.Read(workload, Conversation::kPerRound);
    own_in.Write(workload, Conversation::kPerRound);
    if (::fcntl(own[0], F_GETPIPE_SZ) != kPipeSizeBytes) {
      workload.Fail("size of a pipe changed to %d bytes",
                    ::fcntl(own[0], F_GETPIPE_SZ));
    }
    if ((::fcntl(own[0], F_GETFL) & O_NONBLOCK) == 0) {
      workload.Fail("a pipe lost O_NONBLOCK");
    }
    workload.Beat();
    Workload::Pause();
  }
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) {
  ckpt::Workload workload(argc, argv);
  ckpt::Run(workload);
}
