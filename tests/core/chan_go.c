/* chan_go.c: Go's tests of channels that need no select (chan_test.go, test/chan), by name. */
#include "support.h"

enum { PROCS = 4 };

static void free_chan(gs_chan *c) { CHECK_CODE(gs_chan_free(c), GS_OK); }

/* ---- Chan: for each capacity, blocking and not, closing drains, in order ---- */

typedef struct one {
  gs_chan *c;
  atomic_int done, sum;
  int n;
} one;

static void recv_blocks(void *arg) {
  one *o = arg;
  int value;
  gs_chan_recv(o->c, &value, GS_FOREVER);
  atomic_store(&o->done, 1);
}

static void send_blocks(void *arg) {
  one *o = arg;
  int value = 0;
  gs_chan_send(o->c, &value, GS_FOREVER);
  atomic_store(&o->done, 1);
}

static void send_0_to_n(void *arg) {
  one *o = arg;
  for (int i = 0; i < o->n; i++) CHECK_CODE(gs_chan_send(o->c, &i, GS_FOREVER), GS_OK);
}

static void sum_up(void *arg) {
  one *o = arg;
  int value, last = -1;
  for (int i = 0; i < o->n; i++) {
    CHECK_CODE(gs_chan_recv(o->c, &value, GS_FOREVER), GS_OK);
    CHECK(value > last); /* of one sender, in order */
    last = value;
    atomic_fetch_add(&o->sum, value);
  }
}

static void empty_and_full(int cap) {
  one o = {.c = chan_new(sizeof(int), (size_t)cap)};
  int value = 7;
  gs_handle *h = go_named("blocks", recv_blocks, &o);
  gs_sleep(MS(1));
  CHECK_INT(atomic_load(&o.done), 0);
  CHECK_CODE(gs_chan_send(o.c, &value, GS_FOREVER), GS_OK);
  join(h);
  for (int i = 0; i < cap; i++) CHECK_CODE(gs_chan_send(o.c, &i, GS_FOREVER), GS_OK);
  atomic_store(&o.done, 0);
  h = go_named("blocks", send_blocks, &o);
  gs_sleep(MS(1));
  CHECK_INT(atomic_load(&o.done), 0);
  CHECK_CODE(gs_chan_recv(o.c, &value, GS_FOREVER), GS_OK);
  join(h);
  CHECK_CODE(gs_chan_close(o.c), GS_OK);
  for (int i = 0; i < cap; i++) CHECK_CODE(gs_chan_recv(o.c, &value, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_chan_recv(o.c, &value, GS_FOREVER), GS_ECLOSED);
  free_chan(o.c);
}

static void closing_wakes(int cap) {
  one o = {.c = chan_new(sizeof(int), (size_t)cap)};
  gs_handle *h = go_named("blocks", recv_blocks, &o);
  gs_sleep(MS(1));
  CHECK_CODE(gs_chan_close(o.c), GS_OK);
  join(h);
  CHECK_INT(atomic_load(&o.done), 1);
  free_chan(o.c);
}

static void many_to_many(int cap) {
  enum { SIDES = 4 };
  one o = {.c = chan_new(sizeof(int), (size_t)cap), .n = 100};
  gs_handle *h = go_named("sends", send_0_to_n, &o);
  sum_up(&o);
  join(h);
  CHECK_INT(atomic_load(&o.sum), 4950);
  /* Of several, each receiver sees growing numbers from each sender, but all of them mixed. */
  gs_handle *all[SIDES];
  int counts[100] = {0}, value;
  for (int i = 0; i < SIDES; i++) all[i] = go_named("sends", send_0_to_n, &o);
  for (int i = 0; i < SIDES * 100; i++) {
    CHECK_CODE(gs_chan_recv(o.c, &value, GS_FOREVER), GS_OK);
    counts[value]++;
  }
  for (int i = 0; i < SIDES; i++) join(all[i]);
  for (int i = 0; i < 100; i++) CHECK_INT(counts[i], SIDES);
  free_chan(o.c);
}

static void chan(void *arg) {
  (void)arg;
  for (int cap = 0; cap < SCALE(60); cap++) {
    empty_and_full(cap);
    closing_wakes(cap);
    many_to_many(cap);
  }
}

/* ---- fifo.go: a chain of green threads, each handing on what it got ---- */

typedef struct link {
  gs_chan *in, *out;
  int value;
} link_;

static void hand_on(void *arg) {
  link_ *l = arg;
  int value = -1;
  CHECK_CODE(gs_chan_recv(l->in, &value, GS_FOREVER), GS_OK);
  CHECK_INT(value, l->value);
  value++;
  CHECK_CODE(gs_chan_send(l->out, &value, GS_FOREVER), GS_OK);
}

/* goroutines.go has 10,000 of them. */
static void chain(void *arg) {
  int n = *(int *)arg;
  link_ *l = calloc((size_t)n, sizeof *l);
  gs_handle **h = calloc((size_t)n, sizeof *h);
  gs_chan *first = chan_new(sizeof(int), 0), *last = first;
  for (int i = 0; i < n; i++) {
    l[i] = (link_){last, chan_new(sizeof(int), 0), i};
    last = l[i].out;
    h[i] = go_named("link", hand_on, &l[i]);
  }
  int value = 0;
  CHECK_CODE(gs_chan_send(first, &value, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_chan_recv(last, &value, GS_FOREVER), GS_OK);
  CHECK_INT(value, n);
  for (int i = 0; i < n; i++) join(h[i]);
  free_chan(first);
  for (int i = 0; i < n; i++) free_chan(l[i].out);
  free(l);
  free(h);
}

/* ---- MultiConsumer: many take from one queue, each element once ---- */

enum { CONSUMERS = 23 };

typedef struct consumers {
  gs_chan *q, *r;
} consumers;

static void consume(void *arg) {
  consumers *c = arg;
  int value;
  while (gs_chan_recv(c->q, &value, GS_FOREVER) == GS_OK) {
    if (value % 31 == 0) gs_yield(); /* mess with the order */
    CHECK_CODE(gs_chan_send(c->r, &value, GS_FOREVER), GS_OK);
  }
}

typedef struct feed {
  consumers *c;
  int n;
  gs_waitgroup *all;
  int64_t sum;
} feed;

static void feed_them(void *arg) {
  feed *f = arg;
  static const int primes[] = {2, 3, 7, 11, 13, 17, 19, 23, 27, 31};
  for (int i = 0; i < f->n; i++) {
    int value = primes[i % (int)COUNT(primes)];
    f->sum += value;
    CHECK_CODE(gs_chan_send(f->c->q, &value, GS_FOREVER), GS_OK);
  }
  CHECK_CODE(gs_chan_close(f->c->q), GS_OK);
  CHECK_CODE(gs_waitgroup_wait(f->all, GS_FOREVER), GS_OK); /* the consumers */
  CHECK_CODE(gs_chan_close(f->c->r), GS_OK);
}

typedef struct consumer {
  consumers *c;
  gs_waitgroup *all;
} consumer;

static void consume_and_leave(void *arg) {
  consumer *c = arg;
  consume(c->c);
  CHECK_CODE(gs_waitgroup_done(c->all), GS_OK);
}

static void multi_consumer(void *arg) {
  (void)arg;
  consumers c = {chan_new(sizeof(int), 3 * CONSUMERS), chan_new(sizeof(int), 3 * CONSUMERS)};
  gs_waitgroup all = {0};
  consumer one_ = {&c, &all};
  feed f = {&c, SCALE(30000), &all, 0};
  CHECK_CODE(gs_waitgroup_add(&all, CONSUMERS), GS_OK);
  gs_handle *h[CONSUMERS + 1];
  for (int i = 0; i < CONSUMERS; i++) h[i] = go_named("consumer", consume_and_leave, &one_);
  h[CONSUMERS] = go_named("feeds", feed_them, &f);
  int n = 0, value;
  int64_t sum = 0;
  for (; gs_chan_recv(c.r, &value, GS_FOREVER) == GS_OK; n++) sum += value;
  for (int i = 0; i <= CONSUMERS; i++) join(h[i]);
  CHECK_INT(n, f.n);
  CHECK_INT(sum, f.sum);
  free_chan(c.q);
  free_chan(c.r);
}

/* ---- sieve1.go: a pipeline that grows by one filter for each prime ---- */

typedef struct filter {
  gs_chan *in, *out;
  int prime;
} filter;

static void filter_out(void *arg) {
  filter *f = arg;
  int value, code = GS_OK;
  while (code == GS_OK && (code = gs_chan_recv(f->in, &value, GS_FOREVER)) == GS_OK)
    if (value % f->prime) code = gs_chan_send(f->out, &value, GS_FOREVER);
  CHECK_CODE(code, GS_ECANCELED);
}

static void generate(void *out) {
  int code = GS_OK;
  for (int i = 2; code == GS_OK; i++) code = gs_chan_send(out, &i, GS_FOREVER);
  CHECK_CODE(code, GS_ECANCELED);
}

static void sieve(void *arg) {
  (void)arg;
  enum { PRIMES = 100 };
  int n = SCALE(PRIMES), prime = 0;
  static filter f[PRIMES];
  gs_handle *h[PRIMES + 1];
  gs_chan *c = chan_new(sizeof(int), 0), *first = c;
  h[n] = go_named("generates", generate, c);
  for (int i = 0; i < n; i++) {
    CHECK_CODE(gs_chan_recv(c, &prime, GS_FOREVER), GS_OK);
    f[i] = (filter){c, chan_new(sizeof(int), 0), prime};
    h[i] = go_named("filters", filter_out, &f[i]);
    c = f[i].out;
  }
  CHECK_INT(prime, n == PRIMES ? 541 : 29);
  for (int i = 0; i <= n; i++) CHECK_CODE(gs_cancel(h[i]), GS_OK);
  for (int i = 0; i <= n; i++) join(h[i]);
  free_chan(first);
  for (int i = 0; i < n; i++) free_chan(f[i].out);
}

/* ---- closedchan.go: everything that can be done with a closed channel, in each way ---- */

static int select_recv(gs_chan *c, int *value) {
  size_t chosen;
  gs_select_case k = {GS_RECV, c, value};
  return gs_select(&k, 1, GS_FOREVER, &chosen);
}
static int select_send(gs_chan *c, int *value) {
  size_t chosen;
  gs_select_case k = {GS_SEND, c, value};
  return gs_select(&k, 1, GS_FOREVER, &chosen);
}
static int plain_recv(gs_chan *c, int *value) { return gs_chan_recv(c, value, GS_FOREVER); }
static int plain_send(gs_chan *c, int *value) { return gs_chan_send(c, value, GS_FOREVER); }
static int try_recv(gs_chan *c, int *value) { return gs_chan_try_recv(c, value); }
static int try_send(gs_chan *c, int *value) { return gs_chan_try_send(c, value); }

static void closedchan(void *arg) {
  (void)arg;
  static int (*const recvs[])(gs_chan *, int *) = {plain_recv, try_recv, select_recv};
  static int (*const sends[])(gs_chan *, int *) = {plain_send, try_send, select_send};
  for (size_t cap = 0; cap < 3; cap++)
    for (size_t i = 0; i < COUNT(recvs); i++) {
      gs_chan *c = chan_new(sizeof(int), cap);
      int value = 9;
      if (cap) CHECK_CODE(sends[i](c, &value), GS_OK);
      CHECK_CODE(gs_chan_close(c), GS_OK);
      for (int again = 0; again < 3; again++) CHECK_CODE(sends[i](c, &value), GS_ECLOSED);
      value = 1;
      if (cap) CHECK_CODE(recvs[i](c, &value), GS_OK);
      CHECK_INT(value, cap ? 9 : 1);
      for (int again = 0; again < 3; again++) {
        value = 1;
        CHECK_CODE(recvs[i](c, &value), GS_ECLOSED);
        CHECK_INT(value, 0);
      }
      CHECK_CODE(gs_chan_close(c), GS_ECLOSED);
      free_chan(c);
    }
}

/* ---- zerosize.go: elements of no bytes are counted all the same ---- */

static void zerosize(void *arg) {
  (void)arg;
  gs_chan *c = chan_new(0, 5);
  for (int i = 0; i < 5; i++) CHECK_CODE(gs_chan_try_send(c, NULL), GS_OK);
  CHECK_CODE(gs_chan_try_send(c, NULL), GS_EWOULDBLOCK);
  for (int i = 0; i < 5; i++) CHECK_CODE(gs_chan_try_recv(c, NULL), GS_OK);
  CHECK_CODE(gs_chan_try_recv(c, NULL), GS_EWOULDBLOCK);
  free_chan(c);
}

/* ---- nonblock.go: trying against a partner that waits, in both directions ---- */

static void nonblock(void *arg) {
  (void)arg;
  for (size_t cap = 0; cap < 2; cap++) {
    one o = {.c = chan_new(sizeof(int), cap)};
    int value = 3;
    CHECK_CODE(gs_chan_try_recv(o.c, &value), GS_EWOULDBLOCK);
    gs_handle *h = go_named("receives", recv_blocks, &o);
    int64_t end = gs_now() + PATIENCE;
    while (gs_chan_try_send(o.c, &value) != GS_OK && gs_now() < end) gs_yield();
    join(h);
    while (gs_chan_try_send(o.c, &value) == GS_OK) continue;
    h = go_named("sends", send_blocks, &o);
    for (size_t left = cap + 1; left && gs_now() < end;)
      if (gs_chan_try_recv(o.c, &value) == GS_OK)
        left--;
      else
        gs_yield();
    join(h);
    CHECK_CODE(gs_chan_try_recv(o.c, &value), GS_EWOULDBLOCK);
    free_chan(o.c);
  }
}

#define RUN(name, fn, ...)                     \
  static void test_##name(void **state) {      \
    (void)state;                               \
    run_procs(PROCS, fn, (void *)__VA_ARGS__); \
  }

RUN(Chan, chan, NULL)
RUN(fifo, chain, &(int){10})
RUN(goroutines, chain, &(int){SCALE(10000)})
RUN(MultiConsumer, multi_consumer, NULL)
RUN(sieve1, sieve, NULL)
RUN(closedchan, closedchan, NULL)
RUN(zerosize, zerosize, NULL)
RUN(nonblock, nonblock, NULL)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_Chan),       cmocka_unit_test(test_fifo),
      cmocka_unit_test(test_goroutines), cmocka_unit_test(test_MultiConsumer),
      cmocka_unit_test(test_sieve1),     cmocka_unit_test(test_closedchan),
      cmocka_unit_test(test_zerosize),   cmocka_unit_test(test_nonblock),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
