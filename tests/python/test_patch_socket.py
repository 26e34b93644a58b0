"""Sockets under gosched.patch: they do what they always do, and hold no thread meanwhile."""

from __future__ import annotations

import errno
import io
import os
import socket
import struct
import threading
import time
from contextlib import closing

import gosched
import pytest
from conftest import until


@pytest.fixture(autouse=True)
def patched():
    with gosched.patch():
        yield


def few_threads():
    now = gosched.stats()
    return now["threads"] - now["threads_idle"] < 20


def waits(green):
    until(lambda: green.state == "waiting")


def listener(**kw):
    return socket.create_server(("127.0.0.1", 0), **kw)


def pair():
    return socket.socketpair()


@pytest.fixture(params=["green", "thread"])
def place(request):
    """Calls a function as the main green thread, and where there is none."""
    return gosched.run if request.param == "green" else lambda fn: fn()


# ---- everything that receives and sends ----

RECEIVERS = {
    "recv": lambda s: s.recv(100),
    "recv_into": lambda s: _into(lambda b: s.recv_into(b)),
    "recv_into n": lambda s: _into(lambda b: s.recv_into(b, nbytes=50, flags=0)),
    "recvfrom": lambda s: s.recvfrom(100)[0],
    "recvfrom_into": lambda s: _into(lambda b: s.recvfrom_into(b)[0]),
    "recvmsg": lambda s: s.recvmsg(100)[0],
    "recvmsg_into": lambda s: _into(lambda b: s.recvmsg_into([b])[0]),
    "makefile": lambda s: s.makefile("rb", buffering=0).read(100),
    "readline": lambda s: s.makefile("rb").readline(),
    "text": lambda s: s.makefile("r").readline().encode(),
}


def _into(receive):
    buffer = bytearray(100)
    n = receive(buffer)
    return bytes(buffer[:n])


@pytest.mark.parametrize("timeout", [None, 60])
@pytest.mark.parametrize("how", RECEIVERS)
def test_receiving(how, timeout):
    def main():
        a, b = pair()
        with a, b:
            a.settimeout(timeout)
            green = gosched.go(RECEIVERS[how], a)
            waits(green)
            b.sendall(b"hello\n")
            assert green.result(60) == b"hello\n"
            b.sendall(b"again\n")  # ready at once
            assert RECEIVERS[how](a) == b"again\n"
            green = gosched.go(RECEIVERS[how], a)
            waits(green)
            b.close()
            assert green.result(60) == b""
            assert a.gettimeout() == timeout
            assert os.get_blocking(a.fileno()) == (timeout is None)

    gosched.run(main)


@pytest.mark.parametrize("how", RECEIVERS)
def test_receive_timeouts(how):
    def main():
        a, b = pair()
        with a, b:
            a.settimeout(0.01)
            with pytest.raises(TimeoutError, match="^timed out$"):
                RECEIVERS[how](a)
            with pytest.raises(TimeoutError, match="took longer"), gosched.timeout(0.01):
                a.settimeout(None)
                RECEIVERS[how](a)

    gosched.run(main)


@pytest.mark.parametrize("how", RECEIVERS)
def test_cancelled_while_receiving(how):
    def main():
        a, b = pair()
        with a, b:
            green = gosched.go(RECEIVERS[how], a)
            waits(green)
            green.cancel()
            assert isinstance(green.exception(60), gosched.Cancelled)
            b.send(b"later\n")
            assert a.recv(100) == b"later\n"  # nothing is lost

    gosched.run(main)


@pytest.mark.parametrize("closer", ["green", "thread"])
@pytest.mark.parametrize("timeout", [None, 60])
def test_closed_while_receiving(closer, timeout):
    def main():
        a, b = pair()
        with a, b:
            a.settimeout(timeout)
            green = gosched.go(a.recv, 100)
            waits(green)
            if closer == "green":
                a.close()
            else:
                thread = threading.Thread(target=a.close)
                thread.start()
                thread.join()
            error = green.exception(60)
            assert isinstance(error, OSError)
            assert error.errno == errno.EBADF
            assert "it was closed while a green thread waited for it" in str(error)
            for call in (lambda: a.recv(1), lambda: a.send(b"x"), lambda: a.accept()):
                with pytest.raises(OSError) as closed:
                    call()
                assert closed.value.errno == errno.EBADF

    gosched.run(main)


def test_a_number_that_is_used_again():
    """Who waited for the closed socket does not wait for the next one of its number."""

    def main():
        for _ in range(200):
            a, b = pair()
            number = a.fileno()
            green = gosched.go(a.recv, 100)
            waits(green)
            a.close()
            c, d = pair()
            assert number in (c.fileno(), d.fileno())
            assert green.exception(60).errno == errno.EBADF
            green = gosched.go(c.recv, 100)
            waits(green)
            d.send(b"x")
            assert green.result(60) == b"x"
            for each in (b, c, d):
                each.close()

    gosched.run(main)


def test_non_blocking_sockets_never_wait(place):
    def main():
        a, b = pair()
        with a, b:
            a.setblocking(False)
            for call in (
                lambda: a.recv(1),
                lambda: a.recv_into(bytearray(1)),
                lambda: a.recvfrom(1),
                lambda: a.recvmsg(1),
            ):
                with pytest.raises(BlockingIOError):
                    call()
            with pytest.raises(BlockingIOError):
                while True:
                    a.send(bytes(100_000))
            with pytest.raises(BlockingIOError):
                a.sendall(bytes(1_000_000))
        with listener() as server:
            server.setblocking(False)
            with pytest.raises(BlockingIOError):
                server.accept()

    place(main)


def test_flags(place):
    def main():
        a, b = pair()
        with a, b:
            with pytest.raises(BlockingIOError):
                a.recv(1, socket.MSG_DONTWAIT)
            b.send(b"abc")
            assert a.recv(1, socket.MSG_PEEK) == b"a"
            assert a.recvmsg(2, 0, socket.MSG_PEEK)[0] == b"ab"
            b.send(b"def")
            assert a.recv(6, socket.MSG_WAITALL) == b"abcdef"
            with pytest.raises(BlockingIOError):
                while True:
                    b.send(bytes(100_000), socket.MSG_DONTWAIT)

    place(main)


def test_waitall_waits_for_all():
    def main():
        a, b = pair()
        with a, b:
            green = gosched.go(a.recv, 6, socket.MSG_WAITALL)
            waits(green)
            b.send(b"abc")
            until(lambda: green.state != "waiting")
            b.send(b"def")
            assert green.result(60) == b"abcdef"

    gosched.run(main)


BIG = os.urandom(3_000_000)

SENDERS = {
    "send": lambda s: s.send(BIG),
    "send view": lambda s: s.send(memoryview(BIG).cast("I")),
    "sendall": lambda s: s.sendall(BIG),
    "sendmsg": lambda s: s.sendmsg([BIG[:1000], BIG[1000:1000], bytearray(BIG[1000:])]),
    "sendmsg of an iterator": lambda s: s.sendmsg(iter([BIG])),
    "sendfile": lambda s: s.sendfile(io.BytesIO(BIG)),
    "makefile": lambda s: _write(s),
}


def _write(sock):
    with sock.makefile("wb") as file:
        file.write(BIG)


def read_all(sock):
    parts = []
    while part := sock.recv(100_000):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("how", SENDERS)
def test_a_blocking_send_sends_all(how, place):
    def main():
        a, b = pair()
        with b, a:
            received = []
            thread = threading.Thread(target=lambda: received.append(read_all(b)))
            thread.start()
            sent = SENDERS[how](a)
            a.shutdown(socket.SHUT_WR)
            thread.join()
            assert received[0] == BIG
            assert sent in (None, len(BIG))

    place(main)


@pytest.mark.parametrize("how", SENDERS)
def test_sending_between_green_threads(how):
    def main():
        a, b = pair()
        with b:
            green = gosched.go(SENDERS[how], a)
            waits(green)
            until(few_threads)
            reader = gosched.go(read_all, b)
            green.result(60)
            a.close()
            assert reader.result(60) == BIG

    gosched.run(main)


@pytest.mark.parametrize("how", ["send", "sendall", "sendmsg"])
def test_timeouts_of_senders(how):
    def main():
        a, b = pair()
        with a, b:
            a.settimeout(0.02)
            with pytest.raises(TimeoutError, match="timed out"):
                while True:
                    SENDERS[how](a)
            a.settimeout(None)
            green = gosched.go(SENDERS[how], a)
            waits(green)
            a.close()
            assert green.exception(60).errno == errno.EBADF
            with pytest.raises(BrokenPipeError):
                b.sendall(BIG)

    gosched.run(main)


def test_sendfile_of_a_file(tmp_path, place):
    path = tmp_path / "file"
    path.write_bytes(BIG)

    def main():
        a, b = pair()
        with a, b, path.open("rb") as file:
            received = []
            thread = threading.Thread(target=lambda: received.append(read_all(b)))
            thread.start()
            assert a.sendfile(file, offset=1000) == len(BIG) - 1000
            assert file.tell() == len(BIG)
            a.shutdown(socket.SHUT_WR)
            thread.join()
            assert received[0] == BIG[1000:]

    place(main)


def test_datagrams():
    def main():
        kind = (socket.AF_INET, socket.SOCK_DGRAM)
        with socket.socket(*kind) as a, socket.socket(*kind) as b:
            for each in (a, b):
                each.bind(("127.0.0.1", 0))
            green = gosched.go(a.recvfrom, 100)
            waits(green)
            assert b.sendto(b"one", a.getsockname()) == 3
            assert green.result(60) == (b"one", b.getsockname())
            assert b.sendto(b"two", 0, a.getsockname()) == 3
            assert b.sendmsg([b"th", b"ree"], [], 0, a.getsockname()) == 5
            assert [a.recv(100) for _ in range(2)] == [b"two", b"three"]
            with pytest.raises(TypeError):
                b.sendto(b"x")
            with pytest.raises(TypeError):
                b.sendto(b"x", "flags", a.getsockname())
            a.settimeout(0.01)
            with pytest.raises(TimeoutError):
                a.recvfrom(100)

    gosched.run(main)


def test_descriptors_in_messages():
    def main():
        a, b = pair()
        r, w = os.pipe()
        with a, b:
            green = gosched.go(socket.recv_fds, a, 100, 1)
            waits(green)
            socket.send_fds(b, [b"take"], [w])
            message, (copy,), _flags, _address = green.result(60)
            assert message == b"take"
            os.write(copy, b"x")
            assert os.read(r, 1) == b"x"
            for fd in (r, w, copy):
                os.close(fd)

    gosched.run(main)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda s: s.recv("1"),
        lambda s: s.recv(-1),
        lambda s: s.recv(),
        lambda s: s.recv(1, 2, 3),
        lambda s: s.recv_into(b"constant"),
        lambda s: s.recv_into(bytearray(1), 2),
        lambda s: s.recvmsg_into([b"constant"]),
        lambda s: s.send("text"),
        lambda s: s.sendall(None),
        lambda s: s.sendmsg(["text"]),
        lambda s: s.sendmsg(None),
        lambda s: s.connect(1),
        lambda s: s.connect("/nowhere/at/all"),
        lambda s: s.connect_ex(("a", "b", "c")),
        lambda s: s.accept(1),
        lambda s: s.sendfile(io.StringIO("text")),
        lambda s: s.sendfile(io.BytesIO(b"x"), count=-1),
    ],
)
@pytest.mark.parametrize("timeout", [None, 60])
def test_wrong_arguments(wrong, timeout):
    """The same class of error as always, at once."""
    errors = []

    def main():
        a, b = pair()
        with a, b:
            a.settimeout(timeout)
            try:
                wrong(a)
            except Exception as error:
                errors.append(type(error))

    main()
    gosched.run(main)
    assert len(errors) == 2
    assert errors[0] is errors[1]


def test_nothing_asked_for_is_there_at_once(place):
    def main():
        a, b = pair()
        with a, b:
            for timeout in (None, 60):
                a.settimeout(timeout)
                assert a.recv(0) == b""
                assert a.recv_into(bytearray()) == 0
                assert a.send(b"") == 0
                a.sendall(b"")

    place(main)


# ---- connections ----


@pytest.mark.parametrize("timeout", [None, 60])
def test_connect_and_accept(timeout):
    def main():
        with listener() as server:
            server.settimeout(timeout)
            accepting = gosched.go(server.accept)
            waits(accepting)
            with socket.create_connection(server.getsockname(), timeout) as client:
                conn, address = accepting.result(60)
                with conn:
                    assert address == client.getsockname()
                    assert client.gettimeout() == timeout
                    assert conn.gettimeout() is None
                    assert os.get_blocking(client.fileno()) == (timeout is None)
                    reading = gosched.go(client.recv, 10)
                    waits(reading)
                    conn.send(b"hello")
                    assert reading.result(60) == b"hello"
            with socket.socket() as again:
                again.settimeout(timeout)
                assert again.connect_ex(server.getsockname()) == 0

    gosched.run(main)


@pytest.mark.parametrize("timeout", [None, 60])
def test_refused(timeout, place):
    with listener() as server:
        address = server.getsockname()

    def main():
        with socket.socket() as client:
            client.settimeout(timeout)
            with pytest.raises(ConnectionRefusedError):
                client.connect(address)
            assert client.gettimeout() == timeout
        with socket.socket() as client:
            client.settimeout(timeout)
            assert client.connect_ex(address) == errno.ECONNREFUSED

    place(main)


@pytest.fixture
def deaf():
    """An address where connections are neither taken nor refused: its queue is full."""
    with listener(backlog=0) as server, socket.socket() as first:
        first.connect(server.getsockname())
        rest = []
        for _ in range(8):
            rest.append(socket.socket())
            rest[-1].setblocking(False)
            rest[-1].connect_ex(server.getsockname())
        yield server.getsockname()
        for each in rest:
            each.close()


def test_connect_times_out_and_can_be_cancelled(deaf):
    def main():
        with socket.socket() as client:
            client.settimeout(0.01)
            with pytest.raises(TimeoutError, match="timed out"):
                client.connect(deaf)
        with socket.socket() as client:
            client.settimeout(0.01)
            assert client.connect_ex(deaf) == errno.EAGAIN
        with pytest.raises(TimeoutError, match="timed out"):
            socket.create_connection(deaf, timeout=0.01)
        with socket.socket() as client:
            green = gosched.go(client.connect, deaf)
            waits(green)
            green.cancel()
            assert isinstance(green.exception(60), gosched.Cancelled)
        client = socket.socket()
        green = gosched.go(client.connect, deaf)
        waits(green)
        client.close()
        assert green.exception(60).errno == errno.EBADF

    gosched.run(main)


def test_many_accept_on_one_socket():
    """All are woken, one gets the connection, the others wait on, without a thread."""

    def main():
        with listener() as server:
            greens = [gosched.go(server.accept) for _ in range(50)]
            until(lambda: all(g.state == "waiting" for g in greens))
            for n in range(1, 11):
                with socket.create_connection(server.getsockname()):
                    until(lambda n=n: sum(g.done() for g in greens) == n)
                    until(lambda: all(g.done() or g.state == "waiting" for g in greens))
            until(few_threads)
            server.close()
            for g in greens:
                error = g.exception(60)
                if error is None:
                    g.result()[0].close()
                else:
                    assert error.errno == errno.EBADF

    gosched.run(main)


def test_many_read_one_socket():
    def main():
        a, b = pair()
        with a, b:
            greens = [gosched.go(a.recv, 1) for _ in range(50)]
            until(lambda: all(g.state == "waiting" for g in greens))
            for n in range(1, 51):
                b.send(b"x")
                until(lambda n=n: sum(g.done() for g in greens) == n)
            until(few_threads)
            assert [g.result() for g in greens] == [b"x"] * 50

    gosched.run(main)


def test_unix_sockets(tmp_path):
    def main():
        path = str(tmp_path / "s")
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(path)
            server.listen(0)
            client.connect(path)
            with socket.socket(socket.AF_UNIX) as second:
                # The queue is full: that the kernel tells nobody when it is not any more.
                second.settimeout(0.05)
                assert second.connect_ex(path) == errno.EAGAIN
                second.settimeout(None)
                waiting = gosched.go(second.connect, path)
                conn, _ = server.accept()
                waiting.result(60)
                with conn:
                    conn.send(b"x")
                    assert client.recv(1) == b"x"
            with pytest.raises(FileNotFoundError):
                socket.socket(socket.AF_UNIX).connect(path + "x")

    gosched.run(main)


def test_a_socket_is_both_an_ordinary_threads_and_a_green_threads():
    """A green thread waits to read while an ordinary thread writes, reads and has timeouts."""

    def main():
        a, b = pair()
        with a, b:
            green = gosched.go(a.recv, 3)
            waits(green)
            said = []

            def body():
                said.append(a.gettimeout())
                a.sendall(b"ping")
                said.append(b.recv(4))
                b.sendall(b"abc")
                until_done.acquire()
                said.append(a.recv(10))

            until_done = threading.Lock()
            until_done.acquire()
            thread = threading.Thread(target=body)
            thread.start()
            assert green.result(60) == b"abc"
            until_done.release()
            b.send(b"for the thread")
            thread.join()
            assert said == [None, b"ping", b"for the th"]

    gosched.run(main)


def test_the_end_of_run_ends_what_waits():
    a, b = pair()
    with a, b:

        def main():
            green = gosched.go(a.recv, 10)
            waits(green)
            return green

        assert isinstance(gosched.run(main).exception(), gosched.Cancelled)


def test_ctrl_c(script):
    program = script(
        """
        import gosched, os, signal, socket, threading
        gosched.patch()
        def main():
            a, b = socket.socketpair()
            print("waits", flush=True)
            a.recv(1)
        try:
            gosched.run(main)
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    program.wait_for("waits")
    time.sleep(0.05)
    program.process.send_signal(2)
    assert program.end() == (0, "interrupted\n", "")


def test_fork():
    def main():
        a, b = pair()
        with a, b:
            green = gosched.go(a.recv, 10)
            waits(green)
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    b.send(b"from the child")
                    c, d = pair()
                    mine = gosched.go(c.recv, 10)
                    waits(mine)
                    d.send(b"x")
                    status = 0 if mine.result(60) == b"x" else 2
                finally:
                    os._exit(status)
            assert green.result(60) == b"from the c"
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    gosched.run(main)


# ---- names ----


def test_names(place):
    def main():
        found = socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
        assert {info[4][0] for info in found} <= {"127.0.0.1", "::1"}
        assert socket.gethostbyname("127.0.0.1") == "127.0.0.1"
        assert socket.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST)[0] == "127.0.0.1"
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo("127.0.0.1", 80, socket.AF_UNIX)
        with pytest.raises(TypeError):
            socket.getaddrinfo()

    place(main)


def test_a_name_that_takes_long_can_be_given_up(monkeypatch):
    import _socket

    asked, answer = threading.Event(), threading.Event()

    def slow(*args):
        asked.set()
        answer.wait()
        return []

    gosched.unpatch()
    monkeypatch.setattr(_socket, "getaddrinfo", slow)
    gosched.patch()

    def main():
        green = gosched.go(socket.getaddrinfo, "name", 80)
        until(asked.is_set)
        green.cancel()
        assert isinstance(green.exception(60), gosched.Cancelled)
        with pytest.raises(TimeoutError), gosched.timeout(0.01):
            socket.create_connection(("name", 80))
        answer.set()

    gosched.run(main)
    gosched.unpatch()


# ---- the sockets' options, and what can be got wrong ----


def test_reset_by_the_peer():
    def main():
        with listener() as server, closing(socket.socket()) as client:
            client.connect(server.getsockname())
            conn, _ = server.accept()
            green = gosched.go(conn.recv, 10)
            waits(green)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            assert isinstance(green.exception(60), ConnectionResetError)
            conn.close()

    gosched.run(main)


def test_shutdown_wakes_who_waits():
    def main():
        a, b = pair()
        with a, b:
            green = gosched.go(a.recv, 10)
            waits(green)
            a.shutdown(socket.SHUT_RD)
            assert green.result(60) == b""

    gosched.run(main)


def test_in_a_critical_callback_nothing_waits(libc):
    """gosched says so instead of a crash; ready data is there as always."""
    lib = gosched.dlopen(
        None,
        "void qsort(void *, size_t, size_t, int (*)(const void *, const void *));",
        critical=["qsort"],
    )
    ffi = gosched.ffi(lib)
    a, b = pair()
    seen = []

    @ffi.callback("int(const void *, const void *)")
    def compare(_x, _y):
        try:
            seen.append(a.recv(1))
        except gosched.Error as error:
            seen.append(error)
        return 0

    def main():
        b.send(b"x")
        lib.qsort(ffi.new("int[2]"), 2, 4, compare)
        lib.qsort(ffi.new("int[2]"), 2, 4, compare)

    with a, b:
        gosched.run(main)
    assert seen[0] == b"x"
    assert "critical" in str(seen[1])
