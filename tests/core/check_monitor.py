"""Asks the monitor of the program monitor.c, in which known things go on.

usage: check_monitor.py [EMULATOR...] PROGRAM
"""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

PARKED, BLOCKED = 5, 3
PATIENCE = 60
NAMES = {
    "plain",
    'a "quoted" \\ one',
    "line\nbreak\t\x01\x7f",
    "\ufffd\ufffd no text \ufffd(\ufffd\ufffd\ufffd\ufffd",
    "a" * 30 + "\ufffd",  # cut at 31 bytes, in the middle of a character
}


def check(holds, message):
    if not holds:
        sys.exit(f"check_monitor.py: {message}")


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.settimeout(PATIENCE)
        self.rest = b""

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        """The next line without its end; None when the other side has closed."""
        while b"\n" not in self.rest:
            try:
                data = self.socket.recv(65536)
            except (BrokenPipeError, ConnectionResetError):
                return None
            if not data:
                return None
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return line

    def ask(self, request):
        self.send(request.encode() + b"\n")
        line = self.line()
        check(line is not None, f"{request} was not answered")
        return json.loads(line.decode("utf-8", errors="strict"))

    def close(self):
        self.socket.close()


def start(command, path):
    process = subprocess.Popen(
        [*command, "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "GOSCHED_MONITOR": path},
    )
    check(process.stdout.readline() == b"ready\n", "the program did not get ready")
    return process


def check_snapshot(client, pid):
    answer = client.ask("snapshot")
    check(answer["pid"] == pid, f"pid is {answer['pid']}, not {pid}")
    check(answer["gosched"] == answer["gosched"].strip() != "", "no version")
    gs = answer["gs"]
    parked = [g for g in gs if g["state"] == "waiting" and g["wait_reason"] == "chan recv"]
    check(len(parked) == PARKED, f"{len(parked)} wait for a channel: {gs}")
    check({g["name"] for g in parked} == NAMES, f"names: {[g['name'] for g in parked]}")
    blocked = [g for g in gs if g["call"] == "reads_a_pipe"]
    check(len(blocked) == BLOCKED, f"{len(blocked)} are in the call: {gs}")
    check(all(g["state"] == "syscall" for g in blocked), f"states: {blocked}")
    check({"name": "chan recv", "count": PARKED} in answer["waits"], f"waits: {answer['waits']}")
    calls = {c["name"]: c for c in answer["calls"]}
    check(calls["reads_a_pipe"]["count"] == BLOCKED, f"calls: {calls}")
    check(answer["states"]["waiting"] >= PARKED, f"states: {answer['states']}")
    check(answer["states"]["syscall"] >= BLOCKED, f"states: {answer['states']}")
    numbers = {m["id"] for m in answer["ms"]}
    check(len(numbers) == len(answer["ms"]), "a thread is there twice")
    for g in blocked:
        check(g["m"] in numbers, f"M{g['m']} is not in {numbers}")
    in_call = [m for m in answer["ms"] if m.get("call") == "reads_a_pipe"]
    check(len(in_call) == BLOCKED, f"Ms: {answer['ms']}")
    check(all(m["mode"] == "call" and m["ncgo"] == 1 for m in in_call), f"Ms: {in_call}")
    check(answer["ps"] and all(p["domain"] == "native" for p in answer["ps"]), "no Ps")
    # Ms, and the runtime's threads that are none, are all the threads there are.
    system = answer["metrics"]["threads_system"]
    check(system == 3, f"{system} threads of the system: sysmon, the template, the monitor")
    return answer


def threads_there(pid):
    """The first thread, and those that the runtime has made: sanitizers have some of their own."""
    names = []
    for tid in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{tid}/comm") as file:
                names.append(file.read())
        except OSError:  # it has just ended
            pass
    return 1 + sum(name.startswith("gosched-") for name in names)


def check_threads(client, pid):
    """Threads come and go; at some moment all are known."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answer = client.ask("top")
        known = len(answer["ms"]) + answer["metrics"]["threads_system"]
        there = threads_there(pid)
        if known == there:
            return
        time.sleep(0.01)
    check(False, f"{known} threads are known of {there}")


def check_answers(command, scratch):
    path = f"{scratch}/socket"
    process = start(command, path)
    mode = os.lstat(path).st_mode
    check(stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600, f"the mode is {mode:o}")
    client = Client(path)
    check_snapshot(client, process.pid)
    if len(command) == 1:  # an emulator has threads of its own
        check_threads(client, process.pid)

    top = client.ask("top")
    check("gs" not in top and top["states"]["waiting"] >= PARKED, f"top: {top}")
    first, second = client.ask("metrics")["metrics"], client.ask("metrics")["metrics"]
    check(first["gs_live"] >= PARKED + BLOCKED, f"metrics: {first}")
    check(all(second[k] >= first[k] for k in ("cgocalls", "switches", "parks")), "counters fall")
    dump = client.ask("dump")["dump"]
    check("green threads" in dump and "in reads_a_pipe" in dump, f"dump: {dump}")

    for wrong in ("", "help", "snapshots", "top top", '{"a": 1}'):
        answer = client.ask(wrong)
        check(list(answer) == ["error"] and "snapshot" in answer["error"], f"{wrong!r}: {answer}")

    # Requests that come together, in pieces, and with another end of line.
    client.send(b"metrics\r\ndump\nto")
    check("metrics" in json.loads(client.line()), "the first of three")
    check("dump" in json.loads(client.line()), "the second of three")
    client.send(b"p\n")
    check("states" in json.loads(client.line()), "the third of three")

    # One that sends no line is cut off; the others are served.
    long = Client(path)
    long.send(b"x" * 1000)
    check(long.line() is None, "a request without an end is not cut off")
    check(client.ask("metrics"), "others are not served any more")

    # One that does not read what it asked for is in nobody's way.
    lazy = Client(path)
    lazy.socket.setblocking(False)
    refused = 0  # times in a row that its requests were not taken any more
    while refused < 20:
        check(client.ask("metrics"), "others are not served beside a lazy one")
        try:
            lazy.send(b"snapshot\n" * 7)
            refused = 0
        except BlockingIOError:
            refused += 1
    lazy.close()

    # As many as there are places, and more: these are closed; the next one that goes makes room.
    many = [Client(path) for _ in range(40)]
    served = 0
    for one in many:
        try:
            one.send(b"metrics\n")
            served += one.line() is not None
        except (BrokenPipeError, ConnectionResetError):
            pass
    check(14 <= served <= 16, f"{served} of 40 were served")
    for one in many:
        one.close()
    check(client.ask("metrics"), "no more after many")
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        one = Client(path)
        try:
            one.send(b"metrics\n")
            if one.line() is not None:
                break
        except (BrokenPipeError, ConnectionResetError):
            pass
    else:
        check(False, "there is no room after many have gone")

    process.stdin.close()
    check(process.wait(PATIENCE) == 0, f"the program ended with {process.returncode}")
    check(not os.path.lexists(path), "the socket is left behind")
    check(client.line() is None, "the connection outlives the program")


def check_stale(command, scratch):
    """A program that was killed leaves its socket; the next one takes its place."""
    path = f"{scratch}/stale"
    killed = start(command, path)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    check(os.path.lexists(path), "a killed program took its socket along")
    process = start(command, path)
    check(Client(path).ask("metrics")["pid"] == process.pid, "somebody else answers")
    process.stdin.close()
    check(process.wait(PATIENCE) == 0, f"the program ended with {process.returncode}")
    check(not os.path.lexists(path), "the socket is left behind")


def main():
    command = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        check_answers(command, scratch)
        check_stale(command, scratch)


main()
