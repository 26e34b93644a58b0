"""The import lock, which must belong to green threads.

importlib holds a lock of C for moments, and while it asks the finders of sys.meta_path (up to
3.11).  It belongs to the OS thread.  A green thread that waits in such a moment - in a finder, or
in a destructor, a weak reference's callback or a profile function, which run in the middle of
anything - and goes on on another thread could not release it.  So importlib gets another one here,
through the functions of _imp that it calls.

fork: C holds its own import lock then, which nobody uses any more; ours is held by hooks.
"""

from __future__ import annotations

import os
from typing import Any

from gosched import _gosched

_lock: Any = _gosched._ThreadingRLock()
_imp: Any = __import__("_imp")


def _in_child() -> None:
    """Who waited for it is gone, and who forked has it."""
    depth = _lock._recursion_count()
    _lock._at_fork_reinit()
    for _ in range(depth - 1):
        _lock.acquire()


def install() -> None:
    """Once.  Nobody is between acquiring and releasing the old one while it is replaced."""
    old, acquire, release = _imp.release_lock, _lock.acquire, _lock.release
    _imp.acquire_lock()
    # Functions of C: a debugger does not see them.
    _imp.acquire_lock, _imp.release_lock, _imp.lock_held = acquire, release, _lock.locked
    old()
    os.register_at_fork(before=acquire, after_in_parent=release, after_in_child=_in_child)
