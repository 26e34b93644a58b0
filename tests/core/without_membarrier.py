"""Runs a program on a kernel that knows no membarrier(2).

A seccomp filter answers ENOSYS, as an old kernel would and many a container does.

    without_membarrier.py PROGRAM [ARGUMENT]...
"""

import ctypes
import errno
import os
import platform
import struct
import sys

# The number of membarrier and the kernel's name of the architecture (linux/audit.h).
SYSCALLS = {"x86_64": (324, 0xC000003E), "aarch64": (283, 0xC00000B7)}

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW = 0x00050000, 0x7FFF0000
BPF_LOAD_WORD, BPF_JUMP_IF_EQUAL, BPF_RETURN = 0x20, 0x15, 0x06
DATA_NR, DATA_ARCH = 0, 4  # offsets in struct seccomp_data


def instruction(code: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def deny(number: int, arch: int) -> None:
    code = b"".join(
        (
            instruction(BPF_LOAD_WORD, 0, 0, DATA_ARCH),
            instruction(BPF_JUMP_IF_EQUAL, 0, 3, arch),
            instruction(BPF_LOAD_WORD, 0, 0, DATA_NR),
            instruction(BPF_JUMP_IF_EQUAL, 0, 1, number),
            instruction(BPF_RETURN, 0, 0, SECCOMP_RET_ERRNO | errno.ENOSYS),
            instruction(BPF_RETURN, 0, 0, SECCOMP_RET_ALLOW),
        )
    )
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    for option, first, second in (
        (PR_SET_NO_NEW_PRIVS, 1, None),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program),
    ):
        if libc.prctl(option, ctypes.c_ulong(first), second, 0, 0) != 0:
            sys.exit(f"prctl({option}): {os.strerror(ctypes.get_errno())}")


def main() -> None:
    deny(*SYSCALLS[platform.machine()])
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
