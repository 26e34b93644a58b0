/* alive.c: what a call uses stays until it has returned, whatever others close and free meanwhile;
 * and calls that can be given up (gs_ffi_call_opts). */
#include "support.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <unistd.h>

#include "gosched_ffi.h"

enum { PROCS = 2 };

struct guest_pair {
  double x;
  long y;
};

static const char decls[] =
    "struct guest_pair { double x; long y; };"
    "void guest_tell(int fd); short guest_wait(int fd, int began);"
    "struct guest_pair guest_wait_pair(int fd, int began, struct guest_pair v);"
    "int guest_wait_sum(int fd, int began, const int *numbers, int n);"
    "int guest_call(int (*fn)(void *), void *arg); int guest_add(int a, int b);";

typedef struct world {
  gs_ffi *ffi;
  gs_lib *lib;
  int in[2], began[2], bye[2];
} world;

static gs_func *func(world *w, const char *name) {
  gs_func *f = NULL;
  gs_ffi_error err;
  if (gs_ffi_func(w->lib, name, &f, &err) != GS_OK) fprintf(stderr, "%s\n", err.text);
  CHECK(f != NULL);
  return f;
}

static void world_init(world *w) {
  gs_ffi_error err = {.text = ""};
  w->ffi = gs_ffi_new();
  CHECK_CODE(gs_ffi_cdef(w->ffi, decls, &err), GS_OK);
  CHECK_CODE(gs_ffi_load(w->ffi, GUEST_PATH, &w->lib, &err), GS_OK);
  CHECK_INT(pipe(w->in), 0);
  CHECK_INT(pipe(w->began), 0);
  CHECK_INT(pipe(w->bye), 0);
  CHECK_CODE(gs_ffi_call(func(w, "guest_tell"), NULL, (void *[]){&w->bye[1]}, NULL), GS_OK);
}

static int has_byte(int fd) {
  struct pollfd p = {fd, POLLIN, 0};
  return poll(&p, 1, 0) == 1;
}

static int take_byte(int fd) {
  char byte = 0;
  int code = gs_wait(fd, GS_READ, gs_now() + PATIENCE);
  return code == GS_OK && read(fd, &byte, 1) == 1 ? byte : 0;
}

static void put_byte(int fd) { CHECK_INT(write(fd, "x", 1), 1); }

/* Nothing of ours is left; sanitizers and dlclose may keep it mapped all the same. */
static void world_end(world *w) {
  for (int64_t end = gs_now() + PATIENCE; !has_byte(w->bye[0]) && gs_now() < end; gs_sleep(US(50)))
    gs_ffi_free(gs_ffi_new());
  CHECK_INT(take_byte(w->bye[0]), 'u');
  int *pipes[] = {w->in, w->began, w->bye};
  for (size_t i = 0; i < COUNT(pipes); i++) {
    close(pipes[i][0]);
    close(pipes[i][1]);
  }
}

typedef struct caller {
  world *w;
  gs_func *f;
  int code, saved_errno;
  short ret;
  struct guest_pair pair;
  atomic_int over;
} caller;

static void call_wait(void *arg) {
  caller *c = arg;
  world *w = c->w;
  c->code = gs_ffi_call(c->f, &c->ret, (void *[]){&w->in[0], &w->began[1]}, &c->saved_errno);
  atomic_store(&c->over, 1);
}

static void call_pair(void *arg) {
  caller *c = arg;
  world *w = c->w;
  struct guest_pair v = {1.5, 100};
  c->code = gs_ffi_call(c->f, &c->pair, (void *[]){&w->in[0], &w->began[1], &v}, &c->saved_errno);
  atomic_store(&c->over, 1);
}

/* ---- closing and freeing while a call is under way ---- */

static void close_library(void *arg) {
  (void)arg;
  world w;
  gs_ffi_error err;
  world_init(&w);
  caller c = {.w = &w, .f = func(&w, "guest_wait")};
  gs_func *add = func(&w, "guest_add"), *none = NULL;
  int a = 4, b = 5, sum = 0;
  for (int i = 0; i < 40; i++) /* its calls take the short way */
    CHECK_CODE(gs_ffi_call(add, &sum, (void *[]){&a, &b}, NULL), GS_OK);
  CHECK_INT(sum, 9);
  gs_handle *h = go_named("waits in it", call_wait, &c);
  CHECK_INT(take_byte(w.began[0]), 'b');
  void *addr = NULL;
  CHECK_CODE(gs_lib_close(w.lib), GS_OK);
  CHECK_CODE(gs_lib_close(w.lib), GS_ECLOSED);
  CHECK_CODE(gs_lib_close(NULL), GS_EINVAL);
  CHECK_CODE(gs_ffi_call(add, &sum, (void *[]){&a, &b}, NULL), GS_ECLOSED);
  CHECK(strstr(gs_error_detail(), "guest_add") != NULL);
  CHECK_INT(gs_func_set_hints(add, GS_SITE_CRITICAL), 0);
  CHECK_INT(gs_func_hints(add), GS_SITE_CRITICAL);
  CHECK_CODE(gs_ffi_call(add, &sum, (void *[]){&a, &b}, NULL), GS_ECLOSED);
  CHECK_CODE(gs_ffi_func(w.lib, "guest_call", &none, &err), GS_ECLOSED);
  CHECK_CODE(gs_lib_symbol(w.lib, "guest_call", &addr, &err), GS_ECLOSED);
  CHECK(strstr(err.text, "was closed") != NULL);
  gs_ffi_free(gs_ffi_new());
  CHECK_INT(has_byte(w.bye[0]), 0); /* still there */
  put_byte(w.in[1]);
  join(h);
  CHECK_CODE(c.code, GS_OK);
  CHECK_INT(c.ret, 42);
  CHECK_INT(c.saved_errno, 61);
  gs_lib *self = NULL;
  for (int64_t end = gs_now() + PATIENCE; !has_byte(w.bye[0]) && gs_now() < end; gs_sleep(US(50)))
    CHECK_CODE(gs_ffi_load(w.ffi, NULL, &self, &err), GS_OK);
  gs_lib *again = NULL; /* a new one, of the same name */
  CHECK_INT(take_byte(w.bye[0]), 'u');
  CHECK_CODE(gs_ffi_load(w.ffi, GUEST_PATH, &again, &err), GS_OK);
  CHECK(again != w.lib);
  w.lib = again;
  CHECK_CODE(gs_ffi_call(func(&w, "guest_tell"), NULL, (void *[]){&w.bye[1]}, NULL), GS_OK);
  CHECK_CODE(gs_ffi_call(func(&w, "guest_add"), &sum, (void *[]){&a, &b}, NULL), GS_OK);
  gs_ffi_free(w.ffi);
  world_end(&w);
}

static void free_all(void *arg) {
  const int by_value = *(const int *)arg;
  world w;
  world_init(&w);
  caller c = {.w = &w, .f = func(&w, by_value ? "guest_wait_pair" : "guest_wait")};
  gs_handle *h = go_named("waits in it", by_value ? call_pair : call_wait, &c);
  CHECK_INT(take_byte(w.began[0]), 'b');
  gs_func_free(c.f);
  gs_ffi_free(w.ffi);
  gs_ffi_free(gs_ffi_new());
  CHECK_INT(has_byte(w.bye[0]), 0);
  put_byte(w.in[1]);
  join(h);
  CHECK_CODE(c.code, GS_OK);
  CHECK_INT(c.saved_errno, 61);
  if (by_value) {
    CHECK(c.pair.x == 43.5);
    CHECK_INT(c.pair.y, 142);
  } else {
    CHECK_INT(c.ret, 42);
  }
  world_end(&w);
}

static void host_dlcloses(void *arg) {
  (void)arg;
  world w;
  world_init(&w);
  caller c = {.w = &w, .f = func(&w, "guest_wait")};
  void *mine = dlopen(GUEST_PATH, RTLD_NOW);
  gs_handle *h = go_named("waits in it", call_wait, &c);
  CHECK_INT(take_byte(w.began[0]), 'b');
  CHECK_INT(dlclose(mine), 0);
  put_byte(w.in[1]);
  join(h);
  CHECK_INT(c.ret, 42);
  gs_ffi_free(w.ffi);
  world_end(&w);
}

static void test_close_library(void **state) {
  (void)state;
  run_procs(1, close_library, NULL);
  run_procs(PROCS, close_library, NULL);
}

static void test_free_all(void **state) {
  (void)state;
  for (int by_value = 0; by_value < 2; by_value++)
    for (int procs = 1; procs <= PROCS; procs++) run_procs(procs, free_all, &by_value);
}

static void test_host_dlcloses(void **state) {
  (void)state;
  run_procs(PROCS, host_dlcloses, NULL);
}

/* ---- the same from a callback: the call below it is not over ---- */

static void wait_in_g(void *arg) {
  caller *c = arg;
  put_byte(c->w->began[1]);
  CHECK_INT(take_byte(c->w->in[0]), 'x'); /* parks */
}

static int call_back(void *arg) {
  CHECK_CODE(gs_cgocallback(wait_in_g, arg), GS_OK);
  return 3;
}

typedef struct back {
  caller c;
  int ret;
} back;

static void call_guest(void *arg) {
  back *b = arg;
  int (*fn)(void *) = call_back;
  void *inner = &b->c;
  b->c.code = gs_ffi_call(b->c.f, &b->ret, (void *[]){&fn, &inner}, NULL);
}

static void free_in_callback(void *arg) {
  (void)arg;
  world w;
  int a = 1, sum = 0;
  world_init(&w);
  CHECK_CODE(gs_ffi_call(func(&w, "guest_add"), &sum, (void *[]){&a, &a}, NULL), GS_OK);
  back b = {.c = {.w = &w, .f = func(&w, "guest_call")}};
  gs_handle *h = go_named("calls back", call_guest, &b);
  CHECK_INT(take_byte(w.began[0]), 'x');
  gs_ffi_free(w.ffi);
  CHECK_INT(has_byte(w.bye[0]), 0);
  put_byte(w.in[1]);
  join(h);
  CHECK_INT(b.ret, 45);
  world_end(&w);
}

static void test_free_in_callback(void **state) {
  (void)state;
  run_procs(PROCS, free_in_callback, NULL);
}

/* ---- others do all of that all the time ---- */

static atomic_int stop;

static void churn(void *arg) {
  (void)arg;
  while (!atomic_load(&stop)) {
    gs_ffi *ffi = gs_ffi_new();
    gs_lib *lib = NULL;
    gs_func *f = NULL;
    gs_mem *mem = NULL;
    int a = 1, sum = 0;
    CHECK_CODE(gs_ffi_cdef(ffi, decls, NULL), GS_OK);
    CHECK_CODE(gs_ffi_load(ffi, GUEST_PATH, &lib, NULL), GS_OK);
    CHECK_CODE(gs_ffi_func(lib, "guest_add", &f, NULL), GS_OK);
    CHECK_CODE(gs_ffi_call(f, &sum, (void *[]){&a, &a}, NULL), GS_OK);
    CHECK_CODE(gs_mem_new(ffi, gs_type_builtin("int32"), 10, &mem, NULL), GS_OK);
    CHECK_CODE(gs_lib_close(lib), GS_OK);
    gs_ffi_free(ffi);
    CHECK_CODE(gs_mem_set_int64(mem, 9, NULL, 4, NULL), GS_OK);
    gs_mem_release(mem);
    gs_yield();
  }
}

static void many_calls(void *arg) {
  (void)arg;
  gs_handle *h[2];
  for (int i = 0; i < 2; i++) h[i] = go_named("churns", churn, NULL);
  for (int i = 0; i < SCALE(60); i++) {
    world w;
    world_init(&w);
    caller c = {.w = &w, .f = func(&w, "guest_wait_pair")};
    gs_handle *waits = go_named("waits in it", call_pair, &c);
    CHECK_INT(take_byte(w.began[0]), 'b');
    gs_ffi_free(w.ffi);
    gs_sleep(US(100));
    put_byte(w.in[1]);
    join(waits);
    CHECK_INT(c.pair.y, 142);
    /* the library is others', too: it says good-bye when it likes */
    close(w.in[0]), close(w.in[1]), close(w.began[0]), close(w.began[1]);
  }
  atomic_store(&stop, 1);
  for (int i = 0; i < 2; i++) join(h[i]);
}

static void test_churn(void **state) {
  (void)state;
  run_procs(PROCS, many_calls, NULL);
}

/* ---- memory that is lent to a call ---- */

typedef struct lender {
  world *w;
  gs_func *f;
  gs_mem *mem;
  int ret;
} lender;

static void lend(void *arg) {
  lender *l = arg;
  void *numbers = gs_mem_pin(l->mem);
  int n = (int)gs_mem_count(l->mem);
  CHECK_CODE(
      gs_ffi_call(l->f, &l->ret, (void *[]){&l->w->in[0], &l->w->began[1], &numbers, &n}, NULL),
      GS_OK);
  gs_mem_unpin(l->mem);
  gs_mem_release(l->mem);
}

static void memory_stays(void *arg) {
  (void)arg;
  world w;
  gs_ffi_error err;
  world_init(&w);
  lender l = {.w = &w, .f = func(&w, "guest_wait_sum")};
  CHECK_CODE(gs_mem_new(w.ffi, gs_type_builtin("int32"), 3, &l.mem, &err), GS_OK);
  for (size_t i = 0; i < 3; i++) CHECK_CODE(gs_mem_set_int64(l.mem, i, NULL, 7, &err), GS_OK);
  gs_mem *mine = l.mem;
  gs_mem_retain(mine);
  gs_handle *h = go_named("lends", lend, &l);
  CHECK_INT(take_byte(w.began[0]), 'b');
  CHECK_CODE(gs_mem_free(mine, &err), GS_EBUSY);
  CHECK(strstr(err.text, "in use") != NULL);
  gs_mem_release(mine);
  put_byte(w.in[1]);
  join(h);
  CHECK_INT(l.ret, 63);
  gs_ffi_free(w.ffi);
  world_end(&w);
}

static void test_memory_stays(void **state) {
  (void)state;
  run_procs(PROCS, memory_stays, NULL);
}

/* ---- calls that can be given up ---- */

typedef struct give_up {
  world *w;
  gs_func *f;
  gs_call_options opts;
  int code, saved_errno;
  struct guest_pair ret;
  atomic_int unblocks, destroys;
} give_up;

static void end_it(void *arg) {
  give_up *g = arg;
  atomic_fetch_add(&g->unblocks, 1);
  put_byte(g->w->in[1]);
}

static void destroy_it(void *arg) { atomic_fetch_add(&((give_up *)arg)->destroys, 1); }

static void call_opts(void *arg) {
  give_up *g = arg;
  struct guest_pair v = {0.5, 1};
  int in = g->w->in[0], began = g->w->began[1];
  void *args[] = {&in, &began, &v};
  g->saved_errno = -1;
  g->code = gs_ffi_call_opts(g->f, &g->ret, args, &g->saved_errno, &g->opts);
  if (g->code != GS_OK && !g->opts.destroy) return;
  memset(args, 0xee, sizeof args); /* the call must not need them any more */
  memset(&v, 0xee, sizeof v);
}

static void give_up_init(give_up *g, world *w, bool owns) {
  memset(g, 0, sizeof *g);
  g->w = w;
  g->f = func(w, "guest_wait_pair");
  g->opts = (gs_call_options)GS_CALL_OPTIONS_DEFAULT;
  g->opts.uarg = g;
  g->opts.destroy = owns ? destroy_it : NULL;
}

static void ends_by_itself(world *w, bool owns) {
  give_up g;
  give_up_init(&g, w, owns);
  put_byte(w->in[1]);
  call_opts(&g);
  CHECK_CODE(g.code, GS_OK);
  CHECK(g.ret.x == 42.5);
  CHECK_INT(g.ret.y, 43);
  CHECK_INT(g.saved_errno, 61);
  CHECK_INT(g.destroys, owns);
  CHECK_INT(take_byte(w->began[0]), 'b');
}

static void is_unblocked(world *w) {
  give_up g;
  give_up_init(&g, w, false);
  g.opts.unblock = end_it;
  gs_handle *h = go_named("gives up", call_opts, &g);
  CHECK_INT(take_byte(w->began[0]), 'b');
  CHECK_CODE(gs_cancel(h), GS_OK);
  join(h);
  CHECK_CODE(g.code, GS_ECANCELED);
  CHECK_INT(g.ret.y, 43); /* it came to its end */
  CHECK_INT(g.saved_errno, 61);
  CHECK_INT(g.unblocks, 1);
}

static void is_detached(world *w) {
  give_up g;
  give_up_init(&g, w, true);
  gs_handle *h = go_named("gives up", call_opts, &g);
  CHECK_INT(take_byte(w->began[0]), 'b');
  CHECK_CODE(gs_cancel(h), GS_OK);
  join(h);
  CHECK_CODE(g.code, GS_ECANCELED);
  CHECK_INT(g.ret.y, 0);
  CHECK_INT(g.saved_errno, -1);
  CHECK_INT(g.destroys, 0);
  put_byte(w->in[1]);
  for (int64_t end = gs_now() + PATIENCE; !g.destroys && gs_now() < end;) gs_sleep(US(20));
  CHECK_INT(g.destroys, 1);
}

/* Its gs_ffi is freed before it has come to its end, or even begun. */
static void outlives_its_ffi(world *w) {
  give_up g;
  give_up_init(&g, w, true);
  g.opts.deadline_ns = gs_now() + US(20);
  call_opts(&g);
  gs_ffi_free(w->ffi);
  put_byte(w->in[1]);
  CHECK(g.code == GS_ETIMEOUT || g.code == GS_OK);
  for (int64_t end = gs_now() + PATIENCE; !g.destroys && gs_now() < end;) gs_sleep(US(20));
  CHECK_INT(g.destroys, 1);
}

static void calls_of_closed(world *w) {
  for (int owns = 0; owns < 2; owns++) {
    give_up g;
    w->lib = NULL;
    CHECK_CODE(gs_ffi_load(w->ffi, GUEST_PATH, &w->lib, NULL), GS_OK);
    give_up_init(&g, w, owns);
    CHECK_CODE(gs_lib_close(w->lib), GS_OK);
    call_opts(&g);
    CHECK_CODE(g.code, GS_ECLOSED);
    CHECK_INT(g.destroys, owns);
    g.opts.unblock = end_it;
    call_opts(&g);
    CHECK_CODE(g.code, GS_ECLOSED);
    CHECK_INT(g.destroys, 2 * owns);
    CHECK_INT(g.unblocks, 0);
  }
}

static void giving_up(void *arg) {
  (void)arg;
  world w;
  world_init(&w);
  for (int i = 0; i < 10; i++) {
    ends_by_itself(&w, false);
    ends_by_itself(&w, true);
    is_unblocked(&w);
    is_detached(&w);
  }
  give_up g;
  give_up_init(&g, &w, true);
  CHECK_CODE(gs_ffi_call_opts(g.f, NULL, NULL, NULL, &g.opts), GS_EINVAL);
  CHECK_CODE(gs_ffi_call_opts(NULL, NULL, NULL, NULL, &g.opts), GS_EINVAL);
  CHECK_INT(g.destroys, 0);
  outlives_its_ffi(&w);
  world_end(&w);
}

static void closed_ones(void *arg) {
  (void)arg;
  world w;
  world_init(&w);
  CHECK_CODE(gs_lib_close(w.lib), GS_OK);
  CHECK_INT(take_byte(w.bye[0]), 'u');
  calls_of_closed(&w);
  gs_ffi_free(w.ffi);
}

static void test_giving_up(void **state) {
  (void)state;
  run_procs(1, giving_up, NULL);
  run_procs(PROCS, giving_up, NULL);
}

static void test_calls_of_a_closed_library(void **state) {
  (void)state;
  run_procs(PROCS, closed_ones, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_close_library),
      cmocka_unit_test(test_free_all),
      cmocka_unit_test(test_host_dlcloses),
      cmocka_unit_test(test_free_in_callback),
      cmocka_unit_test(test_memory_stays),
      cmocka_unit_test(test_giving_up),
      cmocka_unit_test(test_calls_of_a_closed_library),
      cmocka_unit_test(test_churn),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
