/* embed_tcl.c: a C program that embeds Tcl, and uses gosched from both sides.
 *
 * C's green threads make numbers, in foreign calls that block.  A Tcl script takes them with green
 * threads of its own, through a C function that waits on a channel of the scheduler, and C calls
 * back into the script for each sum.  Meanwhile the script's timer ticks.
 *
 * The interpreter lives on the thread of main, which runs gs_run's main green thread:
 * GS_RUN_LOCK_MAIN keeps it there, as an interpreter cannot move.
 */
#include <gosched.h>
#include <stdio.h>
#include <tcl.h>
#include <unistd.h>

enum { WORKERS = 20, EACH = 5 };

static gs_chan *numbers;

int next_number(void);

/* For the script: the next number, or -1.  Waits. */
__attribute__((visibility("default"))) int next_number(void) {
  int n;
  return gs_chan_recv(numbers, &n, GS_FOREVER) == GS_OK ? n : -1;
}

static int compute(void *arg) {
  usleep(20000); /* blocks */
  return (int)(intptr_t)arg;
}

static void worker(void *arg) {
  for (int i = 0; i < EACH; i++) {
    int n;
    if (gs_cgocall(compute, arg, &n) != GS_OK || gs_chan_send(numbers, &n, GS_FOREVER) != GS_OK)
      return;
  }
}

static const char script[] =
    "package require gosched\n"
    "gosched::cdef {int next_number(void);}\n"
    "set app [gosched::load {}]\n"
    "set ticks 0\n"
    "proc tick {} {incr ::ticks; after 5 tick}\n"
    "tick\n"
    "proc taker {ch n} {\n"
    "    for {set i 0} {$i < $n} {incr i} {$ch send [${::app}::next_number]}\n"
    "}\n"
    "set ch [gosched::chan new 10]\n"
    "for {set i 0} {$i < 10} {incr i} {gosched::go taker $ch 10}\n"
    "set sum 0\n"
    "for {set i 0} {$i < 100} {incr i} {incr sum [$ch recv]}\n"
    "puts \"100 numbers, their sum is $sum, the timer ticked: [expr {$ticks > 1}]\"\n";

static int run(void *arg) {
  (void)arg;
  int failed = gs_chan_new(sizeof(int), 0, &numbers) != GS_OK;
  Tcl_Interp *interp = Tcl_CreateInterp();
  for (intptr_t i = 1; i <= WORKERS && !failed; i++) failed = gs_go(worker, (void *)i) != GS_OK;
  if (!failed) failed = Tcl_Init(interp) != TCL_OK || Tcl_Eval(interp, script) != TCL_OK;
  if (failed) fprintf(stderr, "%s\n", Tcl_GetStringResult(interp));
  Tcl_DeleteInterp(interp);
  gs_chan_close(numbers);
  return failed;
}

int main(int argc, char **argv) {
  gs_config cfg = GS_CONFIG_DEFAULT;
  int failed = 0;
  (void)argc;
  Tcl_FindExecutable(argv[0]);
  cfg.flags = GS_RUN_LOCK_MAIN;
  int error = gs_run(&cfg, run, NULL, &failed);
  if (error) fprintf(stderr, "%s\n", gs_strerror(error));
  Tcl_Finalize();
  return error || failed;
}
