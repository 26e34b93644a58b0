"""perf, which follows frame pointers, walks through both changes of stacks.

    check_perf.py BURN

Exits with 77 and the reason where the system does not allow it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile

# In this order, perhaps with others between; the function that computes has no frame of its own,
# and so its caller is not seen.
WANTED = ["callback_burns", "c_calls_back", "green_burns"]


def skip(reason: str) -> None:
    print(f"skipped: {reason}")
    raise SystemExit(77)


def perf(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["perf", *arguments], capture_output=True, text=True, errors="replace", timeout=300
    )


def main() -> None:
    program = sys.argv[1]
    if shutil.which("perf") is None:
        skip("there is no perf here (Debian's package linux-perf has it)")
    with tempfile.TemporaryDirectory() as scratch:
        file = os.path.join(scratch, "perf.data")
        # The clock of the CPU time: virtual machines have no hardware events.
        record = ("record", "-e", "cpu-clock", "-F", "999", "--call-graph", "fp", "-o", file)
        done = perf(*record, "true")
        if done.returncode:
            skip(f"perf may not record here: {done.stderr.strip().splitlines()[:1]}")
        done = perf(*record, program, "300")
        if done.returncode:
            print(done.stdout, done.stderr)
            raise SystemExit(1)
        script = perf("script", "-i", file, "-F", "comm,ip,sym").stdout
    samples = [re.findall(r"^\s+[0-9a-f]+ (\S+)", part, re.M) for part in script.split("\n\n")]
    burning = [sample for sample in samples if "computes" in sample]
    whole = []
    for sample in burning:
        names = iter(sample)
        if all(wanted in names for wanted in WANTED):
            whole.append(sample)
    print(f"{len(samples)} samples, {len(burning)} in computes, {len(whole)} walked to the end")
    if not burning:
        skip("perf took no sample of the program here")
    # A few may be taken where a frame is just being made.
    if len(whole) < len(burning) * 0.8:
        print(script[:8000])
        raise SystemExit(1)


if __name__ == "__main__":
    main()
