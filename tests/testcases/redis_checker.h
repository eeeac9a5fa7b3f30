// A client of a Redis server that knows what the server must answer.
//
//   RedisChecker checker("10.77.0.1", 6379, "some:");
//   checker.Connect(workload);
//   checker.Round(workload);  // again and again
//
// Every acknowledged write is remembered and read back later: a server that is
// restored must have them all, over the same connection.
#ifndef CKPT_TESTS_TESTCASES_REDIS_CHECKER_H_
#define CKPT_TESTS_TESTCASES_REDIS_CHECKER_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tests/testcases/workload.h"

namespace ckpt {

// Thread-compatible.
class RedisChecker {
 public:
  // An IPv4 address; keys begin with `prefix`, so that several checkers can use
  // one server.
  RedisChecker(std::string address, uint16_t port, std::string prefix)
      : address_(std::move(address)), port_(port), prefix_(std::move(prefix)) {}

  RedisChecker(const RedisChecker&) = delete;
  RedisChecker& operator=(const RedisChecker&) = delete;

  // Connects once; tries again for as long as nobody listens, at most 30 s,
  // and then ends the workload.  Removes what an earlier checker left.
  void Connect(Workload& workload);

  // INCR of a counter, SET of one key, GET of another; every 64th round all
  // keys are read.  Never reconnects: a broken connection is an error.
  void Round(Workload& workload);

  // The same for a server that may be away, without the counter: a command that
  // is not answered is sent again, over a new connection, until it is.
  void RoundWithRetries(Workload& workload);

 private:
  static constexpr uint64_t kKeys = 64;

  bool TryConnect();
  std::string KeyOf(uint64_t round) const;
  std::string ValueOf(uint64_t round) const;

  // Sends a command and returns the reply: ":5", "+OK", "-ERR ..." or, for a
  // string, "$" and its contents ("$-1" when there is none).
  std::string Command(const std::vector<std::string>& words);
  std::string ReadLine();
  std::string CommandWithRetries(const std::vector<std::string>& words);
  void Expect(Workload& workload, const std::vector<std::string>& words,
              const std::string& reply);
  // The round's write, and what is read back of those before.
  void WriteAndRead(Workload& workload);

  const std::string address_;
  const uint16_t port_;
  const std::string prefix_;
  bool retries_ = false;
  int fd_ = -1;
  uint64_t round_ = 0;
};

}  // namespace ckpt

#endif  // CKPT_TESTS_TESTCASES_REDIS_CHECKER_H_
