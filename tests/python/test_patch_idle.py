"""Ten thousand connections that do nothing cost no thread under gosched.patch."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
from contextlib import contextmanager

import gosched
from conftest import os_threads, until

IDLE = 10_000
SPARE = 300  # descriptors for everything else

CLIENT = """
import socket, sys
address, n = ("127.0.0.1", int(sys.argv[1])), int(sys.argv[2])
connections = []
for i in range(n):
    connections.append(socket.create_connection(address))
print("connected", flush=True)
sys.stdin.readline()
connections[n // 2].sendall(b"hello\\n")
print(connections[n // 2].recv(100), flush=True)
sys.stdin.readline()
"""


@contextmanager
def more_descriptors():
    """How many connections may be open at once; says so if they are fewer than wanted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = IDLE + SPARE
    for limits in ((want, max(hard, want)), (min(want, hard), hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            break
        except (ValueError, OSError):
            continue
    got = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        if got < want:
            print(f"\n{got - SPARE} connections, not {IDLE}: RLIMIT_NOFILE is at most {got} here")
        yield min(IDLE, got - SPARE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Server:
    """Answers in capitals; a green thread for each connection."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.waiting = 0
        self.green = gosched.go(self.serve)

    def serve(self):
        while True:
            gosched.go(self.answer, self.listener.accept()[0])

    def answer(self, conn):
        with conn:
            self.waiting += 1
            while data := conn.recv(1000):
                conn.sendall(data.upper())
            self.waiting -= 1


def few_threads():
    """Idle ones may be left from moments in which many ran."""
    now = gosched.stats()
    return now["threads"] - now["threads_idle"] < 20


def test_idle_connections_cost_no_thread():
    def main(n):
        before = os_threads()
        server = Server()
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(server.port), str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with client:
            assert client.stdout.readline() == "connected\n"
            until(lambda: server.waiting == n)
            assert sum(g.state == "waiting" for g in gosched.snapshot().gs) >= n
            until(few_threads)
            print(n, "connections,", os_threads() - before, "threads more than before")
            assert os_threads() < before + 100
            client.stdin.write("\n")
            client.stdin.flush()
            assert client.stdout.readline() == "b'HELLO\\n'\n"
            client.stdin.close()
            until(lambda: server.waiting == 0)
            assert client.wait(60) == 0

    with more_descriptors() as n, gosched.patch():
        gosched.run(main, n)
