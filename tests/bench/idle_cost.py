#!/usr/bin/python3
"""What libckpt costs a program while no checkpoint is made.

    bazel build --config=opt //:ckpt //tests/bench:idle_cost_with //tests/bench:idle_cost_without
    sudo tests/bench/idle_cost.py [--rounds N] [--directory BUILT] [--ckpt PATH]

Runs the same program without the library, with it linked in and callbacks
registered, and with it after a checkpoint, in turn and in changing order.
Prints, for each kind of work, the median and the quartiles of the ratios of
their processor times within a round.  The first row is the program without the
library against itself: what the machine's noise makes of a ratio of 1.  The
second is the program without the library, dumped by CRIU before it begins: what
any dump does to a process.
"""
import argparse
import os
import random
import shutil
import statistics
import subprocess
import tempfile

WORKS = ["compute", "malloc", "syscalls", "threads", "forks"]


def dump(criu, pid, directory):
    """By plain CRIU; then the program may begin."""
    with tempfile.TemporaryDirectory(dir=directory) as images:
        subprocess.run([criu, "dump", "-t", str(pid), "-D", images, "-o", "log", "--leave-running"],
                       stdout=subprocess.DEVNULL, check=True)


def run(command, criu):
    # A file, as a pipe to us could not be checkpointed.
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as output:
        process = subprocess.Popen(command, stdout=output, stdin=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True)
        if command[-1].endswith("/begin"):
            dump(criu, process.pid, os.path.dirname(command[-1]))
            open(command[-1], "w").close()
        if process.wait() != 0:
            raise SystemExit("%s failed" % command)
        if command[-1].endswith("/begin"):
            os.unlink(command[-1])
        output.seek(0)
        return [int(word) for word in output.read().split()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--directory", default="bazel-bin/tests/bench")
    parser.add_argument("--ckpt", default="bazel-bin/cli/ckpt")
    parser.add_argument("--criu", default="/opt/ckpt/bin/criu")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    store = tempfile.mkdtemp(prefix="ckpt-bench-", dir="/var/tmp")
    without = [options.directory + "/idle_cost_without"]
    linked = [options.directory + "/idle_cost_with"]
    commands = {"without": without, "without, again": without,
                "without, dumped": [*without, store + "/begin"], "linked, callbacks": linked,
                "after a checkpoint": [*linked, store, os.path.abspath(options.ckpt)]}
    order = list(commands)
    randomness = random.Random(options.seed)
    ratios = {name: [[] for _ in WORKS] for name in commands}
    try:
        for number in range(options.rounds + 1):
            randomness.shuffle(order)
            times = {name: run(commands[name], options.criu) for name in order}
            if number == 0:
                continue  # warms caches up
            for name in commands:
                for i, _ in enumerate(WORKS):
                    ratios[name][i].append(times[name][i] / times["without"][i])
    finally:
        shutil.rmtree(store)
    print("%d rounds; processor time / that without the library: median (quartiles)" % options.rounds)
    print("%-20s" % "" + "".join("%22s" % work for work in WORKS))
    for name in list(commands)[1:]:
        cells = []
        for values in ratios[name]:
            low, middle, high = statistics.quantiles(values, n=4)
            cells.append("%22s" % ("%.3f (%.3f, %.3f)" % (middle, low, high)))
        print("%-20s" % name + "".join(cells))


if __name__ == "__main__":
    main()
