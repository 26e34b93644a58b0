"""A private PostgreSQL server: in a directory of its own, on a Unix socket, for as long as we run.

It is made from nothing (initdb), listens to no network address, and is stopped and deleted when
the ``with`` block ends, however it ends.  If this process is killed outright, the kernel tells the
server to stop (PR_SET_PDEATHSIG, by util-linux's setpriv).  PostgreSQL refuses to run as root: then
the user ``postgres``, which Debian's package makes, runs it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from .errors import Unavailable

_MAX_SOCKET_DIRECTORY = 80  # sockaddr_un has room for 107 bytes, the socket's name is in them too
_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 15.0


def find_programs(root: Path = Path("/usr/lib/postgresql")) -> Path:
    """The folder of the newest installed server's programs.  Raises Unavailable."""
    needed = ("initdb", "postgres", "pg_isready")
    on_path = shutil.which("postgres")
    candidates = [path / "bin" for path in root.glob("*") if path.name.isdigit()]
    candidates.sort(key=lambda path: int(path.parent.name), reverse=True)
    if on_path is not None:
        candidates.append(Path(on_path).resolve().parent)
    for folder in candidates:
        if all(os.access(folder / program, os.X_OK) for program in needed):
            return folder
    raise Unavailable("no PostgreSQL server is installed")


class Server:
    """``with Server(max_connections=120) as server: PQconnectdb(server.conninfo)``."""

    def __init__(self, max_connections: int, programs: Path | None = None) -> None:
        self.max_connections = max_connections
        self.programs = find_programs() if programs is None else programs
        self._identity = self._who()
        self._process: subprocess.Popen[bytes] | None = None
        self.directory = Path()

    @staticmethod
    def _who() -> dict[str, Any]:
        """subprocess arguments that make the child run as somebody PostgreSQL accepts."""
        if os.geteuid() != 0:
            return {}
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            raise Unavailable("PostgreSQL refuses root, and there is no user postgres") from None
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    @property
    def conninfo(self) -> str:
        """What libpq's PQconnectdb takes."""
        return f"host={self.directory} user=gosched dbname=postgres connect_timeout=30"

    def __enter__(self) -> Server:
        self.directory = Path(tempfile.mkdtemp(prefix="gosched-pg-"))
        if len(os.fsencode(self.directory)) > _MAX_SOCKET_DIRECTORY:
            self.directory.rmdir()
            self.directory = Path(tempfile.mkdtemp(prefix="gosched-pg-", dir="/tmp"))
        try:
            if self._identity:
                os.chown(self.directory, self._identity["user"], self._identity["group"])
            self._initialise()
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _initialise(self) -> None:
        command: list[str | Path] = [self.programs / "initdb", "-D", self.directory / "data"]
        command += ["-U", "gosched", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            cwd=self.directory, check=False, **self._identity,
        )  # fmt: skip
        if done.returncode != 0:
            last = done.stdout.decode(errors="replace").strip().splitlines()[-1:]
            raise Unavailable(f"initdb failed: {' '.join(last) or done.returncode}")

    def _start(self) -> None:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self.directory,
            "max_connections": self.max_connections,
            "shared_buffers": "16MB",
            "fsync": "off",
        }
        setpriv = shutil.which("setpriv")
        command: list[str | Path] = [setpriv, "--pdeathsig", "INT"] if setpriv else []
        command += [self.programs / "postgres", "-D", self.directory / "data"]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        # A session of its own: Ctrl-C is for us, and we stop the server when we are done with it.
        with (self.directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                start_new_session=True, **self._identity,
            )  # fmt: skip
        ask: list[str | Path] = [self.programs / "pg_isready", "-q", "-h", self.directory]
        deadline = time.monotonic() + _START_TIMEOUT
        while subprocess.run(ask, check=False).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                lines = (self.directory / "log").read_text(errors="replace").strip().splitlines()
                raise Unavailable(f"the server does not start: {' '.join(lines[-1:])}")
            time.sleep(0.02)

    def _end(self) -> None:
        """Stops the server, the polite way first, and deletes its directory."""
        process, self._process = self._process, None
        if process is not None:
            for request in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                process.send_signal(request)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_STOP_TIMEOUT)
                    break
        shutil.rmtree(self.directory, ignore_errors=True)
