#!/usr/bin/python3
"""A Python program that checkpoints itself, through ctypes.

Usage: primes.py IMAGE STORE OUTPUT [LIMIT]

Counts the primes below LIMIT, with a checkpoint after each tenth of the way.
Killed at any moment, `ckpt restore --store STORE IMAGE.N` continues it.
"""
import ctypes
import os
import sys


class Options(ctypes.Structure):
    """struct ckpt_options of ckpt.h."""
    _fields_ = [("size", ctypes.c_size_t),
                ("image", ctypes.c_char_p),
                ("store", ctypes.c_char_p),
                ("program", ctypes.c_char_p),
                ("cgroup", ctypes.c_char_p),
                ("timeout_ms", ctypes.c_uint),
                ("keep", ctypes.c_uint),
                ("arguments", ctypes.POINTER(ctypes.c_char_p))]


class Library:
    """What is used here of libckpt."""

    def __init__(self):
        library = ctypes.CDLL(os.environ.get("LIBCKPT", "libckpt.so.0"), use_errno=True)
        self._ckpt_self = library.ckpt_self
        self._ckpt_self.restype = ctypes.c_long
        self._ckpt_self.argtypes = [ctypes.c_uint, ctypes.POINTER(Options)]
        self._last_error = library.ckpt_last_error
        self._last_error.restype = ctypes.c_char_p

    def checkpoint(self, image, store):
        """The image's number, or 0 in the restarted process."""
        options = Options(size=ctypes.sizeof(Options), image=os.fsencode(image),
                          store=os.fsencode(store))
        number = self._ckpt_self(0, ctypes.byref(options))
        if number < 0:
            raise OSError(ctypes.get_errno(), os.fsdecode(self._last_error()))
        return number


def is_prime(number):
    return number > 1 and all(number % i for i in range(2, int(number ** 0.5) + 1))


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    image, store, output = sys.argv[1:4]
    limit = int(sys.argv[4]) if len(sys.argv) == 5 else 100000
    library = Library()
    count = 0
    for number in range(limit):
        if is_prime(number):
            count += 1
        if number > 0 and number % (limit // 10) == 0:
            made = library.checkpoint(image, store)
            if made > 0:
                print("below %d there are %d; %s.%d is on the disk" % (number, count, image, made))
            else:
                print("restarted at %d" % number)
            sys.stdout.flush()
    with open(output, "w") as file:
        file.write("below %d there are %d primes\n" % (limit, count))


if __name__ == "__main__":
    main()
