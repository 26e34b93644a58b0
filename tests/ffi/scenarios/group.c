/* group.c: see group.h. */
#include "group.h"

gs_ffi *ffi;
gs_lib *lib;
const group *scenarios;

bool group_refused(const signature *s, int code, const gs_ffi_error *err) {
  if (code == GS_OK) return false;
  if (code == GS_ETYPE && s->flags & SCENARIO_REFUSABLE && strlen(err->text) > 20) return true;
  fprintf(stderr, "%s: %d, %s\n", s->name, code, err->text);
  CHECK(!"it can be prepared");
  return true;
}

gs_func *declared(const signature *s) {
  gs_func *f = NULL, *shape = NULL;
  gs_ffi_error err;
  const gs_type *extra[MOST_ARGUMENTS];
  if (group_refused(s, gs_ffi_func(lib, s->name, &f, &err), &err)) return NULL;
  if (!gs_func_variadic(f)) return f;
  for (unsigned i = 0; i < s->nargs - s->nfixed; i++)
    CHECK_CODE(gs_ffi_type(ffi, s->extra[i], &extra[i], &err), GS_OK);
  int code = gs_func_variadic_shape(f, extra, s->nargs - s->nfixed, &shape, &err);
  return group_refused(s, code, &err) ? NULL : shape;
}

bool by_libffi(void) {
#if defined(__x86_64__)
  const char *mode = getenv("GOSCHED_FFI");
  return mode && strcmp(mode, "libffi") == 0;
#else
  return true;
#endif
}

static int load(const char *path) {
  gs_ffi_error err;
  void *at = NULL;
  ffi = gs_ffi_new();
  if (gs_ffi_load(ffi, path, &lib, &err) != GS_OK ||
      gs_lib_symbol(lib, "scenarios", &at, &err) != GS_OK) {
    fprintf(stderr, "%s\n", err.text);
    return 2;
  }
  scenarios = at;
  if (gs_ffi_cdef(ffi, scenarios->declarations, &err) != GS_OK) {
    fprintf(stderr, "%d:%d: %s\n", err.line, err.column, err.text);
    return 1;
  }
  return 0;
}

int group_main(int argc, char **argv, void (*each)(void **), void (*all)(void **)) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s LIBRARY\n", argv[0]);
    return 2;
  }
  int bad = load(argv[1]);
  if (bad) return bad;
  struct CMUnitTest *tests = calloc(scenarios->count + 1, sizeof(*tests));
  if (!tests) return 2;
  for (unsigned i = 0; i < scenarios->count; i++)
    tests[i] = (struct CMUnitTest){scenarios->signatures[i]->name, each, NULL, NULL,
                                   (void *)(uintptr_t)scenarios->signatures[i]};
  tests[scenarios->count] = (struct CMUnitTest){"all_at_once", all, NULL, NULL, NULL};
  int failed = _cmocka_run_group_tests("scenarios", tests, scenarios->count + 1, NULL, NULL);
  free(tests);
  gs_ffi_free(ffi);
  return failed;
}
