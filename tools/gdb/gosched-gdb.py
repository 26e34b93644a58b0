"""Shows gosched's green threads in gdb, of a live process and of a core file.

    info gs [STATE]      every green thread: state, why it waits, where
    info ms              every OS thread of the scheduler: what it runs, what it is blocked in
    info ps              every P: who holds it, what is queued
    gs N [COMMAND]       runs a gdb command (default: bt) in the context of green thread N

gdb loads this file by itself when it loads libgosched, if its directory is in gdb's auto-load
safe-path; otherwise: source /path/to/gosched-gdb.py.  It reads the scheduler's own structures
(core/runtime.h) by their debug information, and says so when there is none.  Nothing is called in
the process, and no register or memory of it is written.

How a green thread that does not run is walked.  Its registers stand at its saved stack pointer, in
the order that core/arch/ pushes them.  gdb walks the stacks of threads only, so the selected
thread lends its name: while COMMAND runs, an unwinder says that this thread's innermost frame was
called from where the green thread was left.  That frame is not shown by backtraces; other commands
count it.  Stacks of green threads
that run, or are in a foreign call, are those of their threads, and go through the change of stacks
by its unwind rules.
"""

import os
import re

import gdb
from gdb.unwinder import Unwinder, register_unwinder

G_STATES = ("idle", "runnable", "running", "syscall", "waiting", "dead")
G_RUNNING, G_SYSCALL, G_WAITING = 2, 3, 4
P_STATES = ("idle", "running", "syscall", "gcstop", "dead")
P_RUNNING, P_SYSCALL, P_DEAD = 1, 2, 4
MODES = ("inside", "call", "user", "stopped")
MODE_CALL = 1
SC_MODE, SC_FENCED, PW_LOCK = 3, 4, 1

# Where gs_arch_switch leaves the registers, in bytes from the saved stack pointer; how many they
# take; the stack pointer and the program counter.
SAVED = {
    "i386:x86-64": (
        {"r15": 8, "r14": 16, "r13": 24, "r12": 32, "rbx": 40, "rbp": 48, "rip": 56},
        64,
        "rsp",
        "rip",
    ),
    "aarch64": (
        {"x29": 0, "pc": 8, **{f"x{n}": 16 + 8 * (n - 19) for n in range(19, 29)}},
        176,
        "sp",
        "pc",
    ),
}

WHERE_MOST = 500  # green threads for which "info gs" looks where they are


# ---- the scheduler's structures ----------------------------------------------------------------


def sched():
    """gs_sched; an error that says what is missing."""
    symbol = gdb.lookup_global_symbol("gs_sched")
    if symbol is None:
        try:
            gdb.parse_and_eval("(long)&gs_run")
        except gdb.error:
            raise gdb.GdbError(
                "gosched: there is no libgosched in this program (or it is not loaded yet)"
            ) from None
        raise gdb.GdbError(
            "gosched: libgosched has no debug information here, so its structures cannot be read:"
            " build it with -g (CMAKE_BUILD_TYPE=RelWithDebInfo), do not strip it, or tell gdb"
            " where its separate debug information is (set debug-file-directory)"
        )
    try:
        value = symbol.value()
        if not value["allm"]:
            raise gdb.GdbError("gosched: the scheduler has not started yet")
    except gdb.MemoryError:
        raise gdb.GdbError("gosched: there is no process and no core file to look at") from None
    return value


def linked(head, link):
    """A list of the scheduler's, which ends with NULL."""
    while head:
        yield head.dereference()
        head = head[link]


def same(pointer, value):
    return int(pointer) == int(value.address)


def text(pointer):
    return pointer.string(errors="replace") if pointer else ""


def array_text(array):
    return array.string(errors="replace")


def name_in(names, number):
    return names[number] if number < len(names) else str(number)


def no_p():
    return int(gdb.parse_and_eval("(long)&gs_nop"))


def in_fast_call(m):
    """The fast path of a foreign call stores no states: that the M is out in a call says it."""
    return int(m["sc"]) & SC_MODE == MODE_CALL and int(m["p"]) != no_p()


def g_state(g):
    state = int(g["status"])
    if state == G_RUNNING and g["m"]:
        m = g["m"].dereference()
        if same(m["curg"], g) and in_fast_call(m):
            return G_SYSCALL
    return state


def p_state(p):
    state = int(p["status"])
    if state == P_RUNNING and p["m"] and in_fast_call(p["m"].dereference()):
        return P_SYSCALL
    return state


def m_p(m):
    """The P that an M holds, or None."""
    word = int(m["pw"]) & ~PW_LOCK
    return gdb.Value(word).cast(m["p"].type).dereference() if word else None


def live_gs():
    for g in linked(sched()["allg"], "alllink"):
        if name_in(G_STATES, int(g["status"])) not in ("idle", "dead"):
            yield g


def find_g(number):
    for g in live_gs():
        if int(g["goid"]) == number:
            return g
    raise gdb.GdbError(f"gosched: there is no green thread {number}; 'info gs' lists them")


def on_thread(g):
    """The M that has g on it right now, or None."""
    if g["m"]:
        m = g["m"].dereference()
        if same(m["curg"], g):
            return m
    return None


def threads():
    """gdb's threads by the kernel's number."""
    found = gdb.selected_inferior().threads()
    return {thread.ptid[1] or thread.ptid[0]: thread for thread in found}


def wait_reason(g):
    """The scheduler may mark one that it has seen, in the topmost bits, which no address has."""
    pointer = g["waitreason"]
    return text(gdb.Value(int(pointer) & ~(3 << 62)).cast(pointer.type))


def call_name(g):
    if not g["site"]:
        return ""
    return text(g["site"].dereference()["name"]) or "a foreign call"


# ---- walking a green thread that does not run ----------------------------------------------------


class FrameId:
    """What gdb identifies a frame by."""

    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


class Parked(Unwinder):
    """While armed: the selected thread's innermost frame was called from a green thread."""

    def __init__(self):
        super().__init__("gosched")
        self.sp = None
        self.at = None

    def arm(self, sp):
        frame = gdb.newest_frame()
        _, _, sp_name, pc_name = saved_registers(frame.architecture().name())
        self.at = int(frame.read_register(sp_name)), int(frame.read_register(pc_name))
        self.sp = sp
        gdb.invalidate_cached_frames()

    def disarm(self):
        self.sp = None
        gdb.invalidate_cached_frames()

    def __call__(self, pending):
        if self.sp is None:
            return None
        registers, size, sp_name, pc_name = saved_registers(pending.architecture().name())
        sp, pc = pending.read_register(sp_name), pending.read_register(pc_name)
        if (int(sp), int(pc)) != self.at:
            return None
        word = gdb.lookup_type("unsigned long")
        # Deeper than the green thread's own, or gdb would take its stack for a corrupt one.
        made = pending.create_unwind_info(FrameId(gdb.Value(self.sp - 16).cast(word), pc))
        made.add_saved_register(sp_name, gdb.Value(self.sp + size).cast(word))
        for name, offset in registers.items():
            made.add_saved_register(name, read_word(self.sp + offset))
        return made


def saved_registers(architecture):
    if architecture not in SAVED:
        raise gdb.GdbError(f"gosched: the saved registers of {architecture} are not known")
    return SAVED[architecture]


def read_word(address):
    pointer = gdb.lookup_type("unsigned long").pointer()
    return gdb.Value(address).cast(pointer).dereference()


PARKED = Parked()
register_unwinder(None, PARKED, replace=True)


class InGreenThread:
    """With it, the selected frame is the innermost of a green thread.  `hidden` is how many frames
    of the thread that lends its name come before it."""

    def __init__(self, g):
        self.g = g

    def __enter__(self):
        self.thread = gdb.selected_thread()
        if self.thread is None:
            raise gdb.GdbError("gosched: there is no process and no core file to look at")
        try:
            self.frame = gdb.selected_frame()
        except gdb.error:
            self.frame = None
        self.hidden = 0
        m = on_thread(self.g)
        if m is not None:
            found = threads().get(int(m["tid"]))
            if found is None:
                raise gdb.GdbError(f"gosched: gdb does not know thread {int(m['tid'])}")
            found.switch()
            gdb.newest_frame().select()
            return self
        sp = int(self.g["sp"])
        if not sp:
            raise gdb.GdbError(f"gosched: green thread {int(self.g['goid'])} has not run yet")
        PARKED.arm(sp)
        frame = gdb.newest_frame()
        self.hidden = 1
        while frame is not None and frame.type() == gdb.INLINE_FRAME:
            frame = frame.older()
            self.hidden += 1
        frame = frame.older() if frame is not None else None
        if frame is None:
            PARKED.disarm()
            raise gdb.GdbError("gosched: gdb did not take the green thread's registers")
        frame.select()
        return self

    def __exit__(self, *exception):
        if self.hidden:
            PARKED.disarm()
        self.thread.switch()
        if self.frame is not None and self.frame.is_valid():
            self.frame.select()


def without_first(listing, hidden):
    """A backtrace without its first frames, the others counted from 0."""
    kept = []
    for line in listing.splitlines():
        found = re.match(r"#(\d+)( *)(.*)", line)
        if found and int(found.group(1)) >= hidden:
            kept.append(f"#{int(found.group(1)) - hidden:<3}{found.group(3)}")
        elif kept:
            kept.append(line)
    return "\n".join(kept) + "\n"


def core_directory():
    symbol = gdb.lookup_global_symbol("gs_sched")
    return os.path.dirname(symbol.symtab.fullname()) + os.sep


def where(g, inside):
    """The innermost function of a green thread that is not the scheduler's own."""
    try:
        with InGreenThread(g):
            frame = gdb.selected_frame()
            while frame is not None:
                table = frame.find_sal().symtab
                if frame.name() and not (table and table.fullname().startswith(inside)):
                    if not table:  # a library without debugging information
                        return f"in {frame.name()}"
                    line = frame.find_sal().line
                    return f"in {frame.name()} at {os.path.basename(table.filename)}:{line}"
                frame = frame.older()
    except (gdb.error, gdb.GdbError):
        return ""
    return ""


# ---- the commands ------------------------------------------------------------------------------


def describe(g, known):
    state = g_state(g)
    words = [name_in(G_STATES, state)]
    if state == G_WAITING:
        words.append(f"[{wait_reason(g)}]")
    if state == G_SYSCALL and g["site"]:
        words.append(f"in {call_name(g)}")
    m = on_thread(g)
    if m is not None:
        thread = known.get(int(m["tid"]))
        words.append(f"on M{int(m['id'])}" + (f" (thread {thread.num})" if thread else ""))
    elif g["lockedm"]:
        words.append(f"locked to M{int(g['lockedm'].dereference()['id'])}")
    domain = array_text(g["d"].dereference()["name"])
    if domain != "native":
        words.append(f"domain {domain}")
    if g["cancelled"]:
        words.append("cancelled")
    return " ".join(words)


class InfoGs(gdb.Command):
    """List gosched's green threads.
    Usage: info gs [STATE]
    STATE is one of runnable, running, syscall, waiting.  The mark * is at the selected thread's."""

    def __init__(self):
        super().__init__("info gs", gdb.COMMAND_STATUS)

    def complete(self, _text, _word):
        return list(G_STATES[1:5])

    def invoke(self, argument, from_tty):
        wanted = argument.strip()
        if wanted and wanted not in G_STATES[1:5]:
            raise gdb.GdbError(
                f"info gs: the state is '{wanted}'; {', '.join(G_STATES[1:5])} are accepted"
            )
        found = [g for g in live_gs() if not wanted or G_STATES[g_state(g)] == wanted]
        found.sort(key=lambda g: int(g["goid"]))
        known, inside, here = threads(), core_directory(), gdb.selected_thread()
        for g in found:
            m = on_thread(g)
            mark = "*" if m is not None and here and int(m["tid"]) == here.ptid[1] else " "
            name = array_text(g["name"])
            place = where(g, inside) if len(found) <= WHERE_MOST else ""
            title = f"G{int(g['goid'])}" + (f' "{name}"' if name else "")
            print(f"{mark} {title:<24} {describe(g, known)}" + (f"  {place}" if place else ""))
        if not found:
            print("No green threads" + (f" are {wanted}." if wanted else "."))
        elif len(found) > WHERE_MOST:
            print(f"{len(found)} green threads; where they are is shown for up to {WHERE_MOST}.")


class InfoMs(gdb.Command):
    """List the OS threads that gosched runs green threads on.
    Usage: info ms"""

    def __init__(self):
        super().__init__("info ms", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        known, here = threads(), gdb.selected_thread()
        for m in reversed(list(linked(sched()["allm"], "alllink"))):
            thread = known.get(int(m["tid"]))
            if thread is None:
                continue  # a struct that is kept for the next thread
            sc, p = int(m["sc"]), m_p(m)
            words = [MODES[sc & SC_MODE] + ("+fenced" if sc & SC_FENCED else "")]
            words.append(
                f"P{int(p['id'])} of {array_text(p['d'].dereference()['name'])}" if p else "no P"
            )
            if int(m["pw"]) & PW_LOCK:
                words.append("(locked)")
            if m["curg"]:
                g = m["curg"].dereference()
                words.append(f"G{int(g['goid'])}")
                if sc & SC_MODE == MODE_CALL:
                    words.append(f"in {call_name(g)}")
            if m["lockedg"]:
                words.append(f"only for G{int(m['lockedg'].dereference()['goid'])}")
            words.append(f"ncgo={int(m['ncgo'])} ncgocall={int(m['ncgocall'])}")
            words += [word for word in ("idle", "spinning") if m[word]]
            thread.switch()
            frame = gdb.newest_frame()
            words.append(f" at {frame.name() or hex(frame.pc())}")
            mark = "*" if here and thread.num == here.num else " "
            print(
                f"{mark} M{int(m['id']):<4} tid {int(m['tid']):<8} thread {thread.num:<4} "
                + " ".join(words)
            )
        if here:
            here.switch()


class InfoPs(gdb.Command):
    """List gosched's Ps: the rights to run green threads.
    Usage: info ps"""

    def __init__(self):
        super().__init__("info ps", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        for d in reversed(list(linked(sched()["domains"], "next"))):
            print(
                f"domain {array_text(d['name'])}: {int(d['nprocs'])} procs, "
                f"{int(d['npidle'])} idle, {int(d['nmspinning'])} spinning, "
                f"{int(d['runqsize'])} in the global queue"
            )
            for i in range(int(d["nallp"])):
                p = d["allp"][i].dereference()
                state = p_state(p)
                if state == P_DEAD:
                    continue
                holder = f"M{int(p['m'].dereference()['id'])}" if p["m"] else "no M"
                queued = (int(p["tail"]) - int(p["head"])) & 0xFFFFFFFF
                queued += 1 if p["runnext"] else 0
                print(
                    f"  P{int(p['id']):<3} {name_in(P_STATES, state):<8} {holder:<6} "
                    f"{queued} queued, schedtick {int(p['schedtick'])}, "
                    f"syscalltick {int(p['syscalltick'])}"
                )


class GsCommand(gdb.Command):
    """Run a command in the context of one of gosched's green threads.
    Usage: gs N [COMMAND]
    N is its number as 'info gs' shows it; COMMAND is bt if there is none.  With one that is not a
    backtrace, the selected frame is the green thread's innermost one."""

    def __init__(self):
        super().__init__("gs", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = argument.split(None, 1)
        if not words or not words[0].isdigit():
            raise gdb.GdbError("Usage: gs N [COMMAND]; 'info gs' shows the numbers")
        command = words[1] if len(words) > 1 else "bt"
        verb = command.split()[0]
        backtrace = verb in ("bt", "where") or (len(verb) >= 3 and "backtrace".startswith(verb))
        with InGreenThread(find_g(int(words[0]))) as context:
            if backtrace and context.hidden:
                # The frames that are not shown do not count.
                more = context.hidden
                command = re.sub(r"(?<=\s)\d+$", lambda n: str(int(n.group()) + more), command)
                print(without_first(gdb.execute(command, from_tty, True), more), end="")
            else:
                gdb.execute(command, from_tty)


InfoGs()
InfoMs()
InfoPs()
GsCommand()
