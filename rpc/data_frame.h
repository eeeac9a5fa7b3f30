// Messages on a connection for data: those of PushImage (proto/transfer.proto),
// with the bytes of a chunk apart, so that nothing copies them more than TLS
// does.
//
//   if (!WriteFrame(connection, request)) ...
//   DataReader reader([&](char* bytes, size_t count) {
//     return connection.Read(bytes, count);
//   });
//   while (reader.Read(&request, &data)) ...
//
// A frame is two lengths (4 bytes each, little endian), a serialized message
// without chunk.data, and chunk.data.  A frame of two zeros says that nothing
// more comes.  The sender's are PushRequest, the receiver's DataReply.
#ifndef CKPT_RPC_DATA_FRAME_H_
#define CKPT_RPC_DATA_FRAME_H_

#include <cstddef>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/aligned_bytes.h"
#include "proto/transfer.pb.h"
#include "rpc/tls_connection.h"

namespace ckpt::rpc {

// The bounds of what is read: a request is an announcement or a chunk's head.
inline constexpr size_t kMaxHeadBytes = 64 << 10;
inline constexpr size_t kMaxDataBytes = 1 << 20;

// False: the connection has ended.  Takes chunk.data out of the request.
bool WriteRequest(TlsConnection& connection, v1::PushRequest& request);
bool WriteReply(TlsConnection& connection, const v1::DataReply& reply);
bool WriteEnd(TlsConnection& connection);

// The receiver's end: a further stream of a push, and nothing else.
// Thread-compatible.
class DataReader {
 public:
  // As TlsConnection::Read().
  using ReadBytes = std::function<bool(char* bytes, size_t count)>;

  explicit DataReader(ReadBytes read) : read_(std::move(read)) {}

  // The announcement of a further stream first, chunks after that.  False:
  // nothing more comes; status() tells whether that was said.  `data` gets the
  // bytes of a chunk, in place of chunk.data.
  bool Read(v1::PushRequest* request, AlignedBytes* data);
  // Unavailable: the connection broke.  InvalidArgument: it is no frame.
  // FailedPrecondition: another message.
  const absl::Status& status() const { return status_; }

 private:
  absl::StatusOr<bool> ReadFrame(v1::PushRequest* request, AlignedBytes* data);

  const ReadBytes read_;
  std::string head_;
  bool begun_ = false;
  absl::Status status_;
};

// The sender's.  Unavailable: the connection has ended.  InvalidArgument.
absl::StatusOr<v1::DataReply> ReadReply(TlsConnection& connection);

}  // namespace ckpt::rpc

#endif  // CKPT_RPC_DATA_FRAME_H_
