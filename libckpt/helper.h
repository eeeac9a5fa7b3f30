/* Starts a program so that it is no child of ours and leaves nothing here.
 *
 *   struct ckpt_helper helper;
 *   int error = ckpt_helper_start(&helper, path, argv);
 *   while (ckpt_helper_is_alive(&helper)) ...
 *
 * The program runs in a session of its own, with no descriptor but /dev/null,
 * default signals and our environment without the dynamic linker's variables.
 */
#ifndef CKPT_LIBCKPT_HELPER_H_
#define CKPT_LIBCKPT_HELPER_H_

#include <limits.h>
#include <sys/types.h>

struct ckpt_helper {
  pid_t pid;
  char exe[PATH_MAX]; /* as /proc tells; "" where it does not */
};

/* Returns 0 or an errno value.  When it returns, the program is nobody's child
 * here, also if this process adopts orphans (PR_SET_CHILD_SUBREAPER).  Must not
 * be called by process 1 of a PID namespace, whose child it would become. */
int ckpt_helper_start(struct ckpt_helper *helper, const char *path,
                      char *const argv[]);

/* Opens no descriptor: it may be called while this process is being dumped.  A
 * zombie is not alive. */
int ckpt_helper_is_alive(const struct ckpt_helper *helper);

/* SIGKILL, if it is alive. */
void ckpt_helper_kill(const struct ckpt_helper *helper);

#endif /* CKPT_LIBCKPT_HELPER_H_ */
