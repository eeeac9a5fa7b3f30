/* Work of several kinds, timed: for idle_cost.py, which compares this program
 * with and without libckpt (WITH_CKPT) in it.
 *
 * Usage: idle_cost_without [FILE]       when FILE is there
 *        idle_cost_with [STORE CKPT]    after a checkpoint of itself
 *
 * Prints a line of nanoseconds: compute, malloc, syscalls, threads, forks.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef WITH_CKPT
#include <ckpt.h>

static int DoNothing(void *data) {
  (void)data;
  return 0;
}

static void UseLibrary(int argc, char **argv) {
  struct ckpt_callbacks callbacks = CKPT_CALLBACKS_INIT;
  struct ckpt_options options = CKPT_OPTIONS_INIT;
  callbacks.before = DoNothing;
  callbacks.restart = DoNothing;
  if (ckpt_register(&callbacks) < 0) abort();
  if (argc != 3) return;
  options.image = "idle";
  options.store = argv[1];
  options.program = argv[2];
  options.keep = 1;
  if (ckpt_self(0, &options) > 0) return;
  fprintf(stderr, "%s\n", ckpt_last_error());
  exit(1);
}
#endif

static volatile uint64_t sink;

static void Compute(void) {
  uint64_t x = 88172645463325252;
  for (int i = 0; i < 60 * 1000 * 1000; ++i) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
  }
  sink = x;
}

static void Allocate(void) {
  static void *volatile kept[256];
  for (unsigned i = 0; i < 3 * 1000 * 1000; ++i) {
    free(kept[i % 256]);
    kept[i % 256] = malloc(16 + i % 1000);
  }
}

static void Call(void) {
  for (int i = 0; i < 500 * 1000; ++i) syscall(SYS_getppid);
}

static void *EndAtOnce(void *argument) { return argument; }

static void MakeThreads(void) {
  for (int i = 0; i < 3000; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, EndAtOnce, NULL) != 0) abort();
    pthread_join(thread, NULL);
  }
}

static void Fork(void) {
  for (int i = 0; i < 300; ++i) {
    const pid_t pid = fork();
    if (pid == 0) _exit(0);
    if (pid < 0 || waitpid(pid, NULL, 0) != pid) abort();
  }
}

static uint64_t NowNs(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv) {
  void (*const works[])(void) = {Compute, Allocate, Call, MakeThreads, Fork};
#ifdef WITH_CKPT
  UseLibrary(argc, argv);
#else
  while (argc == 2 && access(argv[1], F_OK) != 0) usleep(1000);
#endif
  for (unsigned i = 0; i < sizeof works / sizeof works[0]; ++i) {
    const uint64_t start = NowNs();
    works[i]();
    printf("%llu ", (unsigned long long)(NowNs() - start));
  }
  printf("\n");
  return 0;
}
