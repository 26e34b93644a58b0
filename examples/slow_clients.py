"""A web server on green threads, and a thousand clients that send a few bytes now and then."""

import http.server
import socket
import sys
import time

import gosched


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024

    def process_request(self, request, address):  # instead of a thread for each
        gosched.go(self.process_request_thread, request, address)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello " + self.path[1:].encode())

    def log_message(self, *args):
        pass


def client(address, name):
    with socket.create_connection(address) as connection:
        for piece in ("GET /", name, " HTTP/1.0\r\n", "\r\n"):
            time.sleep(0.25)
            connection.sendall(piece.encode())
        with connection.makefile("rb") as answer:
            return answer.read().endswith(b"hello " + name.encode())


def main(n):
    server = Server(("127.0.0.1", 0), Handler)
    serving = gosched.go(server.serve_forever)
    start = time.monotonic()
    clients = [gosched.go(client, server.server_address, f"client{i}") for i in range(n)]
    time.sleep(0.5)
    now = gosched.stats()
    busy = now["threads"] - now["threads_idle"]
    print(f"{now['gs_live']} green threads, {busy} OS threads")
    answered = sum(c.result() for c in clients)
    print(f"{answered} slow clients were answered in {time.monotonic() - start:.1f} s")
    server.shutdown()
    serving.join()
    server.server_close()


gosched.patch()  # sockets and time.sleep hold no thread while they wait
gosched.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
