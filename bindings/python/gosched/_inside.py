"""dump and trace: the scheduler seen from outside."""

from __future__ import annotations

import os
import sys
import tempfile
from types import TracebackType
from typing import IO, Any

from gosched import _gosched


def dump(file: IO[Any] | int | None = None) -> None:
    """Writes every green thread (G), OS thread (M) and processor (P) as text.

    file: a file, binary or text, or a descriptor; None: sys.stderr.
    """
    target: Any = sys.stderr if file is None else file
    if target is None:
        return
    if isinstance(target, int):
        _gosched._dump(target)
        return
    try:
        fd = target.fileno()
    except (AttributeError, OSError):
        with tempfile.TemporaryFile() as copy:
            _gosched._dump(copy.fileno())
            copy.seek(0)
            text = copy.read()
        binary = not hasattr(target, "encoding") and hasattr(target, "getbuffer")
        target.write(text if binary else text.decode(errors="replace"))
        return
    target.flush()
    _gosched._dump(fd)


class trace:  # noqa: N801 - used like a function
    """Records what ran where::

        with gosched.trace("out.json"):
            ...

    writes the newest scheduler events of the block as Chrome trace-event JSON, for
    https://ui.perfetto.dev or ``python -m gosched.timeline``.

    Raises Error if a trace is being recorded already, OSError if the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    def __enter__(self) -> trace:
        _gosched._trace_start(self.path)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        _gosched._trace_stop(self.path)
