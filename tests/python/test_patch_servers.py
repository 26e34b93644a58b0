"""Servers and clients of the standard library, and others', on green threads."""

from __future__ import annotations

import http.client
import http.server
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
import xmlrpc.client
import xmlrpc.server
from contextlib import contextmanager
from pathlib import Path

import gosched
import pytest
from conftest import until

CERTIFICATE = Path(__file__).with_name("localhost.pem")


@pytest.fixture(autouse=True)
def patched():
    with gosched.patch():
        yield


def few_threads():
    """Idle ones may be left from other tests; they end by themselves."""
    now = gosched.stats()
    return now["threads"] - now["threads_idle"] < 20


class Green(socketserver.ThreadingMixIn):
    """Each request on a green thread of its own."""

    request_queue_size = 512

    def process_request(self, request, client_address):
        gosched.go(self.process_request_thread, request, client_address)


class PlainHTTPServer(http.server.HTTPServer):
    request_queue_size = 512


class ThreadHTTPServer(http.server.ThreadingHTTPServer):
    request_queue_size = 512


class GreenHTTPServer(Green, http.server.HTTPServer):
    pass


SERVERS = {
    "one after another": PlainHTTPServer,
    "ordinary threads": ThreadHTTPServer,
    "green threads": GreenHTTPServer,
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/missing":
            self.answer(b"nothing here", 404)
        else:
            self.answer(b"you asked for " + self.path.encode())

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"]))[::-1])

    def log_message(self, *args):
        pass


@contextmanager
def serving(server):
    """serve_forever on a green thread."""
    with server:
        green = gosched.go(server.serve_forever, 0.01)
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            green.result(60)


@pytest.fixture(params=SERVERS)
def server(request):
    return lambda: SERVERS[request.param](("127.0.0.1", 0), Handler)


BIG = bytes(range(256)) * 4000


def test_urllib(server):
    def main():
        with serving(server()) as url:

            def get(i):
                with urllib.request.urlopen(f"{url}/{i}", timeout=60) as answer:
                    return answer.read()

            assert list(gosched.map(get, range(50))) == [
                b"you asked for /%d" % i for i in range(50)
            ]
            with urllib.request.urlopen(url, data=BIG, timeout=60) as answer:
                assert answer.read() == BIG[::-1]
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(url + "/missing", timeout=60)

    gosched.run(main)


def test_http_client_keeps_connections(server):
    def main():
        with serving(server()) as url:
            connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
            for i in range(5):
                connection.request("GET", f"/{i}")
                assert connection.getresponse().read() == b"you asked for /%d" % i
            connection.close()

    gosched.run(main)


@pytest.mark.parametrize("kind", ["ordinary threads", "green threads"])
def test_requests(kind):
    requests = pytest.importorskip("requests", reason="requests is not installed")

    def main():
        with (
            serving(SERVERS[kind](("127.0.0.1", 0), Handler)) as url,
            requests.Session() as session,
        ):
            for adapter in session.adapters.values():
                adapter._pool_maxsize = 50
            session.trust_env = False

            def get(i):
                return session.get(f"{url}/{i}", timeout=60).text

            assert list(gosched.map(get, range(100), limit=30)) == [
                f"you asked for /{i}" for i in range(100)
            ]
            assert session.post(url, data=BIG, timeout=60).content == BIG[::-1]
            assert session.get(url + "/missing", timeout=60).status_code == 404
            if kind == "green threads":
                until(few_threads)

    gosched.run(main)


def test_urllib3_pools_and_timeouts():
    urllib3 = pytest.importorskip("urllib3", reason="urllib3 is not installed")

    def main():
        server = GreenHTTPServer(("127.0.0.1", 0), Handler)
        with serving(server) as url, urllib3.PoolManager(maxsize=10, block=True) as pool:

            def get(i):
                return pool.request("GET", f"{url}/{i}", timeout=60.0).data

            assert list(gosched.map(get, range(60), limit=30)) == [
                b"you asked for /%d" % i for i in range(60)
            ]
        with socket.create_server(("127.0.0.1", 0)) as silent, urllib3.PoolManager() as pool:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with pytest.raises(urllib3.exceptions.MaxRetryError, match="[Tt]imed out|timeout"):
                pool.request("GET", url, timeout=0.02, retries=0)
            with pytest.raises(TimeoutError, match="took longer"), gosched.timeout(0.02):
                pool.request("GET", url, retries=False)

    gosched.run(main)


def test_https():
    def main():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        server = GreenHTTPServer(("127.0.0.1", 0), Handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        client = ssl.create_default_context(cafile=CERTIFICATE)
        with serving(server) as url:
            url = url.replace("http://127.0.0.1", "https://localhost")

            def get(i):
                with urllib.request.urlopen(f"{url}/{i}", timeout=60, context=client) as answer:
                    return answer.read()

            assert list(gosched.map(get, range(20))) == [
                b"you asked for /%d" % i for i in range(20)
            ]
            with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
                urllib.request.urlopen(url, timeout=60, context=ssl.create_default_context())
            until(few_threads)

    gosched.run(main)


def test_requests_over_https():
    requests = pytest.importorskip("requests", reason="requests is not installed")

    def main():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        server = GreenHTTPServer(("127.0.0.1", 0), Handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        with serving(server) as url, requests.Session() as session:
            session.trust_env = False
            session.verify = str(CERTIFICATE)
            url = url.replace("http://127.0.0.1", "https://localhost")
            answers = gosched.map(lambda i: session.get(f"{url}/{i}", timeout=60).text, range(20))
            assert list(answers) == [f"you asked for /{i}" for i in range(20)]

    gosched.run(main)


def test_xmlrpc():
    class Server(Green, xmlrpc.server.SimpleXMLRPCServer):
        pass

    def main():
        server = Server(("127.0.0.1", 0), logRequests=False)
        server.register_function(pow)
        with serving(server) as url:

            def call(i):
                with xmlrpc.client.ServerProxy(url) as proxy:
                    return proxy.pow(2, i)

            assert list(gosched.map(call, range(20))) == [2**i for i in range(20)]

    gosched.run(main)


class Lines(socketserver.StreamRequestHandler):
    """A small protocol of lines, as SMTP's."""

    def handle(self):
        self.wfile.write(b"220 ready\r\n")
        for line in self.rfile:
            word = line.strip().upper()
            self.wfile.write(b"250 " + word + b"\r\n")
            if word == b"QUIT":
                return


class LineServer(Green, socketserver.TCPServer):
    allow_reuse_address = True


def test_a_protocol_of_lines():
    def talk(address, name):
        said = []
        with socket.create_connection(address, timeout=60) as sock, sock.makefile("rw") as file:
            said.append(file.readline())
            for word in ("helo", name, "quit"):
                file.write(word + "\n")
                file.flush()
                said.append(file.readline())
        return "".join(said)

    def main():
        server = LineServer(("127.0.0.1", 0), Lines)
        with serving(server):
            names = [f"client{i}" for i in range(100)]
            got = list(gosched.map(lambda n: talk(server.server_address, n), names))
            assert got == [f"220 ready\n250 HELO\n250 {name.upper()}\n250 QUIT\n" for name in names]
            until(few_threads)

    gosched.run(main)


def test_datagram_server():
    class Echo(socketserver.BaseRequestHandler):
        def handle(self):
            data, sock = self.request
            sock.sendto(data.upper(), self.client_address)

    class Server(Green, socketserver.UDPServer):
        pass

    def main():
        server = Server(("127.0.0.1", 0), Echo)
        with serving(server), socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.settimeout(60)
            for word in (b"one", b"two"):
                sock.sendto(word, server.server_address)
                assert sock.recvfrom(100) == (word.upper(), server.server_address)

    gosched.run(main)


# ---- Redis ----


@pytest.fixture
def redis_server(tmp_path):
    """The port of a private server."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    pytest.importorskip("redis", reason="redis-py is not installed")
    for _ in range(5):  # somebody else may take the port
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        log = (tmp_path / "log").open("wb")
        with log:
            process = subprocess.Popen(
                [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
                cwd=tmp_path,
                stdout=log,
                stderr=log,
            )
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except OSError:
                threading.Event().wait(0.01)
            else:
                break
        if process.poll() is None:
            break
    else:
        pytest.fail((tmp_path / "log").read_text())
    yield port
    process.terminate()
    process.wait(60)


def test_redis(redis_server):
    import redis

    def main():
        client = redis.Redis(port=redis_server, socket_timeout=60)

        def count(i):
            with client.pipeline() as pipe:
                pipe.incr("n")
                pipe.set(f"key{i}", i)
                pipe.execute()
            return int(client.get(f"key{i}"))

        assert list(gosched.map(count, range(200), limit=50)) == list(range(200))
        assert client.get("n") == b"200"

        # Blocking operations: each connection waits in the netpoller.
        waiters = [gosched.go(client.blpop, "queue", 60) for _ in range(50)]
        until(lambda: client.info("clients")["blocked_clients"] == 50)
        until(few_threads)
        client.rpush("queue", *range(50))
        got = sorted(int(w.result(60)[1]) for w in waiters)
        assert got == list(range(50))

        with pytest.raises(TimeoutError, match="took longer"), gosched.timeout(0.02):
            client.blpop("queue", 60)

        with client.pubsub() as messages:
            messages.subscribe("news")
            until(lambda: client.publish("news", "hello") == 1)
            texts = (m["data"] for m in messages.listen() if m["type"] == "message")
            assert next(texts) == b"hello"
        client.close()

    gosched.run(main)
