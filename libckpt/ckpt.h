/* Checkpoint yourself: the C interface of ckpt for programs.
 *
 *   struct ckpt_options options = CKPT_OPTIONS_INIT;
 *   options.image = "solver";
 *   long number = ckpt_self(0, &options);
 *   if (number > 0) printf("image %ld is on the disk\n", number);
 *   if (number == 0) printf("I was restarted from an image\n");
 *   if (number < 0) fprintf(stderr, "%s\n", ckpt_last_error());
 *
 * As with fork(), one call returns twice: in the process that asked, and in
 * each process that is ever restarted from that image (`ckpt restore`).
 *
 * To lose less time, let the image come to the disk beside the program, and ask
 * when it is there:
 *
 *   long number = ckpt_self(CKPT_ASYNC, &options);
 *   ... go on ...
 *   if (number > 0 && ckpt_wait(-1) < 0) ... there is no such image ...
 *
 * Nothing of ckpt is in the process before or after a call: no descriptor, no
 * child, no thread, no signal handler.  The work is done by the program `ckpt`,
 * which is started for it, and which needs root; or by a service outside of the
 * job, such as ckptd, where one listens at $CKPT_SOCKET or /run/ckpt/self.sock.
 *
 * All functions are thread-safe.  Needs nothing but libc.  This interface and
 * its binary form are stable: structures say their size, and only grow.
 *
 * Caveats: process 1 of a PID namespace needs such a service (ckptd, or `ckpt
 * self-serve`), and so do users other than root (ckptd); other limits are those
 * of `ckpt dump`.  See ckpt_self(3) and docs/self_checkpoint.md.
 */
#ifndef CKPT_H_
#define CKPT_H_

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Flags of ckpt_self().  Without CKPT_TREE and CKPT_CGROUP: this process alone,
 * with all its threads; it must have no children. */

/* This process and all its descendants, which must all be in one cgroup, and
 * nobody else in it.  This process may be in that group or in another. */
#define CKPT_TREE 1u
/* The process tree in options.cgroup, or in this process's own group; this
 * process is any member of it. */
#define CKPT_CGROUP 2u
/* End the job once the image is on the disk: ckpt_self() then returns only in
 * the restarted process, or with an error. */
#define CKPT_EXIT 4u
/* Return when the job goes on, that is when all of it was written, looked at,
 * and found complete; digests and the disk come after that, beside the job.
 * Until ckpt_wait() says so there is no image, and it may still be lost.  Not
 * with CKPT_EXIT. */
#define CKPT_ASYNC 8u

struct ckpt_options {
  size_t size; /* sizeof(struct ckpt_options) */
  /* The image is called IMAGE.NUMBER, with a number that the store has not
   * seen yet.  A name or a path with a slash; NULL: COMMAND-PID. */
  const char *image;
  /* Directory of images; NULL: /var/lib/ckpt, or the service's.  To be NULL for
   * users other than root, who have a directory of their own. */
  const char *store;
  /* Path of ckpt, and not to ask a service but that of $CKPT_SOCKET; NULL: the
   * service, $CKPT_BINARY, then PATH. */
  const char *program;
  const char *cgroup;  /* with CKPT_CGROUP: path or name; NULL: own group */
  unsigned timeout_ms; /* give up after so long; 0: two minutes */
  /* After success, keep this many of the newest images of that name and remove
   * the others; 0: keep all. */
  unsigned keep;
  /* More options of `ckpt self-dump`, for example "--tcp-established"; ends
   * with a NULL.  May be NULL. */
  const char *const *arguments;
};

#define CKPT_OPTIONS_INIT \
  { sizeof(struct ckpt_options), NULL, NULL, NULL, NULL, 0, 0, NULL }

/* Writes a checkpoint of the calling process (and more, see the flags).
 * `options` may be NULL.
 *
 * Waits first for an image that an earlier call with CKPT_ASYNC has left under
 * way.  If that was lost, and ckpt_wait() has not told of it, this call fails
 * with its error, once, and does nothing else.
 *
 * Returns the image's number, > 0, in the process that asked, when the image is
 * whole and on the disk (with CKPT_ASYNC: before); 0 in the restarted process;
 * -1 with errno on error, and then the job runs on as before:
 *   EINVAL      flags or options
 *   EPERM       not root, without a service for others; refused by its policy;
 *               or a process is not the caller's own
 *   ENOENT      no such program, group or CRIU
 *   EBUSY       another thread is in ckpt_self(), a callback of an earlier call
 *               still runs, or tasks do not freeze
 *   ENOTSUP     the job cannot be checkpointed as it is; the message names the
 *               process that is in the way
 *   ETIMEDOUT   the time is over, of the checkpoint or of a callback
 *   ECANCELED   a callback said no
 *   ENOSPC      no room for the image
 *   EAGAIN      the group changed meanwhile, or the machine lacks resources
 *   EIO         anything else; also when ckpt was killed, in which case a whole
 *               image may be there all the same
 */
long ckpt_self(unsigned flags, const struct ckpt_options *options);

/* Waits until the image of this process's last successful ckpt_self() with
 * CKPT_ASYNC is on the disk, or lost; at most so long; -1: until its timeout.
 * Any thread may call it, and again; more than one may wait.
 *
 * Returns the image's number; or -1 with errno:
 *   EINPROGRESS  not yet, and the time is over; 0 only looks
 *   ECHILD       there is none; also in the restarted process, which has been
 *                told by a 0, and in a forked child
 *   others       it was lost, as of ckpt_self(); mostly ENOSPC, and EIO when
 *                ckpt was killed, in which case it may be there all the same
 */
long ckpt_wait(int timeout_ms);

/* What went wrong in the last ckpt_self() or ckpt_wait() of this thread, or in
 * a callback after its checkpoint; "" if nothing did.  Valid until the thread's
 * next. */
const char *ckpt_last_error(void);

/* Path of the image that the last of them in this thread made, or that this
 * process was restarted from in it; "" after an error. */
const char *ckpt_last_image(void);

/* How often this process was restarted from an image since it was started. */
unsigned long ckpt_restarts(void);

/* Functions to be called around each checkpoint.  Any may be NULL.  They return
 * 0, or anything else for "it failed".  They must not call ckpt_self().
 *
 * With a limit of 0 a function runs in the thread that called ckpt_self().
 * Otherwise it runs in a thread of its own, which ends with it, and after the
 * limit it is waited for no longer; it then runs on, and further checkpoints
 * are refused (EBUSY) until it has returned. */
struct ckpt_callbacks {
  size_t size; /* sizeof(struct ckpt_callbacks) */
  void *data;  /* handed to each */
  /* Before the checkpoint: flush, close.  The last registered is called first.
   * A failure, or the limit's end, cancels the checkpoint. */
  int (*before)(void *data);
  /* In the process that asked, when the checkpoint is over: `result` is what
   * ckpt_self() will return, with CKPT_ASYNC before the image is on the disk.
   * Also after a failed or cancelled checkpoint, for
   * those whose `before` has returned 0.  In the order of registration. */
  int (*after)(void *data, long result);
  /* In the restarted process: reopen, reseed, reconnect. */
  int (*restart)(void *data);
  unsigned before_limit_ms;
  unsigned after_limit_ms;
  unsigned restart_limit_ms;
};

#define CKPT_CALLBACKS_INIT \
  { sizeof(struct ckpt_callbacks), NULL, NULL, NULL, NULL, 0, 0, 0 }

/* Returns a handle > 0, or -1 with errno: EINVAL (no or a wrong size), ENOSPC
 * (64 are registered).  Takes effect with the next ckpt_self(). */
int ckpt_register(const struct ckpt_callbacks *callbacks);
/* Returns 0, or -1 with errno ENOENT. */
int ckpt_unregister(int handle);

#ifdef __cplusplus
}
#endif

#endif /* CKPT_H_ */
