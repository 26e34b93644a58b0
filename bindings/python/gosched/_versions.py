"""What depends on the version of Python, for all modules of the package."""

from __future__ import annotations

import builtins
import sys

if sys.version_info >= (3, 11):
    BaseExceptionGroup = builtins.BaseExceptionGroup
else:
    from exceptiongroup import BaseExceptionGroup

__all__ = ["BaseExceptionGroup"]
