/* chan_flow.c: many green threads joined by channels.
 *
 * Producers and consumers, a ball between two, a chain of ten thousand, the sieve whose every
 * prime is a green thread of its own: what goes in at one end comes out at the other.
 */
#include "support.h"

enum { PROCS = 4 };

/* ---- producers and consumers ---- */

typedef struct market {
  gs_chan *goods;
  int producers, consumers, each;
  atomic_llong sum;
  atomic_int next;
  wait_group produced, consumed;
} market;

static void produce(void *arg) {
  market *m = arg;
  for (int i = 0; i < m->each; i++) {
    int64_t good = atomic_fetch_add(&m->next, 1);
    CHECK_CODE(gs_chan_send(m->goods, &good, GS_FOREVER), GS_OK);
  }
  wg_done(&m->produced);
}

static void consume(void *arg) {
  market *m = arg;
  int64_t good, sum = 0;
  while (gs_chan_recv(m->goods, &good, GS_FOREVER) == GS_OK) sum += good;
  atomic_fetch_add(&m->sum, sum);
  wg_done(&m->consumed);
}

static void trade(int producers, int consumers, size_t cap, int each) {
  market m = {.producers = producers, .consumers = consumers, .each = each};
  m.goods = chan_new(sizeof(int64_t), cap);
  wg_init(&m.produced);
  wg_init(&m.consumed);
  for (int i = 0; i < consumers; i++) go(consume, &m);
  for (int i = 0; i < producers; i++) go(produce, &m);
  wg_wait(&m.produced, (size_t)producers);
  CHECK_CODE(gs_chan_close(m.goods), GS_OK);
  wg_wait(&m.consumed, (size_t)consumers);
  int64_t n = (int64_t)producers * each;
  CHECK_INT(atomic_load(&m.sum), n * (n - 1) / 2);
  CHECK_CODE(gs_chan_free(m.goods), GS_OK);
}

static void trade_in_many_ways(void *arg) {
  (void)arg;
  static const size_t caps[] = {0, 1, 10, 1000};
  for (size_t i = 0; i < COUNT(caps); i++) {
    trade(1, 1, caps[i], SCALE(5000));
    trade(8, 8, caps[i], SCALE(1000));
    trade(50, 3, caps[i], SCALE(100));
    trade(3, 50, caps[i], SCALE(1000));
  }
}

static void test_producers_and_consumers(void **state) {
  (void)state;
  run_procs(PROCS, trade_in_many_ways, NULL);
}

/* ---- ping-pong ---- */

typedef struct table {
  gs_chan *there, *back;
  int rounds;
} table;

static void hit_back(void *arg) {
  table *t = arg;
  for (int i = 0; i < t->rounds; i++) {
    int ball = -1;
    CHECK_CODE(gs_chan_recv(t->there, &ball, GS_FOREVER), GS_OK);
    CHECK_INT(ball, i);
    ball = -i;
    CHECK_CODE(gs_chan_send(t->back, &ball, GS_FOREVER), GS_OK);
  }
}

static void ping_pong(void *arg) {
  (void)arg;
  for (size_t cap = 0; cap <= 1; cap++) {
    table t = {chan_new(sizeof(int), cap), chan_new(sizeof(int), cap), SCALE(20000)};
    gs_handle *h = go_named("hits back", hit_back, &t);
    for (int i = 0; i < t.rounds; i++) {
      int ball = i;
      CHECK_CODE(gs_chan_send(t.there, &ball, GS_FOREVER), GS_OK);
      CHECK_CODE(gs_chan_recv(t.back, &ball, GS_FOREVER), GS_OK);
      CHECK_INT(ball, -i);
    }
    join(h);
    CHECK_CODE(gs_chan_free(t.there), GS_OK);
    CHECK_CODE(gs_chan_free(t.back), GS_OK);
  }
}

static void test_ping_pong(void **state) {
  (void)state;
  run_procs(PROCS, ping_pong, NULL);
}

/* ---- a chain ---- */

typedef struct link {
  gs_chan *left, *right;
} link;

static void pass_left(void *arg) {
  link *l = arg;
  int value = 0;
  CHECK_CODE(gs_chan_recv(l->right, &value, GS_FOREVER), GS_OK);
  value++;
  CHECK_CODE(gs_chan_send(l->left, &value, GS_FOREVER), GS_OK);
}

static void chain(void *arg) {
  (void)arg;
  int count = SCALE(10000);
  link *links = calloc((size_t)count, sizeof *links);
  gs_handle **h = calloc((size_t)count, sizeof(gs_handle *));
  gs_chan *leftmost = chan_new(sizeof(int), 0), *left = leftmost;
  for (int i = 0; i < count; i++) {
    links[i] = (link){left, chan_new(sizeof(int), 0)};
    h[i] = go_named("link", pass_left, &links[i]);
    left = links[i].right;
  }
  int value = 0;
  CHECK_CODE(gs_chan_send(left, &value, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_chan_recv(leftmost, &value, GS_FOREVER), GS_OK);
  CHECK_INT(value, count);
  for (int i = 0; i < count; i++) {
    join(h[i]);
    CHECK_CODE(gs_chan_free(links[i].left), GS_OK);
  }
  CHECK_CODE(gs_chan_free(left), GS_OK);
  free(h);
  free(links);
}

static void test_a_chain(void **state) {
  (void)state;
  run_procs(PROCS, chain, NULL);
}

/* ---- the prime sieve ---- */

enum { PRIMES = 200 };

typedef struct filter {
  gs_chan *in, *out;
  int prime;
} filter;

/* Ends when it is closed or cancelled. */
static void generate(void *arg) {
  for (int n = 2; gs_chan_send(arg, &n, GS_FOREVER) == GS_OK; n++) continue;
}

static void pass_what_is_not_divisible(void *arg) {
  filter *f = arg;
  int n;
  while (gs_chan_recv(f->in, &n, GS_FOREVER) == GS_OK) {
    if (n % f->prime != 0 && gs_chan_send(f->out, &n, GS_FOREVER) != GS_OK) break;
  }
}

static void sieve(void *arg) {
  (void)arg;
  static filter filters[PRIMES];
  static gs_handle *h[PRIMES];
  int count = SCALE(PRIMES), prime = 0;
  gs_chan *in = chan_new(sizeof(int), 0);
  gs_handle *generator = go_named("generator", generate, in);
  for (int i = 0; i < count; i++) {
    CHECK_CODE(gs_chan_recv(in, &prime, GS_FOREVER), GS_OK);
    int is_prime = prime > 1;
    for (int d = 2; d * d <= prime; d++) is_prime &= prime % d != 0;
    CHECK(is_prime);
    filters[i] = (filter){in, chan_new(sizeof(int), 0), prime};
    h[i] = go_named("filter", pass_what_is_not_divisible, &filters[i]);
    in = filters[i].out;
  }
  if (count == PRIMES) CHECK_INT(prime, 1223);
  for (int i = 0; i < count; i++) CHECK_CODE(gs_chan_close(filters[i].in), GS_OK);
  CHECK_CODE(gs_chan_close(in), GS_OK);
  join(generator);
  for (int i = 0; i < count; i++) join(h[i]);
  for (int i = 0; i < count; i++) CHECK_CODE(gs_chan_free(filters[i].in), GS_OK);
  CHECK_CODE(gs_chan_free(in), GS_OK);
}

static void test_prime_sieve(void **state) {
  (void)state;
  run_procs(PROCS, sieve, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_producers_and_consumers),
      cmocka_unit_test(test_ping_pong),
      cmocka_unit_test(test_a_chain),
      cmocka_unit_test(test_prime_sieve),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
