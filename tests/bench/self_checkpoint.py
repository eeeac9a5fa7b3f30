#!/usr/bin/python3
"""What a self-checkpoint costs beside a plain CRIU dump of the same process.

    sudo tests/bench/self_checkpoint.py [--runs N] [--mib N] [--ckpt PATH] [--criu PATH]

A process with 100 MiB of random memory calls ckpt_self() and goes on, once with
CKPT_ASYNC and once without; in turn, the same process is dumped by
`criu dump --leave-running`.  Prints medians of interleaved runs: the whole call,
as the program sees it, and the whole criu process.  Without CKPT_ASYNC, and with
it in ckpt_wait(), the image is on the disk, with SHA-256 digests of all files;
CRIU does neither, so a further row adds an fsync of CRIU's files, and the last
the digests (sha256sum).
"""
import argparse
import ctypes
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time


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


ASYNC = 8  # CKPT_ASYNC


def job(directory, mib, library_path, ckpt):
    """The process: for each file ask.N, which holds the flags, a checkpoint, and its seconds with
    those of ckpt_wait() after it in done.N."""
    memory = bytearray(os.urandom(mib << 20))
    library = ctypes.CDLL(library_path)
    library.ckpt_self.restype = ctypes.c_long
    library.ckpt_wait.restype = ctypes.c_long
    library.ckpt_last_error.restype = ctypes.c_char_p
    options = Options(size=ctypes.sizeof(Options), image=b"bench", program=os.fsencode(ckpt),
                      store=os.fsencode(directory + "/store"), keep=1)
    number = 0
    while memory:
        if not os.path.exists("%s/ask.%d" % (directory, number)):
            time.sleep(0.002)
            continue
        flags = int(open("%s/ask.%d" % (directory, number)).read())
        start = time.monotonic()
        made = library.ckpt_self(flags, ctypes.byref(options))
        called = time.monotonic()
        if made > 0 and flags & ASYNC:
            made = library.ckpt_wait(-1)
        waited = time.monotonic()
        with open(directory + "/new", "w") as file:
            file.write("%.6f %.6f" % (called - start, waited - start) if made > 0
                       else library.ckpt_last_error().decode())
        os.rename(directory + "/new", "%s/done.%d" % (directory, number))
        number += 1


def self_checkpoint(directory, number, flags):
    """Seconds of ckpt_self(), and of it with ckpt_wait()."""
    with open(directory + "/new-ask", "w") as file:
        file.write(str(flags))
    os.rename(directory + "/new-ask", "%s/ask.%d" % (directory, number))
    done = "%s/done.%d" % (directory, number)
    while not os.path.exists(done):
        time.sleep(0.002)
    text = open(done).read()
    try:
        called, waited = map(float, text.split())
        return called, waited
    except ValueError:
        sys.exit(text)


def criu_dump(options, directory, pid):
    """Seconds of the dump, with fsync of its files, with their digests too."""
    images = tempfile.mkdtemp(prefix="criu-", dir=directory)
    start = time.monotonic()
    done = subprocess.run([options.criu, "dump", "-t", str(pid), "-D", images, "-o", "log", "-v2",
                           "--leave-running"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    dumped = time.monotonic()
    if done.returncode != 0:
        sys.exit("criu dump: %s" % done.stdout.decode())
    paths = [images + "/" + name for name in os.listdir(images)]
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    synced = time.monotonic()
    subprocess.run(["sha256sum", *paths], stdout=subprocess.DEVNULL, check=True)
    digested = time.monotonic()
    shutil.rmtree(images)
    return dumped - start, synced - start, digested - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--mib", type=int, default=100)
    parser.add_argument("--ckpt", default="bazel-bin/cli/ckpt")
    parser.add_argument("--library", default="bazel-bin/libckpt/libckpt.so.0")
    parser.add_argument("--criu", default="/opt/ckpt/bin/criu")
    parser.add_argument("--directory", default="/var/tmp", help="where images go")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        job(options.job, options.mib, options.library, options.ckpt)
    directory = tempfile.mkdtemp(prefix="ckpt-bench-", dir=options.directory)
    process = subprocess.Popen(
        [sys.executable, os.path.abspath(__file__), "--job", directory, "--mib", str(options.mib),
         "--library", os.path.abspath(options.library), "--ckpt", os.path.abspath(options.ckpt)],
        start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    names = ["ckpt_self(CKPT_ASYNC)", "  and ckpt_wait()", "ckpt_self(0)",
             "criu dump --leave-running", "  and fsync", "  and sha256sum"]
    samples = {name: [] for name in names}
    try:
        for number in range(options.runs + 1):
            row = (*self_checkpoint(directory, 2 * number, ASYNC),
                   self_checkpoint(directory, 2 * number + 1, 0)[0],
                   *criu_dump(options, directory, process.pid))
            if number > 0:  # the first round warms caches up
                for name, seconds in zip(names, row):
                    samples[name].append(1000 * seconds)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        shutil.rmtree(directory)
    print("%d interleaved runs, one process with %d MiB; milliseconds" % (options.runs, options.mib))
    print("%-28s %8s %8s %8s" % ("", "min", "median", "max"))
    for name, values in samples.items():
        print("%-28s %8.1f %8.1f %8.1f" % (name, min(values), statistics.median(values), max(values)))
    for ours, theirs in ((0, 3), (2, 3), (2, 4), (2, 5)):
        ratios = [a / b for a, b in zip(samples[names[ours]], samples[names[theirs]])]
        print("%s / %s: %.2f (medians), %.2f (median of the rounds' ratios)" % (
            names[ours], names[theirs].strip(),
            statistics.median(samples[names[ours]]) / statistics.median(samples[names[theirs]]),
            statistics.median(ratios)))


if __name__ == "__main__":
    main()
