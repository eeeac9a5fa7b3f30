// A client that checks a Redis server elsewhere, over one connection:
//
//   redis_client --status FILE --address ADDRESS --port N
#include <string>

#include "tests/testcases/redis_checker.h"
#include "tests/testcases/workload.h"

int main(int argc, char** argv) {
  ckpt::Workload workload(argc, argv);
  ckpt::RedisChecker checker(workload.Option("address", "127.0.0.1"),
                             workload.IntOption("port", 6379), "outside:");
  checker.Connect(workload);
  for (;;) {
    checker.Round(workload);
    workload.Beat();
    workload.Pause();
  }
}
