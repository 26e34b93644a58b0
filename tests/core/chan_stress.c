/* chan_stress.c: random operations on channels against a model of what they may do.
 *
 * First one green thread alone against a ring in an array, where every result is known.  Then
 * many at once, sending, receiving, trying, timing out and being cancelled: every element whose
 * send succeeded must arrive exactly once, none whose send failed may arrive, and each receiver
 * must see the elements of each sender in the order they were sent in.
 *
 * ctest runs it with several numbers of Ps (GOSCHED_PROCS).
 */
#include "support.h"

/* ---- alone ---- */

enum { MODEL_CAP = 13 };

typedef struct model {
  int ring[MODEL_CAP];
  size_t first, len, cap;
  int closed;
} model;

static int model_send(model *m, int value) {
  if (m->closed) return GS_ECLOSED;
  if (m->len == m->cap) return GS_EWOULDBLOCK;
  m->ring[(m->first + m->len++) % m->cap] = value;
  return GS_OK;
}

static int model_recv(model *m, int *value) {
  if (m->len == 0) {
    if (m->closed) *value = 0;
    return m->closed ? GS_ECLOSED : GS_EWOULDBLOCK;
  }
  *value = m->ring[m->first];
  m->first = (m->first + 1) % m->cap;
  m->len--;
  return GS_OK;
}

static void alone(void *arg) {
  uint64_t *seed = arg;
  for (int round = 0; round < 40; round++) {
    model m = {.cap = random_next(seed) % (MODEL_CAP + 1)};
    gs_chan *c = chan_new(sizeof(int), m.cap);
    for (int i = 0; i < SCALE(3000); i++) {
      int sent = (int)(random_next(seed) % 100000), value = -1, expected = -1;
      switch (random_next(seed) % 5) {
        case 0:
        case 1: CHECK_CODE(gs_chan_try_send(c, &sent), model_send(&m, sent)); break;
        case 2:
        case 3:
          CHECK_CODE(gs_chan_try_recv(c, &value), model_recv(&m, &expected));
          CHECK_INT(value, expected);
          break;
        default:
          if (random_next(seed) % 1000 == 0) {
            CHECK_CODE(gs_chan_close(c), m.closed ? GS_ECLOSED : GS_OK);
            m.closed = 1;
          }
      }
      CHECK_INT(gs_chan_len(c), m.len);
      CHECK_INT(gs_chan_closed(c), m.closed);
    }
    CHECK_CODE(gs_chan_free(c), GS_OK);
  }
}

static void test_alone(void **state) {
  (void)state;
  uint64_t seed = 0x9e3779b97f4a7c15u;
  run_procs(0, alone, &seed);
}

/* ---- together ---- */

enum { CHANNELS = 5, WORKERS = 24, OPS = 1500 };

typedef struct element {
  int worker, number;
} element;

typedef struct worker {
  struct world *world;
  int me;
  uint64_t seed;
  gs_handle *h;
  int channel_of[OPS]; /* by number: the channel it went to, or -1: its send failed */
  /* By channel and sender: the number received last, to see that they only grow. */
  int last[CHANNELS][WORKERS];
} worker;

typedef struct world {
  gs_chan *channels[CHANNELS];
  worker workers[WORKERS];
  atomic_int received[WORKERS][OPS]; /* how often it arrived, plus 100 * its channel */
  atomic_int finished;
  int ops;
} world;

static void note_received(worker *w, int channel, element e) {
  int right = e.worker >= 0 && e.worker < WORKERS && e.number >= 0 && e.number < w->world->ops;
  CHECK(right);
  if (!right) return;
  CHECK(e.number > w->last[channel][e.worker]);
  w->last[channel][e.worker] = e.number;
  atomic_fetch_add(&w->world->received[e.worker][e.number], 1 + 100 * channel);
}

static int64_t random_deadline(uint64_t *seed) {
  static const int64_t waits[] = {-1, 0, US(5), US(50), US(300)};
  return gs_now() + waits[random_next(seed) % COUNT(waits)];
}

static int known(int code) {
  return code == GS_OK || code == GS_EWOULDBLOCK || code == GS_ETIMEOUT || code == GS_ECANCELED;
}

static void random_send(worker *w, int channel, int number) {
  gs_chan *c = w->world->channels[channel];
  element e = {w->me, number};
  int code = random_next(&w->seed) % 3 == 0 ? gs_chan_try_send(c, &e)
                                            : gs_chan_send(c, &e, random_deadline(&w->seed));
  CHECK(known(code));
  w->channel_of[number] = code == GS_OK ? channel : -1;
}

static void random_recv(worker *w, int channel) {
  gs_chan *c = w->world->channels[channel];
  element e = {-1, -1};
  int code = random_next(&w->seed) % 3 == 0 ? gs_chan_try_recv(c, &e)
                                            : gs_chan_recv(c, &e, random_deadline(&w->seed));
  CHECK(known(code));
  if (code == GS_OK) {
    note_received(w, channel, e);
  } else {
    CHECK_INT(e.number, -1);
  }
}

static int nothing(void *arg) {
  (void)arg;
  return 0;
}

static void work(void *arg) {
  worker *w = arg;
  for (int i = 0; i < w->world->ops; i++) {
    int channel = (int)(random_next(&w->seed) % CHANNELS);
    w->channel_of[i] = -1;
    switch (random_next(&w->seed) % 16) {
      case 0: gs_yield(); break;
      case 1: CHECK_CODE(gs_cgocall(nothing, NULL, NULL), GS_OK); break;
      case 2: CHECK(known(gs_sleep(US(10)))); break;
      case 3:
      case 4:
      case 5:
      case 6:
      case 7:
      case 8: random_send(w, channel, i); break;
      default: random_recv(w, channel);
    }
    if (gs_cancelled()) gs_uncancel();
  }
  atomic_fetch_add(&w->world->finished, 1);
}

static void drain(world *all, worker *w) {
  for (int channel = 0; channel < CHANNELS; channel++) {
    gs_chan *c = all->channels[channel];
    element e;
    CHECK_CODE(gs_chan_close(c), GS_OK);
    while (gs_chan_recv(c, &e, GS_FOREVER) == GS_OK) note_received(w, channel, e);
    CHECK_CODE(gs_chan_free(c), GS_OK);
  }
}

static void forget_received(worker *w) {
  for (int i = 0; i < CHANNELS; i++) {
    for (int j = 0; j < WORKERS; j++) w->last[i][j] = -1;
  }
}

static void together(void *arg) {
  static world all;
  static worker drainer;
  uint64_t *seed = arg;
  memset(&all, 0, sizeof all);
  all.ops = SCALE(OPS);
  for (size_t i = 0; i < CHANNELS; i++) all.channels[i] = chan_new(sizeof(element), i * i);
  for (int i = 0; i < WORKERS; i++) {
    worker *w = &all.workers[i];
    w->world = &all;
    w->me = i;
    w->seed = random_next(seed);
    forget_received(w);
    w->h = go_named("worker", work, w);
  }
  int64_t end = gs_now() + 2 * PATIENCE;
  while (atomic_load(&all.finished) < WORKERS && gs_now() < end) {
    CHECK_CODE(gs_cancel(all.workers[random_next(seed) % WORKERS].h), GS_OK);
    CHECK_CODE(gs_sleep(US(100)), GS_OK);
  }
  for (int i = 0; i < WORKERS; i++) join(all.workers[i].h);
  drainer.world = &all;
  forget_received(&drainer);
  drain(&all, &drainer);
  for (int i = 0; i < WORKERS; i++) {
    for (int n = 0; n < all.ops; n++) {
      int channel = all.workers[i].channel_of[n];
      CHECK_INT(atomic_load(&all.received[i][n]), channel < 0 ? 0 : 1 + 100 * channel);
    }
  }
}

static void test_together(void **state) {
  (void)state;
  uint64_t seed = 0x2545f4914f6cdd1du;
  for (int i = 0; i < 3; i++) run_procs(0, together, &seed);
}

/* ---- what was sent before the close is there ---- */

typedef struct last_one {
  gs_chan *c;
  wait_group wg;
} last_one;

static void try_to_get_it(void *arg) {
  last_one *l = arg;
  int value;
  int code = gs_chan_try_recv(l->c, &value);
  CHECK(code == GS_OK || code == GS_ECLOSED); /* never "empty, but open" */
  wg_done(&l->wg);
}

static void send_close_receive(void *arg) {
  (void)arg;
  for (int i = 0; i < SCALE(10000); i++) {
    last_one l = {.c = chan_new(sizeof(int), 1)};
    int value = i;
    wg_init(&l.wg);
    CHECK_CODE(gs_chan_send(l.c, &value, GS_FOREVER), GS_OK);
    go(try_to_get_it, &l);
    CHECK_CODE(gs_chan_close(l.c), GS_OK);
    int code = gs_chan_recv(l.c, &value, GS_FOREVER);
    CHECK(code == GS_OK || code == GS_ECLOSED);
    wg_wait(&l.wg, 1);
    CHECK_CODE(gs_chan_free(l.c), GS_OK);
  }
}

static void test_nonblocking_receive_and_close(void **state) {
  (void)state;
  run_procs(0, send_close_receive, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_alone),
      cmocka_unit_test(test_together),
      cmocka_unit_test(test_nonblocking_receive_and_close),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
