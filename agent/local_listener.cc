#include "agent/local_listener.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status.h"
#include "base/unix_address.h"

namespace ckpt::agent {
namespace {

constexpr int kBacklog = 64;
constexpr absl::Duration kGoPoll = absl::Milliseconds(100);
// getgroups(2): more than any user is in.
constexpr size_t kMaxGroups = 65536;

bool Listens(const sockaddr_un& address) {
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address),
                   sizeof(address)) == 0 ||
         errno != ECONNREFUSED;
}

// Removes the socket of an agent that has ended.
absl::Status RemoveStale(const std::string& path, const sockaddr_un& address,
                         absl::Duration patience) {
  struct stat about = {};
  if (::lstat(path.c_str(), &about) != 0) return absl::OkStatus();
  if (!S_ISSOCK(about.st_mode)) {
    return absl::AlreadyExistsError(
        absl::StrCat(path, " is there and is no socket"));
  }
  Clock& clock = Clock::Real();
  const absl::Time limit = clock.Now() + patience;
  while (Listens(address)) {
    if (clock.Now() > limit) {
      return absl::AlreadyExistsError(
          absl::StrCat("another ckptd listens on ", path, ": end it first"));
    }
    clock.Sleep(kGoPoll);
  }
  if (::unlink(path.c_str()) != 0) return ErrnoToStatus(errno, "remove", path);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UniqueFd> ListenLocally(const std::string& path,
                                       absl::optional<gid_t> gid,
                                       absl::Duration patience) {
  CKPT_ASSIGN_OR_RETURN(const sockaddr_un address, UnixAddress(path));
  CKPT_RETURN_IF_ERROR(RemoveStale(path, address, patience));
  UniqueFd socket(
      ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.ok()) return ErrnoToStatus(errno, "make a socket for", path);
  // Nobody gets in before the mode is right.
  const mode_t old_mask = ::umask(0177);
  const int bound =
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address),
             sizeof(address));
  const int error = errno;
  ::umask(old_mask);
  if (bound != 0) return ErrnoToStatus(error, "bind", path);
  if (gid.has_value() && (::chown(path.c_str(), -1, *gid) != 0 ||
                          ::chmod(path.c_str(), 0660) != 0)) {
    return ErrnoToStatus(errno, "open to its group", path);
  }
  if (::listen(socket.get(), kBacklog) != 0) {
    return ErrnoToStatus(errno, "listen on", path);
  }
  return socket;
}

Caller MakeCaller(uid_t uid, std::vector<gid_t> gids, UserNames& names) {
  std::sort(gids.begin(), gids.end());
  gids.erase(std::unique(gids.begin(), gids.end()), gids.end());
  Caller caller;
  caller.uid = uid;
  caller.gids = std::move(gids);
  const std::string user = names.UserName(uid);
  caller.name = absl::StrCat("uid ", uid,
                             user.empty() ? "" : absl::StrCat(" (", user, ")"));
  return caller;
}

absl::StatusOr<Caller> CallerOf(int socket, UserNames& names) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return ErrnoToStatus(errno, "SO_PEERCRED");
  }
  std::vector<gid_t> gids(kMaxGroups);
  size = static_cast<socklen_t>(gids.size() * sizeof(gid_t));
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, gids.data(), &size) !=
      0) {
    return ErrnoToStatus(errno, "SO_PEERGROUPS");
  }
  gids.resize(size / sizeof(gid_t));
  gids.push_back(peer.gid);
  return MakeCaller(peer.uid, std::move(gids), names);
}

LocalListener::LocalListener(UniqueFd socket, UserNames& names,
                             CallerServers::MakeServer make_server,
                             Refused refused)
    : socket_(std::move(socket)),
      names_(names),
      refused_(std::move(refused)),
      servers_(std::move(make_server)),
      thread_([this] { Run(); }) {}

LocalListener::~LocalListener() { Stop(); }

void LocalListener::Stop() {
  stop_.Cancel();
  if (thread_.joinable()) thread_.join();
}

void LocalListener::Run() {
  while (!stop_.cancelled()) {
    pollfd fds[] = {{socket_.get(), POLLIN, 0}, {stop_.fd(), POLLIN, 0}};
    if (::poll(fds, 2, -1) > 0 && fds[0].revents != 0) Accept();
  }
}

void LocalListener::Accept() {
  UniqueFd connection(
      ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!connection.ok()) {
    // No descriptor is left: not to spin until there is one.
    if (errno == EMFILE || errno == ENFILE) ::poll(nullptr, 0, 100);
    return;
  }
  const auto caller = CallerOf(connection.get(), names_);
  absl::Status served = caller.status();
  if (caller.ok()) served = servers_.Serve(*caller, std::move(connection));
  if (!served.ok()) refused_(std::string(served.message()));
}

}  // namespace ckpt::agent
