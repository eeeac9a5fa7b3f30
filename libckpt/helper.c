#include "libckpt/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_BYTES (64 * 1024)

extern char **environ;

/* What the two processes on the way to the program are given and give back.
 * They share our memory, and we stand still until they are gone; under valgrind
 * they have a copy instead, so this is in shared memory. */
struct launch {
  const char *path;
  char *const *argv;
  char *const *env;
  sigset_t no_signals;
  pid_t pid;
  int error;
  char intermediate_stack[STACK_BYTES] __attribute__((aligned(64)));
  char program_stack[STACK_BYTES] __attribute__((aligned(64)));
};

static void CloseAllDescriptors(void) {
#ifdef SYS_close_range
  if (syscall(SYS_close_range, 0, ~0u, 0) == 0) return;
#endif
  struct rlimit limit;
  int end = 65536;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536) {
    end = (int)limit.rlim_cur;
  }
  for (int fd = 0; fd < end; ++fd) close(fd);
}

/* The process that becomes the program.  It shares memory with a caller that
 * may have other threads: system calls only.  To return is to end the process,
 * and no function is called that a sanitizer takes for the end of our stack. */
static int BecomeProgram(void *argument) {
  struct launch *launch = argument;
  /* The kernel's struct sigaction, all zero: SIG_DFL.  Not by libc's function,
   * which a sanitizer replaces by one that takes notes, in our memory. */
  const unsigned long by_default[8] = {0};
  for (int number = 1; number < NSIG; ++number) {
    syscall(SYS_rt_sigaction, number, by_default, NULL, 8);
  }
  setsid();
  CloseAllDescriptors();
  if (open("/dev/null", O_RDWR) == 0) { /* 0, then 1 and 2 */
    (void)!dup(0);
    (void)!dup(0);
  }
  sigprocmask(SIG_SETMASK, &launch->no_signals, NULL);
  execve(launch->path, launch->argv, launch->env);
  launch->error = errno;
  return 127;
}

/* The process whose end makes an orphan of the program. */
static int StartProgram(void *argument) {
  struct launch *launch = argument;
  launch->pid = clone(BecomeProgram, launch->program_stack + STACK_BYTES,
                      CLONE_VM | CLONE_VFORK, launch);
  if (launch->pid < 0) launch->error = errno;
  if (launch->error != 0 && launch->pid > 0) {
    waitpid(launch->pid, NULL, __WALL);
  }
  return 0;
}

/* The environment without LD_PRELOAD and the like, which are the job's. */
static char **EnvironmentForProgram(void) {
  size_t count = 0;
  while (environ != NULL && environ[count] != NULL) ++count;
  char **env = calloc(count + 1, sizeof *env);
  if (env == NULL) return NULL;
  size_t used = 0;
  for (size_t i = 0; i < count; ++i) {
    if (strncmp(environ[i], "LD_", 3) != 0) env[used++] = environ[i];
  }
  return env;
}

static int ReadExe(pid_t pid, char *exe, size_t size) {
  char link[32];
  snprintf(link, sizeof link, "/proc/%d/exe", (int)pid);
  const ssize_t length = readlink(link, exe, size - 1);
  if (length < 0) return 0;
  exe[length] = '\0';
  return 1;
}

/* Whether /proc is that of our PID namespace: elsewhere the numbers in it are
 * those of others. */
static int ProcIsOurs(void) {
  char number[24];
  const ssize_t length = readlink("/proc/self", number, sizeof number - 1);
  if (length < 0) return 0;
  number[length] = '\0';
  return atol(number) == (long)getpid();
}

static int Launch(struct launch *launch) {
  /* An orphan goes to the nearest ancestor that adopts orphans, which must not
   * be us.  The child's signal of its end is none at all (0), so that nobody
   * here hears of it; __WALL finds it. */
  int adopts = 0;
  prctl(PR_GET_CHILD_SUBREAPER, &adopts, 0, 0, 0);
  if (adopts) prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
  const pid_t child =
      clone(StartProgram, launch->intermediate_stack + STACK_BYTES,
            CLONE_VM | CLONE_VFORK, launch);
  int error = child < 0 ? errno : 0;
  if (child > 0) {
    while (waitpid(child, NULL, __WALL) < 0 && errno == EINTR) {
    }
  }
  if (adopts) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  return error != 0 ? error : launch->error;
}

int ckpt_helper_start(struct ckpt_helper *helper, const char *path,
                      char *const argv[]) {
  struct launch *launch = mmap(NULL, sizeof *launch, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (launch == MAP_FAILED) return errno;
  int error = ENOMEM;
  char **env = EnvironmentForProgram();
  if (env != NULL) {
    launch->path = path;
    launch->argv = argv;
    launch->env = env;
    sigemptyset(&launch->no_signals);
    /* No handler of ours may run in the two processes. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = Launch(launch);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    free(env);
  }
  helper->pid = launch->pid;
  munmap(launch, sizeof *launch);
  helper->exe[0] = '\0';
  if (error == 0 && ProcIsOurs() &&
      !ReadExe(helper->pid, helper->exe, sizeof helper->exe)) {
    helper->exe[0] = '\0';
  }
  return error;
}

int ckpt_helper_is_alive(const struct ckpt_helper *helper) {
  /* Without /proc a zombie counts as alive until it is reaped. */
  if (helper->exe[0] == '\0') return kill(helper->pid, 0) == 0;
  char exe[PATH_MAX];
  return ReadExe(helper->pid, exe, sizeof exe) && strcmp(exe, helper->exe) == 0;
}

void ckpt_helper_kill(const struct ckpt_helper *helper) {
  if (ckpt_helper_is_alive(helper)) kill(helper->pid, SIGKILL);
}
