#!/usr/bin/python3
"""What functions_job.c does, by ctypes."""
import ctypes
import errno
import mmap
import os
import struct
import sys
import time

TREE, ASYNC = 1, 8  # CKPT_TREE, CKPT_ASYNC


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


BEFORE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
AFTER = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_long)


class Callbacks(ctypes.Structure):
    """struct ckpt_callbacks of ckpt.h."""
    _fields_ = [("size", ctypes.c_size_t),
                ("data", ctypes.c_void_p),
                ("before", BEFORE),
                ("after", AFTER),
                ("restart", BEFORE),
                ("before_limit_ms", ctypes.c_uint),
                ("after_limit_ms", ctypes.c_uint),
                ("restart_limit_ms", ctypes.c_uint)]


def load(path):
    library = ctypes.CDLL(path, use_errno=True)
    library.ckpt_self.restype = ctypes.c_long
    library.ckpt_wait.restype = ctypes.c_long
    library.ckpt_restarts.restype = ctypes.c_ulong
    library.ckpt_last_error.restype = ctypes.c_char_p
    library.ckpt_last_image.restype = ctypes.c_char_p
    return library


def main():
    status, store, ckpt, go, children = sys.argv[1:]
    children = int(children)

    def say(text):
        with open(status, "a") as file:
            file.write(text + "\n")

    def called(text):
        say(text)
        return 0

    library = load(os.environ["LIBCKPT"])
    early = library.ckpt_wait(0)
    say("early wait %d %s" % (early, errno.errorcode[ctypes.get_errno()]))
    callbacks = Callbacks(size=ctypes.sizeof(Callbacks),
                          before=BEFORE(lambda _: called("callback before")),
                          after=AFTER(lambda _, result: called("callback after %d" % result)),
                          restart=BEFORE(lambda _: called("callback restart")))
    library.ckpt_register(ctypes.byref(callbacks))
    second = library.ckpt_register(ctypes.byref(callbacks))
    results = library.ckpt_unregister(second), library.ckpt_unregister(second)
    say("unregister %d, then again: %d %s" % (*results, errno.errorcode[ctypes.get_errno()]))

    counters = mmap.mmap(-1, 8 * 128)
    count = struct.Struct("=Q")
    for child in range(children):
        if os.fork() > 0:
            continue
        while True:
            count.pack_into(counters, 8 * child, count.unpack_from(counters, 8 * child)[0] + 1)
            time.sleep(0.001)

    options = Options(size=ctypes.sizeof(Options), image=b"job", store=os.fsencode(store),
                      program=os.fsencode(ckpt),
                      arguments=(ctypes.c_char_p * 3)(b"--freezer", b"v2", None))
    say("ready")
    number = 0
    while True:
        number += 1
        while not os.path.exists("%s.%d" % (go, number)):
            time.sleep(0.001)
        flags = TREE | (ASYNC if number % 2 == 0 else 0)
        result = library.ckpt_self(flags, ctypes.byref(options))
        say("call %d %d restarts %d image %s error %s" % (
            number, result, library.ckpt_restarts(), library.ckpt_last_image().decode(),
            library.ckpt_last_error().decode()))
        if result > 0 and flags & ASYNC:
            waited = library.ckpt_wait(-1)
            say("wait %d %d image %s" % (number, waited, library.ckpt_last_image().decode()))
        for child in range(children):
            before = counters[8 * child:8 * child + 8]
            while counters[8 * child:8 * child + 8] == before:
                time.sleep(0.001)
        say("beat")


if __name__ == "__main__":
    main()
