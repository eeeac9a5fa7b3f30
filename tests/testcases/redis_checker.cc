#include "tests/testcases/redis_checker.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "tests/testcases/exact_io.h"
#include "tests/testcases/pattern.h"

namespace ckpt {

bool RedisChecker::TryConnect() {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port_);
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0 ||
      ::inet_pton(AF_INET, address_.c_str(), &address.sin_addr) != 1) {
    return false;
  }
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) ==
      0) {
    return true;
  }
  const int error = errno;
  ::close(fd_);
  fd_ = -1;
  errno = error;
  return false;
}

void RedisChecker::Connect(Workload& workload) {
  constexpr int kTries = 15'000;  // with pauses of 2 ms
  for (int i = 0; !TryConnect(); ++i) {
    if (i == kTries) workload.Die("connect to the server");
    Workload::Pause();
  }
  std::vector<std::string> words = {"DEL", prefix_ + "counter"};
  for (uint64_t i = 0; i < kKeys; ++i) words.push_back(KeyOf(i));
  const std::string reply = Command(words);
  if (reply[0] != ':') workload.Fail("DEL is answered %s", reply.c_str());
}

std::string RedisChecker::KeyOf(uint64_t round) const {
  return prefix_ + "key:" + std::to_string(round % kKeys);
}

std::string RedisChecker::ValueOf(uint64_t round) const {
  std::string value = std::to_string(round);
  for (uint64_t i = 0; i < 1 + round % 40; ++i) {
    value += "," + std::to_string(Mix(round, i));
  }
  return value;
}

std::string RedisChecker::ReadLine() {
  std::string line;
  for (char c; ReadExactly(fd_, &c, 1);) {
    if (c == '\n') return line;
    if (c != '\r') line += c;
  }
  return "(connection broken, errno " + std::to_string(errno) + ")";
}

std::string RedisChecker::Command(const std::vector<std::string>& words) {
  std::string text = "*" + std::to_string(words.size()) + "\r\n";
  for (const std::string& word : words) {
    text += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
  }
  if (!WriteExactly(fd_, text.data(), text.size())) {
    return "(cannot send, errno " + std::to_string(errno) + ")";
  }
  std::string reply = ReadLine();
  if (reply[0] != '$' || reply == "$-1") return reply;
  std::string value(std::strtoul(reply.c_str() + 1, nullptr, 10), '\0');
  if (!ReadExactly(fd_, value.data(), value.size())) return "(broken off)";
  ReadLine();
  return "$" + value;
}

std::string RedisChecker::CommandWithRetries(
    const std::vector<std::string>& words) {
  // Of a server that has gone without a word.
  const timeval patience = {2, 0};
  while (true) {
    if (fd_ >= 0 || TryConnect()) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
      const std::string reply = Command(words);
      if (reply[0] != '(') return reply;
      ::close(fd_);
      fd_ = -1;
    }
    Workload::Pause();
  }
}

void RedisChecker::Expect(Workload& workload,
                          const std::vector<std::string>& words,
                          const std::string& reply) {
  const std::string got = retries_ ? CommandWithRetries(words) : Command(words);
  if (got == reply) return;
  workload.Fail("round %lu: %s %s is answered \"%.60s\" instead of \"%.60s\"",
                round_, words[0].c_str(), words[1].c_str(), got.c_str(),
                reply.c_str());
}

void RedisChecker::Round(Workload& workload) {
  ++round_;
  Expect(workload, {"INCR", prefix_ + "counter"}, ":" + std::to_string(round_));
  WriteAndRead(workload);
}

void RedisChecker::RoundWithRetries(Workload& workload) {
  ++round_;
  retries_ = true;
  WriteAndRead(workload);
}

void RedisChecker::WriteAndRead(Workload& workload) {
  Expect(workload, {"SET", KeyOf(round_), ValueOf(round_)}, "+OK");
  if (round_ < kKeys) return;
  const bool all = round_ % kKeys == 0;
  const uint64_t first = all ? round_ - kKeys + 1 : round_ - kKeys / 2;
  const uint64_t last = all ? round_ : first;
  for (uint64_t i = first; i <= last; ++i) {
    Expect(workload, {"GET", KeyOf(i)}, "$" + ValueOf(i));
  }
}

}  // namespace ckpt
