/* guest.c: what the tests of the Tcl package call. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- gates: C that blocks until it is let go ------------------------------------------------- */

typedef struct gate {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  int open, inside, most;
} gate;

gate *gate_new(void) {
  gate *g = calloc(1, sizeof(*g));
  pthread_mutex_init(&g->mutex, NULL);
  pthread_cond_init(&g->changed, NULL);
  return g;
}

/* Blocks until the gate is open. */
int gate_pass(gate *g) {
  pthread_mutex_lock(&g->mutex);
  g->inside++;
  if (g->inside > g->most) g->most = g->inside;
  pthread_cond_broadcast(&g->changed);
  while (!g->open) pthread_cond_wait(&g->changed, &g->mutex);
  g->inside--;
  pthread_cond_broadcast(&g->changed);
  pthread_mutex_unlock(&g->mutex);
  return 7;
}

/* The same, until gate_interrupt. */
int gate_pass_or_not(gate *g) {
  pthread_mutex_lock(&g->mutex);
  g->inside++;
  while (g->open == 0) pthread_cond_wait(&g->changed, &g->mutex);
  g->inside--;
  int interrupted = g->open < 0;
  pthread_mutex_unlock(&g->mutex);
  return interrupted ? -1 : 7;
}

void gate_interrupt(gate *g) {
  pthread_mutex_lock(&g->mutex);
  g->open = -1;
  pthread_cond_broadcast(&g->changed);
  pthread_mutex_unlock(&g->mutex);
}

void gate_open(gate *g) {
  pthread_mutex_lock(&g->mutex);
  g->open = 1;
  pthread_cond_broadcast(&g->changed);
  pthread_mutex_unlock(&g->mutex);
}

int gate_inside(gate *g) {
  pthread_mutex_lock(&g->mutex);
  int n = g->inside;
  pthread_mutex_unlock(&g->mutex);
  return n;
}

int gate_most(gate *g) {
  pthread_mutex_lock(&g->mutex);
  int n = g->most;
  pthread_mutex_unlock(&g->mutex);
  return n;
}

/* ---- a library whose state belongs to the thread --------------------------------------------- */

static __thread int kept;

int keep(int value) {
  int old = kept;
  kept = value;
  return old;
}
int kept_here(void) { return kept; }

/* ---- callbacks ------------------------------------------------------------------------------- */

int call_back(int (*fn)(int), int value) { return fn(value) + 1; }

/* The same, for a function that is given as a number. */
int call_back_at(unsigned long fn, int value) { return ((int (*)(int))fn)(value); }

struct thread_call {
  int (*fn)(int);
  int value, result;
};

static void *call_on_thread(void *arg) {
  struct thread_call *c = arg;
  c->result = c->fn(c->value);
  return NULL;
}

/* Calls fn on a thread that nobody knows, and waits for it. */
int call_from_thread(int (*fn)(int), int value) {
  struct thread_call c = {fn, value, 0};
  pthread_t t;
  if (pthread_create(&t, NULL, call_on_thread, &c) != 0) return -99;
  pthread_join(t, NULL);
  return c.result;
}

static void *call_later(void *arg) {
  struct thread_call *c = arg;
  c->fn(c->value);
  free(c);
  return NULL;
}

/* Returns at once; fn is called on another thread. */
int call_from_thread_later(int (*fn)(int), int value) {
  struct thread_call *c = malloc(sizeof(*c));
  pthread_t t;
  *c = (struct thread_call){fn, value, 0};
  if (pthread_create(&t, NULL, call_later, c) != 0) return -1;
  pthread_detach(t);
  return 0;
}

void call_with_text(void (*fn)(const char *text, double number), const char *text) {
  fn(text, 2.5);
}

/* ---- values ---------------------------------------------------------------------------------- */

struct inner {
  short a;
  double b;
};
struct record {
  int id;
  struct inner in;
  char name[8];
  unsigned char raw[4];
  int numbers[3];
  unsigned low : 3, high : 5;
  const char *text;
};
union number {
  int i;
  float f;
};

struct record make_record(int id) {
  struct record r = {id, {2, 2.5}, "abc", {0, 255, 1, 2}, {1, 2, 3}, 5, 17, "text"};
  return r;
}
int record_sum(struct record r) {
  return r.id + r.in.a + (int)r.in.b + r.numbers[0] + r.numbers[1] + r.numbers[2] + (int)r.low +
         (int)r.high;
}
int record_id(const struct record *r) { return r ? r->id : -1; }
void record_fill(struct record *r, int id) { *r = make_record(id); }
int union_int(union number n) { return n.i; }

int split(int value, int *high, int *low) {
  *high = value / 10;
  *low = value % 10;
  return 0;
}
void twice(int *v) { *v *= 2; }
int sum(const int *v, int n) {
  int s = 0;
  while (n-- > 0) s += v[n];
  return s;
}
void squares(int *v, int n) {
  for (int i = 0; i < n; i++) v[i] = i * i;
}
int count_texts(const char *const *texts) {
  int n = 0;
  while (texts[n]) n++;
  return n;
}
int fill(char *to, int n) {
  strncpy(to, "written by C", (size_t)n);
  return (int)strlen("written by C");
}
void fill_bytes(unsigned char *to, int n) {
  for (int i = 0; i < n; i++) to[i] = (unsigned char)(255 - i);
}
int set_text(const char **out) {
  *out = "given";
  return 0;
}
int same_text(const char *a, const char *b, int n) { return memcmp(a, b, (size_t)n) == 0; }
int fail_with(int error) {
  errno = error;
  return error ? -1 : 5;
}
void *null_with(int error) {
  errno = error;
  return NULL;
}
int give(int v) { return v; }
int global_number = 42;
enum colour { RED = 1, GREEN, BLUE = 7 };
int colour_value(enum colour c) { return (int)c; }
