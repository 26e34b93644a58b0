/* pipelines.c: Go's test/chan programs that make long chains of green threads (goroutines.go,
 * powser1.go, zerosize.go).
 */
#include "support.h"

enum { PROCS = 2, CHAIN = 10000, STAGES = 500 };

/* ---- a chain of 10,000: each adds one to what its right neighbour sends ---- */

typedef struct {
  gs_chan *left, *right;
} Link;

static void add_one(void *arg) {
  Link *link = arg;
  int64_t value = 0;
  CHECK_CODE(gs_chan_recv(link->right, &value, GS_FOREVER), GS_OK);
  value++;
  CHECK_CODE(gs_chan_send(link->left, &value, GS_FOREVER), GS_OK);
}

static void chain(void *arg) {
  int n = SCALE(*(int *)arg);
  gs_chan **c = calloc((size_t)n + 1, sizeof *c);
  Link *links = calloc((size_t)n, sizeof *links);
  CHECK(c && links);
  for (int i = 0; i <= n; i++) c[i] = chan_new(sizeof(int64_t), 0);
  for (int i = 0; i < n; i++) {
    links[i] = (Link){c[i], c[i + 1]};
    go(add_one, &links[i]);
  }
  int64_t value = 1;
  CHECK_CODE(gs_chan_send(c[n], &value, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_chan_recv(c[0], &value, GS_FOREVER), GS_OK);
  CHECK_INT(value, n + 1);
  for (int i = 0; i <= n; i++) CHECK_CODE(gs_chan_free(c[i]), GS_OK);
  free(links);
  free(c);
}

static void test_chain_of_10000(void **state) {
  (void)state;
  run_procs(PROCS, chain, &(int){CHAIN});
}

/* ---- a long pipeline that is kept full, and ends from its beginning ---- */

static void stage(void *arg) {
  Link *link = arg;
  int64_t value;
  int r;
  while ((r = gs_chan_recv(link->right, &value, GS_FOREVER)) == GS_OK) {
    value = (int64_t)((uint64_t)value * 3 + 1);
    CHECK_CODE(gs_chan_send(link->left, &value, GS_FOREVER), GS_OK);
  }
  CHECK_CODE(r, GS_ECLOSED);
  CHECK_CODE(gs_chan_close(link->left), GS_OK);
}

typedef struct {
  gs_chan *c;
  int n;
} Feed;

static void feed(void *arg) {
  Feed *f = arg;
  for (int64_t i = 0; i < f->n; i++) CHECK_CODE(gs_chan_send(f->c, &i, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_chan_close(f->c), GS_OK);
}

static void pipeline(void *arg) {
  size_t cap = *(size_t *)arg;
  int stages = SCALE(STAGES), n = SCALE(100);
  gs_chan **c = calloc((size_t)stages + 1, sizeof *c);
  Link *links = calloc((size_t)stages, sizeof *links);
  CHECK(c && links);
  for (int i = 0; i <= stages; i++) c[i] = chan_new(sizeof(int64_t), cap);
  for (int i = 0; i < stages; i++) {
    links[i] = (Link){c[i], c[i + 1]};
    go(stage, &links[i]);
  }
  Feed f = {c[stages], n};
  gs_handle *feeder = go_named("feeds", feed, &f);
  for (int i = 0; i < n; i++) {
    uint64_t expected = (uint64_t)i;
    int64_t got = 0;
    for (int k = 0; k < stages; k++) expected = expected * 3 + 1;
    CHECK_CODE(gs_chan_recv(c[0], &got, GS_FOREVER), GS_OK);
    CHECK((uint64_t)got == expected);
  }
  CHECK_CODE(gs_chan_recv(c[0], NULL, GS_FOREVER), GS_ECLOSED);
  join(feeder);
  for (int i = 0; i <= stages; i++) CHECK_CODE(gs_chan_free(c[i]), GS_OK);
  free(links);
  free(c);
}

static void test_long_pipeline(void **state) {
  (void)state;
  run_procs(PROCS, pipeline, &(size_t){0});
  run_procs(PROCS, pipeline, &(size_t){10});
}

/* ---- elements without a size are counted all the same ---- */

static void pass_nothing(void *arg) {
  Link *link = arg;
  while (gs_chan_recv(link->right, NULL, GS_FOREVER) == GS_OK)
    CHECK_CODE(gs_chan_send(link->left, "", GS_FOREVER), GS_OK);
  CHECK_CODE(gs_chan_close(link->left), GS_OK);
}

static void zero_size(void *arg) {
  (void)arg;
  gs_chan *in = chan_new(0, 3), *out = chan_new(0, 100);
  Link link = {out, in};
  gs_handle *h = go_named("passes", pass_nothing, &link);
  for (int i = 0; i < 100; i++) CHECK_CODE(gs_chan_send(in, "", GS_FOREVER), GS_OK);
  CHECK_CODE(gs_chan_close(in), GS_OK);
  join(h);
  CHECK_INT(gs_chan_len(out), 100);
  for (int i = 0; i < 100; i++) CHECK_CODE(gs_chan_try_recv(out, NULL), GS_OK);
  CHECK_CODE(gs_chan_try_recv(out, NULL), GS_ECLOSED);
  CHECK_CODE(gs_chan_free(in), GS_OK);
  CHECK_CODE(gs_chan_free(out), GS_OK);
}

static void test_zero_size(void **state) {
  (void)state;
  run_procs(PROCS, zero_size, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_chain_of_10000),
      cmocka_unit_test(test_long_pipeline),
      cmocka_unit_test(test_zero_size),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
