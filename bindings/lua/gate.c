/* gate.c: coming into a Lua VM from another thread.
 *
 * C calls a Lua function.  If the thread that C runs on is in a foreign call of this VM, the turn
 * comes with it: on a green thread of the VM the scheduler gives it its P before a callback runs;
 * outside gosched.run there is only that one thread.  On any other thread (one that C made, a green
 * thread of another VM or of C) the VM's lock has to be taken: a green thread of the VM's domain is
 * made for the visit, which gets the P when it is its turn, and the visitor waits for it in a
 * foreign call.
 *
 * A visit needs a gosched.run under way, since outside of one nobody can say when the VM is idle.
 * The gate says whether it is: it is shut by the main green thread when its function has returned,
 * under the mutex under which visits are started and listed.  What was started before is in the
 * list: it is cancelled, and waited for; so nobody is in the VM when gosched.run returns.
 *
 * The gate outlives the VM, because C may call a callback later: who has one of its references may
 * ask it.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "cdata.h"
#include "green.h"

struct gsl_gate {
  pthread_mutex_t mutex;
  pthread_cond_t changed; /* visits, or `held` of one of them */
  struct visit *visits;   /* that were let in; under mutex */
  vm *v;                  /* under mutex; NULL: it is gone */
  lua_State *service; /* makes lua_States for visits; used with the turn, and only in new_state */
  bool open;          /* under mutex */
  gs_domain *domain;  /* the VM's, once it has been open; under mutex */
  unsigned refs;      /* atomic */
  unsigned depth;     /* of calls outside gosched.run; the VM's thread */
  pthread_t plain;    /* … and the thread that makes them, if has_plain; atomic */
  int has_plain;      /* atomic */
};

static const char service_key; /* registry */

gsl_gate *gsl_gate_new(lua_State *L, vm *v) {
  gsl_gate *g = calloc(1, sizeof(*g));
  if (!g) return NULL;
  pthread_mutex_init(&g->mutex, NULL);
  pthread_cond_init(&g->changed, NULL);
  g->v = v;
  g->refs = 1;
  v->gate = g; /* freed with the VM from here on, whatever is raised */
  g->service = lua_newthread(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &service_key);
  return g;
}

gsl_gate *gsl_gate_hold(gsl_gate *g) {
  __atomic_fetch_add(&g->refs, 1, __ATOMIC_RELAXED);
  return g;
}

void gsl_gate_drop(gsl_gate *g) {
  if (__atomic_fetch_sub(&g->refs, 1, __ATOMIC_ACQ_REL) != 1) return;
  pthread_cond_destroy(&g->changed);
  pthread_mutex_destroy(&g->mutex);
  free(g);
}

void gsl_gate_open(gsl_gate *g) {
  pthread_mutex_lock(&g->mutex);
  g->open = true;
  g->domain = g->v->turn->domain;
  pthread_mutex_unlock(&g->mutex);
}

void gsl_gate_close(gsl_gate *g) {
  pthread_mutex_lock(&g->mutex);
  g->open = false;
  g->v = NULL;
  g->domain = NULL; /* another VM's from now on */
  pthread_mutex_unlock(&g->mutex);
  gsl_gate_drop(g);
}

/* Another thread that compares itself with `plain` finds a difference, whichever value it sees. */
void gsl_gate_plain(gsl_gate *g, bool begins) {
  if (begins && g->depth++ == 0) {
    __atomic_store_n(&g->plain, pthread_self(), __ATOMIC_RELAXED);
    __atomic_store_n(&g->has_plain, 1, __ATOMIC_RELEASE);
  } else if (!begins && --g->depth == 0) {
    __atomic_store_n(&g->has_plain, 0, __ATOMIC_RELAXED);
  }
}

static bool is_plain(gsl_gate *g) {
  return __atomic_load_n(&g->has_plain, __ATOMIC_ACQUIRE) &&
         pthread_equal(__atomic_load_n(&g->plain, __ATOMIC_RELAXED), pthread_self());
}

/* ---- a lua_State for who has none ------------------------------------------------------------ */

static int new_thread(lua_State *L) {
  lua_State *T = lua_newthread(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, T);
  *(lua_State **)lua_touserdata(L, 1) = T;
  return 0;
}

/* While the collector is stopped no finalizer runs on `service`: it could make a foreign call, and
 * the next visitor would meet it there. */
static lua_State *new_state(gsl_gate *g) {
  lua_State *T = NULL, *L = g->service;
  bool running = lua_gc(L, LUA_GCISRUNNING) == 1;
  if (running) lua_gc(L, LUA_GCSTOP);
  lua_pushcfunction(L, new_thread);
  lua_pushlightuserdata(L, &T);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) lua_pop(L, 1);
  if (running) lua_gc(L, LUA_GCRESTART);
  return T;
}

/* Clears a field of the registry, which allocates nothing. */
static void give_back(lua_State *T) {
  lua_settop(T, 0);
  lua_pushnil(T);
  lua_rawsetp(T, LUA_REGISTRYINDEX, T);
}

/* ---- coming in ------------------------------------------------------------------------------- */

typedef struct visit {
  struct visit *next; /* under the gate's mutex */
  gsl_gate *gate;
  vm *v;
  gsl_visitor *fn;
  void *arg;
  gs_handle *handle;
  green self;     /* the green thread's */
  bool cancelled; /* under the gate's mutex */
  bool held;      /* it is just being cancelled: handle must stay; the same */
  bool done;
  sem_t over;
} visit;

/* From a foreign call back into Lua, and away again. */
static void run_on(lua_State *L, vm *v, gsl_frame *frame, gsl_visitor *fn, void *arg) {
  gsl_back(v, false);
  fn(L, v, frame, arg);
  gsl_away(L, v);
}

/* With the turn. */
static bool run_here(gsl_gate *g, vm *v, gsl_frame *frame, gsl_visitor *fn, void *arg) {
  if (frame && frame->away) {
    frame->away = false;
    run_on(frame->L, v, frame, fn, arg);
    frame->away = true;
    return true;
  }
  lua_State *T = new_state(g); /* C was called by other means than a foreign call */
  if (!T) return false;
  green *self = gsl_running(v->turn);
  bool first = self && !self->L; /* a visit's: it has no other */
  if (first) self->L = self->at = T;
  run_on(T, v, NULL, fn, arg);
  if (first) self->L = self->at = NULL;
  give_back(T);
  return true;
}

/* A green thread of the VM, made for a visit. */
static void visiting(void *arg) {
  visit *x = arg;
  green *self = &x->self;
  *self = (green){.vm = x->v, .turn = x->v->turn, .deadline = GS_FOREVER, .name = "callback"};
  self->id = gs_self();
  self->handle = x->handle;
  *gs_gdata() = self;
  gsl_enlist(x->v, &x->v->visits, self);
  x->done = run_here(x->gate, x->v, NULL, x->fn, x->arg);
  gsl_delist(x->v, &x->v->visits, self);
  *gs_gdata() = NULL;
  sem_post(&x->over);
}

static void unlist(gsl_gate *g, visit *x) {
  pthread_mutex_lock(&g->mutex);
  while (x->held) pthread_cond_wait(&g->changed, &g->mutex);
  for (visit **at = &g->visits; *at; at = &(*at)->next)
    if (*at == x) {
      *at = x->next;
      break;
    }
  pthread_cond_broadcast(&g->changed);
  pthread_mutex_unlock(&g->mutex);
}

/* The green thread may be through before this has returned; nobody but the visitor frees it. */
static bool start(visit *x) {
  gsl_gate *g = x->gate;
  gs_go_options opts = GS_GO_OPTIONS_DEFAULT;
  opts.name = "callback";
  pthread_mutex_lock(&g->mutex);
  x->v = g->v;
  opts.domain = g->domain;
  bool ok = g->open && gs_go_opts(&opts, visiting, x, &x->handle) == GS_OK;
  if (ok) {
    x->next = g->visits;
    g->visits = x;
  }
  pthread_mutex_unlock(&g->mutex);
  return ok;
}

/* As foreign code: the visitor is some green thread, and others may need its P meanwhile.  Also the
 * start: outside, it could lose its turn in gs_go_opts with the mutex in hand. */
static int start_and_await(void *arg) {
  visit *x = arg;
  if (!start(x)) return 0;
  while (sem_wait(&x->over) != 0) continue;
  unlist(x->gate, x);
  return 1;
}

static bool visit_it(gsl_gate *g, gsl_visitor *fn, void *arg) {
  visit x = {.gate = g, .fn = fn, .arg = arg};
  int started = 0;
  if (sem_init(&x.over, 0, 0) != 0) return false;
  if (gs_cgocall(start_and_await, &x, &started) == GS_EPERM) started = start_and_await(&x);
  if (started) gs_handle_release(x.handle);
  sem_destroy(&x.over);
  return x.done;
}

/* Cancelling may call an unblock function, which may want to come in: not under the mutex. */
static void cancel_visits(gsl_gate *g) {
  visit *x = g->visits;
  while (x) {
    if (x->cancelled) {
      x = x->next;
      continue;
    }
    x->cancelled = x->held = true;
    pthread_mutex_unlock(&g->mutex);
    gs_cancel(x->handle);
    pthread_mutex_lock(&g->mutex);
    x->held = false;
    pthread_cond_broadcast(&g->changed);
    x = g->visits; /* others may have gone */
  }
}

static int drain(void *arg) {
  gsl_gate *g = arg;
  pthread_mutex_lock(&g->mutex);
  while (g->visits) pthread_cond_wait(&g->changed, &g->mutex);
  pthread_mutex_unlock(&g->mutex);
  return 0;
}

void gsl_gate_shut(lua_State *L, vm *v) {
  gsl_gate *g = v->gate;
  pthread_mutex_lock(&g->mutex);
  g->open = false;
  cancel_visits(g);
  bool some = g->visits;
  pthread_mutex_unlock(&g->mutex);
  if (!some) return;
  bool finalizing = gsl_away(L, v);
  gs_cgocall(drain, g, NULL);
  gsl_back(v, finalizing);
}

static int run_plain(void *arg) {
  visit *x = arg;
  x->done = run_here(x->gate, x->v, x->v->local.frame, x->fn, x->arg);
  return 0;
}

/* Outside gosched.run a callback runs on a small stack that the scheduler has made for this thread:
 * Lua may want more, so it is called on the thread's own one, as foreign code. */
static bool visit_plain(gsl_gate *g, gsl_visitor *fn, void *arg) {
  visit x = {.gate = g, .v = g->v, .fn = fn, .arg = arg};
  return gs_cgocall(run_plain, &x, NULL) == GS_OK && x.done;
}

bool gsl_with_turn(gsl_gate *g, gsl_visitor *fn, void *arg) {
  if (is_plain(g)) return visit_plain(g, fn, arg);
  pthread_mutex_lock(&g->mutex);
  vm *v = g->v;
  gs_domain *domain = g->domain;
  pthread_mutex_unlock(&g->mutex);
  if (domain && gs_domain_self() == domain) return run_here(g, v, gsl_local_of(v)->frame, fn, arg);
  return visit_it(g, fn, arg);
}
