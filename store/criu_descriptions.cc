#include "store/criu_descriptions.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/repeated_field.h"
#include "store/criu_values.h"

namespace ckpt {
namespace {

// Linux: include/net/tcp_states.h, which all kinds of sockets use.
std::string StateName(uint32_t state) {
  constexpr const char* kNames[] = {"",          "ESTABLISHED", "SYN_SENT",
                                    "SYN_RECV",  "FIN_WAIT1",   "FIN_WAIT2",
                                    "TIME_WAIT", "CLOSE",       "CLOSE_WAIT",
                                    "LAST_ACK",  "LISTEN",      "CLOSING"};
  constexpr uint32_t kStates = sizeof(kNames) / sizeof(kNames[0]);
  return state < kStates ? kNames[state] : absl::StrCat("state ", state);
}

constexpr uint32_t kStateClose = 7;

std::string AddressOf(uint32_t family,
                      const google::protobuf::RepeatedField<uint32_t>& words,
                      uint32_t port) {
  char text[INET6_ADDRSTRLEN] = "";
  if (family == AF_INET && !words.empty()) {
    in_addr address{};
    std::memcpy(&address, words.data(), sizeof(address));
    ::inet_ntop(AF_INET, &address, text, sizeof(text));
    return absl::StrCat(text, ":", port);
  }
  if (family == AF_INET6 && words.size() >= 4) {
    in6_addr address{};
    std::memcpy(&address, words.data(), sizeof(address));
    ::inet_ntop(AF_INET6, &address, text, sizeof(text));
    return absl::StrCat("[", text, "]:", port);
  }
  return absl::StrCat("?:", port);
}

std::string ProtocolName(const criu_images::InetSocket& socket) {
  const std::string suffix = socket.family() == AF_INET6 ? "6" : "";
  if (socket.type() == SOCK_RAW) return absl::StrCat("raw", suffix);
  switch (socket.proto()) {
    case IPPROTO_TCP:
      return absl::StrCat("tcp", suffix);
    case IPPROTO_UDP:
      return absl::StrCat("udp", suffix);
    case IPPROTO_UDPLITE:
      return absl::StrCat("udplite", suffix);
    default:
      return absl::StrCat("inet", suffix, " protocol ", socket.proto());
  }
}

ImageSocket InetSocketOf(const criu_images::InetSocket& socket) {
  ImageSocket result;
  result.protocol = ProtocolName(socket);
  result.local =
      AddressOf(socket.family(), socket.src_addr(), socket.src_port());
  if (socket.dst_port() != 0) {
    result.remote =
        AddressOf(socket.family(), socket.dst_addr(), socket.dst_port());
  }
  // What a socket that never connects is in for ever is no news.
  if (socket.state() != kStateClose || socket.proto() == IPPROTO_TCP) {
    result.state = StateName(socket.state());
  }
  return result;
}

}  // namespace

absl::optional<ImageSocket> SocketOf(const criu_images::FileEntry& entry) {
  ImageSocket result;
  switch (entry.type()) {
    case kFileInetSocket:
      return InetSocketOf(entry.isk());
    case kFileUnixSocket:
      result.protocol = "unix";
      result.local = UnixName(entry.usk());
      if (entry.usk().state() != kStateClose) {
        result.state = StateName(entry.usk().state());
      }
      return result;
    case kFileNetlinkSocket:
      result.protocol = "netlink";
      return result;
    case kFilePacketSocket:
      result.protocol = "packet";
      return result;
    default:
      return absl::nullopt;
  }
}

std::string UnixName(const criu_images::UnixSocket& socket) {
  std::string name = socket.name();
  if (name.empty()) return name;
  // An abstract name begins with a zero byte and may hold others.  A path may
  // have been stored with its end mark.
  const bool abstract = name[0] == '\0';
  if (!abstract && name.back() == '\0') name.pop_back();
  for (char& c : name) {
    if (c == '\0') c = '@';
  }
  return absl::Utf8SafeCEscape(name);
}

std::string DescribeSocket(const ImageSocket& socket) {
  std::string text = socket.protocol;
  if (!socket.local.empty()) absl::StrAppend(&text, " ", socket.local);
  if (!socket.remote.empty()) absl::StrAppend(&text, " -> ", socket.remote);
  if (!socket.state.empty()) absl::StrAppend(&text, " ", socket.state);
  return text;
}

std::string DescribeNameless(const criu_images::FileEntry& entry) {
  switch (entry.type()) {
    case kFilePipe:
      return absl::StrCat("pipe:[", entry.pipe().pipe_id(), "]");
    case kFileFifo:
      return absl::StrCat("fifo:[", entry.fifo().pipe_id(), "]");
    case kFileEventFd:
      return "eventfd";
    case kFileEpoll:
      return "epoll";
    case kFileInotify:
      return "inotify";
    case kFileSignalFd:
      return "signalfd";
    case kFileTty:
      return "tty";
    case kFileFanotify:
      return "fanotify";
    case kFileNamespace:
      return "namespace";
    case kFileTun:
      return "tun";
    case kFileExternal:
      return "external";
    case kFileTimerFd:
      return "timerfd";
    case kFileMemFd:
      return "memfd";
    case kFileBpfMap:
      return "bpf map";
    case kFilePidFd:
      return "pidfd";
    default:
      return absl::StrCat("file of type ", entry.type());
  }
}

std::string BuildIdOf(const criu_images::RegFile& file) {
  std::string bytes(
      reinterpret_cast<const char*>(file.build_id().data()),
      static_cast<size_t>(file.build_id_size()) * sizeof(uint32_t));
  return absl::BytesToHexString(bytes);
}

}  // namespace ckpt
