/* static.c: a program that has the library linked in statically cannot have guests, whose plugins
 * would bring another copy: it is told so.  The guests' directory is in GS_GUEST_DIR. */
#include <gosched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int body(void *arg) {
  gs_guest *g;
  (void)arg;
  int e = gs_embed("lua", "return 1", NULL, &g);
  printf("%s\n", gs_error_detail());
  return e != GS_EABI || !strstr(gs_error_detail(), "linked with the shared library");
}

int main(void) {
  int result = 1;
  setenv("GOSCHED_GUESTS", getenv("GS_GUEST_DIR"), 1);
  return gs_run(NULL, body, NULL, &result) != GS_OK || result;
}
