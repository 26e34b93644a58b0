#!/usr/bin/env python3
"""Runs a program with a PostgreSQL server of its own.

    with_postgres.py PROGRAM [ARGUMENT...]

GOSCHED_TEST_POSTGRES says how to connect.  Where there is no server to be had, the program runs
without, and says itself what it skips.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

from demolib import postgres
from demolib.errors import Unavailable


def main() -> int:
    command = sys.argv[1:]
    try:
        with postgres.Server(max_connections=10) as server:
            environment = {**os.environ, "GOSCHED_TEST_POSTGRES": server.conninfo}
            return subprocess.run(command, env=environment, check=False).returncode
    except Unavailable as reason:
        print(f"no PostgreSQL server: {reason}", flush=True)
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
