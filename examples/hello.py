import time

import gosched

libc = gosched.dlopen("libc.so.6", "int usleep(unsigned usec);")


def main():
    with gosched.TaskGroup() as tg:  # waits for all, passes on the first error
        for _ in range(100):
            tg.go(libc.usleep, 200_000)  # blocks in C for 0.2 s; the others go on


start = time.monotonic()
gosched.run(main)
print(f"100 calls of 0.2 s took {time.monotonic() - start:.2f} s")
