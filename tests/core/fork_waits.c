/* fork_waits.c: mutexes, semaphores and the like over a fork, while others wait for them.
 *
 * What the child finds wrong it counts and tells by its exit status.
 */
#include "fork_child.h"

#include <pthread.h>

/* ---- with a mutex in hand, as fork handlers do ---- */

typedef struct contended {
  gs_mutex mutex;
  atomic_int stop;
} contended;

static void contend(void *arg) {
  contended *c = arg;
  while (!atomic_load(&c->stop)) {
    CHECK_CODE(gs_mutex_lock(&c->mutex, GS_FOREVER), GS_OK);
    gs_yield();
    CHECK_CODE(gs_mutex_unlock(&c->mutex), GS_OK);
    gs_yield();
  }
}

static void contend_a_little(void *arg) {
  contended *c = arg;
  for (int i = 0; i < 20; i++) {
    CHECK_CODE(gs_mutex_lock(&c->mutex, GS_FOREVER), GS_OK);
    gs_yield();
    CHECK_CODE(gs_mutex_unlock(&c->mutex), GS_OK);
  }
}

static void go_and_join(body_fn fn, void *arg) {
  gs_handle *hs[4];
  for (size_t i = 0; i < COUNT(hs); i++) hs[i] = go_named("new", fn, arg);
  for (size_t i = 0; i < COUNT(hs); i++) join(hs[i]);
}

static void fork_with_mutex(void *arg) {
  (void)arg;
  contended c = {.stop = 0};
  gs_handle *hs[6];
  for (size_t i = 0; i < COUNT(hs); i++) hs[i] = go_named("contends", contend, &c);
  for (int i = 0; i < 20; i++) {
    CHECK_CODE(gs_mutex_lock(&c.mutex, GS_FOREVER), GS_OK);
    pid_t pid = fork();
    CHECK_CODE(gs_mutex_unlock(&c.mutex), GS_OK);
    if (pid == 0) {
      begin_child();
      go_and_join(contend_a_little, &c);
      end_child();
    }
    expect_end(pid, GOOD);
    if (checks_failed()) break;
  }
  atomic_store(&c.stop, 1);
  for (size_t i = 0; i < COUNT(hs); i++) join(hs[i]);
}

/* Whoever was woken to take the mutex, and has not yet, is not there in the child. */
static void test_with_a_mutex(void **state) {
  (void)state;
  skip_threads();
  run_procs(2, fork_with_mutex, NULL);
}

/* ---- while threads that run no green thread wait for this and that ---- */

typedef struct wanted {
  gs_mutex mutex, under;
  gs_rwmutex rw;
  gs_sema sema;
  gs_waitgroup group;
  gs_cond cond;
  atomic_int came, through;
} wanted;

static wanted *the_wanted;

static void want(wanted *w, int which) {
  switch (which) {
    case 0:
      CHECK_CODE(gs_mutex_lock(&w->mutex, GS_FOREVER), GS_OK);
      CHECK_CODE(gs_mutex_unlock(&w->mutex), GS_OK);
      break;
    case 1:
      CHECK_CODE(gs_rwmutex_lock(&w->rw, GS_FOREVER), GS_OK);
      CHECK_CODE(gs_rwmutex_unlock(&w->rw), GS_OK);
      break;
    case 2:
      CHECK_CODE(gs_rwmutex_rlock(&w->rw, GS_FOREVER), GS_OK);
      CHECK_CODE(gs_rwmutex_runlock(&w->rw), GS_OK);
      break;
    case 3: CHECK_CODE(gs_sema_acquire(&w->sema, GS_FOREVER), GS_OK); break;
    case 4: CHECK_CODE(gs_waitgroup_wait(&w->group, GS_FOREVER), GS_OK); break;
    default:
      CHECK_CODE(gs_mutex_lock(&w->under, GS_FOREVER), GS_OK);
      CHECK_CODE(gs_cond_wait(&w->cond, &w->under, GS_FOREVER), GS_OK);
      CHECK_CODE(gs_mutex_unlock(&w->under), GS_OK);
  }
  atomic_fetch_add(&w->through, 1);
}

enum { WANTS = 6 };

static void *thread_wants(void *which) {
  atomic_fetch_add(&the_wanted->came, 1);
  want(the_wanted, (int)(intptr_t)which);
  return NULL;
}

static void g_wants(void *which) { want(the_wanted, (int)(intptr_t)which); }

/* Such a thread gets the stack of one that is not there any more. */
static void *scribble(void *arg) {
  volatile char frame[16384];
  for (size_t i = 0; i < sizeof frame; i++) frame[i] = (char)0xa5;
  return frame[0] ? arg : NULL;
}

static void give_all(wanted *w) {
  CHECK_CODE(gs_mutex_unlock(&w->mutex), GS_OK);
  CHECK_CODE(gs_rwmutex_unlock(&w->rw), GS_OK);
  CHECK_CODE(gs_sema_release(&w->sema, WANTS), GS_OK);
  CHECK_CODE(gs_waitgroup_done(&w->group), GS_OK);
  for (int64_t end = gs_now() + PATIENCE; atomic_load(&w->through) < WANTS && gs_now() < end;) {
    CHECK_CODE(gs_cond_broadcast(&w->cond), GS_OK);
    gs_sleep(MS(1));
  }
  CHECK_INT(atomic_load(&w->through), WANTS);
}

static void child_of_wanted(wanted *w) {
  pthread_t t[WANTS];
  for (int i = 0; i < WANTS; i++) CHECK_INT(pthread_create(&t[i], NULL, scribble, w), 0);
  for (int i = 0; i < WANTS; i++) pthread_join(t[i], NULL);
  for (int i = 0; i < WANTS; i++) go(g_wants, (void *)(intptr_t)i);
  gs_sleep(MS(2));
  give_all(w);
}

static void fork_while_wanted(void *arg) {
  (void)arg;
  wanted w = {.sema = GS_SEMA_INIT(0)};
  pthread_t t[WANTS];
  the_wanted = &w;
  CHECK_CODE(gs_mutex_lock(&w.mutex, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_rwmutex_lock(&w.rw, GS_FOREVER), GS_OK);
  CHECK_CODE(gs_waitgroup_add(&w.group, 1), GS_OK);
  for (int i = 0; i < WANTS; i++)
    CHECK_INT(pthread_create(&t[i], NULL, thread_wants, (void *)(intptr_t)i), 0);
  while (atomic_load(&w.came) < WANTS) gs_sleep(MS(1));
  gs_sleep(MS(20)); /* by now they sleep, but for very slow ones */
  pid_t pid = fork();
  if (pid == 0) {
    begin_child();
    child_of_wanted(&w);
    end_child();
  }
  expect_end(pid, GOOD);
  give_all(&w);
  for (int i = 0; i < WANTS; i++) pthread_join(t[i], NULL);
}

/* What they have left in the queues is not looked at in the child. */
static void test_while_threads_wait(void **state) {
  (void)state;
  skip_threads();
  run_procs(2, fork_while_wanted, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_with_a_mutex),
      cmocka_unit_test(test_while_threads_wait),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
