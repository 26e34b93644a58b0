"""The two ways in which a part of the demo fails."""


class Unavailable(Exception):
    """This machine lacks what a part needs; the text says what, in half a sentence."""


class Mismatch(Exception):
    """A result is not what it must be."""
