/* fake.c: the interpreter of fake.h, and its hooks.
 *
 * The lock is a flag under a mutex, so that one can see who holds it and hand it over on purpose.
 * Hooks run on many threads; everything that only the holder of the lock may touch is plain
 * memory, so that a thread sanitizer notices a second one inside.
 *
 * Who waits for the lock without end is taken to be in a deadlock with one who has it and waits for
 * a P: then the program ends.
 */
#include "fake.h"

#include <time.h>
#include <unistd.h>

/* What the domain's word of a thread says. */
static char is_attached, is_detached;

/* What code of a foreign call finds when it asks whose state belongs to this thread. */
static _Thread_local fake_state *named;

/* Not inlined: the compiler would keep the address over a change of threads. */
static __attribute__((noinline)) void set_named(fake_state *state) { named = state; }
static __attribute__((noinline)) fake_state *get_named(void) { return named; }

static void lock_take(fake *vm, fake_state *state) {
  pthread_mutex_lock(&vm->mutex);
  vm->waiters++;
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += PATIENCE / MS(1000);
  while (vm->locked)
    if (pthread_cond_timedwait(&vm->changed, &vm->mutex, &end) == ETIMEDOUT) {
      fprintf(stderr, "deadlock: nobody gives the lock of the interpreter back\n");
      _exit(1);
    }
  vm->waiters--;
  vm->locked = 1;
  vm->takings++;
  pthread_cond_broadcast(&vm->changed);
  pthread_mutex_unlock(&vm->mutex);
  CHECK_INT(atomic_exchange(&vm->holder, my_tid()), 0);
  vm->current = state;
}

static void lock_give(fake *vm) {
  vm->current = NULL;
  CHECK_INT(atomic_exchange(&vm->holder, 0), my_tid());
  pthread_mutex_lock(&vm->mutex);
  vm->locked = 0;
  pthread_cond_broadcast(&vm->changed);
  pthread_mutex_unlock(&vm->mutex);
}

static int lock_is_mine(fake *vm) { return atomic_load(&vm->holder) == my_tid(); }

/* ---- hooks ---- */

static void note(fake *vm, char letter) {
  if (atomic_load(&vm->norder) < 0) return;
  int i = atomic_fetch_add(&vm->norder, 1);
  if (i < (int)sizeof vm->order - 1) vm->order[i] = letter;
}

static void attach(void *ud) {
  fake *vm = ud;
  void **word = gs_mdata(vm->domain);
  CHECK(word != NULL);
  if (word != NULL) {
    CHECK(*word == NULL || *word == &is_detached);
    *word = &is_attached;
  }
  CHECK(!lock_is_mine(vm));
  note(vm, 'a');
  atomic_fetch_add(&vm->attached, 1);
  atomic_fetch_add(&vm->attaches, 1);
}

static void detach(void *ud) {
  fake *vm = ud;
  void **word = gs_mdata(vm->domain);
  CHECK(word != NULL);
  if (word != NULL) {
    CHECK(*word == &is_attached);
    *word = &is_detached;
  }
  if (lock_is_mine(vm)) lock_give(vm);
  set_named(NULL);
  note(vm, 'd');
  atomic_fetch_sub(&vm->attached, 1);
  atomic_fetch_add(&vm->detaches, 1);
}

static void switch_in(void *ud, void *gdata) {
  fake *vm = ud;
  void **word = gs_mdata(vm->domain);
  CHECK(word != NULL && *word == &is_attached);
  CHECK(gs_gdata() != NULL && *gs_gdata() == gdata);
  fake_state *state = gdata;
  if (state != NULL) {
    CHECK(state->place != FAKE_C_HOLDS); /* suspend comes first */
    CHECK(state->place == FAKE_INSIDE || !lock_is_mine(vm) || vm->current != state);
    state->place = FAKE_INSIDE;
  }
  if (lock_is_mine(vm)) {
    vm->current = gdata;
  } else {
    lock_take(vm, gdata);
  }
  set_named(gdata);
  note(vm, 'i');
  atomic_fetch_add(&vm->switch_ins, 1);
}

static void release(void *ud, void *gdata) {
  fake *vm = ud;
  CHECK(lock_is_mine(vm));
  CHECK(gs_gdata() != NULL && *gs_gdata() == gdata);
  fake_state *state = gdata;
  if (state != NULL) {
    CHECK_INT(state->place, FAKE_INSIDE);
    state->place = FAKE_AWAY;
  }
  note(vm, 'r'); /* before others may run */
  if (lock_is_mine(vm)) {
    CHECK(vm->current == gdata);
    lock_give(vm);
  }
  atomic_fetch_add(&vm->releases, 1);
}

/* Both on the thread's own stack, in the middle of foreign code, which may be asked for its errno
 * afterwards. */
static void *suspend(void *ud, void *gdata) {
  fake *vm = ud;
  fake_state *state = gdata;
  CHECK(gs_gdata() != NULL && *gs_gdata() == gdata);
  CHECK(state->place == FAKE_AWAY || state->place == FAKE_C_HOLDS);
  int held = state->place == FAKE_C_HOLDS;
  CHECK_INT(lock_is_mine(vm), held);
  state->place = FAKE_SUSPENDED;
  note(vm, held ? 'S' : 's');
  if (held) {
    CHECK(vm->current == state);
    lock_give(vm);
  }
  errno = 1001;
  atomic_fetch_add(&vm->suspends, 1);
  return held ? state : NULL;
}

static void resume(void *ud, void *gdata, void *token) {
  fake *vm = ud;
  fake_state *state = gdata;
  CHECK(gs_gdata() != NULL && *gs_gdata() == gdata);
  CHECK(token == state);
  CHECK_INT(state->place, FAKE_AWAY);
  lock_take(vm, state);
  state->place = FAKE_C_HOLDS;
  note(vm, 'R');
  errno = 1002;
  atomic_fetch_add(&vm->resumes, 1);
}

static void elsewhere(void *ud, void *gdata) {
  fake *vm = ud;
  const fake_state *state = gdata;
  void **word = gs_mdata(vm->domain);
  CHECK(word != NULL && *word == &is_attached);
  CHECK(gs_gdata() != NULL && *gs_gdata() == gdata);
  CHECK(!lock_is_mine(vm));
  if (state != NULL) CHECK_INT(state->place, FAKE_AWAY);
  set_named(gdata);
  note(vm, 'e');
  errno = 1003;
  atomic_fetch_add(&vm->elsewheres, 1);
}

static int may_retake(void *ud, void *const *gdata, int64_t outside_ns, int waiting) {
  fake *vm = ud;
  fake_state *state = __atomic_load_n((fake_state *const *)gdata, __ATOMIC_ACQUIRE);
  atomic_fetch_add(&vm->questions, 1);
  CHECK(outside_ns >= 0);
  if (state == NULL) return GS_RETAKE_NO;
  CHECK(state->vm == vm);
  if (atomic_load(&state->unlocked) && atomic_load(&vm->sure)) {
    if (waiting) atomic_fetch_add(&vm->gone, 1);
    return GS_RETAKE_GONE;
  }
  if (atomic_load(&state->unlocked)) return GS_RETAKE_BLOCKED;
  return waiting ? GS_RETAKE_HOG : GS_RETAKE_NO;
}

/* ---- life ---- */

static void init(fake *vm, const char *name, void (*on_elsewhere)(void *, void *)) {
  memset(vm, 0, sizeof *vm);
  /* Here and not in fake_begin: sysmon may ask about a state that is being used again. */
  for (int i = 0; i < FAKE_STATES; i++) vm->states[i].vm = vm;
  atomic_store(&vm->norder, -1);
  pthread_mutex_init(&vm->mutex, NULL);
  pthread_cond_init(&vm->changed, NULL);
  const gs_domain_ops ops = {
      .size = sizeof ops,
      .attach = attach,
      .detach = detach,
      .switch_in = switch_in,
      .release = release,
      .may_retake = may_retake,
      .suspend = suspend,
      .resume = resume,
      .elsewhere = on_elsewhere,
  };
  int code = gs_domain_new(name, 1, 0, &ops, vm, &vm->domain);
  if (code != GS_OK) print_error("%s; %s\n", gs_strerror(code), gs_error_detail());
  assert_int_equal(code, GS_OK);
  assert_non_null(vm->domain);
}

void fake_init(fake *vm, const char *name) { init(vm, name, elsewhere); }
void fake_init_staying(fake *vm, const char *name) { init(vm, name, NULL); }

static void run_with_flags(fake *vm, int procs, unsigned flags, body_fn body, void *arg) {
  gs_config cfg = GS_CONFIG_DEFAULT;
  cfg.procs = procs;
  cfg.domain = vm->domain;
  cfg.flags = flags;
  run_config(&cfg, body, arg);
}

void fake_run(fake *vm, int procs, body_fn body, void *arg) {
  run_with_flags(vm, procs, 0, body, arg);
}

void fake_run_locked(fake *vm, int procs, body_fn body, void *arg) {
  run_with_flags(vm, procs, GS_RUN_LOCK_MAIN, body, arg);
}

void fake_assert_quiet(fake *vm) {
  int ms = 1;
  for (int64_t end = gs_now() + PATIENCE; gs_now() < end; block_ms(&ms)) {
    if (atomic_load(&vm->attached) == 0 && atomic_load(&vm->holder) == 0 &&
        atomic_load(&vm->attaches) == atomic_load(&vm->detaches))
      break;
  }
  assert_int_equal(atomic_load(&vm->holder), 0);
  assert_int_equal(atomic_load(&vm->attached), 0);
  assert_int_equal(atomic_load(&vm->attaches), atomic_load(&vm->detaches));
  assert_true(atomic_load(&vm->attaches) > 0);
  assert_int_equal(gs_domain_waiting(vm->domain), 0);
  assert_int_equal(checks_failed(), 0);
}

/* ---- for its green threads ---- */

fake_state *fake_begin(fake *vm) {
  int used = atomic_fetch_add(&vm->states_used, 1);
  CHECK(used < FAKE_STATES);
  fake_state *state = &vm->states[used % FAKE_STATES];
  atomic_store(&state->unlocked, 0);
  state->place = FAKE_INSIDE;
  CHECK(lock_is_mine(vm)); /* switch_in came first */
  CHECK(vm->current == NULL);
  CHECK(*gs_gdata() == NULL);
  __atomic_store_n((fake_state **)gs_gdata(), state, __ATOMIC_RELEASE);
  vm->current = state;
  set_named(state);
  return state;
}

void fake_end(fake_state *state) {
  fake_check(state, "the end");
  __atomic_store_n((fake_state **)gs_gdata(), NULL, __ATOMIC_RELEASE);
  state->vm->current = NULL;
}

void fake_check(fake_state *state, const char *after) {
  fake *vm = state->vm;
  int mine = lock_is_mine(vm), right = mine && vm->current == state && *gs_gdata() == state;
  CHECK(right);
  if (!right) fprintf(stderr, "  after %s: the lock is %smine\n", after, mine ? "" : "not ");
}

void fake_count(fake_state *state) {
  fake_check(state, "counting");
  state->vm->guarded++;
}

void fake_from_c(fake_state *state) {
  CHECK_INT(state->place, FAKE_AWAY);
  CHECK(!lock_is_mine(state->vm));
  CHECK(get_named() == state);
  lock_take(state->vm, state);
  state->place = FAKE_C_HOLDS;
}

void fake_to_c(fake_state *state) {
  fake_check(state, "C took the lock");
  CHECK_INT(state->place, FAKE_C_HOLDS);
  state->place = FAKE_AWAY;
  lock_give(state->vm);
}

void fake_unlocked(fake_state *state, int (*fn)(void *), void *arg) {
  fake *vm = state->vm;
  fake_check(state, "letting go");
  lock_give(vm);
  atomic_store(&state->unlocked, 1);
  fn(arg);
  lock_take(vm, state);
  atomic_store(&state->unlocked, 0);
}

void fake_breathe(fake_state *state) {
  fake *vm = state->vm;
  pthread_mutex_lock(&vm->mutex);
  int wanted = vm->waiters > 0;
  uint64_t takings = vm->takings;
  pthread_mutex_unlock(&vm->mutex);
  if (!wanted) return;
  lock_give(vm);
  pthread_mutex_lock(&vm->mutex);
  while (vm->takings == takings) pthread_cond_wait(&vm->changed, &vm->mutex);
  pthread_mutex_unlock(&vm->mutex);
  lock_take(vm, state);
}
