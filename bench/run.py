#!/usr/bin/env python3
"""The benchmarks' driver: see README.md in this folder, and --help."""

import sys

from driver.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
