/* The texts that ckpt_last_error() and ckpt_last_image() give, a thread each.
 */
#ifndef CKPT_LIBCKPT_ERROR_H_
#define CKPT_LIBCKPT_ERROR_H_

/* Both "". */
void ckpt_forget_error(void);
/* Sets errno, and the message as printf() makes it; returns -1. */
long ckpt_fail(int error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Sets the message alone. */
void ckpt_complain(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
void ckpt_remember_image(const char *path);

#endif /* CKPT_LIBCKPT_ERROR_H_ */
