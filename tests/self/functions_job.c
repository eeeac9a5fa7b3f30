/* Calls every function of ckpt.h, with a tree of processes around it.  C that
 * is C++ too: it is built as both, and functions_job.py does the same in
 * Python.
 *
 * Usage: functions_job STATUS STORE CKPT GO CHILDREN
 *
 * Appends lines to STATUS:
 *   early wait RESULT ERRNO
 *   unregister RESULT, then again: RESULT ERRNO
 *   ready
 *   for I = 1, 2, ... when GO.I is there, with CKPT_ASYNC if it is even:
 *   callback before | callback after RESULT | callback restart
 *   call I RESULT restarts N image PATH error TEXT
 *   wait I RESULT image PATH          only after a RESULT above 0
 *   beat                              all children have counted on
 */
#include <ckpt.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { kMostChildren = 128 };

static const char *status_path;
static volatile unsigned long *counters; /* shared with the children */

static void Nap(void) { usleep(1000); }

static void Say(const char *format, ...) {
  char line[8192];
  va_list words;
  va_start(words, format);
  const int length = vsnprintf(line, sizeof line - 1, format, words);
  va_end(words);
  line[length] = '\n';
  const int fd = open(status_path, O_WRONLY | O_APPEND | O_CREAT, 0666);
  if (fd < 0 || write(fd, line, (size_t)length + 1) < 0) _exit(3);
  close(fd);
}

static void StartChildren(int count) {
  counters = (volatile unsigned long *)mmap(
      NULL, kMostChildren * sizeof *counters, PROT_READ | PROT_WRITE,
      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (counters == MAP_FAILED) abort();
  for (int i = 0; i < count; ++i) {
    const pid_t pid = fork();
    if (pid < 0) abort();
    for (; pid == 0; Nap()) counters[i] = counters[i] + 1;
  }
}

static void AwaitChildren(int count) {
  for (int i = 0; i < count; ++i) {
    const unsigned long before = counters[i];
    while (counters[i] == before) Nap();
  }
  Say("beat");
}

static int Before(void *data) {
  (void)data;
  Say("callback before");
  return 0;
}

static int After(void *data, long result) {
  Say("callback after %ld", result);
  return strcmp((const char *)data, "data") != 0;
}

static int Restart(void *data) {
  (void)data;
  Say("callback restart");
  return 0;
}

static void Register(void) {
  char data[] = "data";
  struct ckpt_callbacks callbacks = CKPT_CALLBACKS_INIT;
  callbacks.data = strdup(data);
  callbacks.before = Before;
  callbacks.after = After;
  callbacks.restart = Restart;
  if (ckpt_register(&callbacks) <= 0) abort();
  const int second = ckpt_register(&callbacks);
  const int first_result = ckpt_unregister(second);
  const int second_result = ckpt_unregister(second);
  Say("unregister %d, then again: %d %s", first_result, second_result,
      strerrorname_np(errno));
}

static void Call(int number, struct ckpt_options *options) {
  const unsigned flags = CKPT_TREE | (number % 2 == 0 ? CKPT_ASYNC : 0);
  const long result = ckpt_self(flags, options);
  Say("call %d %ld restarts %lu image %s error %s", number, result,
      ckpt_restarts(), ckpt_last_image(), ckpt_last_error());
  if (result <= 0 || !(flags & CKPT_ASYNC)) return;
  const long waited = ckpt_wait(-1);
  Say("wait %d %ld image %s", number, waited, ckpt_last_image());
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  const int children = atoi(argv[5]);
  const char *const arguments[] = {"--freezer", "v2", NULL};
  struct ckpt_options options = CKPT_OPTIONS_INIT;
  status_path = argv[1];
  options.image = "job";
  options.store = argv[2];
  options.program = argv[3];
  options.arguments = arguments;
  const long early = ckpt_wait(0);
  Say("early wait %ld %s", early, strerrorname_np(errno));
  Register();
  StartChildren(children);
  Say("ready");
  for (int number = 1;; ++number) {
    char go[4096];
    snprintf(go, sizeof go, "%s.%d", argv[4], number);
    while (access(go, F_OK) != 0) Nap();
    Call(number, &options);
    AwaitChildren(children);
  }
}
