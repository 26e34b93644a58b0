"""What the plugin gosched-guest-python.so does in Python: run(source, name, args, place).

The source is a module __main__ inside gosched.run; its result is the value of its last statement,
if that is an expression.  Returns how it ended, as the arguments of the gs_guest_ functions:
("returned", text or None), ("failed", text, traceback), ("exited", status), ("cancelled",).
"""

import ast
import atexit
import builtins
import contextlib
import linecache
import sys
import threading
import traceback
import types


def find_gosched(place):
    """The package that belongs to the plugin, wherever other ones are; later imports do not see
    its directory before others."""
    if not place:
        return __import__("gosched")
    sys.path.insert(0, place)
    try:
        return __import__("gosched")
    finally:
        sys.path.remove(place)
        if place not in sys.path:
            sys.path.append(place)


def be_main_thread():
    """The thread of the first guest was Python's main one; it has ended, and this one is now."""
    main = threading.main_thread()
    with threading._active_limbo_lock:
        threading._active.pop(main.ident, None)
        main._set_ident()
        threading._active[main.ident] = main


def prepare(source, name, args):
    module = types.ModuleType("__main__")
    module.__builtins__ = builtins
    sys.modules["__main__"] = module
    sys.argv = [name, *args]
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    return vars(module)


def execute(source, name, names):
    tree = ast.parse(source, name)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        exec(compile(tree, name, "exec"), names)
        return None
    tree.body.pop()
    exec(compile(tree, name, "exec"), names)
    return eval(compile(ast.Expression(last.value), name, "eval"), names)


def told(error, name):
    """The error and its traceback, from the source on."""
    tb = error.__traceback__
    while tb and tb.tb_frame.f_code.co_filename != name:
        tb = tb.tb_next
    text = "".join(traceback.format_exception_only(type(error), error)).strip()
    return text, "".join(traceback.format_exception(type(error), error, tb))


def exited(error):
    if error.code is None or isinstance(error.code, int):
        return "exited", error.code or 0
    print(error.code, file=sys.stderr)
    return "exited", 1


def clean_up():
    """What the end of a program does."""
    for thread in threading.enumerate():
        if not thread.daemon and thread not in (
            threading.main_thread(),
            threading.current_thread(),
        ):
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def offer(gosched, value):
    """What cannot be carried to the host as a value is its text."""
    with contextlib.suppress(TypeError, OverflowError):
        gosched._gosched._guest_returns(value)


def run(source, name, args, place):
    try:
        gosched = find_gosched(place)
    except BaseException as error:
        return ("failed", *told(error, None))
    be_main_thread()
    names = prepare(source, name, args)
    try:
        value = gosched.run(execute, source, name, names)
        how = "returned", None if value is None else str(value)
        offer(gosched, value)
    except SystemExit as error:
        how = exited(error)
    except gosched.Cancelled:
        how = ("cancelled",)
    except BaseException as error:
        how = ("failed", *told(error, name))
    try:
        clean_up()
    except BaseException as error:
        if how[0] == "returned":
            how = ("failed", *told(error, name))
    return how
