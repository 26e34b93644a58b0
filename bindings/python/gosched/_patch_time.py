"""time.sleep on green threads."""

from __future__ import annotations

import functools
import time
from typing import Any

from gosched._gosched import current
from gosched._gosched import sleep as _green_sleep
from gosched._patch import Replacements

_sleep = time.sleep


@functools.wraps(_sleep)
def sleep(seconds: Any, /) -> None:
    # What it does not accept, it is to refuse in its own words.
    if current() is None or not isinstance(seconds, (int, float)) or not 0 <= seconds < 9e9:
        _sleep(seconds)
    else:
        _green_sleep(seconds)


def replace(made: Replacements) -> None:
    made.function(time, "sleep", sleep)
