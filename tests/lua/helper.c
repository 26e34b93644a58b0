/* helper.c: C functions that the tests of gosched.ffi call: callbacks from threads, structs, bits.
 */
#include <complex.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- structs --------------------------------------------------------------------------------- */

struct point {
  double x, y;
};
struct small {
  signed char a, b, c;
};
struct big {
  int64_t v[8];
};
struct bits {
  unsigned a : 3;
  int b : 5;
  unsigned long long c : 40;
  _Bool d : 1;
};
struct __attribute__((packed)) packed {
  char a;
  int b;
  double c;
};
union word {
  uint32_t u;
  float f;
  unsigned char bytes[4];
};

struct point point_add(struct point a, struct point b) {
  return (struct point){a.x + b.x, a.y + b.y};
}
struct small small_next(struct small v) {
  return (struct small){v.a + 1, v.b + 1, v.c + 1};
}
struct big big_next(struct big v) {
  for (int i = 0; i < 8; i++) v.v[i]++;
  return v;
}
double point_length2(const struct point *p) { return p->x * p->x + p->y * p->y; }
void bits_fill(struct bits *b) { *b = (struct bits){.a = 5, .b = -7, .c = 0xabcdef0123, .d = 1}; }
int bits_are(const struct bits *b, unsigned a, int s, unsigned long long c, int d) {
  return b->a == a && b->b == s && b->c == c && b->d == d;
}
unsigned long bits_size(void) { return sizeof(struct bits); }
unsigned long packed_size(void) { return sizeof(struct packed); }
double packed_sum(const struct packed *p) { return p->a + p->b + p->c; }
union word word_next(union word w) {
  w.u++;
  return w;
}

/* ---- numbers --------------------------------------------------------------------------------- */

double _Complex complex_square(double _Complex z) { return z * z; }
float _Complex complexf_half(float _Complex z) { return z / 2; }
uint64_t u64_identity(uint64_t v) { return v; }
long double ldouble_half(long double v) { return v / 2; }

int sum_ints(int n, ...) {
  va_list ap;
  int sum = 0;
  va_start(ap, n);
  while (n-- > 0) sum += va_arg(ap, int);
  va_end(ap);
  return sum;
}

double sum_doubles(int n, ...) {
  va_list ap;
  double sum = 0;
  va_start(ap, n);
  while (n-- > 0) sum += va_arg(ap, double);
  va_end(ap);
  return sum;
}

/* ---- callbacks ------------------------------------------------------------------------------- */

typedef int callback(int);
typedef int (*callback_p)(int);

int call_it(callback *f, int v) { return f(v); }
int call_twice(callback *f, int v) { return f(f(v)); }
double call_double(double (*f)(double, float), double a, float b) { return f(a, b); }
struct point call_point(struct point (*f)(struct point, int), struct point p, int n) {
  return f(p, n);
}
const char *call_text(const char *(*f)(const char *), const char *text) { return f(text); }
_Bool call_bool(_Bool (*f)(_Bool), _Bool v) { return f(v); }
int64_t call_many(int64_t (*f)(int8_t, uint8_t, int16_t, uint16_t, int32_t, uint32_t, int64_t,
                               uint64_t, float, double)) {
  return f(-1, 255, -2, 65535, -3, 4000000000u, INT64_MIN, UINT64_MAX, 1.5f, 2.5);
}

struct work {
  callback *f;
  int v, result, times;
};

static void *work(void *arg) {
  struct work *w = arg;
  for (int i = 0; i < w->times; i++) w->result = w->f(w->v + i);
  return NULL;
}

/* Calls f on a thread of its own, and waits for that. */
int call_on_thread(callback *f, int v) {
  struct work w = {f, v, -1, 1};
  pthread_t t;
  if (pthread_create(&t, NULL, work, &w) != 0) return -2;
  pthread_join(t, NULL);
  return w.result;
}

/* The same on n threads at once, each of which calls f `times` times; the sum of the last results.
 */
int call_on_threads(callback *f, int n, int times) {
  struct work w[16];
  pthread_t t[16];
  int sum = 0;
  if (n > 16) n = 16;
  for (int i = 0; i < n; i++) {
    w[i] = (struct work){f, i, -1, times};
    if (pthread_create(&t[i], NULL, work, &w[i]) != 0) return -2;
  }
  for (int i = 0; i < n; i++) {
    pthread_join(t[i], NULL);
    sum += w[i].result;
  }
  return sum;
}

static pthread_t later_thread;
static struct work later;

/* Starts a thread that calls f, which later_join waits for. */
int later_start(callback *f, int v, int times) {
  later = (struct work){f, v, -1, times};
  return pthread_create(&later_thread, NULL, work, &later);
}
int later_join(void) {
  pthread_join(later_thread, NULL);
  return later.result;
}

static struct {
  pthread_t threads[8];
  int n, over;
  callback *f;
} callers;

static void *call_on(void *arg) {
  (void)arg;
  for (int i = 1; !__atomic_load_n(&callers.over, __ATOMIC_RELAXED); i++) callers.f(i);
  return NULL;
}

/* Threads that call f all the time, until stop_calling. */
int start_calling(callback *f, int n) {
  callers.f = f;
  __atomic_store_n(&callers.over, 0, __ATOMIC_RELAXED);
  for (callers.n = 0; callers.n < n && callers.n < 8; callers.n++)
    if (pthread_create(&callers.threads[callers.n], NULL, call_on, NULL) != 0) break;
  return callers.n;
}
void stop_calling(void) {
  __atomic_store_n(&callers.over, 1, __ATOMIC_RELAXED);
  while (callers.n > 0) pthread_join(callers.threads[--callers.n], NULL);
}

static callback *kept;
void keep_callback(callback *f) { kept = f; }
int call_kept(int v) { return kept ? kept(v) : -1; }

/* ---- memory ---------------------------------------------------------------------------------- */

static int live;
struct thing {
  int id;
};
struct thing *thing_new(int id) {
  struct thing *t = malloc(sizeof(*t));
  if (t) t->id = id;
  live++;
  return t;
}
void thing_free(struct thing *t) {
  if (!t) return;
  live--;
  free(t);
}
int things_live(void) { return live; }

struct node {
  struct node *next;
  int value;
};
int list_sum(const struct node *n) {
  int sum = 0;
  for (; n; n = n->next) sum += n->value;
  return sum;
}

int table[4] = {10, 20, 30, 40};
const char *words[3] = {"one", "two", NULL};
struct point origin = {0.5, -0.5};
callback_p chosen = NULL;
const int fixed = 99;

/* ---- calls that last ------------------------------------------------------------------------- */

static int pipes[2] = {-1, -1};
/* Blocks until wake_up; returns what that was given. */
int wait_for_byte(int unused) {
  unsigned char c = 0;
  (void)unused;
  return read(pipes[0], &c, 1) == 1 ? c : -1;
}
int pipe_open(void) { return pipe(pipes); }
void pipe_close(void) {
  close(pipes[0]);
  close(pipes[1]);
}
void wake_up(int v) {
  unsigned char c = (unsigned char)v;
  if (write(pipes[1], &c, 1) != 1) abort();
}
