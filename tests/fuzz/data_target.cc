// What comes to a port for data, before it is a stream of PushImage: whatever
// it is, a reader ends, and gives out what such a stream may have.
#include <cstring>
#include <string>

#include "absl/strings/string_view.h"
#include "base/aligned_bytes.h"
#include "proto/transfer.pb.h"
#include "rpc/data_frame.h"
#include "tests/fuzz/target.h"

namespace ckpt::fuzz {
namespace {

void Run(absl::string_view bytes) {
  rpc::DataReader reader([&bytes](char* wanted, size_t count) {
    if (count > bytes.size()) return false;
    std::memcpy(wanted, bytes.data(), count);
    bytes.remove_prefix(count);
    return true;
  });
  v1::PushRequest request;
  AlignedBytes data;
  bool begun = false;
  while (reader.Read(&request, &data)) {
    Require(begun ? request.has_chunk() : request.begin().further_stream(),
            "a stream is an announcement, and then chunks");
    Require(request.chunk().data().empty() && data.size() <= rpc::kMaxDataBytes,
            "a chunk is within its bounds");
    begun = true;
  }
}

}  // namespace

Target DataTarget() {
  // The lengths of frames that may be.
  return {.name = "data",
          .run = &Run,
          .words = {std::string("\x03\0\0\0\0\0\0\0\x0a\x01\x30", 11),
                    std::string("\x02\0\0\0\x01\0\0\0\x12\0", 10),
                    std::string("\0\0\0\0\0\0\0\0", 8)}};
}

}  // namespace ckpt::fuzz
