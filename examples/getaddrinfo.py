"""Looks up many names at once: python examples/getaddrinfo.py [NAME …]  (default: localhost).

getaddrinfo blocks, for seconds when a name server does not answer.  Here every name has a green
thread of its own, so all of them together take as long as the slowest.
"""

import socket
import sys

import gosched

libc = gosched.dlopen(
    "libc.so.6",
    """
    struct sockaddr { unsigned short sa_family; unsigned char sa_data[14]; };
    struct addrinfo {
        int ai_flags, ai_family, ai_socktype, ai_protocol;
        unsigned int ai_addrlen;
        struct sockaddr *ai_addr;
        char *ai_canonname;
        struct addrinfo *ai_next;
    };
    int getaddrinfo(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    void freeaddrinfo(struct addrinfo *);
    const char *gai_strerror(int);
    """,
)
ffi = gosched.ffi(libc)


def look_up(name: str) -> list[str]:
    """The addresses of a name; OSError if there are none."""
    hints = ffi.new("struct addrinfo *", {"ai_socktype": int(socket.SOCK_STREAM)})
    out = ffi.new("struct addrinfo **")
    status = libc.getaddrinfo(name.encode(), ffi.NULL, hints, out)
    if status != 0:
        raise OSError(ffi.string(libc.gai_strerror(status)).decode())
    addresses, entry = [], out[0]
    while entry != ffi.NULL:
        raw = bytes(ffi.buffer(entry.ai_addr, entry.ai_addrlen))
        packed = raw[4:8] if entry.ai_family == socket.AF_INET else raw[8:24]
        addresses.append(socket.inet_ntop(entry.ai_family, packed))
        entry = entry.ai_next
    libc.freeaddrinfo(out[0])
    return addresses


def main(names: list[str]) -> None:
    """One green thread per name; the answers in the order of the names."""
    lookups = [gosched.go(look_up, name) for name in names]
    for name, lookup in zip(names, lookups, strict=True):
        try:
            print(f"{name}: {' '.join(lookup.result())}")
        except OSError as error:
            print(f"{name}: {error}")


if __name__ == "__main__":
    gosched.run(main, sys.argv[1:] or ["localhost"])
