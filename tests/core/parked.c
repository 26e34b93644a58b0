/* parked.c: many green threads that wait, and what they cost.
 *
 *     core_parked [N]        N of them: 20,000 by default, a million under the label slow
 *
 * A million stacks with a guard page each fit into one process without tuning where the kernel has
 * guards that do not split a mapping (Linux 6.13); where it has not, vm.max_map_count ends it, and
 * those beyond wait for a stack.  A green thread that parks soon has touched one page of its stack.
 */
#include "support.h"

#include <sys/utsname.h>

enum { PROCS = 2 };

static long count = SCALE(20000);

static double resident(void) {
  FILE *f = fopen("/proc/self/status", "r");
  char line[256];
  long kib, sum = 0;
  if (!f) return 0;
  while (fgets(line, sizeof line, f))
    if (sscanf(line, "VmRSS: %ld", &kib) == 1 || sscanf(line, "VmPTE: %ld", &kib) == 1) sum += kib;
  fclose(f);
  return (double)sum * 1024;
}

typedef struct gate {
  gs_chan *chan;
  atomic_long there, back;
} gate;

static void waiter(void *arg) {
  gate *g = arg;
  atomic_fetch_add(&g->there, 1);
  CHECK_CODE(gs_chan_recv(g->chan, NULL, GS_FOREVER), GS_ECLOSED);
  atomic_fetch_add(&g->back, 1);
}

static void all_of(atomic_long *number) {
  for (int64_t end = in_ms(300000); atomic_load(number) < count && gs_now() < end;) gs_sleep(MS(2));
  CHECK_INT(atomic_load(number), count);
}

static void park(void *arg) {
  (void)arg;
  gate g = {.chan = chan_new(0, 0)};
  double before = resident();
  for (long i = 0; i < count; i++) go(waiter, &g);
  all_of(&g.there);
  gs_sleep(MS(20));
  double each = (resident() - before) / (double)count;
  print_message("%ld parked, %.0f bytes each\n", count, each);
#if !SLOW_BUILD
  CHECK(each < 2 * 4096); /* struct, page tables, and one page of stack */
#endif
  CHECK((long)metrics().gs_live > count);
  CHECK_CODE(gs_chan_close(g.chan), GS_OK);
  all_of(&g.back);
  while (metrics().gs_live > 1) gs_sleep(MS(1));
  CHECK_CODE(gs_chan_free(g.chan), GS_OK);
}

static void test_parked(void **state) {
  (void)state;
  struct utsname system;
  int major = 0, minor = 0;
  long mappings = 65530;
  FILE *f = fopen("/proc/sys/vm/max_map_count", "r");
  if (f) {
    if (fscanf(f, "%ld", &mappings) != 1) mappings = 65530;
    fclose(f);
  }
  if (uname(&system) == 0) sscanf(system.release, "%d.%d", &major, &minor);
  if ((major < 6 || (major == 6 && minor < 13)) && 2 * count + 1000 > mappings) {
    print_message(
        "skipped: Linux %s splits a mapping at every guard page, and vm.max_map_count is "
        "%ld\n",
        system.release, mappings);
    skip();
  }
  run_procs(PROCS, park, NULL);
}

int main(int argc, char **argv) {
  if (argc > 1) count = atol(argv[1]);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_parked)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
