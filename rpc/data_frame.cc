#include "rpc/data_frame.h"

#include <cstdint>
#include <utility>

#include "base/status.h"

namespace ckpt::rpc {
namespace {

constexpr size_t kPrefixBytes = 8;

struct Lengths {
  size_t head;
  size_t data;
};

std::string PrefixOf(Lengths lengths) {
  std::string prefix(kPrefixBytes, '\0');
  for (size_t i = 0; i < kPrefixBytes / 2; ++i) {
    prefix[i] = static_cast<char>(lengths.head >> (8 * i));
    prefix[4 + i] = static_cast<char>(lengths.data >> (8 * i));
  }
  return prefix;
}

// Of a number of four bytes.
size_t Number(const char* bytes) {
  size_t number = 0;
  for (size_t i = 0; i < 4; ++i) {
    number |= static_cast<size_t>(static_cast<unsigned char>(bytes[i]))
              << (8 * i);
  }
  return number;
}

absl::Status Lost() {
  return absl::UnavailableError("the connection for an image's data was lost");
}

absl::StatusOr<Lengths> ReadPrefix(const DataReader::ReadBytes& read) {
  char prefix[kPrefixBytes];
  if (!read(prefix, sizeof(prefix))) return Lost();
  const Lengths lengths = {.head = Number(prefix), .data = Number(prefix + 4)};
  if (lengths.head > kMaxHeadBytes || lengths.data > kMaxDataBytes) {
    return absl::InvalidArgumentError(
        "what came on a connection for an image's data is no message of ckpt");
  }
  return lengths;
}

}  // namespace

bool WriteRequest(TlsConnection& connection, v1::PushRequest& request) {
  std::string data;
  if (request.has_chunk()) {
    data = std::move(*request.mutable_chunk()->mutable_data());
    request.mutable_chunk()->clear_data();
  }
  const std::string head = request.SerializeAsString();
  return connection.Write(PrefixOf({.head = head.size(), .data = data.size()}) +
                          head) &&
         connection.Write(data);
}

bool WriteReply(TlsConnection& connection, const v1::DataReply& reply) {
  const std::string head = reply.SerializeAsString();
  return connection.Write(PrefixOf({.head = head.size(), .data = 0}) + head);
}

bool WriteEnd(TlsConnection& connection) {
  return connection.Write(PrefixOf({.head = 0, .data = 0}));
}

absl::StatusOr<bool> DataReader::ReadFrame(v1::PushRequest* request,
                                           AlignedBytes* data) {
  CKPT_ASSIGN_OR_RETURN(const Lengths lengths, ReadPrefix(read_));
  if (lengths.head == 0 && lengths.data == 0) return false;
  head_.resize(lengths.head);
  // Mostly as long as the last, and then nothing is filled with zeros.
  data->resize(lengths.data);
  if (!read_(head_.data(), head_.size()) ||
      !read_(data->data(), data->size())) {
    return Lost();
  }
  if (!request->ParseFromString(head_)) {
    return absl::InvalidArgumentError(
        "a message on a connection for an image's data cannot be read");
  }
  const bool fits =
      begun_ ? request->has_chunk() && request->chunk().data().empty()
             : request->begin().further_stream() && data->empty();
  if (!fits) {
    return absl::FailedPreconditionError(
        "what comes to a port for data is a further stream of a push, and then "
        "chunks; this is neither");
  }
  begun_ = true;
  return true;
}

bool DataReader::Read(v1::PushRequest* request, AlignedBytes* data) {
  const auto more = ReadFrame(request, data);
  status_ = more.status();
  return more.ok() && *more;
}

absl::StatusOr<v1::DataReply> ReadReply(TlsConnection& connection) {
  const auto read = [&](char* bytes, size_t count) {
    return connection.Read(bytes, count);
  };
  CKPT_ASSIGN_OR_RETURN(const Lengths lengths, ReadPrefix(read));
  std::string head(lengths.head, '\0');
  if (!read(head.data(), head.size())) return Lost();
  v1::DataReply reply;
  if (lengths.data != 0 || !reply.ParseFromString(head)) {
    return absl::InvalidArgumentError(
        "a node's answer on a connection for an image's data cannot be read");
  }
  return reply;
}

}  // namespace ckpt::rpc
