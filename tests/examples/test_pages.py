"""The pages in docs/ that have programs tell the truth."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from conftest import Run


def test_foreign_functions(run: Run, root: Path, tmp_path: Path) -> None:
    page = (root / "docs/foreign-functions.md").read_text()
    program = tmp_path / "program.py"
    program.write_text("\n".join(re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)))
    assert run([sys.executable, program]).stdout == ""
