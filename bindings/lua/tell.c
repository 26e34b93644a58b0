/* tell.c: what this VM's green threads do, told to a dump that somebody else asks for: C, another
 * language, SIGQUIT, the monitor (core/tell.c).
 *
 * Asked on sysmon's thread, it starts a green thread of the VM's domain, which has the turn when it
 * runs: then nobody else runs Lua in this VM, the lists and stacks stay as they are, and one that
 * computes has been made to give up the turn as for any other green thread that waits (turn.c), so
 * its stack is there, too.  It has no word in the scheduler (gs_gdata), never enters the turn and
 * never leaves it before it is through, so turn.c sees nobody in Lua and lets it alone.
 *
 * The VM may be looked at while its gosched.run is under way: outside of one it runs on its own
 * thread without a turn.  `shown` is written with the turn, so it stays as it is while this green
 * thread looks; sysmon reads it as a hint.  A run that ends before this one runs leaves it behind,
 * and it finds nobody to tell of.
 */
#include "green.h"

static void told(void *ud, const char *text, size_t n) { gs_tell_end(ud, text, n); }

static void tell(void *arg) {
  turn *t = arg;
  if (!gs_tell_begin(t->teller)) return;
  vm *v = atomic_load(&t->shown);
  if (v)
    gsl_report_to(v, told, t->teller);
  else
    gs_tell_end(t->teller, "", 0);
}

static int ask(void *ud) {
  turn *t = ud;
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  if (!atomic_load(&t->shown)) return -1;
  opts.name = "(tells a dump)";
  opts.domain = t->domain;
  opts.flags = GS_GO_SYSTEM;
  return gs_go_opts(&opts, tell, t, NULL);
}

void gsl_tell_new(turn *t) { gs_teller_new("lua", ask, t, &t->teller); }
