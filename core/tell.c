/* tell.c: what the green threads of other languages do, told by those languages.
 *
 * A dump (dump.c) shows every G from outside.  What a green thread does in its own language only
 * that language can say: with its lock or its turn, on a thread that may touch its interpreter.  So
 * each interpreter has a teller here, and a dump asks all of them at once, goes on with what it can
 * see by itself, and then waits for the answers, for so long as GOSCHED_DUMP_WAIT_MS says and no
 * longer.  Who has not answered by then is told as busy.
 *
 * Why nothing can deadlock.  The dumper asks nobody itself: it leaves a word in each teller and
 * wakes sysmon, which calls the hooks.  These are short: they start a green thread of the domain, a
 * thread that waits for the interpreter's lock, or queue an event.  Nobody holds the lock of one
 * interpreter while it waits for another one's without a bound: the dumper may hold one, and gives
 * up.  So a dump may be asked for with any lock in hand, in a signal handler, and by several
 * threads at once, which wait for each other as they wait for answers.  Not asked are: while the
 * world is stopped, on sysmon's own thread (a callback of gs_on_deadlock), in a child of fork that
 * has no sysmon yet, and while a fatal error is being reported; the dump says so.
 *
 * The life of a question, in `state` of the teller:
 *
 *     IDLE -> WANTED    the dumper            WANTED -> ASKED    sysmon, and calls the hook
 *     ASKED -> TELLING  gs_tell_begin         TELLING -> TOLD    gs_tell_end; the text is there
 *     ASKED -> NOBODY   sysmon: the hook says that nobody is there, or the teller ends
 *     WANTED, ASKED, TOLD, NOBODY -> IDLE     the dumper: it has the answer, or gives up
 *     TELLING -> LATE -> IDLE                 the dumper gives up, gs_tell_end throws the text away
 *
 * All by compare-and-swap.  The text belongs to who is TELLING, then to the dumper from TOLD on:
 * acquire and release of `state` carry it.  If the dumper gave up by a mere store, the next dump
 * could have another one TELLING beside the first (LATE is what keeps that from being asked).
 *
 * A hook that has been called and not been followed by gs_tell_begin is under way: `pending`.  It
 * may come late, for a dump that has given up long ago, and a busy interpreter asked once a second
 * must not gather more and more of them.  So sysmon calls no second hook then.  Two sides: sysmon
 * stores ASKED, then looks at pending; who comes clears pending, then looks at the state.  All
 * seq_cst: one of them sees the other, so either the late one answers, or a new one is called.
 *
 * Tellers are never freed, since a dump may be looking at them; one that has ended is used again.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime.h"

enum { IDLE, WANTED, ASKED, TELLING, TOLD, NOBODY, LATE };
enum { PUT_NOT, PUT, PUT_IN_VAIN /* it is LATE with another one */ };

struct gs_teller {
  gs_teller *next;      /* all; write-once */
  const char *language; /* static text; whoever makes it, under mutex, atomic */
  int (*ask)(void *ud); /* mutex; NULL: it has ended, and may be used again */
  void *ud;             /* mutex */
  uint32_t state;       /* see above; atomic */
  uint32_t pending;     /* a hook is under way; atomic */
  uint32_t put;         /* PUT_…: whether the dump has put its question; the dumper */
  char *text;           /* who is TELLING, then the dumper; NULL: no memory */
  size_t n;             /* as text */
};

static struct {
  pthread_mutex_t
      mutex;        /* held while a hook is called, so that none is once its teller has ended */
  gs_teller *all;   /* push-only; atomic */
  uint32_t wanted;  /* sysmon is to ask; atomic */
  uint32_t dumping; /* a dump waits for answers; atomic */
  uint32_t sysmon;  /* its thread's number, once it has been here; sysmon */
  Note answered;    /* an answer has come; cleared by the dumper */
} tell = {.mutex = PTHREAD_MUTEX_INITIALIZER};

int64_t tell_patience = 1000000000;

static bool move_to(gs_teller *t, uint32_t from, uint32_t to) {
  return __atomic_compare_exchange_n(&t->state, &from, to, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST);
}

#define EACH_TELLER(t) for (gs_teller *t = load_acq(&tell.all); t; t = t->next)

/* ---- who tells ---- */

static gs_teller *unused(void) {
  EACH_TELLER(t) {
    if (!t->ask) return t;
  }
  return NULL;
}

int gs_teller_new(const char *language, int (*ask)(void *ud), void *ud, gs_teller **out) {
  if (!language || !ask || !out)
    return gs_fail(GS_EINVAL, "gs_teller_new: %s is NULL",
                   !language ? "language"
                   : !ask    ? "ask"
                             : "out");
  pthread_mutex_lock(&tell.mutex);
  gs_teller *t = unused(), *made = NULL;
  if (!t && (t = made = calloc(1, sizeof *t))) t->next = tell.all;
  if (t) {
    store_rel(&t->language, language);
    t->ud = ud;
    t->ask = ask;
  }
  if (made) store_rel(&tell.all, made);
  pthread_mutex_unlock(&tell.mutex);
  *out = t;
  return t ? GS_OK : gs_fail(GS_ENOMEM, "gs_teller_new: out of memory");
}

void gs_teller_end(gs_teller *t) {
  if (!t) return;
  pthread_mutex_lock(&tell.mutex); /* a hook that is being called returns first */
  t->ask = NULL;
  store_sc(&t->pending, 0);
  if (move_to(t, WANTED, NOBODY) || move_to(t, ASKED, NOBODY)) note_wake(&tell.answered);
  pthread_mutex_unlock(&tell.mutex);
}

int gs_tell_begin(gs_teller *t) {
  store_sc(&t->pending, 0);
  torture_window(); /* sysmon asks just now: it calls the hook anew, or we see that it asks */
  return move_to(t, ASKED, TELLING);
}

void gs_tell_end(gs_teller *t, const char *text, size_t n) {
  free(t->text);
  t->text = malloc(n + 1);
  t->n = t->text ? n : 0;
  if (t->text && n) memcpy(t->text, text, n);
  torture_window(); /* the dumper gives up just now */
  if (move_to(t, TELLING, TOLD))
    note_wake(&tell.answered);
  else
    store_sc(&t->state, IDLE); /* it was LATE, and nobody else changes that */
}

/* ---- sysmon ---- */

bool tell_is_wanted(void) { return load_sc(&tell.wanted) != 0; }

static void ask(gs_teller *t) {
  if (!t->ask) {
    move_to(t, WANTED, NOBODY);
  } else if (move_to(t, WANTED, ASKED)) {
    torture_window(); /* a late one comes just now: it sees ASKED, or has cleared pending */
    if (xchg(&t->pending, 1) == 0 && t->ask(t->ud) != 0) {
      store_sc(&t->pending, 0);
      move_to(t, ASKED, NOBODY);
    }
  }
}

void tell_by_sysmon(void) {
  if (unlikely(!tell.sysmon)) store_rlx(&tell.sysmon, os_gettid());
  if (likely(!load_rlx(&tell.wanted)) || !xchg(&tell.wanted, 0)) return;
  pthread_mutex_lock(&tell.mutex);
  EACH_TELLER(t) ask(t);
  pthread_mutex_unlock(&tell.mutex);
  note_wake(&tell.answered);
}

/* What the end of the last run has left undone is not under way any more. */
void tell_run_begins(void) {
  int64_t ms = 1000;
  if (gs_setting_get("GOSCHED_DUMP_WAIT_MS", NULL, &ms) >= 0)
    store_rlx(&tell_patience, ms * 1000000);
  EACH_TELLER(t) store_sc(&t->pending, 0);
}

/* ---- the dumper ---- */

bool tell_is_any(void) { return load_acq(&tell.all) != NULL; }

static const char *cannot_ask(void) {
  if (load_sc(&gs_sched.frozen)) return "a fatal error is being reported";
  if (load_sc(&gs_sched.gcwaiting)) return "the world is stopped";
  if (!load_acq(&gs_sched.domains)) return "nothing has run yet";
  if (load_sc(&gs_sched.no_sysmon)) return "this is a child of fork that runs nothing yet";
  if (load_rlx(&tell.sysmon) == os_gettid()) return "this is the runtime's own thread";
  return NULL;
}

/* The turn to ask is this thread's; else somebody else's, for too long. */
static bool only_dumper(int64_t until) {
  while (xchg(&tell.dumping, 1)) {
    if (os_now() >= until) return false;
    os_sleep_ns(1000000);
  }
  return true;
}

void tell_ask(Asked *a, const gs_teller *own) {
  *a = (Asked){.own = own, .any = false};
  EACH_TELLER(t) a->any = a->any || t != own;
  if (!a->any || (a->why = cannot_ask())) return;
  a->until = os_now() + load_rlx(&tell_patience);
  if (!only_dumper(a->until)) {
    a->why = "another dump is being written";
    return;
  }
  note_clear(&tell.answered);
  EACH_TELLER(t) {
    if (t != own) t->put = move_to(t, IDLE, WANTED) ? PUT : PUT_IN_VAIN;
  }
  store_sc(&tell.wanted, 1);
  torture_window(); /* sysmon is about to sleep: it sees the word, or the note */
  note_wake(&gs_sched.sysmon_note);
}

static bool all_answered(void) {
  EACH_TELLER(t) {
    uint32_t s = t->put == PUT ? load_sc(&t->state) : NOBODY;
    if (s == WANTED || s == ASKED || s == TELLING) return false;
  }
  return true;
}

static void write_all(int fd, const char *s, size_t n) {
  while (n) {
    ssize_t w = write(fd, s, n);
    if (w <= 0) return;
    s += w;
    n -= (size_t)w;
  }
}

static void head(int fd, const gs_teller *t, const char *rest) {
  char line[160];
  int n = snprintf(line, sizeof line, "green threads in %.40s%s\n", load_acq(&t->language), rest);
  write_all(fd, line, (size_t)n);
}

/* Gives up on a question that has no answer; false: it has one now. */
static bool give_up(gs_teller *t, uint32_t s) {
  torture_window(); /* it is begun, or the text is ready, just now */
  return move_to(t, s, s == TELLING ? LATE : IDLE);
}

static void take_answer(int fd, gs_teller *t) {
  uint32_t s = load_sc(&t->state);
  bool busy = t->put == PUT_IN_VAIN;
  while (!busy && s != TOLD && s != NOBODY) {
    busy = give_up(t, s);
    s = load_sc(&t->state);
  }
  t->put = PUT_NOT;
  if (busy) {
    head(fd, t, ": busy, they have not answered in time");
    return;
  }
  if (s == TOLD && (t->n || !t->text)) {
    head(fd, t, ":");
    if (t->text)
      write_all(fd, t->text, t->n);
    else
      write_all(fd, "  (out of memory)\n", 18);
  }
  store_sc(&t->state, IDLE);
}

void tell_answers(int fd, Asked *a) {
  if (a->any && a->why) {
    char line[160];
    int n = snprintf(line, sizeof line, "other languages are not asked for stacks: %s\n", a->why);
    write_all(fd, line, (size_t)n);
  } else if (a->any) {
    while (!all_answered() && os_now() < a->until) {
      note_sleep_until(&tell.answered, a->until);
      note_clear(&tell.answered);
    }
    EACH_TELLER(t) {
      if (t->put != PUT_NOT) take_answer(fd, t);
    }
    store_sc(&tell.dumping, 0);
  }
  if (a->own) head(fd, a->own, ":");
}

/* ---- fork ---- */

void tell_lock(bool on) {
  if (on)
    pthread_mutex_lock(&tell.mutex);
  else
    pthread_mutex_unlock(&tell.mutex);
}

/* In the child nobody is under way; who was TELLING has left a text that may be half of one. */
void tell_forked(void) {
  EACH_TELLER(t) {
    if (t->state == TELLING || t->state == LATE) t->text = NULL;
    t->state = IDLE;
    t->pending = t->put = 0;
  }
  tell.wanted = tell.dumping = tell.sysmon = 0;
}
