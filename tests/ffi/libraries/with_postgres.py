#!/usr/bin/env python3
"""Runs a program with a PostgreSQL server of its own, which is gone afterwards.

    with_postgres.py FOLDER PROGRAM

FOLDER has demolib, whose server this is.  The program gets what libpq needs to connect; if no
server can be run here it gets nothing, and GOSCHED_NO_POSTGRES says why.
"""

from __future__ import annotations

import os
import subprocess
import sys


def main() -> int:
    folder, program = sys.argv[1:]
    sys.path.insert(0, folder)
    from demolib.errors import Unavailable
    from demolib.postgres import Server

    try:
        with Server(max_connections=20) as server:
            return subprocess.run([program, server.conninfo], check=False).returncode
    except Unavailable as why:
        environment = {**os.environ, "GOSCHED_NO_POSTGRES": str(why)}
        return subprocess.run([program], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
