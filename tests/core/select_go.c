/* select_go.c: Go's tests of select and of channels under it (chan_test.go, test/chan), by name. */
#include "support.h"

enum { PROCS = 4 };

static gs_select_case recv_case(gs_chan *c, void *elem) {
  return (gs_select_case){GS_RECV, c, elem};
}

static gs_select_case send_case(gs_chan *c, void *elem) {
  return (gs_select_case){GS_SEND, c, elem};
}

static void free_chan(gs_chan *c) { CHECK_CODE(gs_chan_free(c), GS_OK); }

/* Frees a channel on which a partner may be about to return from its last operation. */
static void free_soon(gs_chan *c) {
  while (gs_chan_free(c) == GS_EBUSY) gs_yield();
}

/* ---- NonblockRecvRace: what was sent is not missed because the channel is being closed ---- */

static void recv_something(void *c) {
  int value;
  CHECK(gs_chan_try_recv(c, &value) != GS_EWOULDBLOCK);
}

static void nonblock_recv_race(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(5000) && !checks_failed(); i++) {
    gs_chan *c = chan_new(sizeof(int), 1);
    int value = 1;
    CHECK_CODE(gs_chan_try_send(c, &value), GS_OK);
    gs_handle *h = go_named("receiver", recv_something, c);
    CHECK_CODE(gs_chan_close(c), GS_OK);
    gs_chan_recv(c, &value, GS_FOREVER);
    join(h);
    free_chan(c);
  }
}

/* ---- NonblockSelectRace, 2: at each moment one of two is ready, so a try finds one ---- */

static void select_something(void *arg) {
  gs_chan **c = arg;
  int value;
  size_t chosen;
  /* c[1] first: it is not ready yet, and when c[0] is looked at, that one is no more. */
  gs_select_case k[] = {recv_case(c[1], &value), recv_case(c[0], &value)};
  int code = gs_try_select(k, 2, &chosen);
  int found = code == GS_OK || code == GS_ECLOSED;
  CHECK(found);
}

static void nonblock_select_race(void *arg) {
  int closes = *(int *)arg;
  for (int i = 0; i < SCALE(20000) && !checks_failed(); i++) {
    gs_chan *c[2] = {chan_new(sizeof(int), 1), chan_new(sizeof(int), 1)};
    int value = 1;
    CHECK_CODE(gs_chan_try_send(c[0], &value), GS_OK);
    gs_handle *h = go_named("selects", select_something, c);
    if (i % 3 == 0) gs_yield();
    CHECK_CODE(closes ? gs_chan_close(c[1]) : gs_chan_try_send(c[1], &value), GS_OK);
    gs_chan_try_recv(c[0], &value);
    join(h);
    free_chan(c[0]);
    free_chan(c[1]);
  }
}

/* ---- SelfSelect: both ways on one channel ---- */

typedef struct self {
  gs_chan *c;
  int me;
  atomic_int *left;
} self;

static void self_select(void *arg) {
  self *s = arg;
  int rounds = SCALE(1000);
  size_t unbuffered = gs_chan_cap(s->c) == 0;
  for (int i = 0; i < rounds; i++) {
    int out = s->me, in = -1;
    size_t chosen = 9;
    gs_select_case k[] = {send_case(s->c, &out), recv_case(s->c, &in)};
    if (s->me && i % 2) {
      gs_select_case swap = k[0];
      k[0] = k[1];
      k[1] = swap;
    }
    /* The other may have done all its rounds. */
    int code = gs_select(k, 2, in_ms(atomic_load(s->left) == 2 ? 30000 : 2), &chosen);
    CHECK(code == GS_OK || (code == GS_ETIMEOUT && atomic_load(s->left) == 1));
    if (code == GS_OK && k[chosen].op == GS_RECV && unbuffered) CHECK_INT(in, 1 - s->me);
    if (code == GS_ETIMEOUT) break;
  }
  atomic_fetch_sub(s->left, 1);
}

static void self_selects(void *arg) {
  gs_chan *c = chan_new(sizeof(int), *(size_t *)arg);
  atomic_int left = 2;
  self s[2] = {{c, 0, &left}, {c, 1, &left}};
  gs_handle *h[2] = {go_named("self", self_select, &s[0]), go_named("self", self_select, &s[1])};
  /* Who waits when the other ends has nobody left: it is told to stop. */
  while (atomic_load(&left) == 2) gs_sleep(MS(1));
  for (int i = 0; i < 2; i++) {
    while (gs_join(h[i], in_ms(20)) != GS_OK) {
      int in;
      gs_chan_try_recv(c, &in);
    }
    gs_handle_release(h[i]);
  }
  free_chan(c);
}

/* ---- SelectStress: four channels, senders and receivers with and without select ---- */

enum { KINDS = 4 };
static const size_t stress_caps[KINDS] = {0, 0, 2, 3};

typedef struct stress {
  gs_chan *c[KINDS];
  int each;
} stress;

static void send_plain(void *arg) {
  stress *s = arg;
  for (int round = 0; round < s->each; round++)
    for (int k = 0; k < KINDS; k++) CHECK_CODE(gs_chan_send(s->c[k], &round, GS_FOREVER), GS_OK);
}

static void recv_plain(void *arg) {
  stress *s = arg;
  int value;
  for (int round = 0; round < s->each; round++)
    for (int k = 0; k < KINDS; k++) CHECK_CODE(gs_chan_recv(s->c[k], &value, GS_FOREVER), GS_OK);
}

static void select_each(stress *s, int op) {
  int done[KINDS] = {0}, value = 0;
  gs_select_case k[KINDS];
  for (int i = 0; i < KINDS; i++) k[i] = (gs_select_case){op, s->c[i], &value};
  for (int i = 0; i < KINDS * s->each; i++) {
    size_t chosen = 0;
    CHECK_CODE(gs_select(k, KINDS, GS_FOREVER, &chosen), GS_OK);
    if (++done[chosen] == s->each) k[chosen].chan = NULL;
  }
}

static void send_by_select(void *arg) { select_each(arg, GS_SEND); }
static void recv_by_select(void *arg) { select_each(arg, GS_RECV); }

static void select_stress(void *arg) {
  (void)arg;
  stress s = {.each = SCALE(10000)};
  for (int i = 0; i < KINDS; i++) s.c[i] = chan_new(sizeof(int), stress_caps[i]);
  static const body_fn workers[] = {send_plain, recv_plain, send_by_select, recv_by_select};
  gs_handle *h[COUNT(workers)];
  for (size_t i = 0; i < COUNT(workers); i++) h[i] = go_named("stress", workers[i], &s);
  for (size_t i = 0; i < COUNT(workers); i++) join(h[i]);
  for (int i = 0; i < KINDS; i++) free_chan(s.c[i]);
}

/* ---- SelectFairness ---- */

typedef struct fair {
  gs_chan *c[4], *out, *done;
} fair;

static void choose(void *arg) {
  fair *f = arg;
  for (;;) {
    char b = 0;
    size_t chosen = 9;
    gs_select_case in[] = {recv_case(f->c[2], &b), recv_case(f->c[3], &b), recv_case(f->c[0], &b),
                           recv_case(f->c[1], &b)};
    CHECK_CODE(gs_select(in, 4, GS_FOREVER, &chosen), GS_OK);
    gs_select_case out[] = {send_case(f->out, &b), recv_case(f->done, NULL)};
    if (gs_select(out, 2, GS_FOREVER, &chosen) != GS_OK) return;
  }
}

static void select_fairness(void *arg) {
  (void)arg;
  int trials = SCALE(10000), count[3] = {0};
  fair f;
  for (int i = 0; i < 4; i++) f.c[i] = chan_new(1, i < 2 ? (size_t)trials + 1 : 0);
  f.out = chan_new(1, 0);
  f.done = chan_new(1, 0);
  for (int i = 0; i < trials + 1; i++)
    for (char b = 1; b <= 2; b++) CHECK_CODE(gs_chan_try_send(f.c[b - 1], &b), GS_OK);
  gs_handle *h = go_named("chooser", choose, &f);
  for (int i = 0; i < trials; i++) {
    char b = 0;
    CHECK_CODE(gs_chan_recv(f.out, &b, GS_FOREVER), GS_OK);
    CHECK(b == 1 || b == 2);
    count[b & 1]++;
  }
  CHECK_CODE(gs_chan_close(f.done), GS_OK);
  join(h);
  /* Ten standard deviations, squared: (count - n/2)^2 <= 100 n/4. */
  long off = count[1] - trials / 2;
  CHECK(off * off <= 25L * trials);
  for (int i = 0; i < 4; i++) free_chan(f.c[i]);
  free_chan(f.out);
  free_chan(f.done);
}

/* ---- PseudoRandomSend: zeros and ones on one channel ---- */

static void recv_100(void *arg) {
  stress *s = arg;
  for (int i = 0; i < 100; i++) {
    int value = -1;
    gs_yield();
    CHECK_CODE(gs_chan_recv(s->c[0], &value, GS_FOREVER), GS_OK);
    s->each += value;
  }
}

static void pseudo_random_send(void *arg) {
  stress s = {.each = 0};
  s.c[0] = chan_new(sizeof(int), *(size_t *)arg);
  gs_handle *h = go_named("receives", recv_100, &s);
  for (int i = 0; i < 100; i++) {
    int one = 1, zero = 0;
    size_t chosen;
    gs_select_case k[] = {send_case(s.c[0], &one), send_case(s.c[0], &zero)};
    CHECK_CODE(gs_select(k, 2, GS_FOREVER, &chosen), GS_OK);
  }
  join(h);
  CHECK(s.each > 10 && s.each < 90);
  free_chan(s.c[0]);
}

/* ---- SelectDuplicateChannel ---- */

static void select_twice_on_c(void *arg) {
  stress *s = arg;
  int value;
  size_t chosen = 9;
  gs_select_case k[] = {recv_case(s->c[0], &value), recv_case(s->c[0], &value),
                        recv_case(s->c[1], &value)};
  CHECK_CODE(gs_select(k, 3, GS_FOREVER, &chosen), GS_OK);
  CHECK_INT(chosen, 2);
  CHECK_CODE(gs_chan_send(s->c[2], &value, GS_FOREVER), GS_OK);
}

static void recv_c(void *arg) {
  stress *s = arg;
  int value = 0;
  CHECK_CODE(gs_chan_recv(s->c[0], &value, GS_FOREVER), GS_OK);
  CHECK_INT(value, 8);
}

static void select_duplicate_channel(void *arg) {
  (void)arg;
  stress s;
  for (int i = 0; i < 3; i++) s.c[i] = chan_new(sizeof(int), 0);
  gs_handle *a = go_named("A", select_twice_on_c, &s);
  gs_sleep(MS(2)); /* A is first in c's queue, twice */
  gs_handle *b = go_named("B", recv_c, &s);
  gs_sleep(MS(2));
  int value = 7;
  CHECK_CODE(gs_chan_send(s.c[1], &value, GS_FOREVER), GS_OK); /* A leaves c's queue */
  CHECK_CODE(gs_chan_recv(s.c[2], &value, GS_FOREVER), GS_OK);
  value = 8;
  CHECK_CODE(gs_chan_send(s.c[0], &value, GS_FOREVER), GS_OK);
  join(a);
  join(b);
  for (int i = 0; i < 3; i++) free_soon(s.c[i]);
}

/* ---- select6.go: cases that were not chosen leave their queues as they were ---- */

static void send_0(void *c) {
  int value = 0;
  CHECK_CODE(gs_chan_send(c, &value, GS_FOREVER), GS_OK);
}

static void send_42(void *c) {
  int value = 42;
  CHECK_CODE(gs_chan_send(c, &value, GS_FOREVER), GS_OK);
}

static void recv_from_c1_or_never(void *arg) {
  stress *s = arg;
  int value;
  size_t chosen;
  gs_select_case k[] = {recv_case(s->c[0], &value), recv_case(s->c[1], &value)};
  CHECK_CODE(gs_select(k, 2, GS_FOREVER, &chosen), GS_OK);
}

static void select6(void *arg) {
  (void)arg;
  stress s = {{chan_new(sizeof(int), 0), chan_new(sizeof(int), 0)}, 0};
  int value = -1;
  gs_handle *h[4];
  h[0] = go_named("c1 or c2", recv_from_c1_or_never, &s);
  gs_sleep(MS(1));
  h[1] = go_named("to c1", send_0, s.c[0]);
  join(h[0]); /* it took c1; its entry in c2's queue must be gone */
  join(h[1]);
  h[2] = go_named("to c2", send_42, s.c[1]);
  CHECK_CODE(gs_chan_recv(s.c[1], &value, in_ms(30000)), GS_OK);
  CHECK_INT(value, 42);
  join(h[2]);
  free_soon(s.c[0]);
  free_soon(s.c[1]);
}

/* ---- select2.go: many selects leave no memory behind; here: no entries ---- */

static void select2(void *arg) {
  (void)arg;
  stress s = {{chan_new(sizeof(int), 0), chan_new(sizeof(int), 0)}, 0};
  for (int i = 0; i < SCALE(3000); i++) {
    gs_handle *h = go_named("to c1", send_0, s.c[0]);
    recv_from_c1_or_never(&s);
    join(h);
  }
  free_chan(s.c[0]);
  free_chan(s.c[1]);
}

#define RUN(name, fn, ...)                     \
  static void test_##name(void **state) {      \
    (void)state;                               \
    run_procs(PROCS, fn, (void *)__VA_ARGS__); \
  }

RUN(NonblockRecvRace, nonblock_recv_race, NULL)
RUN(NonblockSelectRace, nonblock_select_race, &(int){0})
RUN(NonblockSelectRace2, nonblock_select_race, &(int){1})
RUN(SelfSelect, self_selects, &(size_t){0})
RUN(SelfSelect_buffered, self_selects, &(size_t){10})
RUN(SelectStress, select_stress, NULL)
RUN(SelectFairness, select_fairness, NULL)
RUN(PseudoRandomSend, pseudo_random_send, &(size_t){0})
RUN(PseudoRandomSend_buffered, pseudo_random_send, &(size_t){100})
RUN(SelectDuplicateChannel, select_duplicate_channel, NULL)
RUN(select6, select6, NULL)
RUN(select2, select2, NULL)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_NonblockRecvRace),
      cmocka_unit_test(test_NonblockSelectRace),
      cmocka_unit_test(test_NonblockSelectRace2),
      cmocka_unit_test(test_SelfSelect),
      cmocka_unit_test(test_SelfSelect_buffered),
      cmocka_unit_test(test_SelectStress),
      cmocka_unit_test(test_SelectFairness),
      cmocka_unit_test(test_PseudoRandomSend),
      cmocka_unit_test(test_PseudoRandomSend_buffered),
      cmocka_unit_test(test_SelectDuplicateChannel),
      cmocka_unit_test(test_select6),
      cmocka_unit_test(test_select2),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
