// A client that checks a Redis server elsewhere, over one connection, or, with
// --retry, over as many as it takes:
//
//   redis_client --status FILE --address ADDRESS --port N [--retry 1]
#include <signal.h>

#include <string>

#include "tests/testcases/redis_checker.h"
#include "tests/testcases/workload.h"

int main(int argc, char** argv) {
  ckpt::Workload workload(argc, argv);
  ckpt::RedisChecker checker(workload.Option("address", "127.0.0.1"),
                             workload.IntOption("port", 6379), "outside:");
  const bool retries = workload.IntOption("retry", 0) != 0;
  if (retries) ::signal(SIGPIPE, SIG_IGN);
  checker.Connect(workload);
  for (;;) {
    if (retries) {
      checker.RoundWithRetries(workload);
    } else {
      checker.Round(workload);
    }
    workload.Beat();
    workload.Pause();
  }
}
