// Two nodes: `here` is the one of who asks for a transfer, `there` the other
// one, behind a FakeLink.
//
//   class PushTest : public TransferFixture {};
//   MakeImage(here_, "job");
//   ... Push::Begin(link_, ..., Options()) ...
//   EXPECT_EQ(ArrivingCount(there_), 0);
#ifndef CKPT_TRANSFER_TRANSFER_FIXTURE_H_
#define CKPT_TRANSFER_TRANSFER_FIXTURE_H_

#include <cstddef>
#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "store/arriving_image.h"
#include "store/image_store.h"
#include "tests/support/test_dir.h"
#include "transfer/fake_link.h"
#include "transfer/push.h"
#include "transfer/test_image.h"

namespace ckpt::transfer {

class TransferFixture : public ::testing::Test {
 protected:
  // Short pauses: nothing here takes time to come back.
  static TransferOptions Options(int streams = 1) {
    return {.streams = streams, .first_pause = absl::Milliseconds(1)};
  }

  // How many images have arrived in part.
  static size_t ArrivingCount(const ImageStore& store) {
    const auto arriving = ListArriving(store);
    EXPECT_TRUE(arriving.ok()) << arriving.status();
    return arriving.ok() ? arriving->size() : 0;
  }

  // Cuts message 0 off, then 1 and so on, with `status`, until there are no
  // more; each time `round` makes a transfer and says what has to be true of
  // it.  Returns how many messages there were.
  int CutAtEveryMessage(
      const absl::Status& status,
      const std::function<void(int cut, const bool& was_cut)>& round) {
    int cut = 0;
    for (bool was_cut = true; was_cut; ++cut) {
      was_cut = false;
      link_.set_on_message([&](int number, v1::ImageChunk*) -> absl::Status {
        if (number != cut) return absl::OkStatus();
        was_cut = true;
        return status;
      });
      round(cut, was_cut);
      if (HasFatalFailure()) break;
    }
    link_.set_on_message(nullptr);
    return cut - 1;
  }

  const TestDir dir_;
  const ImageStore here_{dir_.path() + "/here"};
  const ImageStore there_{dir_.path() + "/there"};
  FakeLink link_{dir_.path() + "/there"};
};

}  // namespace ckpt::transfer

#endif  // CKPT_TRANSFER_TRANSFER_FIXTURE_H_
