"""ssl under gosched.patch."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import threading
import time
from pathlib import Path

import gosched
import pytest
from conftest import until

CERTIFICATE = Path(__file__).with_name("localhost.pem")  # and its key; made for these tests


@pytest.fixture(autouse=True)
def patched():
    with gosched.patch():
        yield


@pytest.fixture(scope="module")
def contexts():
    """(of a client, of a server)."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(CERTIFICATE)
    return ssl.create_default_context(cafile=CERTIFICATE), server


@pytest.fixture
def pair(contexts):
    """Makes two ends of a connection, between green threads."""
    made = []

    def make(timeout=None):
        a, b = socket.socketpair()
        for each in (a, b):
            each.settimeout(timeout)
        client, server = contexts
        other = gosched.go(server.wrap_socket, b, server_side=True)
        mine = client.wrap_socket(a, server_hostname="localhost")
        made.extend([mine, other.result(60)])
        return tuple(made[-2:])

    yield make
    for each in made:
        each.close()


def waits(green):
    until(lambda: green.state == "waiting")


def few_threads():
    now = gosched.stats()
    return now["threads"] - now["threads_idle"] < 20


BIG = os.urandom(2_000_000)


def read_all(sock):
    parts = []
    while part := sock.recv(100_000):
        parts.append(part)
    return b"".join(parts)


def into(receive):
    buffer = bytearray(100)
    n = receive(buffer)
    return bytes(buffer[:n])


READERS = {
    "recv": lambda s: s.recv(100),
    "recv_into": lambda s: into(s.recv_into),
    "read": lambda s: s.read(100),
    "read into": lambda s: into(lambda b: s.read(100, b)),
    "makefile": lambda s: s.makefile("rb").readline(),
}


@pytest.mark.parametrize("timeout", [None, 60])
@pytest.mark.parametrize("how", READERS)
def test_reading(pair, how, timeout):
    def main():
        a, b = pair(timeout)
        green = gosched.go(READERS[how], a)
        waits(green)
        until(few_threads)
        b.sendall(b"hello\n")
        assert green.result(60) == b"hello\n"
        assert (a.gettimeout(), a.timeout, a.getblocking()) == (timeout, timeout, True)
        assert a.version().startswith("TLS")
        green = gosched.go(READERS[how], a)
        waits(green)
        green.cancel()
        assert isinstance(green.exception(60), gosched.Cancelled)
        b.sendall(b"again\n")
        assert READERS[how](a) == b"again\n"
        a.settimeout(0.01)
        with pytest.raises(TimeoutError, match="The read operation timed out"):
            READERS[how](a)
        a.setblocking(False)
        assert (a.gettimeout(), a.getblocking()) == (0, False)
        with pytest.raises(ssl.SSLWantReadError):
            a.read(100)
        a.setblocking(True)
        with pytest.raises(TimeoutError), gosched.timeout(0.01):
            READERS[how](a)
        if how == "makefile":  # which keeps the socket open
            return
        green = gosched.go(READERS[how], a)
        waits(green)
        a.close()
        assert isinstance(green.exception(60), OSError)
        assert green.exception().errno == errno.EBADF

    gosched.run(main)


@pytest.mark.parametrize("timeout", [None, 60])
def test_writing(pair, timeout):
    def main():
        a, b = pair(timeout)
        green = gosched.go(a.sendall, BIG)
        waits(green)
        until(few_threads)
        reader = gosched.go(read_all, b)
        green.result(60)
        a.unwrap_later = gosched.go(a.unwrap)
        assert reader.result(60) == BIG
        b.unwrap()
        plain = a.unwrap_later.result(60)
        assert plain.gettimeout() == timeout
        assert os.get_blocking(plain.fileno()) == (timeout is None)
        green = gosched.go(plain.recv, 10)
        waits(green)
        b.send(b"in clear")  # both are plain sockets again
        assert green.result(60) == b"in clear"

    gosched.run(main)


def test_write_timeouts(pair):
    def main():
        a, b = pair()
        a.settimeout(0.02)
        with pytest.raises(TimeoutError, match="The write operation timed out"):
            a.sendall(BIG)
        a.settimeout(None)
        green = gosched.go(a.write, BIG)
        green.cancel()
        assert isinstance(green.exception(60), gosched.Cancelled)
        b.close()

    gosched.run(main)


def test_handshake(contexts):
    client, server = contexts

    def main():
        a, b = socket.socketpair()
        with a, b:
            a.settimeout(0.02)
            with pytest.raises(TimeoutError, match="handshake operation timed out"):
                client.wrap_socket(a, server_hostname="localhost")
        a, b = socket.socketpair()
        with b:
            green = gosched.go(client.wrap_socket, a, server_hostname="localhost")
            waits(green)
            green.cancel()
            assert isinstance(green.exception(60), gosched.Cancelled)
        a, b = socket.socketpair()
        with b:
            green = gosched.go(client.wrap_socket, a, server_hostname="elsewhere")
            other = gosched.go(server.wrap_socket, b, server_side=True)
            assert isinstance(green.exception(60), ssl.SSLCertVerificationError)
            assert isinstance(other.exception(60), (ssl.SSLError, ConnectionError))

    gosched.run(main)


def test_a_server(contexts):
    """accept of an SSLSocket, connect of one that was wrapped before it was connected."""
    client, server = contexts

    def serve(listener, n):
        for _ in range(n):
            conn, _address = listener.accept()
            with conn:
                conn.sendall(conn.recv(100).upper())

    def ask(address, word):
        with client.wrap_socket(socket.socket(), server_hostname="localhost") as sock:
            sock.settimeout(60)
            sock.connect(address)
            sock.sendall(word)
            assert sock.gettimeout() == 60
            return sock.recv(100)

    def main():
        plain = socket.create_server(("127.0.0.1", 0))
        with server.wrap_socket(plain, server_side=True) as listener:
            serving = gosched.go(serve, listener, 20)
            waits(serving)
            words = [b"word %d" % i for i in range(20)]
            greens = [gosched.go(ask, listener.getsockname(), word) for word in words]
            assert [g.result(60) for g in greens] == [word.upper() for word in words]
            serving.join(60)

    gosched.run(main)


def test_with_an_ordinary_thread_at_the_other_end_and_at_the_same(pair):
    def main():
        a, b = pair()
        said = []

        def body():
            b.settimeout(0.01)
            try:
                b.recv(1)
            except TimeoutError as error:
                said.append(str(error))
            b.settimeout(None)
            said.append(b.recv(10))
            b.sendall(BIG)
            b.settimeout(0)
            try:
                b.recv(10)
            except ssl.SSLWantReadError:
                said.append("non-blocking")

        thread = threading.Thread(target=body)
        thread.start()
        until(lambda: said)
        a.sendall(b"hello")
        got = b""
        while len(got) < len(BIG):
            got += a.recv(100_000)
        thread.join()
        assert got == BIG
        assert said == ["The read operation timed out", b"hello", "non-blocking"]

    gosched.run(main)


def test_both_directions_at_once(pair):
    def main():
        a, b = pair()
        greens = [
            gosched.go(a.sendall, BIG),
            gosched.go(b.sendall, BIG),
        ]
        readers = []
        for sock in (a, b):

            def read(sock=sock):
                got = b""
                while len(got) < len(BIG):
                    got += sock.recv(100_000)
                return got

            readers.append(gosched.go(read))
        for g in greens:
            g.result(60)
        assert [g.result(60) for g in readers] == [BIG, BIG]

    gosched.run(main)


class Crowded:
    """Stands before an _sslobj and lets the GIL go inside of each attempt, as OpenSSL does."""

    def __init__(self, real):
        self.real = real
        self.inside = self.attempts = self.most = 0

    def __getattr__(self, name):
        return getattr(self.real, name)

    def attempt(self, method, *args):
        self.inside += 1
        self.attempts += 1
        self.most = max(self.most, self.inside)
        try:
            time.sleep(0.001)
            return method(*args)
        finally:
            self.inside -= 1

    def read(self, *args):
        return self.attempt(self.real.read, *args)

    def write(self, *args):
        return self.attempt(self.real.write, *args)


def test_one_attempt_at_a_time(pair):
    def main():
        a, b = pair()
        crowded = a._sslobj = Crowded(a._sslobj)
        writer = gosched.go(lambda: [a.sendall(b"x" * 1000) for _ in range(50)])
        echo = gosched.go(lambda: [b.sendall(b.recv(1000)) for _ in range(50)])
        reader = gosched.go(lambda: [a.recv(1000) for _ in range(50)])
        for g in (writer, echo, reader):
            g.result(60)
        assert crowded.attempts >= 100
        assert crowded.most == 1

    gosched.run(main)


def test_unpatch_gives_sockets_back(contexts):
    client, server = contexts

    def main():
        a, b = socket.socketpair()
        other = gosched.go(server.wrap_socket, b, server_side=True)
        mine = client.wrap_socket(a, server_hostname="localhost")
        theirs = other.result(60)
        theirs.settimeout(60)
        green = gosched.go(theirs.recv, 10)
        waits(green)
        assert not os.get_blocking(mine.fileno())
        gosched.unpatch()
        assert os.get_blocking(mine.fileno())
        assert (mine.gettimeout(), theirs.gettimeout()) == (None, 60)
        mine.sendall(b"ab")
        assert green.result(60) == b"ab"
        greens = [gosched.go(mine.recv, 10), gosched.go(theirs.sendall, b"cd")]
        assert greens[0].result(60) == b"cd"
        with mine, theirs:
            pass

    gosched.run(main)


def test_detach(pair):
    def main():
        a, _b = pair()
        fd = a.detach()
        assert os.get_blocking(fd)
        os.close(fd)

    gosched.run(main)


def test_eof_and_closed(pair):
    def main():
        a, b = pair()
        green = gosched.go(a.recv, 10)
        waits(green)
        socket.socket.shutdown(b, socket.SHUT_WR)  # without TLS's own farewell
        assert green.result(60) == b""
        a.suppress_ragged_eofs = False
        with pytest.raises(ssl.SSLEOFError):
            a.recv(10)
        b.close()
        with pytest.raises(ValueError, match="closed or unwrapped"):
            b.read(10)

    gosched.run(main)
