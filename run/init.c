/* Process 1 of a job's PID namespace: starts the command, forwards signals to
 * it, reaps orphans, and ends with the command's exit status.
 *
 *   ckpt-init PROGRAM WORD...   execs PROGRAM with the words as its argv
 *
 * It is part of the job and so of every image: CRIU writes its few pages, and
 * the program's file too, as ckpt unlinks that once it runs.  An image thus
 * needs no init on the node, and an upgrade of ckpt does not touch it.
 *
 * No libc: nothing that differs from node to node, and no memory but a page of
 * stack.  All signals are blocked, so that none is dropped (the kernel drops
 * those that process 1 has no handler for), and taken one by one.
 *
 * The command is the leader of a session of its own, and what ckpt forwards
 * goes to its process group, as a terminal's Ctrl-C does.  Ends with 126 or 127
 * if the command cannot be executed, and with 128 + N if signal N ended it,
 * as a shell does.
 */
#include <asm/unistd.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

typedef unsigned long word;

/* As the kernel has it; the C library's is larger. */
typedef struct {
  word bits;
} kernel_sigset;

static long Call(long number, word a, word b, word c, word d, word e) {
  register word r10 __asm__("r10") = d;
  register word r8 __asm__("r8") = e;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                   : "rcx", "r11", "memory");
  return result;
}

static void Exit(int status) {
  for (;;) Call(__NR_exit_group, (word)status, 0, 0, 0, 0);
}

static void SetMask(word bits) {
  const kernel_sigset set = {bits};
  Call(__NR_rt_sigprocmask, SIG_SETMASK, (word)&set, 0, sizeof(set), 0);
}

static void BecomeCommand(char** words, char** environment) {
  long error;
  Call(__NR_setsid, 0, 0, 0, 0, 0);
  SetMask(0);
  error = Call(__NR_execve, (word)words[0], (word)(words + 1),
               (word)environment, 0, 0);
  Exit(error == -ENOENT ? 127 : 126);
}

/* Reaps all that have ended; does not return once the command has. */
static void Reap(long command) {
  for (;;) {
    int status = 0;
    const long pid = Call(__NR_wait4, (word)-1, (word)&status, WNOHANG, 0, 0);
    if (pid == -EINTR) continue;
    if (pid <= 0) return;
    if (pid != command) continue;
    Exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
  }
}

__attribute__((used, noreturn)) void Main(word* stack) {
  char** words = (char**)(stack + 2); /* without argv[0] */
  char** environment = (char**)(stack + 1 + stack[0] + 1);
  const kernel_sigset all = {~(word)0};
  long command;
  if (stack[0] < 3) Exit(126);
  SetMask(all.bits);
  command = Call(__NR_fork, 0, 0, 0, 0, 0);
  if (command == 0) BecomeCommand(words, environment);
  if (command < 0) Exit(126);
  for (;;) {
    const long signal = Call(__NR_rt_sigtimedwait, (word)&all, 0, 0,
                             sizeof(all), 0);
    if (signal == SIGCHLD) {
      Reap(command);
    } else if (signal > 0) {
      Call(__NR_kill, (word)-command, (word)signal, 0, 0, 0);
    }
  }
}

__asm__(
    ".globl _start\n"
    "_start:\n"
    "  xor %ebp, %ebp\n"
    "  mov %rsp, %rdi\n"
    "  and $-16, %rsp\n"
    "  call Main\n");
