"""A module of cffi's API mode, compiled for the tests of gosched.wrap."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sysconfig
from pathlib import Path

import cffi

DECLARATIONS = """
typedef struct { int x, y; } point;
typedef struct { int a; ...; } part;      /* not wholly declared */
enum color { RED, GREEN = 7 };
#define LIMIT ...
static const long LONG_LIMIT;
extern int counter;
extern const char *const title;

int add(int a, int b);
unsigned char low(unsigned char c);
int64_t wide(int64_t n);
uint64_t uwide(uint64_t n);
short narrow(short n);
double half(double d);
float single(float f);
_Bool negate(_Bool b);
char upper(char c);
enum color next(enum color c);
point swap(point p);
part make_part(int a);
int part_a(part *p);
point *nobody(void);
size_t length(const char *text);
int sum(const int *numbers, size_t n);
int fill(void *to, int c, size_t n);
int fails(int e);
void nothing(void);
int apply(int (*fn)(int), int n);
int format(char *to, size_t n, const char *how, ...);
int nap(unsigned usec);
"""

SOURCE = """
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LIMIT 77
typedef struct { int x, y; } point;
typedef struct { double before; int a; double after; } part;
enum color { RED, GREEN = 7 };
static const long LONG_LIMIT = 1L << 40;
static int counter_of_this_module = 3;
#define counter counter_of_this_module
static const char *const title = "compiled";

static int add(int a, int b) { return (int)((unsigned)a + (unsigned)b); }
static unsigned char low(unsigned char c) { return c; }
static int64_t wide(int64_t n) { return n; }
static uint64_t uwide(uint64_t n) { return n; }
static short narrow(short n) { return n; }
static double half(double d) { return d / 2; }
static float single(float f) { return f; }
static _Bool negate(_Bool b) { return !b; }
static char upper(char c) { return (char)(c - 32); }
static enum color next(enum color c) { return c == RED ? GREEN : RED; }
static point swap(point p) { point q = {p.y, p.x}; return q; }
static part make_part(int a) { part p = {1, a, 2}; return p; }
static int part_a(part *p) { return p->a; }
static point *nobody(void) { return 0; }
static size_t length(const char *text) { return strlen(text); }
static int sum(const int *numbers, size_t n) {
  int s = 0;
  for (size_t i = 0; i < n; i++) s += numbers[i];
  return s;
}
static int fill(void *to, int c, size_t n) { memset(to, c, n); return 0; }
static int fails(int e) { errno = e; return -1; }
static void nothing(void) {}
static int apply(int (*fn)(int), int n) { return fn(n); }
static int format(char *to, size_t n, const char *how, ...) {
  va_list args;
  va_start(args, how);
  int length = vsnprintf(to, n, how, args);
  va_end(args);
  return length;
}
static int nap(unsigned usec) { return usleep(usec); }
"""


def compile_module(folder: Path, name: str):
    """Compiles and imports it; needs a C compiler, and no setuptools."""
    ffi = cffi.FFI()
    ffi.cdef(DECLARATIONS)
    ffi.set_source(name, SOURCE)
    source = folder / f"{name}.c"
    ffi.emit_c_code(str(source))
    return _import(folder, name, build(source, folder / f"{name}.so"))


def build(source: Path, out: Path) -> Path:
    command = [*shlex.split(os.environ.get("CC", "cc")), "-shared", "-fPIC", "-O1", "-w"]
    include = sysconfig.get_path("include")
    subprocess.run([*command, f"-I{include}", str(source), "-o", str(out)], check=True)
    return out


def python_module(folder: Path, name: str, declarations: str):
    """One of cffi's out-of-line ABI mode."""
    ffi = cffi.FFI()
    ffi.cdef(declarations)
    ffi.set_source(name, None)
    path = folder / f"{name}.py"
    ffi.emit_python_code(str(path))
    return _import(folder, name, path)


def _import(folder: Path, name: str, path: Path):
    import sys

    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
