/* What a process has that something else could have left in it: descriptors,
 * children (zombies too), threads, signals, adoption of orphans.
 *
 *   struct trace before, after;
 *   trace_take(&before);
 *   ...
 *   trace_take(&after);
 *   strcmp(before.text, after.text)
 */
#ifndef CKPT_TESTS_SELF_TRACE_H_
#define CKPT_TESTS_SELF_TRACE_H_

struct trace {
  char text[64 * 1024];
};

/* Of the calling process and, for the blocked signals, the calling thread.
 * Aborts when /proc cannot be read. */
void trace_take(struct trace *trace);

#endif /* CKPT_TESTS_SELF_TRACE_H_ */
