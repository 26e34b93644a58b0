/* sources.h: what hosts.c has its guests do, in each language. */
#ifndef TESTS_POLYGLOT_SOURCES_H
#define TESTS_POLYGLOT_SOURCES_H

/* Green threads of its own, one of which meets those of the others in C. */
#define LUA_MEETS                                               \
  "local gosched = require 'gosched'\n"                         \
  "local path, n = ...\n"                                       \
  "gosched.ffi.cdef 'int meet(int n);'\n"                       \
  "local lib = gosched.ffi.load(path)\n"                        \
  "local ch = gosched.chan()\n"                                 \
  "gosched.go(function() ch:send(lib.meet(tonumber(n))) end)\n" \
  "local ticks = gosched.go(function()\n"                       \
  "  for _ = 1, 100 do gosched.yield() end\n"                   \
  "end)\n"                                                      \
  "local met = ch:recv()\n"                                     \
  "ticks:join()\n"                                              \
  "return met\n"

#define PYTHON_MEETS                                              \
  "import gosched, sys\n"                                         \
  "lib = gosched.dlopen(sys.argv[1], 'int meet(int);')\n"         \
  "ch = gosched.Chan()\n"                                         \
  "g = gosched.go(lambda: ch.send(lib.meet(int(sys.argv[2]))))\n" \
  "for _ in range(100):\n"                                        \
  "    gosched.yield_now()\n"                                     \
  "met = ch.recv()\n"                                             \
  "g.join()\n"                                                    \
  "met\n"

#define TCL_MEETS                                                             \
  "lassign $argv path n\n"                                                    \
  "gosched::cdef {int meet(int n);}\n"                                        \
  "set lib [gosched::load $path]\n"                                           \
  "set ch [gosched::chan new]\n"                                              \
  "gosched::go apply {{lib ch n} {$ch send [${lib}::meet $n]}} $lib $ch $n\n" \
  "set ticks 0\n"                                                             \
  "proc tick {} {incr ::ticks; after 1 tick}\n"                               \
  "tick\n"                                                                    \
  "$ch recv\n"

#endif
