// Kinds of odd_job that are a descriptor, a file or a mapping.

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/memfd.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstring>
#include <string>

#include "tests/testcases/odd_job.h"

namespace ckpt {
namespace {

constexpr size_t kPage = 4096;

int Open(const std::string& path, int flags) {
  return Must(::open(path.c_str(), flags | O_CLOEXEC, 0600), path.c_str());
}

// A file of `size` bytes.
int MakeFile(const std::string& path, off_t size) {
  const int fd = Open(path, O_RDWR | O_CREAT);
  Must(::ftruncate(fd, size), "ftruncate");
  return fd;
}

void Unlink(const std::string& path) { Must(::unlink(path.c_str()), "unlink"); }

void IoUring(const OddArguments&) {
  io_uring_params parameters = {};
  Must(::syscall(SYS_io_uring_setup, 4, &parameters), "io_uring_setup");
}

void UserFault(const OddArguments&) {
  Must(::syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY),
       "userfaultfd");
}

void PerfEvent(const OddArguments&) {
  perf_event_attr attributes = {};
  attributes.size = sizeof(attributes);
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.config = PERF_COUNT_SW_TASK_CLOCK;
  Must(::syscall(SYS_perf_event_open, &attributes, 0, -1, -1,
                 PERF_FLAG_FD_CLOEXEC),
       "perf_event_open");
}

void BpfMap(const OddArguments&) {
  bpf_attr attributes = {};
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = 4;
  attributes.value_size = 8;
  attributes.max_entries = 4;
  Must(::syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes)),
       "bpf map");
}

void BpfProgram(const OddArguments&) {
  // r0 = 0; exit
  bpf_insn code[2] = {};
  code[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
  code[1].code = BPF_JMP | BPF_EXIT;
  bpf_attr attributes = {};
  attributes.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attributes.insn_cnt = 2;
  attributes.insns = reinterpret_cast<uint64_t>(code);
  attributes.license = reinterpret_cast<uint64_t>("GPL");
  Must(::syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes)),
       "bpf program");
}

void CommonFds(const OddArguments&) {
  const int event = Must(::eventfd(3, EFD_CLOEXEC), "eventfd");
  const int poll = Must(::epoll_create1(EPOLL_CLOEXEC), "epoll");
  epoll_event interest = {};
  interest.events = EPOLLIN;
  Must(::epoll_ctl(poll, EPOLL_CTL_ADD, event, &interest), "epoll_ctl");
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGUSR1);
  Must(::signalfd(-1, &signals, SFD_CLOEXEC), "signalfd");
  Must(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), "timerfd");
}

void Inotify(const OddArguments& arguments) {
  const int fd = Must(::inotify_init1(IN_CLOEXEC), "inotify");
  Must(::inotify_add_watch(fd, ArgumentOf(arguments, 0).c_str(), IN_CREATE),
       "inotify_add_watch");
}

void InotifyDeleted(const OddArguments& arguments) {
  const std::string& path = ArgumentOf(arguments, 0);
  const int file = MakeFile(path, 10);
  const int fd = Must(::inotify_init1(IN_CLOEXEC), "inotify");
  Must(::inotify_add_watch(fd, path.c_str(), IN_MODIFY), "inotify_add_watch");
  Unlink(path);
  (void)file;  // stays open
}

void Fanotify(const OddArguments& arguments) {
  const int fd = Must(::fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC, O_RDONLY),
                      "fanotify");
  Must(::fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD,
                       ArgumentOf(arguments, 0).c_str()),
       "fanotify_mark");
}

void PidFd(const OddArguments&) {
  Must(::syscall(SYS_pidfd_open, ::getpid(), 0), "pidfd_open");
}

void PidFdOfOther(const OddArguments& arguments) {
  Must(::syscall(SYS_pidfd_open, std::stoi(ArgumentOf(arguments, 0)), 0),
       "pidfd_open");
}

void MemFd(const OddArguments&) {
  const int fd = Must(::memfd_create("memfd", MFD_CLOEXEC), "memfd");
  Must(::ftruncate(fd, kPage), "ftruncate");
}

// As databases share their buffers: the kernel calls it a deleted /dev/zero.
void SharedMemory(const OddArguments& arguments) {
  const size_t size = std::stoul(ArgumentOf(arguments, 0));
  void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) Fail("mmap");
  std::memset(memory, 1, size);
}

void MemFdSecret(const OddArguments&) {
  const int fd = Must(::syscall(SYS_memfd_secret, O_CLOEXEC), "memfd_secret");
  Must(::ftruncate(fd, kPage), "ftruncate");
  void* const memory =
      ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) Fail("mmap");
  std::memset(memory, 1, kPage);
}

void Landlock(const OddArguments&) {
  const uint64_t handled[2] = {1, 0};  // LANDLOCK_ACCESS_FS_EXECUTE
  Must(::syscall(SYS_landlock_create_ruleset, handled, 8, 0), "landlock");
}

void FsContext(const OddArguments&) {
  Must(::syscall(SYS_fsopen, "tmpfs", 1 /* FSOPEN_CLOEXEC */), "fsopen");
}

void MountFd(const OddArguments&) {
  // A mount that is attached nowhere.
  Must(::syscall(SYS_open_tree, AT_FDCWD, "/", O_CLOEXEC | 1 /* CLONE */),
       "open_tree");
}

void MessageQueue(const OddArguments&) {
  const std::string name = "/ckpt-odd-" + std::to_string(::getpid());
  Must(::mq_open(name.c_str(), O_RDWR | O_CREAT, 0600, nullptr), "mq_open");
  ::mq_unlink(name.c_str());
}

// Any file that is there: "device /dev/fuse", "file /proc/self/ns/net".
void OpenReading(const OddArguments& arguments) {
  Open(ArgumentOf(arguments, 0), O_RDONLY | O_NOCTTY | O_NONBLOCK);
}
void OpenBoth(const OddArguments& arguments) {
  Open(ArgumentOf(arguments, 0), O_RDWR | O_NOCTTY | O_NONBLOCK);
}
void OpenPath(const OddArguments& arguments) {
  Open(ArgumentOf(arguments, 0), O_PATH);
}

void Deleted(const OddArguments& arguments) {
  const std::string& path = ArgumentOf(arguments, 0);
  MakeFile(path, std::stol(ArgumentOf(arguments, 1)));
  Unlink(path);
}

// Holes take no room, but count for the limit or do not.
void DeletedFull(const OddArguments& arguments) {
  const std::string& path = ArgumentOf(arguments, 0);
  const int fd = Open(path, O_RDWR | O_CREAT);
  const std::string data(std::stoul(ArgumentOf(arguments, 1)), 'x');
  Must(::write(fd, data.data(), data.size()), "write");
  Unlink(path);
}

void DeletedMapped(const OddArguments& arguments) {
  const std::string& path = ArgumentOf(arguments, 0);
  const off_t size = std::stol(ArgumentOf(arguments, 1));
  const int fd = Open(path, O_RDWR | O_CREAT);
  const std::string data(static_cast<size_t>(size), 'x');
  Must(::write(fd, data.data(), data.size()), "write");
  if (::mmap(nullptr, static_cast<size_t>(size), PROT_READ, MAP_PRIVATE, fd,
             0) == MAP_FAILED) {
    Fail("mmap");
  }
  ::close(fd);
  Unlink(path);
}

void DeletedLinked(const OddArguments& arguments) {
  const std::string& path = ArgumentOf(arguments, 0);
  MakeFile(path, 10);
  Must(::link(path.c_str(), (path + ".other").c_str()), "link");
  Unlink(path);
}

void DeletedDirectory(const OddArguments& arguments) {
  const std::string& path = ArgumentOf(arguments, 0);
  Must(::mkdir(path.c_str(), 0700), "mkdir");
  Must(::chdir(path.c_str()), "chdir");
  Must(::rmdir(path.c_str()), "rmdir");
}

// O_TMPFILE in the directory, with so many bytes.
void TmpFile(const OddArguments& arguments) {
  const int fd = Open(ArgumentOf(arguments, 0), O_RDWR | O_TMPFILE);
  const std::string data(std::stoul(ArgumentOf(arguments, 1)), 'x');
  Must(::write(fd, data.data(), data.size()), "write");
}

void Flock(const OddArguments& arguments) {
  Must(::flock(MakeFile(ArgumentOf(arguments, 0), 10), LOCK_EX), "flock");
}

template <int command>
void RecordLock(const OddArguments& arguments) {
  const int fd = MakeFile(ArgumentOf(arguments, 0), 10);
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  Must(::fcntl(fd, command, &lock), "fcntl lock");
}

void Lease(const OddArguments& arguments) {
  const std::string& path = ArgumentOf(arguments, 0);
  ::close(MakeFile(path, 10));
  Must(::fcntl(Open(path, O_RDONLY), F_SETLEASE, F_RDLCK), "lease");
}

void MapDevice(const OddArguments& arguments) {
  const int fd = Open(ArgumentOf(arguments, 0), O_RDWR);
  if (::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0) ==
      MAP_FAILED) {
    Fail("mmap");
  }
}

}  // namespace

const std::vector<OddKind>& OddDescriptors() {
  static const std::vector<OddKind>& kinds = *new std::vector<OddKind>{
      {"io_uring", &IoUring},
      {"userfaultfd", &UserFault},
      {"perf_event", &PerfEvent},
      {"bpf_map", &BpfMap},
      {"bpf_program", &BpfProgram},
      {"common_fds", &CommonFds},
      {"inotify", &Inotify},
      {"inotify_deleted", &InotifyDeleted},
      {"fanotify", &Fanotify},
      {"pidfd", &PidFd},
      {"pidfd_of", &PidFdOfOther},
      {"memfd", &MemFd},
      {"shared_memory", &SharedMemory},
      {"memfd_secret", &MemFdSecret},
      {"landlock", &Landlock},
      {"fs_context", &FsContext},
      {"mount_fd", &MountFd},
      {"mqueue", &MessageQueue},
      {"open", &OpenReading},
      {"open_rw", &OpenBoth},
      {"open_path", &OpenPath},
      {"deleted", &Deleted},
      {"deleted_full", &DeletedFull},
      {"deleted_mapped", &DeletedMapped},
      {"deleted_linked", &DeletedLinked},
      {"deleted_directory", &DeletedDirectory},
      {"tmpfile", &TmpFile},
      {"flock", &Flock},
      {"posix_lock", &RecordLock<F_SETLK>},
      {"ofd_lock", &RecordLock<F_OFD_SETLK>},
      {"lease", &Lease},
      {"map_device", &MapDevice},
  };
  return kinds;
}

}  // namespace ckpt
