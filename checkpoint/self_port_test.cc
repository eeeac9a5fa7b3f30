#include "checkpoint/self_port.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "proto/self_request.h"
#include "tests/support/test_dir.h"

namespace ckpt::checkpoint {
namespace {

ckpt_self_request Request(uint64_t number) {
  ckpt_self_request request = {};
  request.magic = CKPT_SELF_REQUEST_MAGIC;
  request.request = number;
  const char kWords[] = "solver\0\0";  // image; neither store nor cgroup
  std::memcpy(request.text, kWords, sizeof(kWords));
  request.text_bytes = sizeof(kWords);
  return request;
}

class SelfPortTest : public testing::Test {
 protected:
  void SetUp() override {
    auto port = SelfPort::Listen(path_);
    ASSERT_TRUE(port.ok()) << port.status();
    port_ = *std::move(port);
  }

  // With `descriptors` of /dev/null attached.
  void Send(uint64_t number, size_t descriptors) {
    const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    ckpt_self_request request = Request(number);
    iovec part = {&request,
                  offsetof(ckpt_self_request, text) + request.text_bytes};
    const std::vector<int> fds(descriptors, null.get());
    std::vector<char> control(CMSG_SPACE(descriptors * sizeof(int)));
    msghdr message = {};
    message.msg_name = &address;
    message.msg_namelen = sizeof(address);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (descriptors > 0) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* const header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
      std::memcpy(CMSG_DATA(header), fds.data(), descriptors * sizeof(int));
    }
    ASSERT_GT(::sendmsg(socket.get(), &message, 0), 0);
  }

  TestDir dir_;
  const std::string path_ = dir_.File("socket");
  std::unique_ptr<SelfPort> port_;
};

TEST_F(SelfPortTest, CallSaysWhoAsks) {
  Send(1, /*descriptors=*/0);
  const auto call = port_->Receive();
  ASSERT_TRUE(call.has_value());
  EXPECT_EQ(call->asker.pid, ::getpid());
  EXPECT_EQ(call->asker.request, 1U);
  EXPECT_EQ(call->uid, ::geteuid());
  EXPECT_EQ(call->image, "solver");
  EXPECT_TRUE(call->CallerRuns());
}

// They would leave no room for the kernel's word on who has sent it.
TEST_F(SelfPortTest, CallWithDescriptorsIsPassedOver) {
  for (const size_t descriptors : {1, 2, 3, 100}) {
    Send(1, descriptors);
  }
  Send(2, /*descriptors=*/0);
  const auto call = port_->Receive();
  ASSERT_TRUE(call.has_value());
  EXPECT_EQ(call->asker.request, 2U);
  EXPECT_FALSE(port_->Receive().has_value());
}

TEST_F(SelfPortTest, DescriptorsOfACallAreClosed) {
  const auto lowest_free = [] {
    return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)).get();
  };
  const int before = lowest_free();
  Send(1, /*descriptors=*/2);
  EXPECT_FALSE(port_->Receive().has_value());
  EXPECT_EQ(lowest_free(), before);
}

}  // namespace
}  // namespace ckpt::checkpoint
