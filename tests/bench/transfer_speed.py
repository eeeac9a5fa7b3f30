#!/usr/bin/python3
"""How fast an image travels, beside bare TLS streams of the same bytes.

    bazel build --config=opt //:ckpt //:ckptd //tests/transfer:make_image
    sudo tests/bench/transfer_speed.py [--mib N] [--rounds N] [--kind KIND...]

Over loopback TCP with mutual TLS, interleaved, each in processes of its own:

  ckpt push      to a ckptd: the image is compared with its digests, on the disk
                 and under its name when it ends
  TLS, dropped   one TLS stream of the image's file; the receiver drops it
  TLS, to disk   the same, and the receiver writes a file and fsyncs it
  TLS, as push   the same, and it compares the SHA-256 of what came: the least
                 that can do what a push promises

All bare streams have the certificates of ckpt push, the cipher that OpenSSL
chooses, and 256 KiB in each write.  Prints medians, and the peak memory of ckpt
and ckptd (VmHWM).  Asserts nothing: figures depend on the machine.
"""
import argparse
import hashlib
import os
import re
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
    """Seconds for one stream, and its cipher."""
    node, mover = places
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                receive(listener, node, path, wanted)
                status = 0
            finally:
                os._exit(status)
        start = time.monotonic()
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
    seconds = time.monotonic() - start
    if status != 0:
        sys.exit("the receiver of a bare stream failed")
    return seconds, cipher


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

    def end(self):
        self.process.terminate()
        self.process.wait()


def push(options, agent, place, here):
    """Seconds for a push, and the peak memory of the ckpt that does it."""
    command = [options.ckpt, "push", "image", "--store", here, "--to", agent.address,
               "--tls-ca", place + "/ca.pem", "--tls-cert", place + "/cert.pem",
               "--tls-key", place + "/key.pem", "--json"]
    if options.streams:
        command += ["--streams", str(options.streams)]
    start = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = child.stderr.read()
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.monotonic() - start
    child.returncode = status
    if status != 0:
        sys.exit("ckpt push: %s" % errors.decode())
    return seconds, used.ru_maxrss / 1024


def measure(options, kind, directory, places):
    here = directory + "/here-" + kind
    subprocess.run([options.make_image, here, "image", str(options.mib), kind], check=True)
    source = here + "/image/pages-1.img"
    with open(source, "rb") as image:
        wanted = hashlib.file_digest(image, "sha256").digest()
    agent = Agent(options, directory, places[0])
    seconds = {"ckpt push": [], "TLS, dropped": [], "TLS, to disk": [], "TLS, as push": []}
    peaks = []
    cipher = ""
    try:
        for number in range(options.rounds + 1):
            taken, peak = push(options, agent, places[1], here)
            now = {"ckpt push": taken}
            shutil.rmtree(agent.store + "/image")
            now["TLS, dropped"], cipher = tls_stream(source, places, None)
            file = directory + "/stream"
            now["TLS, to disk"], _ = tls_stream(source, places, file)
            os.unlink(file)
            now["TLS, as push"], _ = tls_stream(source, places, file, wanted)
            os.unlink(file)
            peaks.append(peak)
            for name, value in now.items():
                if number > 0:  # the first round warms caches up
                    seconds[name].append(value)
        agent_peak = agent.peak_mib()
    finally:
        agent.end()
        shutil.rmtree(here)
        shutil.rmtree(agent.store)
    report(options, kind, cipher, seconds, max(peaks), agent_peak)


def report(options, kind, cipher, seconds, push_peak, agent_peak):
    print("%d MiB of %s, %d interleaved rounds, %s" % (options.mib, kind, options.rounds, cipher))
    print("%-14s %9s %9s %9s %12s" % ("", "min", "median", "max", "MiB/s"))
    for name, values in seconds.items():
        median = statistics.median(values)
        print("%-14s %7.2f s %7.2f s %7.2f s %12.0f" %
              (name, min(values), median, max(values), options.mib / median))
    ours = statistics.median(seconds["ckpt push"])
    for name in ("TLS, dropped", "TLS, to disk", "TLS, as push"):
        print("ckpt push is %.2f times as fast as %s" %
              (statistics.median(seconds[name]) / ours, name))
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
