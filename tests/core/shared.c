/* shared.c: channels by name: opening, leaving, domains that meet, what keeps a deadlock away.
 */
#include "support.h"

#include <pthread.h>
#include <sched.h>

#include "chan.h"
#include "gosched_domain.h"

static gs_chan *open_(const char *name, size_t cap) {
  gs_chan *c = NULL;
  CHECK_CODE(gs_shared_chan(name, cap, &c), GS_OK);
  return c;
}

static void send_int(gs_chan *c, int64_t i) {
  gs_value v;
  gs_value_int(i, &v);
  CHECK_CODE(gs_chan_send(c, &v, gs_now() + PATIENCE), GS_OK);
}

static int64_t int_of(const gs_value *v) {
  gs_value_reader r;
  gs_value_item it;
  gs_value_read(v, &r);
  CHECK_CODE(gs_value_next(&r, &it), GS_OK);
  CHECK_INT(it.type, GS_VALUE_INT);
  return it.i;
}

/* ---- names and capacities ---- */

static void is_refused(const char *name, size_t cap, const char *says) {
  gs_chan *c = (gs_chan *)(uintptr_t)1;
  assert_int_equal(gs_shared_chan(name, cap, &c), GS_EINVAL);
  assert_null(c);
  if (!strstr(gs_error_detail(), says)) fail_msg("\"%s\" lacks \"%s\"", gs_error_detail(), says);
}

static void test_one_channel_a_name(void **state) {
  (void)state;
  gs_chan *a = open_("a", 3), *b = open_("b", 3), *again = open_("a", 3);
  assert_ptr_equal(a, again);
  assert_ptr_not_equal(a, b);
  assert_ptr_equal(open_("a", GS_SHARED_ANY), a);
  assert_int_equal(gs_chan_cap(a), 3);
  assert_string_equal(gs_shared_name(a), "a");
  is_refused("a", 4, "\"a\" is open with a capacity of 3; 4 was asked for");
  is_refused("a", 0, "0 was asked for");
  assert_int_equal(gs_chan_free(a), GS_EBUSY);
  for (int i = 0; i < 3; i++) assert_int_equal(gs_shared_release(a), GS_OK);
  a = open_("a", 4); /* another one: nobody had it open */
  assert_int_equal(gs_chan_cap(a), 4);
  assert_int_equal(gs_shared_retain(a), GS_OK);
  assert_int_equal(gs_shared_release(a), GS_OK);
  assert_string_equal(gs_shared_name(a), "a");
  assert_int_equal(gs_shared_release(a), GS_OK);
  assert_int_equal(gs_shared_release(b), GS_OK);
  a = open_("a", GS_SHARED_ANY);
  assert_int_equal(gs_chan_cap(a), 0);
  assert_int_equal(gs_shared_release(a), GS_OK);
}

static void test_bad_arguments(void **state) {
  (void)state;
  char name[GS_SHARED_NAME_MOST + 2];
  gs_chan *c = NULL;
  memset(name, 'x', sizeof name);
  name[GS_SHARED_NAME_MOST + 1] = 0;
  is_refused(NULL, 1, "name is NULL");
  is_refused("", 1, "0 bytes");
  is_refused(name, 1, "256 bytes");
  is_refused("\xff", 1, "UTF-8");
  is_refused("a", (size_t)1 << 40, "cap is");
  assert_int_equal(gs_shared_chan("a", 1, NULL), GS_EINVAL);
  name[GS_SHARED_NAME_MOST] = 0;
  assert_int_equal(gs_shared_chan(name, 1, &c), GS_OK);
  assert_int_equal(gs_shared_release(c), GS_OK);
  assert_int_equal(gs_chan_new(8, 1, &c), GS_OK);
  assert_int_equal(gs_shared_release(c), GS_EINVAL);
  assert_int_equal(gs_shared_retain(c), GS_EINVAL);
  assert_int_equal(gs_shared_outside(c, 1), GS_EINVAL);
  assert_null(gs_shared_name(c));
  assert_int_equal(gs_chan_free(c), GS_OK);
  assert_int_equal(gs_shared_release(NULL), GS_EINVAL);
}

static void test_many_names(void **state) {
  (void)state;
  enum { N = 2000 };
  static gs_chan *c[N];
  char name[20];
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < N; i++) {
      snprintf(name, sizeof name, "name %d", i);
      c[i] = open_(name, (size_t)(i % 5));
    }
    for (int i = 0; i < N; i++) { /* in another order */
      gs_chan *which = c[(i * 7) % N];
      assert_int_equal(gs_shared_release(which), GS_OK);
    }
  }
}

/* ---- values left behind ---- */

static void text(gs_chan *c, int code) {
  gs_value v;
  static const char words[] = "a text that does not fit into sixteen bytes";
  assert_int_equal(gs_value_text(words, sizeof words - 1, &v), GS_OK);
  assert_int_equal(gs_chan_try_send(c, &v), code);
  if (code != GS_OK) gs_value_free(&v);
}

/* The leak checkers see whether they are freed. */
static void test_what_is_buffered(void **state) {
  (void)state;
  gs_value v;
  gs_chan *c = open_("left", 3);
  text(c, GS_OK);
  text(c, GS_OK);
  text(c, GS_OK);
  text(c, GS_EWOULDBLOCK);
  assert_int_equal(gs_chan_try_recv(c, NULL), GS_OK); /* thrown away */
  assert_int_equal(gs_chan_close(c), GS_OK);
  text(c, GS_ECLOSED);
  gs_chan *again = open_("left", 3); /* closed, as long as it lives */
  assert_int_equal(gs_chan_try_recv(again, &v), GS_OK);
  assert_int_equal(gs_value_type(&v), GS_VALUE_TEXT);
  gs_value_free(&v);
  assert_int_equal(gs_shared_release(c), GS_OK);
  assert_int_equal(gs_shared_release(again), GS_OK); /* with one in it */
  c = open_("left", 3);
  assert_int_equal(gs_chan_try_recv(c, &v), GS_EWOULDBLOCK);
  assert_int_equal(gs_shared_release(c), GS_OK);
}

static void waits(void *arg) {
  gs_chan *c = arg;
  CHECK_CODE(gs_chan_recv(c, NULL, gs_now() + PATIENCE), GS_OK);
}

/* Until somebody waits there: then an unbuffered channel takes what is sent. */
static void give_text(gs_chan *c) {
  gs_value v;
  int64_t until = gs_now() + PATIENCE;
  CHECK_CODE(gs_value_text("another text, of more than 14 bytes", 35, &v), GS_OK);
  int e;
  while ((e = gs_chan_try_send(c, &v)) == GS_EWOULDBLOCK && gs_now() < until) gs_yield();
  CHECK_CODE(e, GS_OK);
}

static void body_thrown_away(void *arg) {
  (void)arg;
  gs_chan *c = open_("thrown", 0);
  gs_handle *h = go_named("waits", waits, c);
  give_text(c);
  join(h);
  h = go_named("waits", waits, c);
  while (!load_rlx(&c->receivers.head)) gs_yield();
  CHECK_CODE(gs_shared_release(c), GS_EBUSY);
  give_text(c);
  join(h);
  CHECK_CODE(gs_shared_release(c), GS_OK);
}

/* ---- domains meet ---- */

enum { ROUNDS = 3000, SIDES = 3 };

typedef struct side {
  const char *in, *out;
  int64_t sum;
} side;

static void pass_on(void *arg) {
  side *s = arg;
  gs_chan *in = open_(s->in, 4), *out = open_(s->out, 4);
  for (;;) {
    gs_value v;
    int e = gs_chan_recv(in, &v, gs_now() + PATIENCE);
    if (e == GS_ECLOSED) break;
    CHECK_CODE(e, GS_OK);
    if (e != GS_OK) break;
    s->sum += int_of(&v);
    CHECK_CODE(gs_chan_send(out, &v, gs_now() + PATIENCE), GS_OK);
  }
  CHECK_CODE(gs_chan_close(out), GS_OK);
  CHECK_CODE(gs_shared_release(in), GS_OK);
  CHECK_CODE(gs_shared_release(out), GS_OK);
}

static gs_domain *domains[SIDES]; /* the first is the native one */

static void go_in(int domain, body_fn fn, void *arg, gs_handle **h) {
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.domain = domains[domain];
  CHECK_CODE(gs_go_opts(&opts, fn, arg, h), GS_OK);
}

static void feed(void *arg) {
  gs_chan *c = arg;
  for (int i = 0; i < SCALE(ROUNDS); i++) send_int(c, i);
  CHECK_CODE(gs_chan_close(c), GS_OK);
}

/* A ring through three domains: each has a P of its own, and who sends makes the other run. */
static void body_domains(void *arg) {
  side sides[SIDES] = {{"ring 0", "ring 1", 0}, {"ring 1", "ring 2", 0}, {"ring 2", "ring 3", 0}};
  gs_handle *h[SIDES];
  gs_chan *c[SIDES + 1];
  char name[10];
  (void)arg;
  for (int i = 0; i <= SIDES; i++) {
    snprintf(name, sizeof name, "ring %d", i);
    c[i] = open_(name, 4);
  }
  for (int i = 0; i < SIDES; i++) go_in(i, pass_on, &sides[i], &h[i]);
  go(feed, c[0]);
  int64_t next = 0;
  gs_value v;
  while (gs_chan_recv(c[SIDES], &v, gs_now() + PATIENCE) == GS_OK) CHECK_INT(int_of(&v), next++);
  CHECK_INT(next, SCALE(ROUNDS));
  for (int i = 0; i < SIDES; i++) {
    join(h[i]);
    CHECK_INT(sides[i].sum, next * (next - 1) / 2);
  }
  for (int i = 0; i <= SIDES; i++) CHECK_CODE(gs_shared_release(c[i]), GS_OK);
}

/* Several of each domain at both ends, selecting among two channels. */
typedef struct crowd {
  gs_chan *a, *b;
  _Atomic int64_t sent, received;
  atomic_int senders;
} crowd;

static void crowd_sends(void *arg) {
  crowd *k = arg;
  for (int i = 1; i <= SCALE(1000); i++) {
    gs_value v;
    size_t chosen;
    gs_value_int(i, &v);
    gs_select_case cases[] = {{GS_SEND, k->a, &v}, {GS_SEND, k->b, &v}};
    CHECK_CODE(gs_select(cases, 2, gs_now() + PATIENCE, &chosen), GS_OK);
    atomic_fetch_add(&k->sent, i);
  }
  if (atomic_fetch_sub(&k->senders, 1) > 1) return;
  CHECK_CODE(gs_chan_close(k->a), GS_OK);
  CHECK_CODE(gs_chan_close(k->b), GS_OK);
}

static void crowd_receives(void *arg) {
  crowd *k = arg;
  gs_chan *from[2] = {k->a, k->b};
  while (from[0] || from[1]) {
    gs_value v[2];
    size_t chosen = 0;
    gs_select_case cases[] = {{GS_RECV, from[0], &v[0]}, {GS_RECV, from[1], &v[1]}};
    int e = gs_select(cases, 2, gs_now() + PATIENCE, &chosen);
    if (e == GS_ECLOSED) {
      from[chosen] = NULL;
    } else {
      CHECK_CODE(e, GS_OK);
      if (e != GS_OK) return;
      atomic_fetch_add(&k->received, int_of(&v[chosen]));
    }
  }
}

static void body_crowd(void *arg) {
  (void)arg;
  for (size_t cap = 0; cap < 3; cap++) {
    crowd k = {.a = open_("crowd a", cap), .b = open_("crowd b", cap), .senders = 2 * SIDES};
    gs_handle *h[4 * SIDES];
    for (int i = 0; i < 2 * SIDES; i++) {
      go_in(i % SIDES, crowd_sends, &k, &h[2 * i]);
      go_in(i % SIDES, crowd_receives, &k, &h[2 * i + 1]);
    }
    for (int i = 0; i < 4 * SIDES; i++) join(h[i]);
    CHECK_INT(k.received, k.sent);
    CHECK_INT(k.sent, (int64_t)2 * SIDES * SCALE(1000) * (SCALE(1000) + 1) / 2);
    CHECK_CODE(gs_shared_release(k.a), GS_OK);
    CHECK_CODE(gs_shared_release(k.b), GS_OK);
  }
}

/* Opened and left all the time by several threads: it is one channel whenever two have it. */
static void opens_and_leaves(void *arg) {
  for (int i = 0; i < SCALE(2000); i++) {
    gs_chan *mine = open_("busy", 1), *again = open_("busy", 1);
    CHECK(mine == again);
    CHECK(strcmp(gs_shared_name(mine), "busy") == 0);
    if (i % 64 == 0) gs_yield();
    CHECK_CODE(gs_shared_release(mine), GS_OK);
    CHECK_CODE(gs_shared_release(again), GS_OK);
  }
  (void)arg;
}

static void *opens_and_leaves_thread(void *arg) {
  opens_and_leaves(arg);
  return NULL;
}

static void body_open_and_leave(void *arg) {
  gs_handle *h[2 * SIDES];
  for (int i = 0; i < 2 * SIDES; i++) go_in(i % SIDES, opens_and_leaves, arg, &h[i]);
  for (int i = 0; i < 2 * SIDES; i++) join(h[i]);
}

/* ---- a thread outside, and deadlocks ---- */

static void *thread_sends(void *arg) {
  gs_chan *c = arg;
  gs_value v;
  int e;
  int64_t until = gs_now() + PATIENCE;
  gs_value_int(42, &v);
  while (gs_chan_len(c) == 0 && gs_now() < until) sched_yield(); /* the word to begin */
  CHECK_CODE(gs_chan_try_recv(c, NULL), GS_OK);
  /* Long enough for a deadlock to be found, if one were declared. */
  const struct timespec some = {0, 100000000};
  nanosleep(&some, NULL);
  while ((e = gs_chan_try_send(c, &v)) == GS_EWOULDBLOCK && gs_now() < until) sched_yield();
  CHECK_CODE(e, GS_OK);
  return NULL;
}

static void body_outside(void *arg) {
  gs_value v;
  gs_chan *c = arg, *answer = open_("answer", 0);
  CHECK_CODE(gs_shared_outside(answer, 1), GS_OK); /* has nobody who waits: means nothing */
  gs_value_null(&v);
  CHECK_CODE(gs_chan_send(c, &v, GS_FOREVER), GS_OK);
  gs_chan *to = open_("outside", GS_SHARED_ANY);
  CHECK(to == c);
  while (gs_chan_len(c)) gs_yield();
  CHECK_CODE(gs_chan_recv(c, &v, GS_FOREVER), GS_OK);
  CHECK_INT(int_of(&v), 42);
  CHECK_CODE(gs_shared_outside(c, -1), GS_OK);
  /* From now on nobody can send here. */
  CHECK_CODE(gs_chan_recv(c, &v, GS_FOREVER), GS_EDEADLOCK);
  CHECK_CODE(gs_shared_release(to), GS_OK);
  CHECK_CODE(gs_shared_release(answer), GS_OK); /* with what it had announced */
}

static void quiet(int level, const char *words, void *ud) { (void)level, (void)words, (void)ud; }

static void test_outside(void **state) {
  (void)state;
  pthread_t t;
  gs_config cfg = GS_CONFIG_DEFAULT;
  gs_chan *c = open_("outside", 1);
  cfg.procs = 2;
  cfg.flags = GS_RUN_DETECT_DEADLOCK;
  gs_set_logger(quiet, NULL);
  assert_int_equal(gs_shared_outside(c, 1), GS_OK);
  assert_int_equal(pthread_create(&t, NULL, thread_sends, c), 0);
  run_config(&cfg, body_outside, c);
  pthread_join(t, NULL);
  gs_set_logger(NULL, NULL);
  assert_int_equal(gs_shared_release(c), GS_OK);
  assert_int_equal(checks_failed(), 0);
}

static void test_threads_open_and_leave(void **state) {
  (void)state;
  pthread_t t[3];
  for (size_t i = 0; i < COUNT(t); i++)
    assert_int_equal(pthread_create(&t[i], NULL, opens_and_leaves_thread, NULL), 0);
  run_procs(2, body_open_and_leave, NULL);
  for (size_t i = 0; i < COUNT(t); i++) pthread_join(t[i], NULL);
  assert_int_equal(checks_failed(), 0);
}

/* ---- all of it ---- */

static void test_domains(void **state) {
  static const gs_domain_ops no_hooks = {.size = sizeof no_hooks};
  (void)state;
  for (int i = 1; i < SIDES; i++)
    assert_int_equal(gs_domain_new("other", 1, 0, &no_hooks, NULL, &domains[i]), GS_OK);
  run_procs(2, body_domains, NULL);
}

static void test_crowd(void **state) {
  (void)state;
  run_procs(2, body_crowd, NULL);
}

static void test_thrown_away(void **state) {
  (void)state;
  run_procs(2, body_thrown_away, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_channel_a_name),
      cmocka_unit_test(test_bad_arguments),
      cmocka_unit_test(test_many_names),
      cmocka_unit_test(test_what_is_buffered),
      cmocka_unit_test(test_domains),
      cmocka_unit_test(test_crowd),
      cmocka_unit_test(test_thrown_away),
      cmocka_unit_test(test_threads_open_and_leave),
      cmocka_unit_test(test_outside),
  };
  return cmocka_run_group_tests_name("shared", tests, NULL, NULL);
}
