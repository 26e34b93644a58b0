/* run.c: makes the calls of a generated library of scenarios (scenario.h).
 *
 *   run LIBRARY
 *
 * Each signature is a test.  It is prepared twice, from its declaration and from its types, and all
 * its calls are made on a green thread and on a thread without one.  The last test makes all calls
 * of all signatures on many green threads at once.
 *
 * Each argument ends, or begins, where the memory does that may be read; so an argument of which
 * more is read than it has ends the program.  The result lies between bytes that must stay as they
 * are.
 *
 * A type that gosched may decline must be declined with a reason, or passed right.  What the
 * system's libffi itself gets wrong (libffi_defect.c) is left out where libffi makes the calls.
 */
#include "group.h"

#include <sys/mman.h>
#include <unistd.h>

#include "libffi_defect.h"

enum { GUARD = 32, WORKERS = 16 };

static unsigned declined, left_to_libffi;

/* ---- memory for arguments and results ---- */

/* A page for each argument, each between two that cannot be read. */
typedef struct memory {
  unsigned char *pages;
  size_t page;
  unsigned char result[GUARD + 4096 + GUARD] __attribute__((aligned(64)));
} memory;

static memory *memory_new(void) {
  memory *m = malloc(sizeof(*m));
  CHECK(m != NULL);
  m->page = (size_t)sysconf(_SC_PAGESIZE);
  m->pages = mmap(NULL, m->page * (2 * MOST_ARGUMENTS + 1), PROT_NONE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(m->pages != MAP_FAILED);
  return m;
}

static void memory_free(memory *m) {
  munmap(m->pages, m->page * (2 * MOST_ARGUMENTS + 1));
  free(m);
}

static void *argument_at(memory *m, unsigned i, bool at_end, const void *value, size_t size) {
  unsigned char *page = m->pages + (2 * i + 1) * m->page;
  CHECK(size <= m->page);
  CHECK_INT(mprotect(page, m->page, PROT_READ | PROT_WRITE), 0);
  void *at = at_end ? page + m->page - size : page;
  memcpy(at, value, size);
  return at;
}

static void *result_at(memory *m) {
  memset(m->result, 0xA5, sizeof(m->result));
  return m->result + GUARD;
}

static void check_result(const signature *s, const memory *m, unsigned which, const char *how) {
  const unsigned char *at = m->result + GUARD;
  if (s->same_result && !s->same_result(at, s->results[which])) {
    fprintf(stderr, "%s, call %u, %s: another result\n", s->name, which, how);
    CHECK(!"the result is what the function returned");
  }
  for (int i = 0; i < GUARD; i++) {
    CHECK_INT(m->result[i], 0xA5);
    CHECK_INT(at[s->result_size + i], 0xA5);
  }
}

/* ---- preparing ---- */

/* From the types that arrive. */
static gs_func *prepared(const signature *s) {
  const gs_type *pointer = NULL, *args[MOST_ARGUMENTS];
  gs_func *f = NULL;
  gs_ffi_error err;
  CHECK_CODE(gs_ffi_type(ffi, s->pointer, &pointer, &err), GS_OK);
  if (!pointer) return NULL;
  const gs_type *type = gs_type_target(pointer);
  for (unsigned i = 0; i < s->nargs; i++) args[i] = gs_type_param(type, i);
  CHECK_INT(gs_type_length(type), s->nargs);
  int code = gs_func_prepare(ffi, s->name, s->address, gs_type_target(type), args, s->nargs,
                             s->nfixed, 0, &f, &err);
  return group_refused(s, code, &err) ? NULL : f;
}

/* ---- calls ---- */

static void tell_stranger(const signature *s, unsigned which, const char *how) {
  unsigned strangers = atomic_load(s->strangers);
  if (!strangers) return;
  fprintf(stderr, "%s, call %u, %s: other arguments arrive (type %s):", s->name, which, how,
          s->pointer);
  for (unsigned i = 0; i < s->nargs; i++)
    if (!(atomic_load(&s->matched[i]) & 1u << which)) fprintf(stderr, " %u", i + 1);
  fputc('\n', stderr);
  CHECK(!"the arguments arrive as they were given");
  atomic_fetch_sub(s->strangers, strangers);
}

static void make_calls(const signature *s, const gs_func *f, memory *m, const char *how) {
  void *args[MOST_ARGUMENTS];
  for (unsigned which = 0; which < s->ncalls; which++) {
    const void *const *values = s->arguments + (size_t)which * s->nargs;
    for (unsigned i = 0; i < s->nargs; i++)
      args[i] = argument_at(m, i, which % 2 == 0, values[i], s->sizes[i]);
    unsigned before = atomic_load(&s->hits[which]);
    CHECK_CODE(gs_ffi_call(f, s->result_size ? result_at(m) : NULL, args, NULL), GS_OK);
    tell_stranger(s, which, how);
    CHECK(atomic_load(&s->hits[which]) > before);
    if (s->result_size) check_result(s, m, which, how);
  }
}

typedef struct test {
  const signature *s;
  gs_func *declared, *prepared;
} test;

static void on_green_thread(void *arg) {
  const test *t = arg;
  memory *m = memory_new();
  make_calls(t->s, t->declared, m, "on a green thread");
  make_calls(t->s, t->prepared, m, "prepared from types, on a green thread");
  memory_free(m);
}

static void test_signature(void **state) {
  test t = {.s = *state};
  int before = checks_failed();
  t.declared = declared(t.s);
  t.prepared = prepared(t.s);
  assert_int_equal(checks_failed(), before);
  assert_int_equal(t.declared == NULL, t.prepared == NULL);
  if (!t.declared) {
    declined++;
    return;
  }
  if (by_libffi() && libffi_corrupts(t.declared)) {
    print_message("%s is left out: libffi itself passes its arguments wrong\n", t.s->name);
    left_to_libffi++;
    skip();
  }
  run_procs(2, on_green_thread, &t);
  memory *m = memory_new();
  make_calls(t.s, t.declared, m, "in place");
  memory_free(m);
  gs_func_free(t.prepared);
  assert_int_equal(checks_failed(), before);
}

/* ---- all at once ---- */

typedef struct crowd {
  gs_func **funcs;
  wait_group wg;
  atomic_uint starts;
} crowd;

/* Each begins elsewhere, so that they meet at all signatures. */
static void one_of_many(void *arg) {
  crowd *c = arg;
  memory *m = memory_new();
  unsigned start = atomic_fetch_add(&c->starts, 1) * scenarios->count / WORKERS;
  for (unsigned i = 0; i < SCALE(scenarios->count); i++) {
    unsigned at = (start + i) % scenarios->count;
    if (c->funcs[at]) make_calls(scenarios->signatures[at], c->funcs[at], m, "among others");
    if (i % 8 == 0) gs_yield();
  }
  memory_free(m);
  wg_done(&c->wg);
}

static void many_body(void *arg) {
  crowd *c = arg;
  wg_init(&c->wg);
  for (int i = 0; i < WORKERS; i++) go(one_of_many, c);
  wg_wait(&c->wg, WORKERS);
}

static void test_all_at_once(void **state) {
  (void)state;
  crowd c = {.funcs = calloc(scenarios->count, sizeof(gs_func *))};
  for (unsigned i = 0; i < scenarios->count; i++) {
    c.funcs[i] = declared(scenarios->signatures[i]);
    if (c.funcs[i] && by_libffi() && libffi_corrupts(c.funcs[i])) c.funcs[i] = NULL;
  }
  run_procs(2, many_body, &c);
  free(c.funcs);
}

int main(int argc, char **argv) {
  int failed = group_main(argc, argv, test_signature, test_all_at_once);
  printf("%u of the signatures were declined with a reason, %u left out\n", declined,
         left_to_libffi);
  return failed;
}
