/* shared.c: messages over a shared channel, for each ordered pair of C, Python, Lua and Tcl.
 *
 * The host is C.  A side is a guest of gs_embed on a thread of its own, or for C a green thread.
 * Two sides of Lua, or of Tcl, are two interpreters; Python has one in a process, so its two sides
 * are two green threads of that.  A side says on `ready` that it is there; then each number that it
 * gets on its own channel is a round of so many messages, integers through a channel with room for
 * 1,024, after which it says so again.  Closing that channel ends it.
 */
#include <stdio.h>
#include <string.h>

#include "gosched.h"
#include "harness.h"

/* One operation is so many messages: that both sides begin and end is not what is measured. */
enum { ROOM = 1024, BLOCK = 4096 };

static const char lua[] =
    "local gosched, role = require 'gosched', ...\n"
    "local ch, rounds = gosched.shared('messages', 1024), gosched.shared(role, 1)\n"
    "local ready = gosched.shared('ready', 2)\n"
    "ready:send(true)\n"
    "for n in rounds:iter() do\n"
    "  if role == 'send' then for i = 1, n do ch:send(i) end\n"
    "  else for _ = 1, n do ch:recv() end end\n"
    "  ready:send(true)\n"
    "end\n";

static const char tcl[] =
    "proc side role {\n"
    "  set ch [gosched::shared messages 1024]\n"
    "  set rounds [gosched::shared $role 1]\n"
    "  set ready [gosched::shared ready 2]\n"
    "  $ready send 1 -as bool\n"
    "  while {[$rounds recv n]} {\n"
    "    if {$role eq {send}} {for {set i 0} {$i < $n} {incr i} {$ch send $i -as int}} else {\n"
    "      for {set i 0} {$i < $n} {incr i} {$ch recv}}\n"
    "    $ready send 1 -as bool\n"
    "  }\n"
    "}\n"
    "side {*}$argv\n";

static const char python[] =
    "import gosched, sys\n"
    "def side(role):\n"
    "    ch, rounds = gosched.shared('messages', 1024), gosched.shared(role, 1)\n"
    "    ready = gosched.shared('ready', 2)\n"
    "    send, recv = ch.send, ch.recv\n"
    "    ready.send(True)\n"
    "    for n in rounds:\n"
    "        if role == 'send':\n"
    "            for i in range(n): send(i)\n"
    "        else:\n"
    "            for i in range(n): recv()\n"
    "        ready.send(True)\n"
    "for g in [gosched.go(side, role) for role in sys.argv[1:]]: g.join()\n";

static gs_chan *ready, *rounds[2];
static const char *const roles[] = {"send", "recv"};

static void side(gs_chan *mine, int sends) {
  gs_chan *ch;
  gs_value n, v;
  bench_check("gs_shared_chan", gs_shared_chan("messages", ROOM, &ch));
  gs_value_bool(1, &v);
  bench_check("gs_chan_send", gs_chan_send(ready, &v, GS_FOREVER));
  while (gs_chan_recv(mine, &n, GS_FOREVER) == GS_OK) {
    gs_value_reader r;
    gs_value_item it;
    gs_value_read(&n, &r);
    bench_check("gs_value_next", gs_value_next(&r, &it));
    for (int64_t i = 0; i < it.i; i++) {
      if (sends) {
        gs_value_int(i, &v);
        bench_check("gs_chan_send", gs_chan_send(ch, &v, GS_FOREVER));
      } else {
        bench_check("gs_chan_recv", gs_chan_recv(ch, &v, GS_FOREVER));
      }
    }
    gs_value_bool(1, &v);
    bench_check("gs_chan_send", gs_chan_send(ready, &v, GS_FOREVER));
  }
  bench_check("gs_shared_release", gs_shared_release(ch));
}

static void c_sends(void *arg) {
  (void)arg;
  side(rounds[0], 1);
}

static void c_receives(void *arg) {
  (void)arg;
  side(rounds[1], 0);
}

/* What has been started: a guest, or a green thread. */
typedef struct {
  gs_guest *guest;
  gs_handle *handle;
} started;

static void embed(const char *language, const char *source, const char *const *args, started *out) {
  gs_embed_options opts = GS_EMBED_OPTIONS_DEFAULT;
  opts.args = args;
  if (gs_embed(language, source, &opts, &out->guest) != GS_OK) bench_die("%s", gs_error_detail());
}

static void start(const char *language, int receives, started *out) {
  const char *args[] = {roles[receives], NULL};
  *out = (started){NULL, NULL};
  if (strcmp(language, "c") == 0) {
    gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
    bench_check("gs_go_opts",
                gs_go_opts(&opts, receives ? c_receives : c_sends, NULL, &out->handle));
  } else if (strcmp(language, "lua") == 0) {
    embed(language, lua, args, out);
  } else if (strcmp(language, "tcl") == 0) {
    embed(language, tcl, args, out);
  } else {
    embed(language, python, args, out);
  }
}

static void finish(started *s) {
  gs_guest_end end = {.size = sizeof end};
  if (s->handle) {
    gs_join(s->handle, GS_FOREVER);
    gs_handle_release(s->handle);
  }
  if (!s->guest) return;
  gs_guest_join(s->guest, GS_FOREVER);
  gs_guest_result(s->guest, &end);
  if (end.how != GS_GUEST_RETURNED) bench_die("%s\n%s", end.text, end.trace);
  gs_guest_release(s->guest);
}

/* Both sides have said that they are there, or through. */
static void both(const started *s) {
  gs_value v;
  for (int i = 0; i < 2; i++) {
    while (gs_chan_recv(ready, &v, gs_now() + 1000000000) == GS_ETIMEOUT) {
      for (int k = 0; k < 2; k++) {
        gs_guest_end end = {.size = sizeof end};
        if (s[k].guest && gs_guest_result(s[k].guest, &end) == GS_OK)
          bench_die("%s\n%s", end.text, end.trace);
      }
    }
  }
}

static double messages(void *arg, uint64_t n) {
  int64_t began = bench_now();
  for (int i = 0; i < 2; i++) {
    gs_value v;
    gs_value_int((int64_t)n * BLOCK, &v);
    bench_check("gs_chan_send", gs_chan_send(rounds[i], &v, GS_FOREVER));
  }
  both(arg);
  return (double)(bench_now() - began);
}

typedef struct {
  const char *from, *to;
} ends;

static void body(bench_green *g) {
  const ends *e = g->arg;
  started s[2];
  for (int i = 0; i < 2; i++)
    bench_check("gs_shared_chan", gs_shared_chan(roles[i], 1, &rounds[i]));
  bench_check("gs_shared_chan", gs_shared_chan("ready", 2, &ready));
  if (strcmp(e->from, "python") == 0 && strcmp(e->to, "python") == 0) {
    const char *args[] = {roles[0], roles[1], NULL};
    embed("python", python, args, &s[0]);
    s[0].handle = NULL;
    s[1] = (started){NULL, NULL};
  } else {
    start(e->from, 0, &s[0]);
    start(e->to, 1, &s[1]);
  }
  both(s);
  bench_loop_row(g->options, g->out, messages, s);
  for (size_t i = 0; i < g->out->n; i++) g->out->samples[i] /= BLOCK;
  for (int i = 0; i < 2; i++) gs_chan_close(rounds[i]);
  for (int i = 0; i < 2; i++) finish(&s[i]);
  for (int i = 0; i < 2; i++) bench_check("gs_shared_release", gs_shared_release(rounds[i]));
  bench_check("gs_shared_release", gs_shared_release(ready));
}

#define PAIR(from, to)                                                             \
  static void run_##from##_##to(const bench_options *options, bench_result *out) { \
    bench_run_green(2, body, &(bench_green){options, out, &(ends){#from, #to}});   \
  }

PAIR(c, c)
PAIR(c, python)
PAIR(c, lua)
PAIR(c, tcl)
PAIR(python, c)
PAIR(python, python)
PAIR(python, lua)
PAIR(python, tcl)
PAIR(lua, c)
PAIR(lua, python)
PAIR(lua, lua)
PAIR(lua, tcl)
PAIR(tcl, c)
PAIR(tcl, python)
PAIR(tcl, lua)
PAIR(tcl, tcl)

#define ROW(from, to) \
  { "shared." #from "." #to, "ns", run_##from##_##to }

const bench_row bench_rows_shared[] = {
    ROW(c, c),           ROW(c, python),     ROW(c, lua),      ROW(c, tcl),      ROW(python, c),
    ROW(python, python), ROW(python, lua),   ROW(python, tcl), ROW(lua, c),      ROW(lua, python),
    ROW(lua, lua),       ROW(lua, tcl),      ROW(tcl, c),      ROW(tcl, python), ROW(tcl, lua),
    ROW(tcl, tcl),       {NULL, NULL, NULL},
};
