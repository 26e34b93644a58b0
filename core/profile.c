/* profile.c: which foreign functions block, and for how long.
 *
 * Always on, and free on the fast path: nothing is counted where a call begins or ends with its P.
 * What is known comes from three places that are slow anyway.  A call that has lost its P knows
 * when it comes back how long it took.  sysmon, which takes Ps, counts that.  And at most every
 * SAMPLE_NS, when it is awake, sysmon looks which Ms are in which function without having lost
 * their P: these samples are an estimate of the time in calls that nobody waits for, or that are
 * short. A call that is sampled and then loses its P has that stretch in both.
 *
 * The key is the address of the site's name: names live as long as the process (sites do, and the
 * ffi interns theirs), and two sites of the same function share one.  Calls of sites without a name
 * are one entry.  The table only grows; an entry is claimed by one CAS of its key, after which its
 * figures are counted by anybody.  When it is full the rest is one entry, too.
 */
#include <string.h>

#include "runtime.h"

#define UNCHECKED __attribute__((no_sanitize("thread"))) /* words of others, as they are */

#define SAMPLE_NS 10000000
#define COST 50 /* a look may take one 50th of the time */
#define ENTRIES 1024u

typedef struct {
  const char *name; /* NULL: free; CAS by who claims it */
  uint64_t blocked, blocked_ns, longest_ns, retakes, samples, sampled_ns; /* atomic */
} Entry;

static Entry entries[ENTRIES + 1]; /* the last one is for what finds no place */
static const char nameless[] = "a foreign call", rest[] = "other functions";

static struct { int64_t last, next; /* looks; sysmon */ } looks;

/* Whoever made the site has told its own threads about it, and not sysmon. */
UNCHECKED static const char *name_of(const gs_site *site) {
  const char *name = load_rlx(&site->name);
  return name ? name : nameless;
}

static Entry *entry_of(const gs_site *site) {
  const char *name = name_of(site);
  uint32_t at = (uint32_t)((uintptr_t)name >> 3) * 0x9e3779b9u >> 22;
  for (uint32_t i = 0; i < 64; i++) {
    Entry *e = &entries[(at + i) % ENTRIES];
    const char *there = load_acq(&e->name);
    if (there == name) return e;
    if (!there && (CAS(&e->name, NULL, name) || load_acq(&e->name) == name)) return e;
  }
  store_rel(&entries[ENTRIES].name, rest);
  return &entries[ENTRIES];
}

void profile_lost(const gs_site *site, int64_t took) {
  Entry *e = entry_of(site);
  uint64_t ns = took > 0 ? (uint64_t)took : 0, longest = load_rlx(&e->longest_ns);
  add_rlx(&e->blocked, 1);
  add_rlx(&e->blocked_ns, ns);
  while (ns > longest && !CAS(&e->longest_ns, longest, ns)) longest = load_rlx(&e->longest_ns);
}

void profile_retake(const gs_site *site) { add_rlx(&entry_of(site)->retakes, 1); }

/* What m's foreign call is of, or NULL; *since is when it lost its P, 0: it has it.  A moment later
 * it may be over. */
UNCHECKED static const gs_site *call_of(const M *m, int64_t *since) {
  const G *g = load_rlx(&m->curg);
  if (!load_rlx(&m->incgo) || !g || (m->extrag && !load_rlx(&m->ncgo))) return NULL;
  *since = load_rlx(&g->waitsince);
  return load_rlx(&g->site);
}

bool profile_sample(int64_t now) {
  if (likely(now < looks.next)) return false;
  int64_t since, gap = now - looks.last;
  /* It was asleep: no Ps were in use, or nothing is known of what they did. */
  uint64_t weight = gap > 2 * SAMPLE_NS ? SAMPLE_NS : (uint64_t)gap;
  for (M *m = load_acq(&gs_sched.allm); m; m = m->alllink) {
    const gs_site *site = call_of(m, &since);
    if (!site || since) continue;
    Entry *e = entry_of(site);
    add_rlx(&e->samples, 1);
    add_rlx(&e->sampled_ns, weight);
  }
  looks.last = now;
  looks.next = now + SAMPLE_NS + COST * (os_now() - now);
  return true;
}

/* ---- reading it ---- */

static void add(gs_profile_entry *out, const Entry *e) {
  *out = (gs_profile_entry){
      .name = load_acq(&e->name),
      .blocked = load_rlx(&e->blocked),
      .blocked_ns = load_rlx(&e->blocked_ns),
      .longest_ns = load_rlx(&e->longest_ns),
      .retakes = load_rlx(&e->retakes),
      .samples = load_rlx(&e->samples),
      .sampled_ns = load_rlx(&e->sampled_ns),
  };
}

static void add_under_way(gs_profile_entry *e, const Entry *of, int64_t now) {
  int64_t since;
  for (M *m = load_acq(&gs_sched.allm); m; m = m->alllink) {
    const gs_site *site = call_of(m, &since);
    if (!site || entry_of(site) != of) continue;
    e->now++;
    if (!since) continue;
    uint64_t took = now > since ? (uint64_t)(now - since) : 0;
    e->blocked++;
    e->blocked_ns += took;
    if (took > e->longest_ns) e->longest_ns = took;
  }
}

static uint64_t weight_of(const gs_profile_entry *e) { return e->blocked_ns + e->sampled_ns; }

/* Into its place among the first n of out, the heaviest first; the lightest may fall out. */
static size_t insert(gs_profile_entry *out, size_t have, size_t n, const gs_profile_entry *e) {
  size_t at = have;
  while (at > 0 && weight_of(&out[at - 1]) < weight_of(e)) at--;
  if (at == n) return have;
  if (have == n) have--;
  memmove(&out[at + 1], &out[at], (have - at) * sizeof *out);
  out[at] = *e;
  return have + 1;
}

size_t gs_profile(gs_profile_entry *out, size_t n) {
  size_t all = 0, have = 0;
  int64_t now = os_now();
  for (M *m = load_acq(&gs_sched.allm); out && m; m = m->alllink) {
    int64_t since;
    const gs_site *site = call_of(m, &since);
    if (site) (void)entry_of(site); /* one that nobody has seen yet */
  }
  for (uint32_t i = 0; i <= ENTRIES; i++) {
    gs_profile_entry e;
    if (!load_acq(&entries[i].name)) continue;
    all++;
    if (!out || !n) continue;
    add(&e, &entries[i]);
    add_under_way(&e, &entries[i], now);
    have = insert(out, have, n, &e);
  }
  return all;
}
