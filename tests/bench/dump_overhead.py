#!/usr/bin/python3
"""What ckpt adds to CRIU: a one-process job, dumped by each in turn.

    sudo tests/bench/dump_overhead.py [--runs N] [--ckpt PATH] [--criu PATH]

Compares whole processes: `ckpt dump --cgroup G` with `criu dump --freeze-cgroup
G` of the same kind of job in a cgroup v2 group, and with `criu dump` alone.
Prints medians of interleaved runs.  ckpt also verifies the freeze, computes
SHA-256 digests and brings the image to the disk; CRIU does none of that.
"""
import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

GROUP = "ckpt-bench-%d" % os.getpid()


def v2_mount():
    for line in open("/proc/self/mountinfo"):
        left, right = line.split(" - ")
        if right.split()[0] == "cgroup2":
            return left.split()[4]
    sys.exit("no cgroup v2 hierarchy is mounted")


def start_job(group):
    """A process in `group`, a session of its own; its parent is this one."""

    def enter():
        with open(group + "/cgroup.procs", "w") as procs:
            procs.write("0")

    return subprocess.Popen(
        ["/usr/bin/sleep", "infinity"], preexec_fn=enter, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def timed(command):
    start = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    seconds = time.monotonic() - start
    if done.returncode != 0:
        sys.exit("%s: exit status %d: %s" % (command, done.returncode, done.stderr.decode()))
    return seconds, done.stdout


def run_ckpt(options, group, directory):
    seconds, out = timed([options.ckpt, "dump", "--cgroup", group, "--image", directory + "/image",
                          "--criu", options.criu, "--json"])
    times = json.loads(out)["times"]
    return {"ckpt dump": seconds,
            "  of it ckpt's own work": seconds - times["criu_seconds"],
            "  of it digests and disk": times["commit_seconds"],
            "  job frozen": times["frozen_seconds"]}


def run_criu(options, group, directory, job, freeze):
    command = [options.criu, "dump", "-t", str(job.pid), "-D", directory, "-o", "log", "-v2"]
    if freeze:
        command += ["--freeze-cgroup", group]
    seconds, _ = timed(command)
    return {"criu dump --freeze-cgroup" if freeze else "criu dump": seconds}


def one_run(options, kind, group):
    directory = tempfile.mkdtemp(prefix="ckpt-bench-", dir=options.directory)
    job = start_job(group)
    try:
        if kind == "ckpt":
            return run_ckpt(options, group, directory)
        return run_criu(options, group, directory, job, kind == "criu+freezer")
    finally:
        job.send_signal(signal.SIGKILL)
        job.wait()
        shutil.rmtree(directory)


def report(samples, runs):
    print("%d interleaved runs, one process, cgroup v2; milliseconds" % runs)
    print("%-28s %8s %8s %8s" % ("", "min", "median", "max"))
    for name, values in samples.items():
        values = [1000 * value for value in values]
        print("%-28s %8.1f %8.1f %8.1f" % (name, min(values), statistics.median(values), max(values)))
    ours, theirs = (statistics.median(samples[name])
                    for name in ("ckpt dump", "criu dump --freeze-cgroup"))
    print("ckpt dump / criu dump --freeze-cgroup: %.2f (medians)" % (ours / theirs))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--ckpt", default="bazel-bin/cli/ckpt")
    parser.add_argument("--criu", default="/opt/ckpt/bin/criu")
    parser.add_argument("--directory", default="/var/tmp", help="where images go")
    options = parser.parse_args()
    group = v2_mount() + "/" + GROUP
    os.mkdir(group)
    samples = {}
    try:
        for number in range(options.runs + 1):
            for kind in ("ckpt", "criu+freezer", "criu"):
                for name, value in one_run(options, kind, group).items():
                    if number > 0:  # the first round warms caches up
                        samples.setdefault(name, []).append(value)
    finally:
        os.rmdir(group)
    report(samples, options.runs)


if __name__ == "__main__":
    main()
