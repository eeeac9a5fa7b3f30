#include "tests/self/trace.h"

#include <dirent.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

static void Append(struct trace *trace, const char *format, ...) {
  const size_t used = strlen(trace->text);
  va_list words;
  va_start(words, format);
  vsnprintf(trace->text + used, sizeof trace->text - used, format, words);
  va_end(words);
}

static void AppendDescriptors(struct trace *trace) {
  DIR *directory = opendir("/proc/self/fd");
  if (directory == NULL) abort();
  const struct dirent *entry;
  while ((entry = readdir(directory)) != NULL) {
    char link[PATH_MAX], target[PATH_MAX];
    const int fd = atoi(entry->d_name);
    if (entry->d_name[0] == '.' || fd == dirfd(directory)) continue;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t length = readlink(link, target, sizeof target);
    Append(trace, "fd %d %.*s\n", fd, (int)length, target);
  }
  closedir(directory);
}

static int CompareNumbers(const void *a, const void *b) {
  return *(const int *)a - *(const int *)b;
}

/* The number of a task in its own PID namespace: /proc may be that of another,
 * where it gets a new one when it is restored. */
static int InnerNumber(int number) {
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/%d/status", number);
  FILE *file = fopen(path, "re");
  if (file == NULL) return number;
  while (fgets(line, sizeof line, file) != NULL) {
    const char *last = strrchr(line, '\t');
    if (strncmp(line, "NSpid:", 6) == 0 && last != NULL) number = atoi(last);
  }
  fclose(file);
  return number;
}

/* Sorted: a restored process has its children in another order. */
static void AppendNumbers(struct trace *trace, const char *text) {
  int numbers[1024];
  size_t count = 0;
  char *end;
  for (; count < 1024; text = end) {
    const long number = strtol(text, &end, 10);
    if (end == text) break;
    numbers[count++] = InnerNumber((int)number);
  }
  qsort(numbers, count, sizeof numbers[0], CompareNumbers);
  for (size_t i = 0; i < count; ++i) Append(trace, " %d", numbers[i]);
}

/* Names of the threads, and the children of each. */
static void AppendTasks(struct trace *trace) {
  DIR *directory = opendir("/proc/self/task");
  if (directory == NULL) abort();
  const struct dirent *entry;
  while ((entry = readdir(directory)) != NULL) {
    char path[PATH_MAX], children[4096] = "";
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/proc/self/task/%.20s/children",
             entry->d_name);
    FILE *file = fopen(path, "re");
    if (file == NULL) continue; /* it has just ended */
    const size_t length = fread(children, 1, sizeof children - 1, file);
    children[length] = '\0';
    fclose(file);
    Append(trace, "task %d children", InnerNumber(atoi(entry->d_name)));
    AppendNumbers(trace, children);
    Append(trace, "\n");
  }
  closedir(directory);
}

/* Without 32 and 33, which libc takes for itself with the first thread. */
static void AppendSignals(struct trace *trace) {
  static const char *const sets[] = {"SigPnd", "ShdPnd", "SigBlk", "SigIgn",
                                     "SigCgt"};
  char line[256];
  FILE *file = fopen("/proc/thread-self/status", "re");
  if (file == NULL) abort();
  while (fgets(line, sizeof line, file) != NULL) {
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; ++i) {
      if (strncmp(line, sets[i], 6) != 0) continue;
      const unsigned long long set = strtoull(line + 7, NULL, 16);
      Append(trace, "%s %llx\n", sets[i], set & ~0x180000000ULL);
    }
  }
  fclose(file);
}

void trace_take(struct trace *trace) {
  int adopts = 0;
  prctl(PR_GET_CHILD_SUBREAPER, &adopts, 0, 0, 0);
  trace->text[0] = '\0';
  Append(trace, "adopts orphans %d\n", adopts);
  AppendDescriptors(trace);
  AppendTasks(trace);
  AppendSignals(trace);
}
