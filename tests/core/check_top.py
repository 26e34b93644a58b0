"""Looks at gosched-top's pictures of the program monitor.c, in which known things go on.

usage: check_top.py TOP [EMULATOR...] PROGRAM
"""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PARKED, BLOCKED = 5, 3
PATIENCE = 60


def check(holds, message):
    if not holds:
        sys.exit(f"check_top.py: {message}")


def run(top, *arguments, code=0, environment=None):
    done = subprocess.run(
        [top, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, **(environment or {})},
    )
    check(done.returncode == code, f"{arguments}: {done.returncode}, {done.stdout}{done.stderr}")
    return done.stdout if code == 0 else done.stderr


def start(command, monitor, **more):
    process = subprocess.Popen(
        [*command, "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "GOSCHED_MONITOR": monitor, **more},
    )
    check(process.stdout.readline() == b"ready\n", "the program did not get ready")
    return process


def check_picture(text, pid):
    for pattern in (
        rf"^\S+ \(pid {pid}\), gosched \d+\.\d+\.\d+$",
        rf"^Gs +\d+: \d+ waiting, {BLOCKED} in C, \d+ running, \d+ runnable$",
        rf"^Ms +\d+: {BLOCKED} in C, \d+ in user code, \d+ in the scheduler, \d+ idle; and 3 of ",
        r"^Ps +\d+: \d+ idle, \d+ Gs queued on them$",
        r"^WAITING FOR +GS$",
        rf"^chan recv +{PARKED}$",
        r"^IN C NOW +GS +LONGEST$",
        rf"^reads_a_pipe +{BLOCKED} +\S+ \w+$",
        r"^M +TID +MODE +CPU% +G +P +IN$",
    ):
        check(re.search(pattern, text, re.M), f"nothing matches {pattern} in\n{text}")
    threads = re.findall(r"^M\d+ +\d+ call .*\bG\d+ +(?:P\d+ +)?reads_a_pipe\b", text, re.M)
    check(len(threads) == BLOCKED, f"{len(threads)} threads are in the call:\n{text}")


def on_terminal(top, *arguments):
    """What it writes to a terminal, and stops by Ctrl-C."""
    pid, master = pty.fork()
    if pid == 0:
        os.execv(top, [top, *arguments])
    seen = b""
    while seen.count(b"\033[H") < 3:
        seen += os.read(master, 65536)
    os.write(master, b"\x03")
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            data = os.read(master, 65536)
        except OSError:  # nobody has the other end any more
            break
        if not data:
            break
        seen += data
    status = os.waitpid(pid, 0)[1]
    check(os.waitstatus_to_exitcode(status) == 0, f"Ctrl-C: status {status}")
    return seen.decode()


def check_live(top, command, scratch):
    process = start(command, f"{scratch}/%p.sock")
    pid, path = str(process.pid), f"{scratch}/{process.pid}.sock"
    for of in (pid, path):
        check_picture(run(top, "--once", "-d", "0.05", of), pid)
    check("per second: - hand-offs" in run(top, "--once", "-d0", pid), "rates of nothing")
    check("per second: 0 hand-offs" in run(top, "-1", "-d", "0.05", pid), "rates")

    three = run(top, "-n", "3", "-d", "0.01", pid)
    check(three.count(f"(pid {pid})") == 3 and "\033" not in three, f"three pictures: {three}")
    check_picture(three[three.rindex(three.splitlines()[0]) :], pid)

    lines = run(top, "--json", "-n", "2", "-d", "0.01", path).splitlines()
    check(len(lines) == 2, f"{len(lines)} documents")
    check([g["state"] for g in json.loads(lines[1])["gs"]].count("waiting") >= PARKED, "--json")

    seen = on_terminal(top, "-d", "0.01", pid)
    check(seen.startswith("\033[2J\033[H"), f"the terminal: {seen[:200]!r}")
    check_picture(re.sub(r"\033\[\w+|\r", "", seen.split("\033[H")[1]), pid)

    # A directory of the process's own, and the path that it was told is another one's.
    check("no monitor" in run(top, "--once", str(os.getpid()), code=1), "of a process without")
    process.stdin.close()
    check(process.wait(PATIENCE) == 0, f"the program ended with {process.returncode}")
    check("there is no process" in run(top, "--once", pid, code=1), "of a process that is gone")
    check(path in run(top, "--once", path, code=1), "of a socket that is gone")

    process = start(command, "default", XDG_RUNTIME_DIR=scratch)
    check_picture(run(top, "--once", "-d0", str(process.pid)), process.pid)
    # It ends while somebody looks.
    watcher = subprocess.Popen(
        [top, "-d", "0.01", str(process.pid)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    check("(pid" in watcher.stdout.readline(), "the first line of the first picture")
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, errors = watcher.communicate(timeout=PATIENCE)
    check(watcher.returncode == 0 and "the program has ended" in errors, f"at the end: {errors}")


def check_command_line(top):
    for wrong in ([], ["1", "2"], ["--what", "1"], ["-n", "0", "1"], ["-n", "x", "1"],
                  ["-d", "-1", "1"], ["-d", "nan", "1"]):  # fmt: skip
        run(top, *wrong, code=2)
    check("usage:" in run(top, "--help"), "--help")
    check(run(top, "--version").startswith("gosched-top "), "--version")


def check_strangers(top, scratch):
    """What answers is no monitor, or an evil one."""
    path = f"{scratch}/stranger"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    empty = {
        "gosched": "9", "pid": 7, "program": "\u001b[31m\u009bred\n", "now": 5,
        "metrics": {}, "states": {}, "waits": [], "calls": [], "ms": [],
        "ps": [],
    }  # fmt: skip
    answers = [
        (b"HTTP/1.1 400 Bad Request\n", 1, "no monitor of gosched"),
        (b"[" * 100 + b"\n", 1, "no monitor of gosched"),
        (b'{"a":"\\ud800"}\n', 1, "no monitor of gosched"),
        (b'{"error":"go away"}\n', 1, "the program says: go away"),
        (b"", 1, "the program has ended"),
        (json.dumps(empty).encode() + b"\n", 0, "?[31m??red? (pid 7), gosched 9"),
        (b'{"ms":[1,null,{}],"ps":{},"waits":3,"now":"x","calls":[[]]}\n', 0, "Ms      3: 0 in C"),
    ]

    def answer():
        for data, _, _ in answers:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(data)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    for data, code, wanted in answers:
        text = run(top, "--once", "-d0", path, code=code)
        check(wanted in text and "\033" not in text, f"{data!r}: {text!r}")
    thread.join()
    listener.close()


def main():
    top, *command = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        check_command_line(top)
        check_strangers(top, scratch)
        check_live(top, command, scratch)


main()
