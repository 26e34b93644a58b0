/* waits.c: the races of select, of the timers' heaps and of a wait that has no memory for its
 * deadline, driven from inside.  The torture build widens the windows.
 */
#include <pthread.h>

#include "runtime.h"

#include "support.h"

/* ---- memory that is refused on command (the linker wraps these two) ---- */

void *__real_malloc(size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_realloc(void *p, size_t n);

static atomic_int no_malloc, no_realloc;

void *__wrap_malloc(size_t n) { return atomic_load(&no_malloc) ? NULL : __real_malloc(n); }
void *__wrap_realloc(void *p, size_t n) {
  return atomic_load(&no_realloc) ? NULL : __real_realloc(p, n);
}

/* ---- a deadline without memory ---- */

typedef struct sleepers {
  atomic_int ended, refused;
  gs_chan *c;
  gs_sema s;
  gs_mutex x;
} sleepers;

static void note(sleepers *all, int code) {
  CHECK(code == GS_ECANCELED || code == GS_ENOMEM);
  if (code == GS_ENOMEM) atomic_fetch_add(&all->refused, 1);
  atomic_fetch_add(&all->ended, 1);
}

static void sleep_long(void *arg) { note(arg, gs_sleep(MS(600000))); }
static void recv_long(void *arg) {
  sleepers *all = arg;
  int value;
  note(all, gs_chan_recv(all->c, &value, in_ms(600000)));
}
static void acquire_long(void *arg) {
  sleepers *all = arg;
  note(all, gs_sema_acquire(&all->s, in_ms(600000)));
}
static void lock_long(void *arg) {
  sleepers *all = arg;
  note(all, gs_mutex_lock(&all->x, in_ms(600000)));
}
static void select_long(void *arg) {
  sleepers *all = arg;
  int value;
  size_t chosen;
  gs_select_case k[] = {{GS_RECV, all->c, &value}, {GS_RECV, all->c, &value}};
  note(all, gs_select(k, 2, in_ms(600000), &chosen));
}

enum { LONG = 300 }; /* more than a heap has room for at first */

/* Those that find room sleep; the others are told that there is none, and nobody is lost. */
static void refused_deadlines(void *arg) {
  (void)arg;
  static const body_fn kinds[] = {sleep_long, recv_long, acquire_long, lock_long, select_long};
  sleepers all = {.c = chan_new(sizeof(int), 0)};
  gs_handle *h[LONG];
  CHECK_CODE(gs_mutex_lock(&all.x, 0), GS_OK);
  gs_sleep(MS(1)); /* a heap of the least size */
  for (int i = 0; i < LONG; i++) h[i] = go_named("long", kinds[i % (int)COUNT(kinds)], &all);
  atomic_store(&no_realloc, 1);
  for (int64_t end = gs_now() + PATIENCE; gs_now() < end && !atomic_load(&all.refused);) gs_yield();
  for (int i = 0; i < 100; i++) gs_yield();
  gs_timer *t = NULL;
  CHECK_CODE(gs_timer_new(sleep_long, &all, &t), GS_OK);
  int code = gs_timer_reset(t, in_ms(600000), 0, NULL);
  CHECK(code == GS_OK || code == GS_ENOMEM);
  gs_timer_free(t);
  atomic_store(&no_realloc, 0);
  CHECK(atomic_load(&all.refused) > 0);
  for (int i = 0; i < LONG; i++) CHECK_CODE(gs_cancel(h[i]), GS_OK);
  for (int i = 0; i < LONG; i++) join(h[i]);
  CHECK_INT(atomic_load(&all.ended), LONG);
  CHECK_CODE(gs_mutex_unlock(&all.x), GS_OK);
  CHECK_INT(all.x.state | all.s.state, 0);
  CHECK_CODE(gs_chan_free(all.c), GS_OK); /* nobody is left in its queue */
}

static void test_no_memory_for_a_deadline(void **state) {
  (void)state;
  run_procs(1, refused_deadlines, NULL);
}

static void many_cases(void *arg) {
  (void)arg;
  gs_chan *c = chan_new(sizeof(int), 1);
  int value[40] = {0};
  size_t chosen = 99;
  gs_select_case k[40];
  for (int i = 0; i < 40; i++) k[i] = (gs_select_case){GS_SEND, c, &value[i]};
  atomic_store(&no_malloc, 1);
  int few = gs_try_select(k, 16, &chosen);
  int many = gs_try_select(k, 40, &chosen);
  atomic_store(&no_malloc, 0);
  CHECK_CODE(few, GS_OK);
  CHECK_CODE(many, GS_ENOMEM);
  CHECK(strstr(gs_error_detail(), "40 cases") != NULL);
  CHECK_INT(gs_chan_len(c), 1);
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

static void test_no_memory_for_many_cases(void **state) {
  (void)state;
  run_procs(1, many_cases, NULL);
}

/* ---- select against its partners, its deadline and its canceller (select.c) ----
 *
 * A G selects again and again with entries on several channels, while others send on each of them
 * at the same moment, cancel it, and its deadlines are short: each element that was taken arrives,
 * once; none is lost.  The frame is filled with rubbish between two selects, so that whoever reads
 * it after the G has gone on is led astray. */

enum { CHANNELS = 3 };

typedef struct arena {
  gs_chan *c[CHANNELS];
  atomic_int stop;
  atomic_llong sent, received;
  gs_handle *h;
} arena;

static void try_to_send(void *arg) {
  arena *a = arg;
  uint64_t seed = 88172645463325252u + (uint64_t)(uintptr_t)&seed;
  while (!atomic_load(&a->stop)) {
    int value = 1 + (int)(random_next(&seed) % 1000);
    if (gs_chan_try_send(a->c[random_next(&seed) % CHANNELS], &value) == GS_OK)
      atomic_fetch_add(&a->sent, value);
    if (random_next(&seed) % 4 == 0) gs_yield();
  }
}

static __attribute__((noinline)) void rubbish(void) {
  volatile char fill[2500];
  memset((char *)(uintptr_t)fill, 0xa5, sizeof fill);
}

static __attribute__((noinline)) int select_once(arena *a, uint64_t *seed, int *value) {
  gs_select_case k[CHANNELS];
  size_t chosen = 99;
  for (int i = 0; i < CHANNELS; i++) k[i] = (gs_select_case){GS_RECV, a->c[i], value};
  int64_t wait = random_next(seed) % 2 ? US(20) : US(200);
  int code = gs_select(k, CHANNELS, gs_now() + wait, &chosen);
  CHECK(code == GS_OK ? chosen < CHANNELS : chosen == 99);
  return code;
}

static void select_again_and_again(void *arg) {
  arena *a = arg;
  uint64_t seed = 362436069;
  for (int i = 0; i < SCALE(3000) && !checks_failed(); i++) {
    int value = 0, code = select_once(a, &seed, &value);
    rubbish();
    CHECK(code == GS_OK || code == GS_ETIMEOUT || code == GS_ECANCELED);
    CHECK(code == GS_OK || value == 0);
    atomic_fetch_add(&a->received, value);
    if (gs_cancelled()) gs_uncancel();
  }
}

static void select_arena(void *arg) {
  (void)arg;
  arena a = {.stop = 0};
  for (int i = 0; i < CHANNELS; i++) a.c[i] = chan_new(sizeof(int), 0);
  gs_handle *h[3], *receiver[2];
  for (int i = 0; i < 3; i++) h[i] = go_named("sends", try_to_send, &a);
  for (int i = 0; i < 2; i++) receiver[i] = go_named("selects", select_again_and_again, &a);
  for (int i = 0; i < 2; i++) {
    while (gs_join(receiver[i], gs_now() + US(300)) == GS_ETIMEOUT) {
      CHECK_CODE(gs_cancel(receiver[0]), GS_OK);
      CHECK_CODE(gs_cancel(receiver[1]), GS_OK);
    }
  }
  for (int i = 0; i < 2; i++) gs_handle_release(receiver[i]);
  atomic_store(&a.stop, 1);
  for (int i = 0; i < 3; i++) join(h[i]);
  CHECK_INT(atomic_load(&a.received), atomic_load(&a.sent));
  for (int i = 0; i < CHANNELS; i++) CHECK_CODE(gs_chan_free(a.c[i]), GS_OK);
}

static void test_select_against_all(void **state) {
  (void)state;
  run_procs(4, select_arena, NULL);
}

/* ---- a channel's lone P against the first other user (chan.h) ----
 *
 * On one P a new channel is used without its lock; a thread that runs no green thread comes at the
 * same moment and takes that away.  Nothing is lost, doubled, or overwritten. */

typedef struct duo {
  gs_chan *_Atomic c; /* of this round; NULL: none */
  atomic_int come, gone, stop;
  atomic_llong sent;
} duo;

enum { EACH = 8 };

static void *other_user(void *arg) {
  duo *d = arg;
  int value = 1;
  while (!atomic_load(&d->stop)) {
    gs_chan *c = atomic_load(&d->c);
    if (!c) continue;
    atomic_store(&d->come, 1);
    for (int i = 0; i < EACH; i++, value++)
      if (gs_chan_try_send(c, &value) == GS_OK) atomic_fetch_add(&d->sent, value);
    atomic_store(&d->c, NULL);
    atomic_store(&d->gone, 1);
  }
  return NULL;
}

static void lone_p(void *arg) {
  (void)arg;
  duo d = {.stop = 0};
  pthread_t thread;
  long long received = 0;
  CHECK_INT(pthread_create(&thread, NULL, other_user, &d), 0);
  for (int i = 0; i < SCALE(1000) && !checks_failed(); i++) {
    gs_chan *c = chan_new(sizeof(int), 3);
    int value = 1000000, got = 0;
    size_t users = 0;
    atomic_store(&d.come, 0);
    atomic_store(&d.gone, 0);
    atomic_store(&d.c, c);
    while (i % 2 && !atomic_load(&d.come)) continue;
    for (int64_t end = gs_now() + PATIENCE; !atomic_load(&d.gone) && gs_now() < end; users++) {
      if (gs_chan_try_send(c, &value) == GS_OK) atomic_fetch_add(&d.sent, value);
      if (gs_chan_try_recv(c, &got) == GS_OK) received += got;
      if (users % 256 == 255) block_ms(&(int){1}); /* the other needs a CPU too */
    }
    while (gs_chan_try_recv(c, &got) == GS_OK) received += got;
    CHECK_INT(atomic_load(&d.sent), received);
    CHECK_CODE(gs_chan_free(c), GS_OK);
  }
  atomic_store(&d.stop, 1);
  pthread_join(thread, NULL);
}

static void test_lone_p_against_another_user(void **state) {
  (void)state;
  run_procs(1, lone_p, NULL);
}

/* ---- release against acquire (sync.c): a permit that comes while its waiter is on the way ---- */

static void release_one(void *s) { CHECK_CODE(gs_sema_release(s, 1), GS_OK); }

static void release_against_acquire(void *arg) {
  (void)arg;
  gs_sema s = GS_SEMA_INIT(0);
  for (int i = 0; i < SCALE(5000) && !checks_failed(); i++) {
    gs_handle *h = go_named("releases", release_one, &s);
    for (int k = 0; k < i % 50 * 10; k++) compiler_fence();
    CHECK_CODE(gs_sema_acquire(&s, gs_now() + PATIENCE), GS_OK);
    join(h);
  }
}

static void test_release_against_acquire(void **state) {
  (void)state;
  run_procs(2, release_against_acquire, NULL);
}

/* ---- the heap keeps its order, and a timer its place, whatever is added and removed ---- */

static void check_heap(const Timers *ts) {
  int right = 1;
  for (uint32_t i = 0; i < ts->len; i++) {
    right &= ts->heap[i].t->slot == i && ts->heap[i].when == ts->heap[i].t->when;
    right &= ts->heap[i].t->ts == ts;
    if (i) right &= ts->heap[(i - 1) / 4].when <= ts->heap[i].when;
  }
  CHECK(right);
  CHECK_INT(ts->next, ts->len ? ts->heap[0].when : INT64_MAX);
}

static void test_heap(void **state) {
  (void)state;
  enum { N = 500 };
  static Timer t[N];
  static Timers ts = {.next = INT64_MAX};
  uint64_t seed = 5;
  uint32_t armed = 0;
  for (int i = 0; i < 20000; i++) {
    Timer *x = &t[random_next(&seed) % N];
    int64_t far = INT64_MAX / 2 + (int64_t)(random_next(&seed) % 1000);
    if (x->ts) {
      assert_true(timers_del(x));
      armed--;
    } else {
      assert_true(timers_add(&ts, x, far));
      armed++;
    }
    assert_int_equal(ts.len, armed);
    if (i % 64 == 0) check_heap(&ts);
  }
  assert_int_equal(checks_failed(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_heap),
      cmocka_unit_test(test_no_memory_for_a_deadline),
      cmocka_unit_test(test_no_memory_for_many_cases),
      cmocka_unit_test(test_lone_p_against_another_user),
      cmocka_unit_test(test_release_against_acquire),
      cmocka_unit_test(test_select_against_all),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
