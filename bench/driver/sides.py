"""The programs that measure: how they are built, and how one row of one of them is run.

Every side is a process of its own that prints one JSON object (see c/main.c).  A side that is not
on this machine is not an error: its outcome says why.  A side that is there and fails is one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .rows import Side
from .stats import Outcome

BENCH = Path(__file__).resolve().parent.parent
UNMEASURED_STATUS = 77  # what a Python side ends with when its library is not there
TIMEOUT_SECONDS = 90
CONFIGURATION = ("GOSCHED_PROCS", "GOSCHED_MAX_THREADS", "GOSCHED_STACK_SIZE", "GOMAXPROCS")


@dataclass(frozen=True)
class Effort:
    """How many samples a process takes, and how long one sample of a loop lasts."""

    samples: int
    target_ms: float


class Programs:
    """The sides' programs of one build tree, built when they are first wanted."""

    def __init__(self, build: Path) -> None:
        self.build = build
        self.directory = build / "bench"
        self.environment = environment(os.environ, build)
        self._commands: dict[str, list[str] | str] = {}

    def command(self, program: str) -> list[str] | str:
        """How the program is started, or why it cannot be."""
        if program not in self._commands:
            if program == "c":
                self._commands[program] = self._build_c()
            elif program == "untraced":  # the same build makes it
                c = self.command("c")
                self._commands[program] = (
                    c if isinstance(c, str) else [str(self.directory / "gsbench_untraced")]
                )
            elif program == "go":
                self._commands[program] = self._build_go(BENCH / "go")
            elif program == "purego":
                self._commands[program] = self._build_purego()
            elif program == "rust":
                self._commands[program] = self._build_rust()
            elif program.startswith("tcl."):
                self._commands[program] = self._tcl(program.removeprefix("tcl."))
            elif program.startswith("lua_"):
                self._commands[program] = self._lua(program.removeprefix("lua_"))
            else:
                self._commands[program] = self._python(program)
        return self._commands[program]

    def run(self, side: Side, effort: Effort) -> Outcome:
        """Measure one side once."""
        command = self.command(side.program)
        if isinstance(command, str):
            return Outcome(why=command)
        # Go's flags take one dash or two.
        options = [f"--samples={effort.samples}", f"--target-ms={effort.target_ms:g}"]
        return self._run([*command, *options, side.row])

    def _run(self, command: Sequence[str]) -> Outcome:
        try:
            done = subprocess.run(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Outcome(why=f"did not end within {TIMEOUT_SECONDS} s", failed=True)
        except OSError as error:
            return Outcome(why=f"{command[0]}: {error.strerror}", failed=True)
        return outcome(done.returncode, done.stdout, done.stderr)

    def _build_c(self) -> list[str] | str:
        if not (self.build / "CMakeCache.txt").exists():
            return f"{self.build} is no build tree: configure it with cmake, or use ./dev bench"
        cmake = shutil.which("cmake")
        if cmake is None:
            return "cmake is not on PATH"
        problem = build_problem([cmake, "--build", str(self.build), "--target", "bench"])
        return problem or [str(self.directory / "gsbench")]

    def _build_go(self, sources: Path) -> list[str] | str:
        go = shutil.which("go")
        if go is None:
            return "go is not on PATH (Debian: golang)"
        program = self.directory / "go" / f"{sources.name}bench"
        environment = {
            **self.environment,
            "CGO_ENABLED": "1",
            "GOCACHE": str(self.directory / "go" / "cache"),
            "GOFLAGS": "",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
        }
        problem = build_problem(
            [go, "build", "-o", str(program), "."], directory=sources, environment=environment
        )
        return problem or [str(program)]

    def _build_purego(self) -> list[str] | str:
        # The module apart from Go's, so that those rows need nothing from the network.
        module = self.directory / "purego"
        shutil.copytree(BENCH / "purego", module, dirs_exist_ok=True)
        shutil.copy(BENCH / "go" / "harness.go", module)
        return self._build_go(module)

    def _build_rust(self) -> list[str] | str:
        cargo = shutil.which("cargo")
        if cargo is None:
            return "cargo is not on PATH (Debian: cargo)"
        # In a copy, so that what cargo writes beside the manifest stays out of the source tree.
        crate = self.directory / "rust"
        shutil.copytree(BENCH / "rust", crate, dirs_exist_ok=True)
        problem = build_problem([cargo, "build", "--release", "--quiet"], directory=crate)
        return problem or [str(crate / "target" / "release" / "rustbench")]

    def _tcl(self, who: str) -> list[str] | str:
        if who == "gosched" and not (self.build / "tcl" / "gosched").is_dir():
            return f"{self.build / 'tcl'} has no package gosched: the Tcl binding is not built"
        if who == "gosched" and isinstance(self.command("c"), str):
            return str(self.command("c"))
        tclsh = shutil.which("tclsh8.6") or shutil.which("tclsh")
        if tclsh is None:
            return "tclsh is not on PATH (Debian: tcl)"
        return [tclsh, str(BENCH / "tcl" / "side.tcl"), who]

    def _lua(self, program: str) -> list[str] | str:
        lua = shutil.which("lua5.4") or shutil.which("lua54")
        if lua is None:
            return "lua5.4 is not on PATH (Debian: lua5.4)"
        if not (self.build / "lua" / "gosched.so").exists():
            return f"{self.build / 'lua'} has no gosched.so: the Lua binding is not built"
        if isinstance(self.command("c"), str):
            return str(self.command("c"))  # the same build makes the libraries that they call
        return [lua, str(BENCH / "lua" / f"side_{program}.lua")]

    def _python(self, program: str) -> list[str] | str:
        if program == "gosched" and not (self.build / "python" / "gosched").is_dir():
            return (
                f"{self.build / 'python'} has no package gosched: the Python binding is not built"
            )
        if program in ("gosched", "calls") and isinstance(self.command("c"), str):
            return str(self.command("c"))  # the same build makes the library that they call
        (self.directory / "py").mkdir(parents=True, exist_ok=True)
        return [sys.executable, str(BENCH / "py" / f"side_{program}.py")]


def environment(base: Mapping[str, str], build: Path) -> dict[str, str]:
    """What the sides see: the build tree first, and no configuration that rows set themselves."""
    result = {name: value for name, value in base.items() if name not in CONFIGURATION}
    for name, folder in (("LD_LIBRARY_PATH", "lib"), ("PYTHONPATH", "python")):
        paths = [str(build / folder), *filter(None, result.get(name, "").split(os.pathsep))]
        result[name] = os.pathsep.join(dict.fromkeys(paths))
    # Tcl reads its path as a list: in braces a path may contain spaces.
    result["TCLLIBPATH"] = f"{{{build / 'tcl'}}} {result.get('TCLLIBPATH', '')}".strip()
    for name, first in (
        ("LUA_CPATH", f"{build / 'lua'}/?.so;{build / 'bench'}/?.so"),
        ("LUA_PATH", f"{BENCH / 'lua'}/?.lua"),
    ):
        result[name] = f"{first};{result.get(name) or ';'}"
    result["GSBENCH_DIR"] = str(build / "bench")
    return result


def build_problem(
    command: Sequence[str],
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a build; "" if it worked, else what it said last."""
    print(f"building: {' '.join(command)}", file=sys.stderr, flush=True)
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    if done.returncode == 0:
        return ""
    sys.stderr.write(done.stdout)
    return f"{Path(command[0]).name} failed with status {done.returncode}; its output is above"


def outcome(status: int, stdout: str, stderr: str) -> Outcome:
    """What a side's process that has ended says."""
    last = stderr.strip().splitlines()[-1] if stderr.strip() else ""
    if status == UNMEASURED_STATUS:
        return Outcome(why=last or "not on this machine")
    if status != 0:
        ended = f"killed by signal {-status}" if status < 0 else f"status {status}"
        return Outcome(why=f"{ended}: {last}" if last else ended, failed=True)
    try:
        report = json.loads(stdout.strip().splitlines()[-1])
        time = [float(sample) for sample in report["samples"]]
        unit = str(report["unit"])
        samples = {"time": time, "rss": [float(report["rss_kib"]) / 1024]}
        threads = float(report["threads"])
    except (IndexError, KeyError, TypeError, ValueError) as error:
        return Outcome(why=f"printed no result ({error!r}): {stdout.strip()[:80]!r}", failed=True)
    if not time:
        return Outcome(why="printed no samples", failed=True)
    if threads > 0:
        samples["threads"] = [threads]
    return Outcome(samples, unit)
