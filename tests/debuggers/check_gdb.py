"""Runs gdb with gosched-gdb.py on the program scenes and looks at what it says.

    check_gdb.py live|core|gcore|autoload|stripped SCENES LIBRARY SCRIPT

live      on the process; SCRIPT is sourced
core      on a core file that the kernel wrote
gcore     on one that gcore wrote
autoload  on the process; gdb finds the script beside LIBRARY
stripped  with a library without debug information, and a program without the library

Exits with 77 and the reason where the system does not allow it.
"""

from __future__ import annotations

import glob
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

GDB = ["gdb", "-nx", "-nh", "-batch", "-iex", "set debuginfod enabled off", "-iex", "set width 0"]

# What a backtrace of each green thread shows, innermost first, perhaps with others between.
STACKS = {
    "main": ["until_input_ends", "body"],
    "waiter": ["gs_chan_recv", "waits_inside", "waits", "gs_arch_start"],
    "caller": ["read", "c_reads", "calls", "gs_arch_start"],
    "quick": ["read", "c_reads", "c_short", "calls_quickly", "gs_arch_start"],
    "back": ["waits_inside", "callback_waits", "c_calls_back", "called_back", "gs_arch_start"],
    "deep": [
        *["read", "c_reads", "calls", "callback_calls"],
        *["c_calls_back_deep", "called_back_deep", "gs_arch_start"],
    ],
}
# What "info gs" says of each.
LINES = {
    "main": r"running on M\d+ \(thread \d+\) .*in ",  # a read, or still the write before it
    "waiter": r"waiting \[chan recv\] .*in waits_inside at scenes\.c:\d+",
    "caller": r"syscall in c_reads on M\d+ \(thread \d+\) .*in .*read",
    "quick": r"syscall in c_short on M\d+ \(thread \d+\) .*in .*read",
    "back": r"waiting \[chan recv\] locked to M\d+ .*in waits_inside at scenes\.c:\d+",
    "deep": r"syscall in c_reads on M\d+ \(thread \d+\) .*in .*read",
}


def skip(reason: str) -> None:
    print(f"skipped: {reason}")
    raise SystemExit(77)


def fail(what: str, text: str) -> None:
    print(f"FAILED: {what}\n{text}")
    raise SystemExit(1)


def gdb(*arguments: str) -> str:
    done = subprocess.run(
        [*GDB, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=300,
    )
    if "ptrace" in done.stdout and "not permitted" in done.stdout:
        skip("ptrace is not permitted here, so gdb cannot look into a process")
    if "internal-error" in done.stdout:
        fail("gdb broke", done.stdout)
    return done.stdout


@contextmanager
def scenes(
    program: str, *arguments: str, where: str | None = None, **more: str
) -> Iterator[subprocess.Popen[str]]:
    def with_core() -> None:
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))

    # Small, because gcore writes untouched memory, too.
    small = {"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}
    process = subprocess.Popen(
        [os.path.abspath(program), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=where,
        env={**os.environ, **small, **more},
        preexec_fn=with_core,
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            fail("scenes did not come to its scenes", str(process.wait()))
        yield process
    finally:
        process.kill()
        process.wait()


def numbers(listing: str) -> dict[str, int]:
    return {name: int(g) for g, name in re.findall(r'G(\d+) "(\w+)"', listing)}


def check_stack(listing: str, name: str) -> None:
    """The functions of STACKS are there in their order, and frames are counted from 0."""
    frames = re.findall(r"^#(\d+) +(?:0x[0-9a-f]+ in )?([\w<>]+)", listing, re.M)
    if [int(number) for number, _ in frames] != list(range(len(frames))):
        fail(f"the frames of {name} are not numbered from 0", listing)
    names = iter(function for _, function in frames)
    for wanted in STACKS[name]:
        if not any(found == wanted or (wanted == "read" and "read" in found) for found in names):
            fail(f"{wanted} is missing in the backtrace of {name}, or not in its place", listing)


def check_all(*target: str) -> None:
    listing = gdb(*target, "-ex", "info gs")
    found = numbers(listing)
    if set(found) != set(STACKS):
        fail("info gs does not show all green threads", listing)
    for name, pattern in LINES.items():
        if not re.search(rf'G{found[name]} "{name}" +{pattern}', listing):
            fail(f"info gs says something else of {name}", listing)

    commands: list[str] = []
    for name, g in found.items():
        commands += ["-ex", f"echo == {name}\\n", "-ex", f"gs {g}"]
    stacks = gdb(*target, *commands, "-ex", "echo == thread\\n", "-ex", "bt 1")
    parts = dict(part.split("\n", 1) for part in stacks.split("== ")[1:])
    for name in found:
        check_stack(parts[name], name)
    if not re.match(r"#0 ", parts["thread"]):
        fail("the selected thread does not have its stack back", stacks)

    more = gdb(
        *target,
        *["-ex", "info ms", "-ex", "info ps", "-ex", "info gs waiting"],
        *["-ex", f"gs {found['waiter']} bt 2"],
        *["-ex", f"gs {found['back']} frame function waits_inside"],
        *["-ex", "gs 4711", "-ex", "gs x", "-ex", "info gs asleep"],
    )
    for pattern in (
        rf"M\d+ +tid \d+ +thread \d+ +call.* G{found['caller']} in c_reads ncgo=1 ncgocall=1 ",
        rf"M\d+ .* call.* G{found['deep']} in c_reads only for G{found['deep']} ncgo=2 ",
        r"domain native: \d+ procs, \d+ idle, \d+ spinning, \d+ in the global queue",
        r"  P0 +(idle|running|syscall) .* queued, schedtick \d+, syscalltick \d+",
        r"\n#0  .*\n#1  .*\n(?!#2 )",
        r"#\d+ .*waits_inside \(\) at ",
        r"there is no green thread 4711; 'info gs' lists them",
        r"Usage: gs N \[COMMAND\]",
        r"the state is 'asleep'; runnable, running, syscall, waiting are accepted",
    ):
        if not re.search(pattern, more):
            fail(f"nothing matches {pattern}", more)
    waiting = more[more.index("domain native") :]
    if '"waiter"' not in waiting or '"caller"' in waiting:
        fail("info gs waiting shows others, or not all", more)
    print(listing)


def live(program: str, script: str) -> None:
    with scenes(program) as process:
        check_all("-p", str(process.pid), "-x", script)


def core(program: str, script: str) -> None:
    with open("/proc/sys/kernel/core_pattern") as file:
        pattern = file.read().strip()
    if "|" in pattern or "/" in pattern:
        skip(f"core files go elsewhere here (core_pattern is '{pattern}')")
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        skip("no core files are allowed here (ulimit -Hc is 0)")
    with tempfile.TemporaryDirectory() as scratch:
        with scenes(program, where=scratch) as process:
            process.send_signal(signal.SIGABRT)
            process.wait()
        files = glob.glob(f"{scratch}/*")
        if len(files) != 1:
            skip(f"the kernel wrote no core file (core_pattern is '{pattern}')")
        check_all(program, files[0], "-x", script)


def gcore(program: str, script: str) -> None:
    with tempfile.TemporaryDirectory() as scratch, scenes(program, "mprotect") as process:
        file = f"{scratch}/gcore"
        said = gdb("-p", str(process.pid), "-ex", f"gcore {file}")
        if not os.path.exists(file):
            fail("gcore wrote no file", said)
        check_all(program, file, "-x", script)


def autoload(program: str, library: str) -> None:
    beside = f"{os.path.realpath(library)}-gdb.py"
    if not os.path.exists(beside):
        fail("the script is not beside the library", beside)
    with scenes(program) as process:
        check_all(
            "-iex", f"set auto-load safe-path {os.path.dirname(beside)}", "-p", str(process.pid)
        )


def stripped(program: str, library: str, script: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        soname = os.path.join(scratch, "libgosched.so.0")
        subprocess.run(["objcopy", "--strip-debug", os.path.realpath(library), soname], check=True)
        with scenes(program, LD_LIBRARY_PATH=scratch) as process:
            said = gdb("-p", str(process.pid), "-x", script, *commands())
            if said.count("libgosched has no debug information here") != 4:
                fail("it is not said that there is no debug information", said)
    said = gdb(shutil.which("gdb") or "gdb", "-x", script, *commands())
    if said.count("there is no libgosched in this program") != 4:
        fail("it is not said that there is no libgosched", said)
    said = gdb(program, "-x", script, "-ex", "break main", "-ex", "run", *commands())
    if said.count("the scheduler has not started yet") != 4:
        fail("it is not said that nothing has started", said)


def commands() -> list[str]:
    return ["-ex", "info gs", "-ex", "info ms", "-ex", "info ps", "-ex", "gs 1"]


def main() -> None:
    mode, program, library, script = sys.argv[1:]
    if shutil.which("gdb") is None:
        skip("there is no gdb here (Debian's package gdb has it)")
    if "works" not in gdb("-ex", "python print('works')"):
        skip("this gdb has no Python")
    if mode == "autoload":
        autoload(program, library)
    elif mode == "stripped":
        stripped(program, library, script)
    else:
        {"live": live, "core": core, "gcore": gcore}[mode](program, script)


if __name__ == "__main__":
    main()
