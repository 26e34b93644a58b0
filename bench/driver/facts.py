"""The machine, and the versions of everything that was measured."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

PEERS = ("cffi", "gevent", "greenlet", "uvloop")
BUSY_LOAD = 0.5


def said_by(command: Sequence[str], directory: Path | None = None) -> str:
    """The first line a command prints; "" if it cannot be run or fails."""
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = done.stdout.strip().splitlines()
    return lines[0] if done.returncode == 0 and lines else ""


def processor() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def virtual() -> bool:
    """Whether this is a virtual machine, as far as the processor says."""
    try:
        return " hypervisor" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def peer_version(name: str) -> str:
    """The version of a Python package, or that it is missing."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def commit(root: Path) -> str:
    """The commit that is measured, and whether the tree differs from it."""
    head = said_by(["git", "rev-parse", "--short=12", "HEAD"], root)
    if not head:
        return "unknown"
    changed = said_by(["git", "status", "--porcelain", "--untracked-files=no"], root)
    return head + (" with changes" if changed else "")


def about_gsbench(program: Sequence[str] | str) -> dict[str, str]:
    """Version and compiler of gosched, from its own mouth."""
    if isinstance(program, str):
        return {"gosched": "not built", "compiler": "unknown"}
    try:
        about = json.loads(said_by([*program, "--about"]))
    except ValueError:
        return {"gosched": "unknown", "compiler": "unknown"}
    return {"gosched": str(about["gosched"]), "compiler": str(about["compiler"])}


def build_type(build: Path) -> str:
    """How the measured library was built."""
    try:
        for line in (build / "CMakeCache.txt").read_text(encoding="utf-8").splitlines():
            if line.startswith("CMAKE_BUILD_TYPE:"):
                return line.partition("=")[2]
    except OSError:
        pass
    return "unknown"


def gather(root: Path, build: Path, gsbench: Sequence[str] | str) -> dict[str, Any]:
    """All facts, as the JSON file has them."""
    go = shutil.which("go")
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "processor": processor(),
        "virtual": virtual(),
        "cpus": sorted(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "commit": commit(root),
        "build_type": build_type(build),
        "libc": " ".join(platform.libc_ver()),
        "libffi": said_by(["pkg-config", "--modversion", "libffi"]) or "unknown",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "python_executable": Path(sys.executable).name,
        "go": said_by([go, "version"]).removeprefix("go version ") if go else "not installed",
        **about_gsbench(gsbench),
        **{name: peer_version(name) for name in PEERS},
    }


def summary(facts: dict[str, Any]) -> list[str]:
    """The facts that a reader of the table wants to see above it."""
    cpus = ", ".join(str(cpu) for cpu in facts["cpus"])
    where = f"{facts['processor']}{', virtual' if facts['virtual'] else ''}"
    lines = [
        f"{where}; CPUs used: {cpus}; {facts['system']} {facts['kernel']}",
        f"gosched {facts['gosched']} ({facts['commit']}, {facts['build_type']}, "
        f"{facts['compiler']}); libffi {facts['libffi']}",
        f"{facts['go']}; {facts['python']}; "
        + ", ".join(f"{name} {facts[name]}" for name in PEERS),
    ]
    if facts["load"] > BUSY_LOAD:
        lines.append(
            f"The machine was busy when this run began (load {facts['load']:.1f}): "
            "what waits for a CPU or wakes another one is slower than it should be."
        )
    return lines
