/* select.c: what gs_select does with cases in each state, alone and while it waits.
 *
 * One P makes it certain who parks first.
 */
#include "support.h"

enum { PROCS = 1 };

static gs_select_case recv_case(gs_chan *c, void *elem) {
  return (gs_select_case){GS_RECV, c, elem};
}

static gs_select_case send_case(gs_chan *c, void *elem) {
  return (gs_select_case){GS_SEND, c, elem};
}

static void settle(void) {
  for (int i = 0; i < 3; i++) gs_yield();
  CHECK_CODE(gs_sleep(MS(2)), GS_OK);
}

static void free_chan(gs_chan *c) { CHECK_CODE(gs_chan_free(c), GS_OK); }

/* ---- bad arguments ---- */

static void bad(void *arg) {
  (void)arg;
  int value = 1;
  size_t chosen = 77;
  gs_chan *c = chan_new(sizeof value, 1);
  gs_select_case k[2] = {recv_case(c, &value), {3, c, &value}};
  CHECK_CODE(gs_select(k, 2, 0, &chosen), GS_EINVAL);
  CHECK(strstr(gs_error_detail(), "cases[1].op is 3") != NULL);
  k[1] = send_case(c, NULL);
  CHECK_CODE(gs_select(k, 2, 0, &chosen), GS_EINVAL);
  CHECK(strstr(gs_error_detail(), "cases[1].elem is NULL") != NULL);
  CHECK_CODE(gs_select(NULL, 1, 0, &chosen), GS_EINVAL);
  CHECK_CODE(gs_select(k, 1, 0, NULL), GS_EINVAL);
  CHECK_CODE(gs_try_select(k, 65537, &chosen), GS_EINVAL);
  CHECK(strstr(gs_error_detail(), "65537") != NULL);
  CHECK_INT(chosen, 77);
  free_chan(c);
}

static void test_bad_arguments(void **state) {
  (void)state;
  run_procs(PROCS, bad, NULL);
}

static void test_where_nothing_can_park(void **state) {
  (void)state;
  gs_chan *c = chan_new(sizeof(int), 1);
  int value = 4;
  size_t chosen = 9;
  gs_select_case k = send_case(c, &value);
  assert_int_equal(gs_select(&k, 1, GS_FOREVER, &chosen), GS_EPERM);
  assert_int_equal(gs_try_select(&k, 1, &chosen), GS_OK); /* any thread */
  assert_int_equal(chosen, 0);
  assert_int_equal(gs_try_select(&k, 1, &chosen), GS_EWOULDBLOCK);
  assert_int_equal(gs_chan_len(c), 1);
  assert_int_equal(gs_chan_free(c), GS_OK);
}

/* ---- test/chan/select3.go: what blocks and what does not ---- */

typedef struct row {
  const char *what;
  int op;
  int cap, buffered, closed, null;
  int partner; /* 1: somebody waits to send, 2: to receive */
  int expected;
} row;

static const row rows[] = {
    {"recv, nil", GS_RECV, 0, 0, 0, 1, 0, GS_EWOULDBLOCK},
    {"send, nil", GS_SEND, 0, 0, 0, 1, 0, GS_EWOULDBLOCK},
    {"recv, unbuffered, alone", GS_RECV, 0, 0, 0, 0, 0, GS_EWOULDBLOCK},
    {"send, unbuffered, alone", GS_SEND, 0, 0, 0, 0, 0, GS_EWOULDBLOCK},
    {"recv, unbuffered, sender", GS_RECV, 0, 0, 0, 0, 1, GS_OK},
    {"send, unbuffered, receiver", GS_SEND, 0, 0, 0, 0, 2, GS_OK},
    {"recv, unbuffered, closed", GS_RECV, 0, 0, 1, 0, 0, GS_ECLOSED},
    {"send, unbuffered, closed", GS_SEND, 0, 0, 1, 0, 0, GS_ECLOSED},
    {"recv, empty", GS_RECV, 2, 0, 0, 0, 0, GS_EWOULDBLOCK},
    {"send, empty", GS_SEND, 2, 0, 0, 0, 0, GS_OK},
    {"recv, some", GS_RECV, 2, 1, 0, 0, 0, GS_OK},
    {"send, some", GS_SEND, 2, 1, 0, 0, 0, GS_OK},
    {"recv, full", GS_RECV, 2, 2, 0, 0, 0, GS_OK},
    {"send, full", GS_SEND, 2, 2, 0, 0, 0, GS_EWOULDBLOCK},
    {"recv, full, sender", GS_RECV, 2, 2, 0, 0, 1, GS_OK},
    {"recv, some, closed", GS_RECV, 2, 1, 1, 0, 0, GS_OK},
    {"recv, empty, closed", GS_RECV, 2, 0, 1, 0, 0, GS_ECLOSED},
    {"send, some, closed", GS_SEND, 2, 1, 1, 0, 0, GS_ECLOSED},
};

static void send_100(void *c) {
  int value = 100;
  CHECK_CODE(gs_chan_send(c, &value, in_ms(30000)), GS_OK);
}

static void recv_200(void *c) {
  int value = 0;
  CHECK_CODE(gs_chan_recv(c, &value, in_ms(30000)), GS_OK);
  CHECK_INT(value, 200);
}

static gs_chan *in_state(const row *r) {
  if (r->null) return NULL;
  gs_chan *c = chan_new(sizeof(int), (size_t)r->cap);
  for (int i = 0; i < r->buffered; i++) CHECK_CODE(gs_chan_try_send(c, &i), GS_OK);
  if (r->closed) CHECK_CODE(gs_chan_close(c), GS_OK);
  if (r->partner) go(r->partner == 1 ? send_100 : recv_200, c);
  if (r->partner) settle();
  return c;
}

/* how: 0 gs_try_select, 1 gs_select with a deadline that has passed, 2 with one to come. */
static void one_row(const row *r, int how) {
  gs_chan *c = in_state(r), *never = chan_new(sizeof(int), 0);
  int value = r->op == GS_SEND ? 200 : -1, other = -5;
  size_t chosen = 9;
  gs_select_case k[] = {recv_case(never, &other), {r->op, c, &value}, recv_case(NULL, &other)};
  int code =
      how == 0 ? gs_try_select(k, 3, &chosen) : gs_select(k, 3, how == 1 ? 0 : in_ms(3), &chosen);
  int expected = how && r->expected == GS_EWOULDBLOCK ? GS_ETIMEOUT : r->expected;
  if (code != expected) fprintf(stderr, "%s (%d):\n", r->what, how);
  CHECK_CODE(code, expected);
  CHECK_INT(chosen, r->expected == GS_EWOULDBLOCK ? 9 : 1);
  CHECK_INT(other, -5);
  if (r->op == GS_RECV)
    CHECK_INT(value, r->expected == GS_ECLOSED       ? 0
                     : r->expected == GS_EWOULDBLOCK ? -1
                     : r->buffered                   ? 0
                                                     : 100);
  settle();
  free_chan(never);
  free_chan(c);
}

static void all_rows(void *arg) {
  (void)arg;
  for (size_t i = 0; i < COUNT(rows); i++)
    for (int how = 0; how < 3; how++) one_row(&rows[i], how);
}

static void test_select3(void **state) {
  (void)state;
  run_procs(PROCS, all_rows, NULL);
}

/* ---- while it waits ---- */

typedef struct waiting {
  gs_select_case *k;
  size_t n, chosen;
  int64_t deadline;
  int code;
  atomic_int done;
} waiting;

static void do_select(void *arg) {
  waiting *w = arg;
  w->code = gs_select(w->k, w->n, w->deadline, &w->chosen);
  atomic_store(&w->done, 1);
}

static gs_handle *start_waiting(waiting *w, gs_select_case *k, size_t n, int64_t deadline) {
  w->k = k;
  w->n = n;
  w->chosen = 99;
  w->deadline = deadline;
  w->code = 1;
  atomic_store(&w->done, 0);
  gs_handle *h = go_named("selects", do_select, w);
  settle();
  return h;
}

enum { MANY = 200 };

/* Each case in turn is the one that comes true; the others stay out of it. */
static void partners(void *arg) {
  size_t n = *(size_t *)arg;
  static gs_chan *c[MANY];
  static int value[MANY];
  static gs_select_case k[MANY];
  waiting w;
  for (size_t i = 0; i < n; i++) c[i] = chan_new(sizeof(int), 0);
  for (size_t i = 0; i < n; i += 1 + n / 12) {
    for (size_t j = 0; j < n; j++) {
      value[j] = 1000 + (int)j;
      k[j] = j % 2 ? send_case(c[j], &value[j]) : recv_case(c[j], &value[j]);
    }
    gs_handle *h = start_waiting(&w, k, n, in_ms(30000));
    CHECK(!atomic_load(&w.done));
    CHECK_CODE(gs_chan_free(c[i]), GS_EBUSY);
    int other = 5;
    CHECK_CODE(i % 2 ? gs_chan_try_recv(c[i], &other) : gs_chan_try_send(c[i], &other), GS_OK);
    /* It is spoken for: nobody else can have it. */
    for (size_t j = 0; j < n; j++)
      CHECK_CODE(j % 2 ? gs_chan_try_recv(c[j], &other) : gs_chan_try_send(c[j], &other),
                 GS_EWOULDBLOCK);
    join(h);
    CHECK_CODE(w.code, GS_OK);
    CHECK_INT(w.chosen, i);
    CHECK_INT(i % 2 ? other : value[i], i % 2 ? 1000 + (int)i : 5);
    for (size_t j = 0; j < n; j++)
      if (j != i) CHECK_INT(value[j], 1000 + (int)j);
  }
  for (size_t i = 0; i < n; i++) free_chan(c[i]);
}

static void test_each_partner(void **state) {
  (void)state;
  size_t few = 4, many = MANY;
  run_procs(PROCS, partners, &few);
  run_procs(PROCS, partners, &many);
}

static void closing(void *arg) {
  (void)arg;
  gs_chan *a = chan_new(sizeof(int), 0), *b = chan_new(sizeof(int), 0);
  int value = 3, other = 4;
  waiting w;
  gs_select_case k[] = {recv_case(a, &value), send_case(b, &other)};
  gs_handle *h = start_waiting(&w, k, 2, GS_FOREVER);
  CHECK_CODE(gs_chan_close(a), GS_OK);
  free_chan(a); /* at once: the other side does not come back to it */
  join(h);
  CHECK_CODE(w.code, GS_ECLOSED);
  CHECK_INT(w.chosen, 0);
  CHECK_INT(value, 0);
  k[0].chan = NULL;
  h = start_waiting(&w, k, 2, GS_FOREVER);
  CHECK_CODE(gs_chan_close(b), GS_OK);
  join(h);
  CHECK_CODE(w.code, GS_ECLOSED);
  CHECK_INT(w.chosen, 1);
  free_chan(b);
}

static void test_closed_while_waiting(void **state) {
  (void)state;
  run_procs(PROCS, closing, NULL);
}

static void giving_up(void *arg) {
  (void)arg;
  gs_chan *a = chan_new(sizeof(int), 0), *b = chan_new(0, 0);
  int value = 3;
  waiting w;
  gs_select_case k[] = {recv_case(a, &value), send_case(b, NULL), recv_case(a, &value)};
  for (size_t n = 0; n <= 3; n += 3) {
    gs_handle *h = start_waiting(&w, k, n, in_ms(4));
    join(h);
    CHECK_CODE(w.code, GS_ETIMEOUT);
    h = start_waiting(&w, k, n, n ? GS_FOREVER : in_ms(600000));
    CHECK_CODE(gs_cancel(h), GS_OK);
    join(h);
    CHECK_CODE(w.code, GS_ECANCELED);
    CHECK_INT(w.chosen, 99);
  }
  CHECK_CODE(gs_chan_try_send(a, &value), GS_EWOULDBLOCK); /* nobody is left behind */
  free_chan(a);
  free_chan(b);
}

static void test_deadline_and_cancel(void **state) {
  (void)state;
  run_procs(PROCS, giving_up, NULL);
}

/* A stale entry that a partner has taken off its queue still counts: the channel cannot be freed
 * under its owner, which has not run yet. */
static void stale(void *arg) {
  (void)arg;
  gs_chan *a = chan_new(sizeof(int), 0), *b = chan_new(sizeof(int), 0);
  int value = 3;
  waiting w;
  gs_select_case k[] = {recv_case(a, &value), recv_case(b, &value)};
  gs_handle *h = start_waiting(&w, k, 2, GS_FOREVER);
  CHECK_CODE(gs_chan_try_send(a, &value), GS_OK);
  CHECK_CODE(gs_chan_try_send(b, &value), GS_EWOULDBLOCK);
  CHECK_CODE(gs_chan_free(b), GS_EBUSY);
  free_chan(a);
  join(h);
  CHECK_CODE(w.code, GS_OK);
  free_chan(b);
}

static void test_freed_before_it_runs(void **state) {
  (void)state;
  run_procs(PROCS, stale, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bad_arguments),
      cmocka_unit_test(test_where_nothing_can_park),
      cmocka_unit_test(test_select3),
      cmocka_unit_test(test_each_partner),
      cmocka_unit_test(test_closed_while_waiting),
      cmocka_unit_test(test_deadline_and_cancel),
      cmocka_unit_test(test_freed_before_it_runs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
