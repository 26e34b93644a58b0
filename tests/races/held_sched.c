/* held_sched.c: the races of the scheduler, each with the outcome that its guard is for: Ps that go
 * idle, Ms that come to rest, a stopped world, the poller's seat, sysmon's deep sleep, the end.
 *
 * Whoever waits here computes, as far as the scheduler knows, and keeps its P.  Where sysmon would
 * mend what goes wrong it is kept from looking.
 */
#include "hold.h"

#include <pthread.h>
#include <unistd.h>

#define SOON (PATIENCE / 3)

static Domain *const d = &gs_native;

/* ---- those who take part ---- */

static atomic_int stop, ran, phase;

static void set_ran(void *arg) {
  (void)arg;
  atomic_fetch_add(&ran, 1);
}

static void compute(void *arg) {
  (void)arg;
  atomic_fetch_add(&ran, 1);
  while (!atomic_load(&stop)) os_sleep_ns(20000);
}

static int until_ran(void *arg) {
  (void)arg;
  while (!atomic_load(&ran)) os_sleep_ns(20000);
  return 0;
}

static gs_chan *home; /* the main G waits here */

static void tell_main(void *arg) {
  (void)arg;
  int x = 1;
  CHECK_CODE(gs_chan_send(home, &x, GS_FOREVER), GS_OK);
}

static void main_waits(void) {
  int x;
  CHECK_CODE(gs_chan_recv(home, &x, gs_now() + SOON), GS_OK);
}

static bool a_p_is_idle(void) { return load_sc(&d->npidle) != 0; }
static bool no_p_is_idle(void) { return load_sc(&d->npidle) == 0; }
static bool all_ps_are_idle(void) { return load_sc(&d->npidle) == d->nprocs; }
static bool quiet(void) { return all_ps_are_idle() && load_sc(&d->nmspinning) == 0; }
static bool foreign(void) { return gs_getm() == NULL; }

/* By a thread of its own, which ends when it has done this. */
static pthread_t elsewhere(void *(*fn)(void *), void *arg) {
  pthread_t t;
  CHECK_INT(pthread_create(&t, NULL, fn, arg), 0);
  return t;
}

/* sysmon waits for this lock before it looks at anything. */
static void *keep_sysmon(void *arg) {
  lock(&gs_sched.retake_mu);
  atomic_store((atomic_int *)arg, 1);
  while (!atomic_load(&stop)) os_sleep_ns(100000);
  unlock(&gs_sched.retake_mu);
  return NULL;
}

static pthread_t keeper;

static void without_sysmon(void) {
  static atomic_int kept;
  keeper = elsewhere(keep_sysmon, &kept);
  await(atomic_load(&kept));
}

static void with_sysmon(void) {
  atomic_store(&stop, 1);
  pthread_join(keeper, NULL);
}

/* ---- a G is queued while a P goes idle ---- */

static void *go_from_outside(void *arg) {
  CHECK_CODE(gs_go((body_fn)(uintptr_t)arg, NULL), GS_OK);
  return NULL;
}

/* The look for an idle P and the queueing are one step. */
static void queued_from_outside(void *arg) {
  (void)arg;
  home = chan_new(sizeof(int), 0);
  Hold put = {.where = "ready", .mine = foreign, .until = a_p_is_idle, .most = SOON};
  without_sysmon();
  hold(&put);
  pthread_t t = elsewhere(go_from_outside, (void *)(uintptr_t)tell_main);
  await(reached(&put));
  main_waits();
  pthread_join(t, NULL);
  with_sysmon();
  CHECK_CODE(gs_chan_free(home), GS_OK);
}

static void come_back(void *arg) {
  gs_entersyscallblock();
  while (!atomic_load(&phase)) os_sleep_ns(20000);
  gs_exitsyscall();
  tell_main(arg);
}

static void queued_without_a_p(void *arg) {
  (void)arg;
  home = chan_new(sizeof(int), 0);
  Hold put = {.where = "queue_pless", .until = a_p_is_idle, .most = SOON};
  go(come_back, NULL);
  gs_yield(); /* it is in its call now, and the main G has the only P */
  without_sysmon();
  hold(&put);
  atomic_store(&phase, 1);
  await(reached(&put));
  main_waits();
  with_sysmon();
  CHECK_CODE(gs_chan_free(home), GS_OK);
}

static int fds[2];

static void read_and_tell(void *arg) {
  CHECK_CODE(gs_poll_wait(fds[0], GS_READ, GS_FOREVER), GS_OK);
  tell_main(arg);
}

static void queued_by_the_poller(void *arg) {
  (void)arg;
  home = chan_new(sizeof(int), 0);
  Hold put = {.where = "inject_there", .until = a_p_is_idle, .most = SOON};
  CHECK(pipe(fds) == 0);
  CHECK_CODE(gs_poll_open(fds[0]), GS_OK);
  go(read_and_tell, NULL);
  gs_yield();
  await(load_sc(&gs_sched.poller));
  without_sysmon();
  hold(&put);
  CHECK(write(fds[1], "x", 1) == 1);
  await(reached(&put));
  main_waits();
  with_sysmon();
  CHECK_CODE(gs_close(fds[0]), GS_OK);
  close(fds[1]);
  CHECK_CODE(gs_chan_free(home), GS_OK);
}

/* ---- a P is handed on ---- */

static bool work_is_queued(void) { return load_sc(&d->runqsize) != 0; }

static Hold handing;

static void *go_while_it_is_handed_on(void *arg) {
  await(reached(&handing));
  return go_from_outside(arg);
}

/* What was queued after the first look at the queue found no idle P. */
static void queued_while_handed_on(void *arg) {
  (void)arg;
  handing = (Hold){.where = "handoffp", .until = work_is_queued, .most = SOON};
  pthread_t t = elsewhere(go_while_it_is_handed_on, (void *)(uintptr_t)set_ran);
  without_sysmon();
  hold(&handing);
  gs_entersyscallblock();
  await(atomic_load(&ran));
  gs_exitsyscall();
  pthread_join(t, NULL);
  with_sysmon();
}

static void hand_on(void *arg) {
  (void)arg;
  atomic_store(&phase, 1);
  while (atomic_load(&phase) < 2) os_sleep_ns(20000);
  gs_entersyscallblock();
  while (!atomic_load(&stop)) os_sleep_ns(20000);
  gs_exitsyscall();
}

/* All others are busy and nobody looks for work: whoever gets the P has to. */
static void busy_while_handed_on(void *arg) {
  (void)arg;
  gs_handle *b = go_named("hands on", hand_on, NULL);
  await(atomic_load(&phase) == 1 && no_p_is_idle() && load_sc(&d->nmspinning) == 0);
  without_sysmon();
  go(set_ran, NULL);
  atomic_store(&phase, 2);
  await(atomic_load(&ran));
  with_sysmon();
  join(b);
}

/* ---- work is found, and no idle P (needspinning) ---- */

static Hold waking, telling, counting;

static bool in_main(void) {
  M *m = gs_getm();
  return m && m->curg && m->curg->main;
}
static bool was_told(void) { return load_sc(&d->needspinning) || reached(&telling); }

/* Takes the idle P, and gives it up when the other side has found none. */
static void take_it_for_a_while(void *arg) {
  (void)arg;
  gs_entersyscallblock();
  atomic_store(&phase, 1);
  while (!reached(&waking)) os_sleep_ns(20000);
  gs_exitsyscall();
  await(was_told());
}

static void no_p_for_a_moment(void *arg) {
  (void)arg;
  gs_handle *b = go_named("takes it", take_it_for_a_while, NULL);
  await(atomic_load(&phase) && a_p_is_idle() && load_sc(&d->nmspinning) == 0);
  without_sysmon();
  waking = (Hold){.where = "wakep", .mine = in_main, .until = no_p_is_idle, .most = SOON};
  telling = (Hold){.where = "pidleget_spinning", .mine = in_main, .until = a_p_is_idle};
  telling.most = SOON;
  counting = (Hold){.where = "wakep", .mine = in_main, .until = a_p_is_idle};
  hold(&waking);
  hold(&telling);
  hold(&counting); /* the next window there: nobody has found a P, and it still counts */
  go(set_ran, NULL);
  await(atomic_load(&ran));
  with_sysmon();
  join(b);
}

/* ---- the last that spins finds work, and sees no idle P yet (retire) ---- */

static void until_phase(void *arg) {
  int n = (int)(intptr_t)arg;
  atomic_fetch_add(&ran, 1);
  while (atomic_load(&phase) < n) os_sleep_ns(20000);
}

static bool spins(void) { return gs_getm()->spinning != 0; }
static bool spins_not(void) { return !spins(); }

static void last_that_spins(void *arg) {
  (void)arg;
  Hold spinning = {.where = "find_runnable", .mine = spins, .most = 2 * SOON};
  Hold retiring = {.where = "retire", .mine = spins_not, .most = 2 * SOON};
  gs_entersyscallblock(); /* two Ps for the others */
  without_sysmon();
  CHECK_CODE(gs_go(until_phase, (void *)1), GS_OK);
  CHECK_CODE(gs_go(until_phase, (void *)2), GS_OK);
  await(atomic_load(&ran) == 2 && load_sc(&d->nmspinning) == 0);
  hold(&spinning);
  atomic_store(&phase, 1);
  await(reached(&spinning));
  hold(&retiring);
  atomic_store(&phase, 2);
  await(reached(&retiring));
  /* Both for the one that spins: it runs the first, and has the second in its ring. */
  CHECK_CODE(gs_go(until_phase, (void *)3), GS_OK);
  CHECK_CODE(gs_go(until_phase, (void *)3), GS_OK);
  hold_end(&spinning);
  await(atomic_load(&ran) == 3 && load_sc(&d->nmspinning) == 0);
  CHECK_INT(d->npidle, 0);
  hold_end(&retiring);
  await(atomic_load(&ran) == 4);
  atomic_store(&phase, 3);
  with_sysmon();
  gs_exitsyscall();
}

/* ---- user Gs are enabled while one is set aside ---- */

static Hold enabling;

static void *go_before_it_is_enabled(void *arg) {
  await(reached(&enabling));
  return go_from_outside(arg);
}

static Hold aside;

static void *end_enabling(void *arg) {
  (void)arg;
  await(reached(&aside));
  hold_end(&enabling);
  return NULL;
}

static void enabled_while_set_aside(void *arg) {
  (void)arg;
  CHECK_CODE(gs_sched_enable_user(0), GS_OK);
  enabling = (Hold){.where = "user_on", .mine = in_main, .most = SOON};
  aside = (Hold){.where = "set_aside", .most = SOON};
  hold(&enabling);
  hold(&aside);
  pthread_t a = elsewhere(go_before_it_is_enabled, (void *)(uintptr_t)set_ran);
  pthread_t b = elsewhere(end_enabling, NULL);
  CHECK_CODE(gs_sched_enable_user(1), GS_OK);
  hold_end(&aside);
  await(atomic_load(&ran));
  pthread_join(a, NULL);
  pthread_join(b, NULL);
}

/* ---- idle Ms ---- */

static Hold ordering;

static M *first_idle(void) {
  lock(&gs_sched.lock);
  M *m = gs_sched.midle;
  unlock(&gs_sched.lock);
  return m;
}
static bool runner_is_first(void) { return first_idle() == load_acq(&gs_sched.main_m); }

static void wait_for_the_first(void *arg) {
  (void)arg;
  atomic_fetch_add(&phase, 1);
  while (!atomic_load(&ran)) os_sleep_ns(20000);
}

static void *order_it_twice(void *arg) {
  await(quiet() && runner_is_first());
  hold(&ordering);
  pthread_t t = elsewhere(go_from_outside, (void *)(uintptr_t)set_ran);
  await(reached(&ordering));
  gs_notify(); /* sets the note of the M that is to get the P */
  await_or_not(runner_is_first(), MS(50));
  CHECK_CODE(gs_go(wait_for_the_first, NULL), GS_OK);
  await(atomic_load(&phase) == 1);
  hold_end(&ordering);
  await(atomic_load(&ran));
  CHECK_CODE(gs_go(tell_main, NULL), GS_OK);
  pthread_join(t, NULL);
  return arg;
}

/* An M that was taken off the list waits for what it was taken for. */
static void woken_for_another_reason(void *arg) {
  int x;
  home = chan_new(sizeof(int), 0);
  ordering = (Hold){.where = "startm", .mine = foreign, .most = 2 * SOON};
  await(load_sc(&d->nmspinning) == 0);
  pthread_t t = elsewhere(order_it_twice, arg);
  CHECK_CODE(gs_chan_recv(home, &x, GS_FOREVER), GS_OK);
  pthread_join(t, NULL);
  CHECK_CODE(gs_chan_free(home), GS_OK);
}

static void take_a_thread(void *arg) {
  (void)arg;
  atomic_fetch_add(&ran, 1);
  gs_entersyscallblock();
  while (!atomic_load(&phase)) os_sleep_ns(20000);
  gs_exitsyscall();
}

static M *late;
static bool is_first_idle(void) {
  M *m = gs_getm();
  return m && m->own && first_idle() == m && (late = m);
}
static bool late_is_wanted(void) { return load_acq(&late->idle) == 0; }

/* It has waited long enough when somebody takes it off the list. */
static void wanted_when_it_gives_up(void *arg) {
  (void)arg;
  enum { N = 12 };
  Hold up = {.where = "sleep_idle", .mine = is_first_idle, .until = late_is_wanted};
  gs_handle *h[N];
  up.most = SOON;
  for (int i = 0; i < N; i++) h[i] = go_named("thread", take_a_thread, NULL);
  await(atomic_load(&ran) == N);
  store_rlx(&gs_sched.idle_ns, MS(50));
  hold(&up);
  atomic_store(&phase, 1);
  for (int i = 0; i < N; i++) join(h[i]);
  atomic_store(&ran, 0);
  await(reached(&up));
  CHECK_CODE(gs_go(set_ran, NULL), GS_OK);
  await(atomic_load(&ran) == 1);
  hold_end(&up);
  uint32_t listed = 0;
  lock(&gs_sched.lock);
  for (M *m = gs_sched.midle; m; m = m->inext) listed++;
  CHECK_INT(listed, gs_sched.nmidle);
  unlock(&gs_sched.lock);
}

/* ---- the template thread ---- */

static bool one_was_made(void) { return !gs_getm() && load_rlx(&gs_sched.nmcreated) == 1; }

/* An order that comes after the look sets the note again. */
static void ordered_after_the_look(void *arg) {
  (void)arg;
  Hold look = {.where = "template_main", .mine = one_was_made, .most = SOON};
  CHECK_CODE(gs_boot(), GS_OK);
  M *a = m_alloc(), *b = m_alloc();
  hold(&look);
  m_order(a);
  await(reached(&look));
  m_order(b);
  hold_end(&look);
  await(load_rlx(&gs_sched.nmcreated) == 2);
}

/* ---- the world is stopped ---- */

static void *stop_it(void *arg) {
  (void)arg;
  CHECK_CODE(gs_stop_world("test"), GS_OK);
  atomic_fetch_add(&phase, 1);
  CHECK_CODE(gs_start_world(), GS_OK);
  atomic_fetch_add(&phase, 1);
  return NULL;
}

static P *stopping;
static bool is_locking(void) { return load_acq(&stopping->stop.how) == STW_LOCKING; }
static bool is_locked(void) { return load_acq(&stopping->stop.how) == STW_LOCKED; }

static bool comes_back(void) {
  M *m = gs_getm();
  if (!m || !m->curg || strcmp(m->curg->name, "calls") != 0) return false;
  stopping = m->oldp;
  return true;
}

static Hold back;

/* Once is not enough where sysmon takes the P meanwhile. */
static void call_and_compute(void *arg) {
  while (!hold_over(&back)) {
    gs_entersyscall();
    gs_exitsyscall();
  }
  compute(arg);
}

/* The status to go back to is that of an M that was seen outside: until then it changes. */
static void status_while_it_is_stopped(void *arg) {
  (void)arg;
  back = (Hold){.where = "exit_fast", .mine = comes_back, .until = is_locking, .most = SOON};
  hold(&back);
  gs_handle *h = go_named("calls", call_and_compute, NULL);
  await(reached(&back));
  pthread_t t = elsewhere(stop_it, NULL);
  await(atomic_load(&phase) == 2);
  pthread_join(t, NULL);
  CHECK_INT(load_acq(&stopping->status), Prunning);
  atomic_store(&stop, 1);
  join(h);
}

static gs_chan *for_locked;

static void locked_one(void *arg) {
  int x;
  (void)arg;
  gs_lock_os_thread();
  CHECK_CODE(gs_chan_recv(for_locked, &x, GS_FOREVER), GS_OK);
}

static bool locked_rests(void) {
  M *m = gs_getm();
  if (!m || !m->lockedg || m->p == &gs_nop) return false;
  stopping = m->p;
  return true;
}
static bool has_the_last_p(void) { return foreign() && no_p_is_idle(); }

static void *send_to_locked(void *arg) {
  int x = 1;
  CHECK_CODE(gs_chan_try_send(for_locked, &x), GS_OK);
  return arg;
}

/* An M whose locked G has parked has a P to give up, and meets the LOCK when it has been given
 * another one for that G: that stands still with it. */
static void given_another_p(void *arg) {
  (void)arg;
  Hold rests = {.where = "stoplockedm", .mine = locked_rests, .until = is_locking, .most = SOON};
  Hold gives = {.where = "ready", .mine = has_the_last_p, .until = is_locked, .most = SOON};
  for_locked = chan_new(sizeof(int), 0);
  hold(&rests);
  gs_handle *h = go_named("locked", locked_one, NULL);
  await(reached(&rests) && load_sc(&d->npidle) == 1 && load_sc(&d->nmspinning) == 0);
  hold(&gives);
  pthread_t a = elsewhere(send_to_locked, NULL);
  await(reached(&gives));
  pthread_t b = elsewhere(stop_it, NULL);
  await(atomic_load(&phase) == 2);
  pthread_join(a, NULL);
  pthread_join(b, NULL);
  join(h);
  CHECK_CODE(gs_chan_free(for_locked), GS_OK);
}

static void *go_while_it_is_stopped(void *arg) {
  await(quiet());
  CHECK_CODE(gs_stop_world("test"), GS_OK);
  go_from_outside(arg);
  CHECK_CODE(gs_start_world(), GS_OK);
  return NULL;
}

/* What was queued while the world was stopped found no idle P. */
static void queued_while_stopped(void *arg) {
  (void)arg;
  home = chan_new(sizeof(int), 0);
  pthread_t t = elsewhere(go_while_it_is_stopped, (void *)(uintptr_t)tell_main);
  main_waits();
  pthread_join(t, NULL);
  CHECK_CODE(gs_chan_free(home), GS_OK);
}

/* ---- the poller's seat ---- */

static void sleep_long(void *arg) {
  (void)arg;
  CHECK_CODE(gs_sleep(3 * PATIENCE), GS_ECANCELED);
}

static G *main_g;
static bool main_rests(void) {
  return is_parked(main_g) && quiet() && load_sc(&gs_sched.nmidle) != 0;
}

/* Whoever comes to rest while the seat is being left finds it taken: the one that leaves looks
 * again. */
static void seat_is_left(void *arg) {
  (void)arg;
  main_g = gs_getm()->curg;
  gs_handle *h = go_named("long", sleep_long, NULL);
  await(load_sc(&gs_sched.poller) && load_sc(&gs_sched.poll_until) > gs_now() + PATIENCE);
  os_sleep_ns(MS(20)); /* asleep there */
  without_sysmon();
  Hold leaves = {.where = "poll_wait", .until = main_rests, .most = MS(400)};
  hold(&leaves);
  poll_break(INT64_MIN);
  await(reached(&leaves));
  CHECK_CODE(gs_sleep(MS(500)), GS_OK);
  with_sysmon();
  CHECK_CODE(gs_cancel(h), GS_OK);
  join(h);
}

static void sleep_a_little(void *arg) {
  (void)arg;
  CHECK_CODE(gs_sleep(MS(5)), GS_OK);
}

static void give_way(void *arg) {
  (void)arg;
  while (!atomic_load(&stop)) gs_yield();
}

/* An M that parks a G for a moment and goes on with others leaves the clock to somebody. */
static void nobody_at_the_clock(void *arg) {
  (void)arg;
  without_sysmon();
  gs_handle *h = go_named("a little", sleep_a_little, NULL);
  go(give_way, NULL);
  G *g = g_named("a little");
  while (load_acq(&g->status) == Grunnable) gs_yield();
  await(load_acq(&g->status) != Gwaiting); /* it is due, and was woken */
  with_sysmon();
  join(h);
}

/* ---- sysmon's deep sleep ---- */

static Hold deep;

static void block_with_work_behind(void *arg) {
  gs_site site = {.name = "until_ran", .shorts = 16}; /* known short: it pokes nobody */
  int r;
  go(set_ran, NULL);
  atomic_store(&phase, 1);
  CHECK_CODE(gs_cgocall_site(&site, until_ran, NULL, &r), GS_OK);
  tell_main(arg);
}

static void *while_it_falls_asleep(void *arg) {
  await(held(&deep) && quiet());
  go_from_outside((void *)(uintptr_t)block_with_work_behind);
  await(atomic_load(&phase));
  hold_end(&deep);
  await(atomic_load(&ran));
  return arg;
}

/* A P that left the idle list before sysmon said that it sleeps has woken nobody: it is counted. */
static void first_p_against_deep_sleep(void *arg) {
  int x;
  home = chan_new(sizeof(int), 0);
  deep = (Hold){.where = "deep_sleep", .most = SOON};
  hold(&deep);
  pthread_t t = elsewhere(while_it_falls_asleep, arg);
  CHECK_CODE(gs_chan_recv(home, &x, GS_FOREVER), GS_OK);
  pthread_join(t, NULL);
  CHECK_CODE(gs_chan_free(home), GS_OK);
}

/* ---- the main G waits for the others ---- */

static Hold draining;
static bool only_main_is_left(void) { return live_gs() == 1; }

static void end_while_it_begins_to_wait(void *arg) {
  (void)arg;
  while (!reached(&draining)) os_sleep_ns(20000);
}

static void last_ends_before_it_waits(void *arg) {
  (void)arg;
  draining = (Hold){.where = "drain_commit", .until = only_main_is_left, .most = SOON};
  hold(&draining);
  go(end_while_it_begins_to_wait, NULL);
}

static bool ends_here(void) {
  M *m = gs_getm();
  return m && m->curg && strcmp(m->curg->name, "last") == 0;
}
static bool main_drains(void) {
  G *g = load_sc(&gs_sched.drain);
  return g && load_sc(&g->park) == PARKED_FIRM;
}

static void waits_before_last_ends(void *arg) {
  (void)arg;
  draining = (Hold){.where = "g_end", .mine = ends_here, .until = main_drains, .most = SOON};
  hold(&draining);
  gs_handle_release(go_named("last", set_ran, NULL));
  await(reached(&draining));
}

static void wait_for_nobody(void *arg) {
  (void)arg;
  gs_chan *never = chan_new(0, 0);
  CHECK_CODE(gs_chan_recv(never, NULL, GS_FOREVER), GS_ECANCELED);
  CHECK_CODE(gs_chan_free(never), GS_OK);
}

static void go_when_it_ends(void *arg) {
  while (!load_sc(&gs_sched.ending)) os_sleep_ns(20000);
  os_sleep_ns(MS(1)); /* all that are alive have been cancelled */
  go(wait_for_nobody, arg);
}

static void born_at_the_end(void *arg) {
  (void)arg;
  go(go_when_it_ends, NULL);
}

/* ---- what goes on after gs_run ---- */

static void leave_a_timer(void *arg) {
  (void)arg;
  CHECK_CODE(gs_timer_after(MS(30), set_ran, NULL, NULL), GS_OK);
}

static void due_after_the_end(void *arg) {
  (void)arg;
  run_procs(2, leave_a_timer, NULL);
  await_or_not(atomic_load(&ran), MS(200));
  CHECK_INT(atomic_load(&ran), 0);
}

static atomic_int returned, call_over;

static int until_returned(void *arg) {
  (void)arg;
  await_or_not(atomic_load(&returned), SOON);
  atomic_store(&call_over, 1);
  return 0;
}

static int nothing(void *arg) {
  (void)arg;
  return 0;
}

static void call_with_main_behind(void *arg) {
  CHECK_CODE(gs_cgocall(nothing, NULL, NULL), GS_OK); /* the torture build sends the second away */
  go(tell_main, arg);
  CHECK_CODE(gs_cgocall(until_returned, NULL, NULL), GS_OK);
}

static M *runner_idle;
static bool only_the_runner_is_behind(void) {
  M *m = first_idle();
  return quiet() && m && m != runner_idle && m->inext == runner_idle;
}

static void *send_the_call_away(void *arg) {
  await_or_not(only_the_runner_is_behind(), SOON);
  return go_from_outside(arg);
}

static void until_the_runner_rests(void *arg) {
  (void)arg;
  atomic_store(&ran, 1);
  await_or_not(first_idle() == runner_idle, SOON);
}

/* The runner comes to rest first, and the M that takes its place after it. */
static void main_behind_a_call(void *arg) {
  int x;
  home = chan_new(sizeof(int), 0);
  runner_idle = load_acq(&gs_sched.main_m);
  go(until_the_runner_rests, NULL);
  CHECK_CODE(gs_cgocall(until_ran, NULL, NULL), GS_OK);
  CHECK_CODE(gs_chan_recv(home, &x, GS_FOREVER), GS_OK);
  (void)arg;
}

static void call_elsewhere_not_here(void *arg) {
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = 1;
  cfg.flags = GS_RUN_ABANDON;
  (void)arg;
  pthread_t t = elsewhere(send_the_call_away, (void *)(uintptr_t)call_with_main_behind);
  run_config(&cfg, main_behind_a_call, NULL);
  CHECK_INT(atomic_load(&call_over), 0);
  atomic_store(&returned, 1);
  pthread_join(t, NULL);
}

/* ---- a P that is taken in undeclared code ---- */

static void compute_with_the_p(void *arg) {
  (void)arg;
  gs_sched.test_flags |= TEST_NO_RELIEF;
  atomic_store(&ran, 1);
  await_or_not(atomic_load(&phase), MS(100));
  CHECK_INT(atomic_load(&phase), 0); /* the other one waits for the P */
}

static void comes_in_without_its_p(void *arg) {
  (void)arg;
  gs_chan *c = chan_new(0, 0);
  go(compute_with_the_p, NULL);
  gs_sched.test_flags &= ~(unsigned)TEST_NO_RELIEF;
  await(atomic_load(&ran));
  CHECK_CODE(gs_chan_try_recv(c, NULL), GS_EWOULDBLOCK);
  atomic_store(&phase, 1);
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

int main(int argc, char **argv) {
  static const HeldTest tests[] = {
      {"queued_from_outside", 1, queued_from_outside},
      {"queued_without_a_p", 1, queued_without_a_p},
      {"queued_by_the_poller", 1, queued_by_the_poller},
      {"queued_while_handed_on", 1, queued_while_handed_on},
      {"busy_while_handed_on", 2, busy_while_handed_on},
      {"no_p_for_a_moment", 2, no_p_for_a_moment},
      {"last_that_spins", 2, last_that_spins},
      {"enabled_while_set_aside", 2, enabled_while_set_aside},
      {"woken_for_another_reason", 2, woken_for_another_reason},
      {"wanted_when_it_gives_up", 2, wanted_when_it_gives_up},
      {"ordered_after_the_look", 0, ordered_after_the_look},
      {"status_while_it_is_stopped", 2, status_while_it_is_stopped},
      {"given_another_p", 3, given_another_p},
      {"queued_while_stopped", 2, queued_while_stopped},
      {"seat_is_left", 2, seat_is_left},
      {"nobody_at_the_clock", 1, nobody_at_the_clock},
      {"first_p_against_deep_sleep", 1, first_p_against_deep_sleep},
      {"born_at_the_end", 2, born_at_the_end},
      {"due_after_the_end", 0, due_after_the_end},
      {"call_elsewhere_not_here", 0, call_elsewhere_not_here},
      {"comes_in_without_its_p", 1, comes_in_without_its_p},
      {"last_ends_before_it_waits", 2, last_ends_before_it_waits},
      {"waits_before_last_ends", 2, waits_before_last_ends},
  };
  return held_main(argc, argv, tests, COUNT(tests));
}
