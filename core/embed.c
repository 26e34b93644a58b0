/* embed.c: guests: another language's interpreter in the process (gosched_embed.h).
 *
 * Who does what for a guest:
 *
 *     its thread       an ordinary thread without green threads, on which the plugin makes the
 *                      interpreter and runs the source.  Its language's binding does there what it
 *                      does on any thread: a binding whose language is a domain starts a main green
 *                      thread for the source and waits for it; Tcl's serves its event loop.
 *     its watcher      a native green thread that waits for the thread's end.  It makes a guest one
 *                      of the green threads of the gs_run under way: at the end of that it is
 *                      cancelled, which it passes on, and waited for.  Who joins the guest joins
 *                      the watcher.
 *     its hosts        any thread or green thread that has the gs_guest.
 *
 * Cancelling.  Only the plugin, or the binding, knows how its interpreter is stopped, and only at
 * some times: gs_guest_on_cancel.  Two sides: a canceller that takes `stop` to call it, and a guest
 * that takes it back because what it would stop is about to go.  Both do so under the guest's
 * mutex; the canceller counts itself in `stopping` there, and the guest waits until nobody is
 * counted.  stop is not called under the mutex: it calls gs_cancel, and as in every gs_ function
 * the turn may go to another green thread in it, which may be the one that waits.  So that one
 * yields.
 *
 * The end.  The thread releases `over`, the watcher takes it, and joins the thread, which is a
 * moment.  The outcome was written before that, under the mutex, by who said it first.
 *
 * A child of fork has no guests: their watchers have ended there as all green threads but one have,
 * so they count as ended; how is not known.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gosched_shared.h"
#include "guest.h"

#define EXIT_PATIENCE_NS ((int64_t)1000000000)
#define UNKNOWN (-1)

struct gs_guest {
  gs_guest *next;    /* of `alive`; all */
  bool listed;       /* in it; all */
  uint32_t refs;     /* who has it, and the watcher; atomic */
  gs_handle *handle; /* the watcher's; write-once, by gs_embed */
  pthread_t thread;  /* write-once, by gs_embed, before the guest's mutex is released first */
  bool started;      /* thread is one; with it */
  gs_sema over;      /* one, when the thread is about to end */
  gs_guest_plugin const *ops;
  char *language, *source, *name;
  char **args;           /* ended by NULL */
  pthread_mutex_t mutex; /* of what follows */
  void (*stop)(void *);  /* NULL: nothing can be told now */
  void *ud;
  int stopping;   /* those that are in stop */
  bool cancelled; /* gs_guest_cancel was called */
  int how;        /* UNKNOWN until it is said */
  int status;
  bool none;
  char *text, *trace;
  size_t length;
  gs_value value; /* what it returns; or would, as long as how is UNKNOWN and `valued` */
  bool valued;    /* gs_guest_value was called */
};

static pthread_mutex_t all = PTHREAD_MUTEX_INITIALIZER;
static gs_guest *alive;   /* all */
static pthread_key_t key; /* a guest's thread's gs_guest; before have_key */
static int have_key;      /* there is a key, and gs_embed was called; atomic */
static int set_up_error;  /* by set_up */

/* ---- life ---- */

static void forked(void) {
  pthread_mutex_init(&all, NULL);
  for (gs_guest *g = alive; g; g = g->next) {
    pthread_mutex_init(&g->mutex, NULL);
    g->stopping = 0; /* those that were in stop are not here; a guest that forks waits for none */
    g->listed = false;
  }
  alive = NULL;
  guest_plugin_forked();
}

static void at_exit(void) { gs_guests_end(gs_now() + EXIT_PATIENCE_NS); }

static void set_up(void) {
  set_up_error =
      pthread_key_create(&key, NULL) || pthread_atfork(NULL, NULL, forked) || atexit(at_exit);
  __atomic_store_n(&have_key, !set_up_error, __ATOMIC_RELEASE);
}

static void guest_free(gs_guest *g) {
  for (char **a = g->args; a && *a; a++) free(*a);
  free(g->args);
  free(g->language);
  free(g->source);
  free(g->name);
  free(g->text);
  free(g->trace);
  gs_value_free(&g->value);
  if (g->handle) gs_handle_release(g->handle);
  pthread_mutex_destroy(&g->mutex);
  free(g);
}

static void drop(gs_guest *g) {
  if (__atomic_sub_fetch(&g->refs, 1, __ATOMIC_ACQ_REL) == 0) guest_free(g);
}

void gs_guest_release(gs_guest *g) {
  if (g) drop(g);
}

static char *copy(const char *s) {
  size_t n = strlen(s) + 1;
  char *to = malloc(n);
  return to ? memcpy(to, s, n) : NULL;
}

static char **copy_args(const char *const *from) {
  size_t n = 0;
  while (from && from[n]) n++;
  char **to = calloc(n + 1, sizeof *to);
  for (size_t i = 0; to && i < n; i++)
    if (!(to[i] = copy(from[i]))) {
      while (i > 0) free(to[--i]);
      free(to);
      return NULL;
    }
  return to;
}

static gs_guest *guest_new(const char *language, const char *source, const gs_embed_options *o) {
  gs_guest *g = calloc(1, sizeof *g);
  if (!g) return NULL;
  pthread_mutex_init(&g->mutex, NULL);
  g->refs = 1;
  g->how = UNKNOWN;
  g->language = copy(language);
  g->source = copy(source);
  g->name = copy(o->name ? o->name : language);
  g->args = copy_args(o->args);
  if (g->language && g->source && g->name && g->args) return g;
  guest_free(g);
  return NULL;
}

static void enlist(gs_guest *g) {
  pthread_mutex_lock(&all);
  g->next = alive;
  alive = g;
  g->listed = true;
  pthread_mutex_unlock(&all);
}

static void delist(gs_guest *g) {
  pthread_mutex_lock(&all);
  for (gs_guest **at = &alive; g->listed && *at; at = &(*at)->next)
    if (*at == g) {
      *at = g->next;
      break;
    }
  g->listed = false;
  pthread_mutex_unlock(&all);
}

/* ---- its thread and its watcher ---- */

static void *thread_main(void *arg) {
  gs_guest *g = arg;
  pthread_setspecific(key, g);
  os_thread_name(g->name);
  g->ops->run(g);
  g->ops->end();
  gs_guest_on_cancel(g, NULL, NULL);
  gs_guest_failed(g, "the guest has ended without having said how", NULL);
  gs_sema_release(&g->over, 1);
  return NULL;
}

static int join_thread(void *arg) {
  gs_guest *g = arg;
  pthread_mutex_lock(&g->mutex);
  bool started = g->started;
  pthread_mutex_unlock(&g->mutex);
  if (started) pthread_join(g->thread, NULL);
  return 0;
}

static void watch(void *arg) {
  gs_guest *g = arg;
  int r;
  while ((r = gs_sema_acquire(&g->over, GS_FOREVER)) != GS_OK)
    if (r == GS_ECANCELED) {
      gs_guest_cancel(g);
      gs_uncancel();
    }
  gs_cgocall(join_thread, g, NULL);
  gs_expect_wakeup(-1);
  delist(g);
  drop(g);
}

/* The mutex is held until `thread` is known, which the watcher reads. */
static int start_thread(gs_guest *g) {
  pthread_mutex_lock(&g->mutex);
  int e = pthread_create(&g->thread, NULL, thread_main, g);
  g->started = e == 0;
  pthread_mutex_unlock(&g->mutex);
  return e;
}

static int start(gs_guest *g) {
  gs_go_options go = GS_GO_OPTIONS_DEFAULT;
  go.name = g->name;
  go.domain = &gs_native;
  g->refs = 2;
  enlist(g);
  gs_expect_wakeup(1);
  int err = gs_go_opts(&go, watch, g, &g->handle);
  if (err) {
    g->ops->end();
    gs_expect_wakeup(-1);
    delist(g);
    drop(g);
    return err == GS_EPERM
               ? gs_fail(err, "gs_embed: no gs_run is under way; a guest lives inside of one")
               : err;
  }
  int e = start_thread(g);
  if (!e) return GS_OK;
  g->ops->end();
  gs_guest_failed(g, "no thread could be made", NULL);
  gs_sema_release(&g->over, 1);
  return gs_fail(GS_ETHREADS, "gs_embed: no thread can be made for the guest: %s", strerror(e));
}

/* ---- gs_embed ---- */

typedef struct {
  const char *language, *source;
  const gs_embed_options *opts;
  gs_guest *g;
  char detail[256];
} Embed;

static int embed(void *arg) {
  Embed *e = arg;
  const gs_guest_plugin *ops;
  int err = guest_plugin_get(e->language, &ops);
  if (err) {
    /* The green thread may go on on another thread than this, which has the sentence. */
    snprintf(e->detail, sizeof e->detail, "%s", gs_error_detail());
    return err;
  }
  e->g = guest_new(e->language, e->source, e->opts);
  if (!e->g) {
    ops->end();
    snprintf(e->detail, sizeof e->detail, "gs_embed: out of memory");
    return GS_ENOMEM;
  }
  e->g->ops = ops;
  return GS_OK;
}

int gs_embed(const char *language, const char *source, const gs_embed_options *opts,
             gs_guest **out) {
  static const gs_embed_options def = GS_EMBED_OPTIONS_DEFAULT;
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  Embed e = {language, source, opts ? opts : &def, NULL, ""};
  int err;
  if (!out) return gs_fail(GS_EINVAL, "gs_embed: out is NULL; a place for the guest is needed");
  *out = NULL;
  if (!language || !source)
    return gs_fail(GS_EINVAL, "gs_embed: %s is NULL; a text is needed",
                   language ? "source" : "language");
  if (e.opts->size != sizeof *e.opts)
    return gs_fail(GS_EINVAL, "gs_embed: opts->size is %zu, this library has %zu", e.opts->size,
                   sizeof *e.opts);
  pthread_once(&once, set_up);
  if (set_up_error) return gs_fail(GS_ENOMEM, "gs_embed: out of memory");
  int called = gs_cgocall(embed, &e, &err);
  if (called != GS_OK) {
    if (e.g) { /* it began, but a callback out of the plugin has failed */
      e.g->ops->end();
      drop(e.g);
    }
    return gs_fail(called, "gs_embed: %s", gs_strerror(called));
  }
  if (err) return gs_fail(err, "%s", e.detail);
  err = start(e.g);
  if (err) {
    drop(e.g);
    return err;
  }
  *out = e.g;
  return GS_OK;
}

int gs_guest_join(gs_guest *g, int64_t deadline_ns) {
  return g ? gs_join(g->handle, deadline_ns) : GS_EINVAL;
}

int gs_guest_done(gs_guest *g) { return g && gs_handle_done(g->handle); }

/* ---- cancelling ---- */

int gs_guest_cancel(gs_guest *g) {
  if (!g) return GS_EINVAL;
  pthread_mutex_lock(&g->mutex);
  void (*stop)(void *) = g->cancelled ? NULL : g->stop;
  void *ud = g->ud;
  g->cancelled = true;
  if (stop) g->stopping++;
  pthread_mutex_unlock(&g->mutex);
  if (!stop) return GS_OK;
  torture_window(); /* the guest takes it back just now, and has to wait */
  stop(ud);
  pthread_mutex_lock(&g->mutex);
  g->stopping--;
  pthread_mutex_unlock(&g->mutex);
  return GS_OK;
}

int gs_guest_told(gs_guest *g) {
  pthread_mutex_lock(&g->mutex);
  bool told = g->cancelled;
  pthread_mutex_unlock(&g->mutex);
  return told;
}

void gs_guest_on_cancel(gs_guest *g, void (*stop)(void *), void *ud) {
  pthread_mutex_lock(&g->mutex);
  bool late = stop && g->cancelled;
  g->stop = stop;
  g->ud = ud;
  int stopping = g->stopping;
  pthread_mutex_unlock(&g->mutex);
  if (late) stop(ud);
  while (!stop && stopping > 0) {
    if (gs_self())
      gs_yield();
    else
      os_sleep_ns(50000);
    pthread_mutex_lock(&g->mutex);
    stopping = g->stopping;
    pthread_mutex_unlock(&g->mutex);
  }
}

/* ---- all of them ---- */

/* One that has not been cancelled yet, held; NULL: none. */
static gs_guest *next_to_cancel(void) {
  gs_guest *found = NULL;
  pthread_mutex_lock(&all);
  for (gs_guest *g = alive; g && !found; g = g->next) {
    pthread_mutex_lock(&g->mutex);
    if (!g->cancelled) found = g;
    pthread_mutex_unlock(&g->mutex);
  }
  if (found) __atomic_add_fetch(&found->refs, 1, __ATOMIC_RELAXED);
  pthread_mutex_unlock(&all);
  return found;
}

static bool any_alive(void) {
  pthread_mutex_lock(&all);
  bool any = alive != NULL;
  pthread_mutex_unlock(&all);
  return any;
}

int gs_guests_end(int64_t deadline_ns) {
  for (gs_guest *g; (g = next_to_cancel()); drop(g)) gs_guest_cancel(g);
  while (any_alive()) {
    if (gs_now() >= deadline_ns) return GS_ETIMEOUT;
    os_sleep_ns(500000);
  }
  return GS_OK;
}

/* ---- the outcome ---- */

int gs_guest_value(gs_guest *g, gs_value *value) {
  if (!g || !value) return GS_EINVAL;
  gs_value other = *value;
  gs_value_null(value);
  pthread_mutex_lock(&g->mutex);
  if (g->how == UNKNOWN) {
    gs_value before = g->value;
    g->value = other;
    g->valued = true;
    other = before;
  }
  pthread_mutex_unlock(&g->mutex);
  gs_value_free(&other);
  return GS_OK;
}

static void value_of_text(const char *text, size_t n, gs_value *out) {
  if (gs_value_text(text, n, out) == GS_OK) return;
  if (gs_value_bytes(text, n, out) != GS_OK) gs_value_null(out); /* memory is exhausted */
}

static int say(gs_guest *g, int how, int status, const char *text, size_t n, const char *trace) {
  char *t = text ? malloc(n + 1) : NULL, *tr = trace ? copy(trace) : NULL;
  gs_value other;
  gs_value_null(&other);
  if (how == GS_GUEST_RETURNED && text) value_of_text(text, n, &other);
  if (t) {
    memcpy(t, text, n);
    t[n] = 0;
  }
  pthread_mutex_lock(&g->mutex);
  bool first = g->how == UNKNOWN;
  if (first) {
    g->how = how;
    g->status = status;
    g->none = !text;
    g->text = t;
    g->length = t ? n : 0;
    g->trace = tr;
    if (how != GS_GUEST_RETURNED || !g->valued) {
      gs_value unwanted = g->value;
      g->value = other;
      other = unwanted;
    }
  }
  pthread_mutex_unlock(&g->mutex);
  gs_value_free(&other);
  if (first) return 1;
  free(t);
  free(tr);
  return 0;
}

int gs_guest_returned(gs_guest *g, const char *text, size_t length) {
  return say(g, GS_GUEST_RETURNED, 0, text, length, NULL);
}

int gs_guest_failed(gs_guest *g, const char *text, const char *trace) {
  return say(g, GS_GUEST_FAILED, 0, text, strlen(text), trace);
}

int gs_guest_exited(gs_guest *g, int status) {
  return say(g, GS_GUEST_EXITED, status, NULL, 0, NULL);
}

int gs_guest_cancelled(gs_guest *g) { return say(g, GS_GUEST_CANCELLED, 0, NULL, 0, NULL); }

int gs_guest_result(gs_guest *g, gs_guest_end *out) {
  if (!g || !out) return GS_EINVAL;
  if (out->size != sizeof *out)
    return gs_fail(GS_EINVAL, "gs_guest_result: out->size is %zu, this library has %zu", out->size,
                   sizeof *out);
  if (!gs_guest_done(g)) return GS_EWOULDBLOCK;
  pthread_mutex_lock(&g->mutex);
  out->how = g->how == UNKNOWN ? GS_GUEST_CANCELLED : g->how;
  out->status = g->status;
  out->none = g->none;
  out->text = g->text ? g->text : "";
  out->length = g->length;
  out->trace = g->trace ? g->trace : "";
  out->value = &g->value;
  pthread_mutex_unlock(&g->mutex);
  return GS_OK;
}

/* ---- for plugins ---- */

gs_guest *gs_guest_here(void) {
  return __atomic_load_n(&have_key, __ATOMIC_ACQUIRE) ? pthread_getspecific(key) : NULL;
}

const char *gs_guest_source(gs_guest *g) { return g->source; }
const char *gs_guest_name(gs_guest *g) { return g->name; }
const char *const *gs_guest_args(gs_guest *g) { return (const char *const *)g->args; }
