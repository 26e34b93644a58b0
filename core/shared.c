/* shared.c: channels by name.
 *
 * A table of the channels that somebody has open.  A channel is an ordinary gs_chan whose elements
 * are gs_value (value.c); what it has here is its name and how many hold it.  The green threads of
 * all domains and plain threads meet on it: gs_chan makes each green thread runnable in its own
 * domain.
 *
 * What must never happen: that two channels have one name, or that who opens a name gets a channel
 * that is going away.  So a channel is found, and its last holder leaves it, under one lock;
 * memory is got before, and freed after that, for nobody may wait for memory with a lock of the
 * runtime in hand.
 *
 * Deadlocks.  A green thread that waits on a shared channel is not asleep for good if some thread
 * outside of the runtime has that channel open and may come to use it (gs_shared_outside).  The one
 * that looks (deadlock.c) has stopped the world; the others that can touch the channel are just
 * these threads.  It asks under the channel's lock whether anybody waits there, before it looks at
 * the green threads themselves:
 *
 *     outside:  lock; take the waiter off its queue; claim it; unlock
 *     look:     lock; does anybody wait?  unlock;  is each green thread parked and not claimed?
 *
 * Either it sees the waiter still in the queue, and there is no deadlock, or the claim, for which
 * the lock has been held.
 */
#include <stdlib.h>
#include <string.h>

#include "chan.h"
#include "gosched_shared.h"

#define BUCKETS 256u

struct Shared {
  struct Shared *next; /* in its bucket; the table's lock */
  gs_chan *ch;         /* write-once */
  uint32_t refs;       /* the table's lock */
  uint32_t outside;    /* threads outside of the runtime that may use it; atomic */
  uint32_t hash;       /* write-once */
  char name[];         /* write-once */
};

static struct {
  Lock lock;
  struct Shared *bucket[BUCKETS]; /* lock */
} table = {.lock = LOCK_INIT(RANK_SHARED)};

static uint32_t hash_of(const char *s) {
  uint32_t h = 2166136261u;
  for (; *s; s++) h = (h ^ (unsigned char)*s) * 16777619u;
  return h;
}

/* Under the lock. */
static struct Shared **find(const char *name, uint32_t hash) {
  struct Shared **at = &table.bucket[hash % BUCKETS];
  while (*at && ((*at)->hash != hash || strcmp((*at)->name, name) != 0)) at = &(*at)->next;
  return at;
}

/* ---- opening ---- */

static int check_name(const char *name, size_t cap, gs_chan **out) {
  gs_value v;
  if (!out) return gs_fail(GS_EINVAL, "out is NULL");
  *out = NULL;
  if (!name) return gs_fail(GS_EINVAL, "name is NULL");
  size_t n = strlen(name);
  if (n == 0 || n > GS_SHARED_NAME_MOST)
    return gs_fail(GS_EINVAL, "the name has %zu bytes; 1 to %d are accepted", n,
                   GS_SHARED_NAME_MOST);
  if (gs_value_text(name, n, &v) == GS_EINVAL) return gs_fail(GS_EINVAL, "the name is not UTF-8");
  gs_value_free(&v);
  if (cap != GS_SHARED_ANY && cap > ((size_t)1 << 30) / sizeof v)
    return gs_fail(GS_EINVAL, "cap is %zu; at most %zu are accepted", cap,
                   ((size_t)1 << 30) / sizeof v);
  return GS_OK;
}

static void discard(struct Shared *s) {
  if (!s) return;
  if (s->ch) s->ch->shared = NULL;
  gs_chan_free(s->ch);
  free(s);
}

static struct Shared *make(const char *name, size_t cap) {
  size_t n = strlen(name) + 1;
  struct Shared *s = calloc(1, sizeof *s + n);
  if (!s) return NULL;
  if (gs_chan_new(sizeof(gs_value), cap == GS_SHARED_ANY ? 0 : cap, &s->ch) != GS_OK) {
    free(s);
    return NULL;
  }
  memcpy(s->name, name, n);
  s->hash = hash_of(name);
  s->refs = 1;
  s->ch->shared = s;
  s->ch->bias = NULL; /* nobody else has it yet */
  return s;
}

/* The open one, with one more holder, or NULL; *fits: it has that capacity. */
static struct Shared *join_open(const char *name, size_t cap, struct Shared *add, bool *fits,
                                size_t *has) {
  M *m = enter();
  lock(&table.lock);
  struct Shared **at = find(name, add ? add->hash : hash_of(name)), *s = *at;
  *fits = !s || cap == GS_SHARED_ANY || s->ch->cap == cap;
  if (s) *has = s->ch->cap;
  if (s && *fits) s->refs++;
  if (!s && add) *at = s = add;
  unlock(&table.lock);
  if (m) leave(m);
  return s;
}

int gs_shared_chan(const char *name, size_t cap, gs_chan **out) {
  bool fits;
  size_t has = 0;
  int e = check_name(name, cap, out);
  if (e != GS_OK) return e;
  struct Shared *added = NULL, *s = join_open(name, cap, NULL, &fits, &has);
  if (!s) {
    torture_window(); /* somebody else may make it now */
    if (!(added = make(name, cap))) return gs_fail(GS_ENOMEM, "out of memory for \"%.100s\"", name);
    s = join_open(name, cap, added, &fits, &has);
    if (s != added) discard(added);
  }
  if (!fits)
    return gs_fail(GS_EINVAL, "\"%.100s\" is open with a capacity of %zu; %zu was asked for", name,
                   has, cap);
  *out = s->ch;
  return GS_OK;
}

int gs_shared_retain(gs_chan *c) {
  if (!c || !c->shared) return GS_EINVAL;
  M *m = enter();
  lock(&table.lock);
  c->shared->refs++;
  unlock(&table.lock);
  if (m) leave(m);
  return GS_OK;
}

/* ---- leaving ---- */

/* Under the lock: whether somebody waits, or is about to come back from a wait. */
static bool waited_for(gs_chan *c, const M *m) {
  chan_lock(c, m);
  bool yes = c->users != 0;
  chan_unlock(c);
  return yes;
}

int gs_shared_release(gs_chan *c) {
  struct Shared *s = c ? c->shared : NULL, *gone = NULL;
  gs_value v;
  int e = GS_OK;
  if (!s) return gs_fail(GS_EINVAL, "gs_shared_release: not a shared channel");
  M *m = enter();
  lock(&table.lock);
  if (s->refs > 1) {
    s->refs--;
  } else if (waited_for(c, m)) {
    e = GS_EBUSY;
  } else {
    *find(s->name, s->hash) = s->next;
    gone = s;
  }
  unlock(&table.lock);
  if (m) leave(m);
  if (!gone) return e;
  while (gs_chan_try_recv(c, &v) == GS_OK) gs_value_free(&v);
  discard(s);
  return GS_OK;
}

/* Under the channel's lock: to free is not to wait. */
void chan_drop(gs_chan *c, const void *elem) {
  gs_value v;
  (void)c;
  memcpy(&v, elem, sizeof v);
  gs_value_free(&v);
}

const char *gs_shared_name(const gs_chan *c) { return c && c->shared ? c->shared->name : NULL; }

/* ---- deadlocks ---- */

int gs_shared_outside(gs_chan *c, int delta) {
  if (!c || !c->shared) return gs_fail(GS_EINVAL, "gs_shared_outside: not a shared channel");
  add_sc(&c->shared->outside, (uint32_t)delta);
  if (delta < 0) sysmon_wake();
  return GS_OK;
}

/* Whether somebody waits on a channel that is used from outside, or else on any. */
static bool somebody_waits(bool on_any) {
  bool yes = false;
  lock(&table.lock);
  for (unsigned i = 0; i < BUCKETS && !yes; i++)
    for (struct Shared *s = table.bucket[i]; s && !yes; s = s->next) {
      if (!on_any && !load_sc(&s->outside)) continue;
      chan_lock(s->ch, NULL);
      yes = s->ch->receivers.head || s->ch->senders.head;
      chan_unlock(s->ch);
    }
  unlock(&table.lock);
  return yes;
}

bool shared_waits_for_outside(void) { return somebody_waits(false); }

static bool strangers(void) {
  uint32_t known =
      load_rlx(&gs_sched.nm) - load_rlx(&gs_sched.nordered) + load_rlx(&gs_sched.nmsys);
  return os_nthreads() > known + GS_TSAN;
}

int gs_shared_strangers(void) {
  int yes = 1;
  /* A thread that has ended may still be counted for a moment. */
  for (int i = 0; yes && i < 5; i++) {
    if (i) os_sleep_ns(1000000);
    yes = somebody_waits(true) && strangers();
  }
  if (yes) deadlock_put_off();
  return yes;
}

void shared_lock(bool on) { fork_lock(&table.lock, on); }
