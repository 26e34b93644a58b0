"""embed: interpreters of other languages in this process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gosched import _gosched

_STATES = ("returned", "failed", "exited", "cancelled")


class GuestError(_gosched.Error):
    """What a guest ended with, if not well.

    language, name: those of the guest
    message: the error, in the guest's words
    traceback: its language's traceback (Tcl: the errorInfo), "" if there is none
    status: what the guest gave to its exit, else None
    """

    def __init__(
        self, language: str, name: str, message: str, traceback: str, status: int | None
    ) -> None:
        super().__init__(language, name, message, traceback, status)
        self.language = language
        self.name = name
        self.message = message
        self.traceback = traceback
        self.status = status

    def __str__(self) -> str:
        head = f"{self.language} guest {self.name!r}: {self.message}"
        return f"{head}\n{self.traceback.rstrip()}" if self.traceback else head


GuestError.__module__ = "gosched"  # the name that users know it by


class Guest:
    """An interpreter of another language that runs in this process; made by gosched.embed."""

    def __init__(self, language: str, source: str, name: str, args: tuple[str, ...]) -> None:
        self.language = language
        self.name = name
        self._guest = _gosched._embed(language, source, name, args)

    def __repr__(self) -> str:
        return f"<gosched.Guest {self.language} {self.name!r} {self.state}>"

    @property
    def state(self) -> str:
        """'running', 'returned', 'failed', 'exited' or 'cancelled'."""
        end = _gosched._guest_end(self._guest)
        return _STATES[end[0]] if end else "running"

    def done(self) -> bool:
        """True once the guest has ended."""
        return _gosched._guest_end(self._guest) is not None

    def cancel(self) -> None:
        """Asks the guest to stop, as GreenThread.cancel does with its main green thread.

        What that waits in fails, now and later.  Tcl is also interrupted where it computes.
        """
        _gosched._guest_cancel(self._guest)

    def join(self, timeout: float | None = None) -> None:
        """Waits until the guest has ended, well or not.

        timeout: seconds, or None to wait for ever.
        Raises TimeoutError; Cancelled if the caller is cancelled meanwhile.
        On a thread that runs no green thread it blocks that thread.
        """
        _gosched._guest_join(self._guest, timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Waits like join; then gives the GuestError or Cancelled it ended with, or None."""
        _gosched._guest_join(self._guest, timeout)
        end = _gosched._guest_end(self._guest)
        assert end
        how, status, text, trace = end
        if how == 1:
            return GuestError(self.language, self.name, text or "", trace, None)
        if how == 2 and status:
            message = f"the guest has exited with status {status}"
            return GuestError(self.language, self.name, message, "", status)
        if how == 3:
            return _gosched.Cancelled("the guest was cancelled")
        return None

    def result(self, timeout: float | None = None) -> Any:
        """Waits like join; then gives what the guest returned, as a channel would carry it.

        Numbers, truth values, texts and bytes, and lists and dicts of them, are what they were in
        the guest's language; anything else is its text.  A Tcl value is a text unless the guest
        has said otherwise, by gosched::result.
        None: it returned nothing (nil, None), or has exited with status 0.
        Raises GuestError, with the guest's own traceback, if it failed or has exited with another
        status; Cancelled if it was cancelled.
        """
        error = self.exception(timeout)
        if error is not None:
            raise error
        return _gosched._guest_value(self._guest)


def embed(
    language: str, source: str, /, *, name: str | None = None, args: Iterable[str] = ()
) -> Guest:
    """Starts an interpreter of another language in this process, and returns its Guest.

    It runs `source` on a thread of its own, in parallel with Python, with green threads of its
    own: all of that language's gosched can be used in it at once.

    language: "lua" or "tcl" (or what else there is a plugin gosched-guest-LANGUAGE.so for)
    name: of the source, in the guest's tracebacks; None: the language
    args: what the source gets as the arguments of a program

    The result is that of the chunk (Lua: what it returns; Tcl: the result of the last command).
    The end of gosched.run cancels guests that still run, and waits for them.
    Raises Error outside of gosched.run, and if there is no such plugin or it cannot be used
    (Python cannot be a guest of Python); ValueError and TypeError for bad arguments.
    """
    for what, value in (("language", language), ("source", source), ("name", name)):
        if not isinstance(value, str) and (what != "name" or value is not None):
            raise TypeError(f"gosched.embed: {what} must be str, not {type(value).__name__}")
    if isinstance(args, str):
        raise TypeError("gosched.embed: args must be several str, not one")
    texts = tuple(args)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"gosched.embed: args[{i}] must be str, not {type(text).__name__}")
        if "\0" in text:
            raise ValueError(f"gosched.embed: args[{i}] has a zero in it")
    return Guest(language, source, language if name is None else name, texts)
