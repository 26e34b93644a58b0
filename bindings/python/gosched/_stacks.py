"""Where green threads are in their Python code: for deadlocks and dumps."""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from types import FrameType

from gosched import _gosched

_MOST = 100  # different stacks that are shown
_NAMES = 5  # green threads that are named for one stack
_DEPTH = 40  # frames of one stack, the innermost ones

NOBODY, PERHAPS, SOMEBODY = range(3)


def outside() -> int:
    """Whether something that the scheduler does not know of may wake a green thread.

    PERHAPS is what may have changed when one asks again.  Called on a thread of the binding's.
    """
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        if callable(handler) and handler is not signal.default_int_handler:
            return SOMEBODY
    callbacks = sys.modules.get("gosched._callback")
    if callbacks is not None and callbacks._alive:
        return SOMEBODY
    known = {ident for _, ident in _gosched._live()}
    known.add(threading.get_ident())
    return NOBODY if known.issuperset(sys._current_frames()) else PERHAPS


def deadlock(what: str) -> str:
    """The text of the Deadlock that `what` raises in the main green thread."""
    return (
        f"{what}: all green threads are asleep, and nothing can wake any of them (a deadlock)\n"
        f"{stacks(sys._getframe().f_back)}"
    )


def stacks(here: FrameType | None) -> str:
    """Every green thread with its Python stack, those with the same one together.

    here: where the caller is, for its own stack.
    """
    frames = sys._current_frames()
    frames[threading.get_ident()] = here  # type: ignore[assignment]
    found: dict[str, list[str]] = {}
    for green, ident in _gosched._live():
        frame = frames.get(ident)
        text = _stack(frame) if frame is not None else "  (it has not begun)\n"
        found.setdefault(f"{green.state}:\n{text}", []).append(f"{green.id} {green.name!r}")
    del frames
    lines = []
    for stack, names in list(found.items())[:_MOST]:
        more = len(names) - _NAMES
        who = ", ".join(names[:_NAMES]) + (f" and {more} more" if more > 0 else "")
        lines.append(f"\nGreen thread{'s' if len(names) > 1 else ''} {who}, {stack}")
    if len(found) > _MOST:
        lines.append(f"\n... and {len(found) - _MOST} other stacks\n")
    return "".join(lines)


def _stack(frame: FrameType) -> str:
    summary = traceback.extract_stack(frame)
    cut = len(summary) - _DEPTH
    head = f"  ... {cut} frames\n" if cut > 0 else ""
    return head + "".join(traceback.format_list(summary[-_DEPTH:]))
