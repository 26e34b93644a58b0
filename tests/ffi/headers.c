/* headers.c: the system's own headers as declarations.
 *
 * The build runs headers.h through the preprocessor; here the whole of it is declared, its structs
 * are compared with the compiler's, and a few functions are called by their real declarations.
 */
#include "support.h"

#include "headers.h"

#include "gosched_ffi.h"

static char *read_file(const char *path) {
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  size_t size = 0, room = 1 << 20;
  char *text = malloc(room);
  for (size_t n; (n = fread(text + size, 1, room - size - 1, f)) > 0;)
    if ((size += n) > room / 2) text = realloc(text, room *= 2);
  text[size] = 0;
  fclose(f);
  return text;
}

static gs_ffi *ffi;
static gs_lib *libc;

static int setup(void **state) {
  (void)state;
  gs_ffi_error err;
  char *text = read_file(HEADERS_PATH);
  ffi = gs_ffi_new();
  if (gs_ffi_cdef(ffi, text, &err) != GS_OK) fail_msg("%s", err.text);
  free(text);
  assert_int_equal(gs_ffi_load(ffi, "libc.so.6", &libc, &err), GS_OK);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  gs_ffi_free(ffi);
  return 0;
}

static void test_layouts(void **state) {
  (void)state;
#define TYPE(t) \
  { #t, sizeof(t), _Alignof(t) }
  static const struct {
    const char *name;
    size_t size, align;
  } types[] = {TYPE(struct stat),
               TYPE(struct sockaddr_in6),
               TYPE(struct addrinfo),
               TYPE(struct epoll_event),
               TYPE(struct sigaction),
               TYPE(siginfo_t),
               TYPE(struct termios),
               TYPE(struct dirent),
               TYPE(struct tm),
               TYPE(pthread_mutex_t),
               TYPE(pthread_attr_t),
               TYPE(struct pollfd),
               TYPE(regex_t),
               TYPE(struct lconv),
               TYPE(mbstate_t),
               TYPE(struct sockaddr_storage),
               TYPE(fd_set),
               TYPE(ucontext_t),
               TYPE(struct timespec),
               TYPE(div_t),
               TYPE(FILE)};
  for (size_t i = 0; i < COUNT(types); i++) {
    const gs_type *t = NULL;
    gs_ffi_error err;
    if (gs_ffi_type(ffi, types[i].name, &t, &err) != GS_OK) fail_msg("%s", err.text);
    if (gs_type_size(t) != types[i].size || gs_type_align(t) != types[i].align)
      fail_msg("%s: size %zu, align %zu; the compiler has %zu, %zu", types[i].name, gs_type_size(t),
               gs_type_align(t), types[i].size, types[i].align);
  }
}

static void test_constants(void **state) {
  (void)state;
  const gs_decl *d = gs_ffi_find(ffi, "EPOLLOUT");
  assert_non_null(d);
  assert_int_equal(gs_decl_value(d), EPOLLOUT);
  assert_int_equal(gs_decl_value(gs_ffi_find(ffi, "SOCK_STREAM")), SOCK_STREAM);
}

static gs_func *func(const char *name) {
  gs_func *f = NULL;
  gs_ffi_error err;
  if (gs_ffi_func(libc, name, &f, &err) != GS_OK) fail_msg("%s", err.text);
  return f;
}

static void test_calls(void **state) {
  (void)state;
  int a = 17, b = 5;
  div_t quotient = {0, 0};
  assert_int_equal(gs_ffi_call(func("div"), &quotient, (void *[]){&a, &b}, NULL), GS_OK);
  assert_int_equal(quotient.quot, 3);
  assert_int_equal(quotient.rem, 2);
  struct stat st;
  const char *path = "/";
  struct stat *to = &st;
  int ret = -1;
  assert_int_equal(gs_ffi_call(func("stat"), &ret, (void *[]){&path, &to}, NULL), GS_OK);
  assert_int_equal(ret, 0);
  assert_true(S_ISDIR(st.st_mode));
  struct in_addr in = {htonl(0x7f000001)};
  char *text = NULL;
  assert_int_equal(gs_ffi_call(func("inet_ntoa"), &text, (void *[]){&in}, NULL), GS_OK);
  assert_string_equal(text, "127.0.0.1");
}

/* Every function that is declared and exported can be prepared, but for those with types that
 * libffi does not know. */
static void test_all_prepare(void **state) {
  (void)state;
  size_t prepared = 0;
  for (size_t i = 0; i < gs_ffi_ndecls(ffi); i++) {
    const gs_decl *d = gs_ffi_decl(ffi, i);
    gs_func *f = NULL;
    gs_ffi_error err;
    if (gs_decl_what(d) != GS_DECL_FUNCTION) continue;
    int e = gs_ffi_func(libc, gs_decl_name(d), &f, &err);
    if (e == GS_OK) prepared++;
    if (e != GS_OK && e != GS_ENOSYM && !strstr(err.text, "_Float128")) fail_msg("%s", err.text);
  }
  assert_true(prepared > 500);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_layouts),
      cmocka_unit_test(test_constants),
      cmocka_unit_test(test_calls),
      cmocka_unit_test(test_all_prepare),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
