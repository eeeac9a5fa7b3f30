#!/usr/bin/python3
"""Writes to a Redis server, and checks later that no acknowledged write is lost.

    client.py ADDRESS PORT

Writes one key after another over one TCP connection, each as soon as the one
before it was acknowledged.  Takes commands on stdin and answers each with lines
"NAME VALUE" and an empty line:

  count    writes so far
  verify   ends the writing, reads everything back, tells what was found

It never reconnects: it ends with a line "error TEXT" when the connection or an
answer is not what it should be.
"""
import hashlib
import os
import queue
import socket
import statistics
import sys
import threading
import time

VALUE_BYTES = 1000
# How long the server may be away, starting up included.
PATIENCE_SECONDS = 60
# Read back so many keys at once.
BATCH = 100


class Connection:
    """One connection to a Redis server, with what its protocol needs here."""

    def __init__(self, address, port):
        self.socket = connect(address, port)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = self.socket.makefile("rb")

    def ask(self, *words):
        parts = [b"*%d\r\n" % len(words)]
        parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
        self.socket.sendall(b"".join(parts))
        return self.answer()

    def answer(self):
        line = self.input.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server has closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise ValueError(rest.decode(errors="replace"))
        if kind == b"$":
            return None if rest == b"-1" else self.input.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        return rest

    def run_id(self):
        """What the server calls itself: another one after each start."""
        for line in self.ask(b"INFO", b"server").splitlines():
            if line.startswith(b"run_id:"):
                return line[len(b"run_id:"):].decode()
        raise ValueError("the server does not tell its run_id")


def connect(address, port):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            connection = socket.create_connection((address, port), PATIENCE_SECONDS)
            return connection
        except ConnectionRefusedError:
            # The server is just starting.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


class Writer:
    def __init__(self, address, port):
        self.connection = Connection(address, port)
        self.run_id = self.connection.run_id()
        self.seed = os.urandom(16)
        # Seconds from each write to its acknowledgement.
        self.waits = []

    def key(self, number):
        return b"write:%d" % number

    def value(self, number):
        """Never the same in two runs or for two keys."""
        line = hashlib.sha256(self.seed + self.key(number)).hexdigest().encode()
        return (line * (VALUE_BYTES // len(line) + 1))[:VALUE_BYTES]

    def write(self):
        number = len(self.waits)
        before = time.monotonic()
        answer = self.connection.ask(b"SET", self.key(number), self.value(number))
        if answer != b"OK":
            raise ValueError("the server answered %r to a write" % answer)
        self.waits.append(time.monotonic() - before)

    def count(self):
        return [("writes", len(self.waits))]

    def verify(self):
        found = missing = wrong = 0
        for first in range(0, len(self.waits), BATCH):
            numbers = range(first, min(first + BATCH, len(self.waits)))
            values = self.connection.ask(b"MGET", *map(self.key, numbers))
            for number, value in zip(numbers, values):
                if value is None:
                    missing += 1
                elif value != self.value(number):
                    wrong += 1
                else:
                    found += 1
        return self.count() + [
            ("found", found),
            ("missing", missing),
            ("wrong", wrong),
            ("longest_ms", round(1000 * max(self.waits))),
            ("median_ms", "%.2f" % (1000 * statistics.median(self.waits))),
            ("port", self.connection.socket.getsockname()[1]),
            ("run_id_before", self.run_id),
            ("run_id_after", self.connection.run_id()),
        ]


def tell(lines):
    for name, value in lines:
        print(name, value)
    print(flush=True)


def read_commands(commands):
    for line in sys.stdin:
        commands.put(line.strip())
    commands.put("end")


def serve(writer):
    commands = queue.Queue()
    threading.Thread(target=read_commands, args=[commands], daemon=True).start()
    while True:
        writer.write()
        if commands.empty():
            continue
        command = commands.get()
        if command == "count":
            tell(writer.count())
        elif command == "verify":
            tell(writer.verify())
            return
        else:
            return


def main():
    try:
        serve(Writer(sys.argv[1], int(sys.argv[2])))
    except (OSError, ValueError) as error:
        print("error", error, flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
