/* A job that checkpoints itself, and writes down what it saw.
 *
 * Usage: self_job STATUS STORE CKPT [OPTION...]
 *
 * STORE "-" is the default one, CKPT "-" the service of $CKPT_SOCKET.
 *
 *   --times N             ask for N checkpoints (1), then wait to be killed
 *   --wait-for FILE       ask for the Nth when FILE.N is there
 *   --tree, --group, --exit, --keep N, --cgroup X, --argument A (repeatable)
 *   --async               CKPT_ASYNC, and ckpt_wait() after each call
 *   --no-wait             no ckpt_wait() but after the last
 *   --children N          processes that count in shared memory
 *   --threads N           threads that count
 *   --from-thread         ask from a thread that is not the first
 *   --subreaper           adopt orphans
 *   --ignore-sigchld      SIGCHLD is ignored
 *   --drop-root           ask as another user
 *   --as-user UID         be that user, once the children are there
 *   --thread-drops FILE   a thread becomes another user when FILE is there
 *   --memory MIB          of random bytes
 *   --as-init             ask from process 1 of a new PID namespace
 *   --own-mounts          in a mount namespace of its own, as a container
 *   --from-child          ask from a child; the first process only reaps
 *   --callbacks KIND      ok, before-fails, before-hangs, after-fails,
 *                         after-hangs, restart-fails, restart-hangs; what hangs
 *                         has a limit of 300 ms, and is let go after the second
 *                         call
 *
 * Appends lines to STATUS, which it does not keep open:
 *   ready
 *   dropped
 *   asking I
 *   callback before | callback after RESULT | callback restart
 *   call I RESULT ERRNO restarts N image PATH: MESSAGE
 *   wait I RESULT ERRNO image PATH: MESSAGE
 *   trace same | trace differs, was: ... is: ...
 *   beat                  all children and threads have counted on
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libckpt/ckpt.h"
#include "tests/self/trace.h"

enum { kMost = 128, kLimitMs = 300, kPlentyMs = 60000, kNobody = 65534 };

static const char *status_path;
static const char *wait_for;
static const char *callback_kind = "";
static int times = 1;
static int children, threads, from_thread, subreaper, ignore_sigchld;
static int drop_root, as_init, own_mounts, from_child, no_wait;
static uid_t as_user;
static const char *thread_drops;
static size_t memory_mib;
static unsigned flags;
static struct ckpt_options options = CKPT_OPTIONS_INIT;
static const char *arguments[kMost + 1];
static int argument_count;
static atomic_ulong *counters; /* shared with the children */
static atomic_int hanging;     /* a callback */
static atomic_int released;    /* of the callback that hangs */

static void Nap(void) { usleep(1000); }

static void Say(const char *format, ...) {
  static char line[160 * 1024];
  va_list words;
  va_start(words, format);
  int length = vsnprintf(line, sizeof line, format, words);
  va_end(words);
  for (int i = 0; i < length; ++i) {
    if (line[i] == '\n') line[i] = '|';
  }
  line[length] = '\n';
  const int fd = open(status_path, O_WRONLY | O_APPEND | O_CREAT, 0666);
  if (fd < 0 || write(fd, line, (size_t)length + 1) < 0) _exit(3);
  close(fd);
}

/* --- What runs beside --- */

static void CountForEver(atomic_ulong *counter) {
  for (;;) {
    atomic_fetch_add(counter, 1);
    Nap();
  }
}

static void *CountInThread(void *counter) {
  CountForEver(counter);
  return NULL;
}

/* The thread alone, as libc's function would take all of them along. */
static void *DropInThread(void *unused) {
  const char line[] = "dropped\n";
  while (access(thread_drops, F_OK) != 0) Nap();
  const int fd = open(status_path, O_WRONLY | O_APPEND);
  if (fd < 0 || syscall(SYS_setresuid, kNobody, kNobody, kNobody) != 0 ||
      write(fd, line, sizeof line - 1) < 0) {
    abort();
  }
  close(fd);
  for (;;) pause();
  return unused;
}

static void TakeMemory(void) {
  const size_t size = memory_mib << 20;
  char *memory = malloc(size);
  for (size_t got = 0; memory != NULL && got < size;) {
    const ssize_t count = getrandom(memory + got, size - got, 0);
    if (count < 0) abort();
    got += (size_t)count;
  }
}

static void StartOthers(void) {
  counters = mmap(NULL, 2 * kMost * sizeof *counters, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (counters == MAP_FAILED) abort();
  for (int i = 0; i < children; ++i) {
    const pid_t pid = fork();
    if (pid < 0) abort();
    if (pid == 0) CountForEver(&counters[i]);
  }
  for (int i = 0; i < threads; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, CountInThread, &counters[kMost + i])) {
      abort();
    }
  }
  pthread_t thread;
  if (thread_drops != NULL &&
      pthread_create(&thread, NULL, DropInThread, NULL) != 0) {
    abort();
  }
}

/* Returns when all have counted on. */
static void AwaitOthers(void) {
  unsigned long before[2 * kMost];
  for (int i = 0; i < 2 * kMost; ++i) before[i] = atomic_load(&counters[i]);
  for (int i = 0; i < 2 * kMost; ++i) {
    const int counts = i < children || (i >= kMost && i < kMost + threads);
    while (counts && atomic_load(&counters[i]) == before[i]) Nap();
  }
  Say("beat");
}

/* --- Callbacks --- */

/* What a callback that is called `when` returns, if it does. */
static int Behave(const char *when) {
  const size_t length = strlen(when);
  if (strncmp(callback_kind, when, length) != 0) return 0;
  if (strcmp(callback_kind + length, "-hangs") == 0) {
    atomic_store(&hanging, 1);
    while (!atomic_load(&released)) Nap();
    atomic_store(&hanging, 0);
  }
  return strcmp(callback_kind + length, "-fails") == 0;
}

static int Before(void *data) {
  (void)data;
  Say("callback before");
  return Behave("before");
}

static int After(void *data, long result) {
  (void)data;
  Say("callback after %ld", result);
  return Behave("after");
}

static int Restart(void *data) {
  (void)data;
  Say("callback restart");
  return Behave("restart");
}

/* Short only for the one that is to miss it. */
static unsigned LimitMs(const char *hanging_kind) {
  return strcmp(callback_kind, hanging_kind) == 0 ? kLimitMs : kPlentyMs;
}

static void RegisterCallbacks(void) {
  struct ckpt_callbacks callbacks = CKPT_CALLBACKS_INIT;
  callbacks.before = Before;
  callbacks.after = After;
  callbacks.restart = Restart;
  callbacks.before_limit_ms = LimitMs("before-hangs");
  callbacks.after_limit_ms = LimitMs("after-hangs");
  callbacks.restart_limit_ms = LimitMs("restart-hangs");
  if (ckpt_register(&callbacks) <= 0) abort();
}

/* --- The calls --- */

/* Threads that have ended are listed for a moment longer. */
static void CompareTraces(const struct trace *before) {
  static struct trace after;
  for (int i = 0; i < 2000; ++i) {
    trace_take(&after);
    if (strcmp(before->text, after.text) == 0) {
      Say("trace same");
      return;
    }
    Nap();
  }
  Say("trace differs, was: %s is: %s", before->text, after.text);
}

static void AwaitGo(int number) {
  char path[4096];
  if (wait_for == NULL) return;
  snprintf(path, sizeof path, "%s.%d", wait_for, number);
  while (access(path, F_OK) != 0) Nap();
}

/* A guardian of the last call, which was killed, may still hold the group. */
static long CallUntilFree(int number) {
  long result;
  int error;
  do {
    result = ckpt_self(flags, &options);
    error = errno;
  } while (number > 1 && result < 0 && error == EBUSY &&
           callback_kind[0] == '\0');
  errno = error;
  return result;
}

static void Wait(int number) {
  const long result = ckpt_wait(-1);
  const int error = errno;
  Say("wait %d %ld %s image %s: %s", number, result,
      result < 0 ? strerrorname_np(error) : "0", ckpt_last_image(),
      ckpt_last_error());
}

static void Call(int number) {
  static struct trace before;
  trace_take(&before);
  Say("asking %d", number);
  if (drop_root && seteuid(kNobody) != 0) abort();
  const long result = CallUntilFree(number);
  const int error = errno;
  if (drop_root && seteuid(0) != 0) abort();
  Say("call %d %ld %s restarts %lu image %s: %s", number, result,
      result < 0 ? strerrorname_np(error) : "0", ckpt_restarts(),
      ckpt_last_image(), ckpt_last_error());
  if ((flags & CKPT_ASYNC) && (!no_wait || number == times)) Wait(number);
  if (atomic_load(&hanging)) return; /* in a thread of its own */
  CompareTraces(&before);
}

static void *CallAll(void *unused) {
  (void)unused;
  for (int i = 1; i <= times; ++i) {
    AwaitGo(i);
    Call(i);
    AwaitOthers();
    /* A fault is for the first. */
    unsetenv("CKPT_FAULT");
    if (atomic_load(&hanging) && i == 2) {
      atomic_store(&released, 1);
      while (ckpt_self(~0u, NULL) < 0 && errno == EBUSY) Nap();
    }
  }
  for (;;) pause();
  return NULL;
}

/* --- Who asks --- */

static int RunAsInit(void *unused) {
  setsid();
  StartOthers();
  CallAll(unused);
  return 0;
}

static void Ask(void) {
  if (as_init) {
    static char stack[256 * 1024] __attribute__((aligned(64)));
    const pid_t pid = clone(RunAsInit, stack + sizeof stack,
                            CLONE_NEWPID | SIGCHLD, NULL);
    if (pid < 0 || waitpid(pid, NULL, 0) != pid) abort();
    return;
  }
  if (from_child) {
    const pid_t pid = fork();
    if (pid < 0) abort();
    while (pid > 0) {
      if (wait(NULL) == pid) return;
    }
  }
  if (from_thread) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, CallAll, NULL) != 0) abort();
    pthread_join(thread, NULL);
  }
  CallAll(NULL);
}

static void ParseArguments(int argc, char **argv) {
  enum { kTree = 1000, kGroup, kExit, kAsync };
  const struct option known[] = {
      {"times", required_argument, NULL, 't'},
      {"wait-for", required_argument, NULL, 'w'},
      {"tree", no_argument, NULL, kTree},
      {"group", no_argument, NULL, kGroup},
      {"exit", no_argument, NULL, kExit},
      {"async", no_argument, NULL, kAsync},
      {"no-wait", no_argument, &no_wait, 1},
      {"keep", required_argument, NULL, 'k'},
      {"cgroup", required_argument, NULL, 'c'},
      {"argument", required_argument, NULL, 'a'},
      {"children", required_argument, NULL, 'n'},
      {"threads", required_argument, NULL, 'm'},
      {"callbacks", required_argument, NULL, 'b'},
      {"as-user", required_argument, NULL, 'u'},
      {"thread-drops", required_argument, NULL, 'd'},
      {"memory", required_argument, NULL, 'M'},
      {"from-thread", no_argument, &from_thread, 1},
      {"subreaper", no_argument, &subreaper, 1},
      {"ignore-sigchld", no_argument, &ignore_sigchld, 1},
      {"drop-root", no_argument, &drop_root, 1},
      {"as-init", no_argument, &as_init, 1},
      {"own-mounts", no_argument, &own_mounts, 1},
      {"from-child", no_argument, &from_child, 1},
      {NULL, 0, NULL, 0}};
  int option;
  while ((option = getopt_long(argc, argv, "", known, NULL)) >= 0) {
    if (option == 't') times = atoi(optarg);
    if (option == 'w') wait_for = optarg;
    if (option == kTree) flags |= CKPT_TREE;
    if (option == kGroup) flags |= CKPT_CGROUP;
    if (option == kExit) flags |= CKPT_EXIT;
    if (option == kAsync) flags |= CKPT_ASYNC;
    if (option == 'k') options.keep = (unsigned)atoi(optarg);
    if (option == 'c') options.cgroup = optarg;
    if (option == 'a') arguments[argument_count++] = optarg;
    if (option == 'n') children = atoi(optarg);
    if (option == 'm') threads = atoi(optarg);
    if (option == 'b') callback_kind = optarg;
    if (option == 'u') as_user = (uid_t)atoi(optarg);
    if (option == 'd') thread_drops = optarg;
    if (option == 'M') memory_mib = (size_t)atoi(optarg);
    if (option == '?' || argument_count > kMost || children > kMost ||
        threads > kMost) {
      exit(2);
    }
  }
  if (argc - optind != 3) exit(2);
  status_path = argv[optind];
  const char *store = argv[optind + 1], *program = argv[optind + 2];
  options.store = strcmp(store, "-") == 0 ? NULL : store;
  options.program = strcmp(program, "-") == 0 ? NULL : program;
  options.image = "self";
  options.arguments = arguments;
}

/* With nothing open, mapped or executed that is of the former ones. */
static void TakeOwnMounts(char **argv) {
  if (getenv("SELF_JOB_INSIDE") != NULL) return;
  if (unshare(CLONE_NEWNS) != 0) abort();
  const int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd <= 2; ++fd) dup2(null, fd);
  if (null > 2) close(null);
  setenv("SELF_JOB_INSIDE", "1", 1);
  execv(argv[0], argv);
  abort();
}

int main(int argc, char **argv) {
  ParseArguments(argc, argv);
  if (own_mounts) TakeOwnMounts(argv);
  if (subreaper) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  if (ignore_sigchld) signal(SIGCHLD, SIG_IGN);
  if (callback_kind[0] != '\0') RegisterCallbacks();
  if (!as_init) {
    StartOthers();
    AwaitOthers();
  }
  TakeMemory();
  if (as_user != 0 && (setresgid(as_user, as_user, as_user) != 0 ||
                       setresuid(as_user, as_user, as_user) != 0)) {
    abort();
  }
  Say("ready");
  Ask();
  return 0;
}
