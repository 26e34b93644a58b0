"""Compresses files at the same time: python examples/zlib_files.py FILE …

The default is this folder.  libz computes without a lock of anybody's, so the green threads keep
all CPUs busy; each result is checked by decompressing it.
"""

import sys
import zlib
from pathlib import Path

import gosched

libz = gosched.dlopen(
    "libz.so.1",
    """
    unsigned long compressBound(unsigned long length);
    int compress2(unsigned char *dest, unsigned long *dest_length,
                  const unsigned char *source, unsigned long length, int level);
    """,
)
ffi = gosched.ffi(libz)


def compress(path: Path) -> tuple[int, int]:
    """The file's size before and after."""
    source = path.read_bytes()
    room = libz.compressBound(len(source))
    dest, length = ffi.new("unsigned char[]", room), ffi.new("unsigned long *", room)
    status = libz.compress2(dest, length, source, len(source), 9)
    if status != 0:
        raise RuntimeError(f"{path}: compress2 gave {status}")
    packed = bytes(ffi.buffer(dest, length[0]))
    if zlib.decompress(packed) != source:
        raise RuntimeError(f"{path} is another file after decompression")
    return len(source), len(packed)


def main(paths: list[Path]) -> None:
    """One green thread per file; the sizes in the order of the files."""
    greens = [gosched.go(compress, path) for path in paths]
    for path, green in zip(paths, greens, strict=True):
        before, after = green.result()
        print(f"{path.name}: {before} bytes, {after} compressed")


if __name__ == "__main__":
    given = [Path(name) for name in sys.argv[1:]]
    gosched.run(main, given or sorted(Path(__file__).parent.glob("*.py")))
