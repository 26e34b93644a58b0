/* snapshot.c: gs_snapshot shows every G, M and P; in a stopped world the figures belong together.
 */
#include "support.h"

#include <time.h>

enum { PROCS = 3 };

static atomic_int stop, in_call, computing;

static int sit(void *arg) {
  (void)arg;
  atomic_store(&in_call, 1);
  return block_until(&stop);
}

static void sits(void *arg) {
  (void)arg;
  static gs_site site = {.name = "sit"};
  CHECK_CODE(gs_cgocall_site(&site, sit, NULL, NULL), GS_OK);
}

static void computes(void *arg) {
  (void)arg;
  atomic_store(&computing, 1);
  while (!atomic_load(&stop)) continue;
}

static void waits(void *arg) { gs_chan_recv(arg, NULL, GS_FOREVER); }

static void waits_locked(void *arg) {
  gs_lock_os_thread();
  waits(arg);
}

static const gs_g_info *find(const gs_snapshot_data *s, const char *name) {
  for (size_t i = 0; i < s->ng; i++)
    if (strcmp(s->g[i].name, name) == 0) return &s->g[i];
  CHECK(!"there is such a green thread");
  return &s->g[0];
}

static const gs_m_info *m_of(const gs_snapshot_data *s, int id) {
  for (size_t i = 0; i < s->nm; i++)
    if (s->m[i].id == id) return &s->m[i];
  CHECK(!"there is such a thread");
  return &s->m[0];
}

static void look(const gs_snapshot_data *s) {
  const gs_g_info *g = find(s, "sits");
  CHECK_INT(g->state, GS_G_SYSCALL);
  CHECK(g->call && strcmp(g->call, "sit") == 0);
  CHECK_INT(m_of(s, g->m)->g, g->id);
  CHECK_INT(m_of(s, g->m)->mode, GS_M_CALL);
  CHECK_INT(m_of(s, g->m)->incgo, 1);
  CHECK_INT(m_of(s, g->m)->ncgo, 1);
  g = find(s, "computes");
  CHECK_INT(g->state, GS_G_RUNNING);
  CHECK_INT(m_of(s, g->m)->mode, GS_M_USER);
  g = find(s, "waits");
  CHECK_INT(g->state, GS_G_WAITING);
  CHECK(strcmp(g->wait_reason, "chan recv") == 0);
  CHECK_INT(g->locked_m, -1);
  g = find(s, "locked");
  CHECK_INT(m_of(s, g->locked_m)->locked_g, g->id);
  CHECK(strcmp(g->domain, "native") == 0);
  size_t np = 0;
  for (size_t i = 0; i < s->np; i++)
    if (strcmp(s->p[i].domain, "native") == 0) np++;
  CHECK_INT(np, PROCS);
}

static void body(void *arg) {
  (void)arg;
  gs_chan *c = chan_new(0, 0);
  gs_handle *h[] = {go_named("sits", sits, NULL), go_named("computes", computes, NULL),
                    go_named("waits", waits, c), go_named("locked", waits_locked, c)};
  while (!atomic_load(&in_call) || !atomic_load(&computing)) gs_sleep(US(100));
  gs_snapshot_data *s = NULL;
  /* The two that wait may still be on their way. */
  for (int64_t until = gs_now() + PATIENCE; gs_now() < until; gs_snapshot_free(s)) {
    gs_sleep(US(100));
    CHECK_CODE(gs_snapshot(&s), GS_OK);
    if (find(s, "waits")->state == GS_G_WAITING && find(s, "locked")->state == GS_G_WAITING) break;
  }
  look(s);
  int64_t since = find(s, "waits")->since;
  CHECK(since > 0 && since <= gs_now());
  CHECK_INT(find(s, "computes")->since, 0);
  gs_snapshot_free(s);
  CHECK_CODE(gs_stop_world("test"), GS_OK);
  CHECK_CODE(gs_snapshot(&s), GS_OK);
  look(s);
  CHECK_INT(find(s, "waits")->since, since); /* it is the same wait */
  for (size_t i = 0; i < s->np; i++) {
    CHECK_INT(s->p[i].status, GS_P_STOPPED);
    if (s->p[i].m < 0) continue;
    CHECK_INT(m_of(s, s->p[i].m)->p, s->p[i].id); /* both sides agree */
  }
  gs_snapshot_free(s);
  CHECK_CODE(gs_start_world(), GS_OK);
  CHECK_CODE(gs_snapshot(NULL), GS_EINVAL);
  gs_snapshot_free(NULL);
  atomic_store(&stop, 1);
  gs_chan_close(c);
  for (size_t i = 0; i < COUNT(h); i++) join(h[i]);
  CHECK_CODE(gs_chan_free(c), GS_OK);
}

static void test_snapshot(void **state) {
  (void)state;
  run_procs(PROCS, body, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_snapshot)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
