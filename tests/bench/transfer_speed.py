#!/usr/bin/python3
r"""How fast an image travels, beside bare TLS streams of the same bytes.

    bazel build --config=opt //:ckpt //:ckptd //tests/transfer:make_image \
        //tests/bench:grpc_stream
    sudo tests/bench/transfer_speed.py [--mib N] [--rounds N] [--kind KIND...]

Over loopback TCP with mutual TLS, interleaved, each in processes of its own:

  ckpt push      to a ckptd: the image is compared with its digests, on the disk
                 and under its name when it ends
  TLS, dropped   one TLS stream of the image's file; the receiver drops it
  TLS, to disk   the same, and the receiver writes a file and fsyncs it
  TLS, as push   the same, and it compares the SHA-256 of what came: the least
                 that can do what a push promises
  gRPC, dropped  what gRPC itself takes: the streams of ckpt push to a receiver
                 that drops them (grpc_stream.cc)

All bare streams have the certificates of ckpt push, the cipher that OpenSSL
chooses, and 256 KiB in each write.  Prints medians of the time, and of the
processor time of both ends together: on few processors that is what bounds the
former.  And the peak memory of ckpt and ckptd (VmHWM).  Asserts nothing:
figures depend on the machine.
"""
import argparse
import hashlib
import os
import re
import resource
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

PIECE = 256 << 10
RSS_BOUND_MIB = 64


def processor_time():
    """Seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in used)


class Stopwatch:
    """(seconds, seconds of processor time), of an agent too if there is one."""

    def __init__(self, agent=None):
        self.agent = agent
        self.start = self.now()

    def now(self):
        of_agent = self.agent.processor_time() if self.agent else 0
        return time.monotonic(), processor_time() + of_agent

    def read(self):
        return tuple(now - start for now, start in zip(self.now(), self.start))


def certificates(directory):
    subprocess.run(["tools/dev_ca", directory, "localhost,127.0.0.1", "mover"],
                   check=True, stdout=subprocess.DEVNULL)
    return directory + "/localhost", directory + "/mover"


def tls_context(protocol, place):
    context = ssl.SSLContext(protocol)
    context.load_cert_chain(place + "/cert.pem", place + "/key.pem")
    context.load_verify_locations(place + "/ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def receive(listener, place, path, wanted):
    """In a process of its own: takes a stream, and says when it has it."""
    connection, _ = listener.accept()
    stream = tls_context(ssl.PROTOCOL_TLS_SERVER, place).wrap_socket(connection, server_side=True)
    buffer = memoryview(bytearray(PIECE))
    sink = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if path else None
    digest = hashlib.sha256()
    while True:
        count = stream.recv_into(buffer)
        if count == 0:
            break
        if sink is not None:
            os.write(sink, buffer[:count])
        if wanted is not None:
            digest.update(buffer[:count])
    if sink is not None:
        os.fsync(sink)
    if wanted is not None and digest.digest() != wanted:
        raise ValueError("another digest")
    connection = stream.unwrap()
    connection.close()


def tls_stream(source, places, path, wanted=None):
    """The times of one stream, and its cipher."""
    node, mover = places
    watch = Stopwatch()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                receive(listener, node, path, wanted)
                status = 0
            finally:
                os._exit(status)
        raw = socket.create_connection(listener.getsockname())
    context = tls_context(ssl.PROTOCOL_TLS_CLIENT, mover)
    stream = context.wrap_socket(raw, server_hostname="localhost")
    cipher = "%s, %s" % (stream.version(), stream.cipher()[0])
    buffer = memoryview(bytearray(PIECE))
    with open(source, "rb", buffering=0) as image:
        while True:
            count = image.readinto(buffer)
            if count == 0:
                break
            stream.sendall(buffer[:count])
    stream.unwrap()  # answered when the receiver has done all
    stream.close()
    _, status = os.waitpid(child, 0)
    taken = watch.read()
    if status != 0:
        sys.exit("the receiver of a bare stream failed")
    return taken, cipher


def grpc_streams(options, source, places):
    """The times of the same bytes by gRPC alone."""
    node, mover = places
    # As ckpt push has them.
    streams = options.streams or min(len(os.sched_getaffinity(0)), 4)
    receiver = subprocess.Popen([options.grpc_stream, "receive", node],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    port = receiver.stdout.readline().decode().strip()
    watch = Stopwatch()
    subprocess.run([options.grpc_stream, "send", mover, port, source, str(streams)], check=True)
    seconds, _ = watch.read()
    receiver.communicate()
    return seconds, watch.read()[1]


class Agent:
    """A ckptd with a store of its own."""

    def __init__(self, options, directory, place):
        self.store = directory + "/there"
        policy = directory + "/policy"
        with open(policy, "w") as rules:
            rules.write("rule { client: 'mover' verb: ALL cgroup: '/' }\n")
        os.chmod(policy, 0o600)
        self.log = directory + "/ckptd.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [options.ckptd, "--socket", directory + "/ckptd.sock", "--store", self.store,
                 "--policy", policy, "--listen", "127.0.0.1:0", "--tls-ca", place + "/ca.pem",
                 "--tls-cert", place + "/cert.pem", "--tls-key", place + "/key.pem"],
                stderr=log, env=dict(os.environ, CKPT_RUN_DIR=directory + "/run"))
        self.address = self.await_address()

    def await_address(self):
        while self.process.poll() is None:
            with open(self.log) as log:
                found = re.search(r"by TLS, on (\S+)", log.read())
            if found:
                return found.group(1)
            time.sleep(0.01)
        sys.exit("ckptd has ended: " + open(self.log).read())

    def peak_mib(self):
        with open("/proc/%d/status" % self.process.pid) as status:
            return int(re.search(r"VmHWM:\s+(\d+) kB", status.read()).group(1)) / 1024

    def processor_time(self):
        with open("/proc/%d/stat" % self.process.pid) as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        self.process.terminate()
        self.process.wait()


def push(options, agent, place, here):
    """The times of a push, and the peak memory of the ckpt that does it."""
    command = [options.ckpt, "push", "image", "--store", here, "--to", agent.address,
               "--tls-ca", place + "/ca.pem", "--tls-cert", place + "/cert.pem",
               "--tls-key", place + "/key.pem", "--json"]
    if options.streams:
        command += ["--streams", str(options.streams)]
    watch = Stopwatch(agent)
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = child.stderr.read()
    _, status, used = os.wait4(child.pid, 0)
    taken = watch.read()
    child.returncode = status
    if status != 0:
        sys.exit("ckpt push: %s" % errors.decode())
    return taken, used.ru_maxrss / 1024


def use_free_memory(path, mib):
    """A virtual machine's host may have taken what was free for long (free page
    reporting): whoever comes first then pays for that."""
    block = bytes(1 << 20)
    with open(path, "wb", buffering=0) as file:
        for _ in range(mib + mib // 4):
            file.write(block)
    os.unlink(path)


def measure(options, kind, directory, places):
    here = directory + "/here-" + kind
    subprocess.run([options.make_image, here, "image", str(options.mib), kind], check=True)
    source = here + "/image/pages-1.img"
    with open(source, "rb") as image:
        wanted = hashlib.file_digest(image, "sha256").digest()
    agent = Agent(options, directory, places[0])
    times = {}
    peaks = []
    cipher = ""
    file = directory + "/stream"

    def push_once():
        taken, peak = push(options, agent, places[1], here)
        peaks.append(peak)
        shutil.rmtree(agent.store + "/image")
        return taken

    def stream_once(path, wanted):
        nonlocal cipher
        taken, cipher = tls_stream(source, places, path, wanted)
        if path:
            os.unlink(path)
        return taken

    runs = {"ckpt push": push_once,
            "TLS, dropped": lambda: stream_once(None, None),
            "TLS, to disk": lambda: stream_once(file, None),
            "TLS, as push": lambda: stream_once(file, wanted),
            "gRPC, dropped": lambda: grpc_streams(options, source, places)}
    try:
        for number in range(options.rounds + 1):
            for name, run in runs.items():
                use_free_memory(file, options.mib)
                taken = run()
                if number > 0:  # the first round warms caches up
                    times.setdefault(name, []).append(taken)
        agent_peak = agent.peak_mib()
    finally:
        agent.end()
        shutil.rmtree(here)
        shutil.rmtree(agent.store)
    report(options, kind, cipher, times, max(peaks), agent_peak)


def report(options, kind, cipher, times, push_peak, agent_peak):
    print("%d MiB of %s, %d interleaved rounds, %s" % (options.mib, kind, options.rounds, cipher))
    medians = {name: [statistics.median(column) for column in zip(*values)]
               for name, values in times.items()}
    print("%-14s %9s %9s %9s %9s %15s" % ("", "min", "median", "max", "MiB/s", "processor time"))
    for name, (median, processors) in medians.items():
        seconds = [value[0] for value in times[name]]
        print("%-14s %7.2f s %7.2f s %7.2f s %9.0f %13.2f s" %
              (name, min(seconds), median, max(seconds), options.mib / median, processors))
    ours = medians["ckpt push"][0]
    for name in list(times)[1:]:
        print("ckpt push is %.2f times as fast as %s" % (medians[name][0] / ours, name))
    count = len(os.sched_getaffinity(0))
    print("all that %d processors could do in 1/0.8 of the time of TLS, dropped: %.2f s" %
          (count, count * medians["TLS, dropped"][0] / 0.8))
    print("peak memory: ckpt push %.0f MiB, ckptd %.0f MiB (bound: %d MiB)\n" %
          (push_peak, agent_peak, RSS_BOUND_MIB), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, default=0, help="of ckpt push; 0: its own choice")
    parser.add_argument("--kind", nargs="+", default=["noise", "memory"],
                        help="noise: incompressible; memory: half of it is")
    parser.add_argument("--ckpt", default="bazel-bin/cli/ckpt")
    parser.add_argument("--ckptd", default="bazel-bin/agent/ckptd")
    parser.add_argument("--make-image", default="bazel-bin/tests/transfer/make_image")
    parser.add_argument("--grpc-stream", default="bazel-bin/tests/bench/grpc_stream")
    parser.add_argument("--directory", default="/var/tmp", help="where images go")
    options = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="ckpt-bench-", dir=options.directory)
    try:
        places = certificates(directory + "/tls")
        for kind in options.kind:
            measure(options, kind, directory, places)
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
