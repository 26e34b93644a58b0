"""Shows what goes on in a running program that uses gosched, in whatever language.

    python -m gosched top PID          # started with GOSCHED_MONITOR=/some/where/%p.sock
    python -m gosched top PATH         # the socket of its monitor
    python -m gosched top --once PID   # one picture
    python -m gosched top --json PID   # what the program answers

The picture is that of the C program ``gosched-top`` (tools/top): green threads by state and by what
they wait for, OS threads and what each is blocked in, foreign functions that take long, and how
much happens in a second.  docs/monitor.md has the protocol.

``Monitor`` asks from a program of your own::

    with Monitor(find(pid)[0]) as monitor:
        print(monitor.ask("metrics")["metrics"]["handoffs"])
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Monitor", "find", "main", "picture"]

_Answer = Mapping[str, Any]


class Monitor:
    """A connection to the monitor at a path."""

    def __init__(self, path: str) -> None:
        """Connects; raises OSError."""
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise
        self._lines = self._socket.makefile("rb")

    def line(self, request: str) -> str:
        """The answer to a request as it came, one line; "" when the program has ended."""
        try:
            self._socket.sendall(request.encode() + b"\n")
            line = self._lines.readline()
        except (BrokenPipeError, ConnectionResetError):
            return ""
        return line.decode("utf-8", "replace").rstrip("\n") if line.endswith(b"\n") else ""

    def ask(self, request: str) -> dict[str, Any]:
        """The answer to ``snapshot``, ``top``, ``metrics`` or ``dump``.

        Raises EOFError when the program has ended, ValueError when it refuses, or is something
        else.
        """
        line = self.line(request)
        if not line:
            raise EOFError("the program has ended")
        return _parsed(line)

    def close(self) -> None:
        """Ends the connection."""
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _parsed(line: str) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ValueError("what answers is no monitor of gosched")
    if "error" in answer:
        raise ValueError(f"the program says: {answer['error']}")
    return answer


def _environment(pid: int) -> dict[str, str]:
    """That of a process, as it was started with; nothing if it may not be read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return {}
    pairs = (os.fsdecode(entry).partition("=") for entry in entries)
    return {name: value for name, _, value in pairs if value}


def find(pid: int) -> list[str]:
    """The paths at which the monitor of a process may be, the likely one first.

    First what GOSCHED_MONITOR in its environment (/proc/PID/environ) says, with the number for %p;
    then gosched-PID.sock in the directory XDG_RUNTIME_DIR.
    """
    environment, found = _environment(pid), []
    told = environment.get("GOSCHED_MONITOR", "default")
    if told != "default":
        found.append(re.sub("%([p%])", lambda m: str(pid) if m.group(1) == "p" else "%", told))
    directory = environment.get("XDG_RUNTIME_DIR") or os.environ.get("XDG_RUNTIME_DIR")
    if directory:
        found.append(f"{directory}/gosched-{pid}.sock")
    return found


def _open(of: str) -> Monitor:
    if not of.isascii() or not of.isdigit():
        try:
            return Monitor(of)
        except OSError as error:
            raise ValueError(f"{of}: {error.strerror or error}") from None
    if not os.path.exists(f"/proc/{of}"):
        raise ValueError(f"there is no process {of}")
    reasons = []
    for path in find(int(of)):
        try:
            return Monitor(path)
        except OSError as error:
            reasons.append(f"process {of} has no monitor at {path}: {error.strerror or error}")
    if reasons:
        raise ValueError(reasons[0])
    raise ValueError(
        f"process {of} has no monitor that can be found: it was started without GOSCHED_MONITOR; "
        "give the path of the socket if it has opened one itself"
    )


# ---- the picture: who changes it changes tools/top/view.c, too, and a test compares them --------


def _duration(ns: float) -> str:
    for limit, unit, name, digits in (
        (1e3, 1.0, "ns", 0),
        (1e6, 1e3, "us", 1),
        (1e9, 1e6, "ms", 1),
        (120e9, 1e9, "s", 1),
    ):
        if ns < limit:
            return f"{ns / unit:.{digits}f} {name}"
    return f"{ns / 60e9:.1f} min"


def _seconds(now: _Answer, before: _Answer | None) -> float:
    return (now["now"] - before["now"]) / 1e9 if before else 0.0


def _rate(now: _Answer, before: _Answer | None, metric: str) -> str:
    seconds = _seconds(now, before)
    if before is None or seconds <= 0:
        return "-"
    return f"{(now['metrics'][metric] - before['metrics'][metric]) / seconds:.0f}"


def _head(now: _Answer, before: _Answer | None) -> list[str]:
    states, ms, ps = now["states"], now["ms"], now["ps"]
    modes = [m["mode"] for m in ms]
    rates = {
        name: _rate(now, before, name)
        for name in ("handoffs", "retakes", "cgocalls", "switches", "parks")
    }
    return [
        f"{now['program']} (pid {now['pid']}), gosched {now['gosched']}",
        f"Gs  {sum(states.values()):5}: {states['waiting']} waiting, {states['syscall']} in C, "
        f"{states['running']} running, {states['runnable']} runnable",
        f"Ms  {len(ms):5}: {modes.count('call')} in C, {modes.count('user')} in user code, "
        f"{modes.count('inside')} in the scheduler, {modes.count('idle')} idle; "
        f"and {now['metrics']['threads_system']} of the system",
        f"Ps  {len(ps):5}: {[p['status'] for p in ps].count('idle')} idle, "
        f"{sum(p['runq'] for p in ps)} Gs queued on them",
        f"per second: {rates['handoffs']} hand-offs, {rates['retakes']} retakes, "
        f"{rates['cgocalls']} calls, {rates['switches']} switches, {rates['parks']} parks",
    ]


def _tables(now: _Answer) -> list[str]:
    lines = []
    if now["waits"]:
        lines += ["", f"{'WAITING FOR':32} {'GS':>7}"]
        lines += [f"{row['name']:32} {row['count']:7}" for row in now["waits"]]
    functions = now.get("functions")
    if functions:
        heads = "NOW", "BLOCKED", "TOTAL", "LONGEST"
        lines += ["", "{:32} {:>7} {:>12} {:>10} {:>10}".format("SLOW FOREIGN FUNCTION", *heads)]
        for f in functions:
            total = _duration(f["blocked_ns"] + f["sampled_ns"])
            lines.append(
                f"{f['name']:32} {f['now']:7} {f['blocked']:12} {total:>10} "
                f"{_duration(f['longest_ns']):>10}"
            )
    if now["calls"]:
        lines += ["", f"{'IN C NOW':32} {'GS':>7} {'LONGEST':>12}"]
        lines += [
            f"{row['name']:32} {row['count']:7} {_duration(row['longest_ns']):>12}"
            for row in now["calls"]
        ]
    return lines


def _threads(now: _Answer, before: _Answer | None) -> list[str]:
    seconds = _seconds(now, before)
    old = {(m["id"], m["tid"]): m for m in before["ms"]} if before else {}
    lines = ["", f"{'M':6} {'TID':>8} {'MODE':8} {'CPU%':>5} {'G':8} {'P':5} IN"]
    for m in sorted(now["ms"], key=lambda m: int(m["id"])):
        cpu, was = "-", old.get((m["id"], m["tid"]))
        if was is not None and seconds > 0:
            cpu = f"{(m['cpu_ns'] - was['cpu_ns']) / seconds / 1e7:.0f}"
        at = m.get("at", "")
        if "call" in m:
            lasts = f" for {_duration(m['call_ns'])}" if m["call_ns"] > 0 else ""
            at = f"{m['call']}{lasts}" + (f", at {at}" if at else "")
        g, p = f"G{m['g']}" if m["g"] else "", f"P{m['p']}" if m["p"] >= 0 else ""
        lines.append(f"M{m['id']:<5} {m['tid']:8} {m['mode']:8} {cpu:>5} {g:8} {p:5} {at}")
    return lines


def _harmless(line: str) -> str:
    """Without what could be an order to the terminal: names come from the program looked at."""
    return re.sub("[\0-\x1f\x7f]", "?", re.sub("[\x80-\x9f]", "??", line)).rstrip(" ")


def picture(now: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> list[str]:
    """The lines of the picture.

    now      an answer to ``snapshot`` or ``top``
    before   an earlier one, for what happens in a second; without it that is not known
    """
    lines = _head(now, before) + _tables(now) + _threads(now, before)
    return [_harmless(line) for line in lines]


# ---- the program ---------------------------------------------------------------------------------


def _show(lines: Sequence[str], *, first: bool, plain: bool) -> None:
    if plain:
        text = "\n".join(lines if first else ["", *lines]) + "\n"
    else:
        size = shutil.get_terminal_size()
        shown = [line[: size.columns] for line in lines[: max(1, size.lines - 1)]]
        start = "\033[2J\033[H" if first else "\033[H"
        text = start + "".join(f"{line}\033[K\r\n" for line in shown) + "\033[J"
    sys.stdout.write(text)
    sys.stdout.flush()


def _run(monitor: Monitor, options: argparse.Namespace) -> None:
    count = 1 if options.once else options.count
    before: dict[str, Any] | None = None
    if options.once and not options.json and options.delay > 0:
        before = monitor.ask("top")
        time.sleep(options.delay)
    shown = 0
    while count is None or shown < count:
        if shown:
            time.sleep(options.delay)
        line = monitor.line("snapshot" if options.json else "top")
        if not line:
            if not shown:
                raise ValueError("the program has ended")
            print("gosched top: the program has ended", file=sys.stderr)
            return
        now = _parsed(line)
        if options.json:
            print(line, flush=True)
        else:
            plain = options.once or not sys.stdout.isatty()
            _show(picture(now, before), first=shown == 0, plain=plain)
        before = now
        shown += 1


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _delay(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 86400:
        raise ValueError
    return number


_count.__name__ = "number of pictures, from 1"
_delay.__name__ = "number of seconds, 0 to 86400"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m gosched top",
        description="Shows what goes on in a running program that uses gosched.",
        allow_abbrev=False,
    )
    parser.add_argument("of", metavar="PID|PATH", help="a process that was started with "
                        "GOSCHED_MONITOR, or the socket of its monitor")  # fmt: skip
    parser.add_argument("--once", "-1", action="store_true", help="print one picture and exit")
    parser.add_argument(
        "--json", "-j", action="store_true", help="print what the program answers, a line each"
    )
    parser.add_argument("-n", "--count", type=_count, help="exit after so many pictures")
    parser.add_argument(
        "-d", "--delay", type=_delay, default=1.0, help="seconds between two pictures (1)"
    )
    options = parser.parse_args(arguments)
    try:
        with _open(options.of) as monitor:
            _run(monitor, options)
    except (ValueError, EOFError) as error:
        print(f"gosched top: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, BrokenPipeError):
        return 0
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
