#!/usr/bin/python3
"""Kills a program that checkpoints itself, at random, again and again.

    sudo tests/self/solver_campaign.py [--kills N] [--seed N] [--ckpt PATH] [--solver PATH]

Runs libckpt's example solver once undisturbed, then under fire: it is killed
(SIGKILL, with whatever ckpt is doing for it) at random moments, and continued
from its newest image that can be restored, or from the beginning while there
is none, until N kills have hit it.  Each time that it gets to its end, its
result must be that of the undisturbed run, byte for byte; then it is started
anew.  Exits 1 if a result differs or a restart fails.
"""
import argparse
import ctypes
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

GROUP = "ckpt-campaign-%d" % os.getpid()
IMAGE = "solver"
PR_SET_CHILD_SUBREAPER = 36


def v2_mount():
    for line in open("/proc/self/mountinfo"):
        left, right = line.split(" - ")
        if right.split()[0] == "cgroup2":
            return left.split()[4]
    sys.exit("no cgroup v2 hierarchy is mounted")


class Campaign:
    def __init__(self, options, directory, group):
        self.options = options
        self.directory = directory
        self.group = group
        self.output = directory + "/output"
        self.store = directory + "/store"
        self.log = directory + "/log"
        self.random = random.Random(options.seed)
        self.kills = self.restarts = self.fresh_starts = self.finished = 0

    def command(self):
        return [self.options.solver, IMAGE, self.store, self.output,
                str(self.options.million_samples), str(self.options.checkpoints)]

    def start(self):
        """From the beginning, in the group, a session of its own."""
        shutil.rmtree(self.store, ignore_errors=True)

        def enter():
            with open(self.group + "/cgroup.procs", "w") as procs:
                procs.write("0")

        # Appended to only: it may grow after an image was made.
        with open(self.log, "a") as log:
            subprocess.Popen(self.command(), preexec_fn=enter, start_new_session=True,
                             stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                             env={"CKPT_BINARY": self.options.ckpt, "PATH": os.environ["PATH"]})
        self.fresh_starts += 1

    def ckpt(self, *words):
        return subprocess.run([self.options.ckpt, *words, "--store", self.store],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              check=False)

    def images(self):
        """Newest first."""
        if not os.path.isdir(self.store):
            return []
        names = [name for name in os.listdir(self.store) if name.startswith(IMAGE + ".")]
        return sorted(names, key=lambda name: int(name.rsplit(".", 1)[1]), reverse=True)

    def resume(self):
        images = self.images()
        if not images:
            self.start()
            return
        result = self.ckpt("restore", images[0], "--cgroup", self.group)
        if result.returncode != 0:
            sys.exit("after kill %d: %s" % (self.kills, result.stderr))
        self.restarts += 1

    def members(self):
        return [int(pid) for pid in open(self.group + "/cgroup.procs")]

    def kill(self):
        """The job, and the ckpt that it has started, if any: its own children are theirs."""
        victims = self.members() + self.helpers()
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        # A process leaves its group a moment before it can be waited for.
        while self.members() or any(os.path.exists("/proc/%d" % pid) for pid in victims):
            self.reap()
            time.sleep(0.001)
        self.await_quiet()
        self.kills += 1

    def helpers(self):
        """Every ckpt that works for this store, and half of the time none."""
        if self.random.random() < 0.5:
            return []
        return self.workers()

    def workers(self):
        pids = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = open("/proc/%s/cmdline" % pid, "rb").read().split(b"\0")
            except OSError:
                continue
            if b"self-dump" in words and os.fsencode(self.store) in words:
                pids.append(int(pid))
        return pids

    def await_quiet(self):
        """What was under way for the killed job has ended, its guardians included."""
        while self.workers():
            self.reap()
            time.sleep(0.001)
        self.reap()

    def reap(self):
        """Zombies hold the process ids that a restore needs."""
        try:
            while os.waitpid(-1, os.WNOHANG)[0] > 0:
                pass
        except ChildProcessError:
            pass

    def run(self, expected):
        """Until the kills are used up and the solver has got to its end."""
        self.start()
        while True:
            fuse = self.random.uniform(0, self.options.longest)
            end = time.monotonic() + fuse
            while time.monotonic() < end and self.members():
                time.sleep(0.001)
            self.reap()
            if self.kills < self.options.kills and self.members():
                self.kill()
                self.resume()
            elif not self.members():
                self.check(expected)
                if self.kills >= self.options.kills:
                    return
                self.start()

    def check(self, expected):
        self.await_quiet()
        got = open(self.output, "rb").read() if os.path.exists(self.output) else b"nothing"
        if got != expected:
            sys.exit("wrong result after %d kills: %r, not %r" % (self.kills, got, expected))
        os.remove(self.output)
        self.finished += 1


def undisturbed(campaign):
    environment = {"CKPT_BINARY": "/nonexistent"}  # no checkpoints
    subprocess.run(campaign.command(), stdout=subprocess.DEVNULL, env=environment, check=True)
    result = open(campaign.output, "rb").read()
    os.remove(campaign.output)
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--million-samples", type=int, default=60)
    parser.add_argument("--checkpoints", type=int, default=30)
    parser.add_argument("--longest", type=float, default=2.0, help="seconds between kills")
    parser.add_argument("--ckpt", default="bazel-bin/cli/ckpt")
    parser.add_argument("--solver", default="bazel-bin/libckpt/examples/solver")
    options = parser.parse_args()
    options.ckpt = os.path.abspath(options.ckpt)
    options.solver = os.path.abspath(options.solver)
    directory = tempfile.mkdtemp(prefix="ckpt-campaign-", dir="/var/tmp")
    group = v2_mount() + "/" + GROUP
    os.mkdir(group)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    campaign = Campaign(options, directory, group)
    print("seed %d" % options.seed, flush=True)
    try:
        expected = undisturbed(campaign)
        print("undisturbed: %s" % expected.decode().strip(), flush=True)
        campaign.run(expected)
        print("killed %d times; restarted %d times from an image and %d times from the beginning; "
              "got to the end %d times, always with that result"
              % (campaign.kills, campaign.restarts, campaign.fresh_starts, campaign.finished))
    finally:
        for pid in campaign.members():
            os.kill(pid, signal.SIGKILL)
        while campaign.members():
            time.sleep(0.001)
        os.rmdir(group)
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
