/* tables.c: prints the tables of the library, for tools/pages.py: one entry a line, tabs between.
 *
 *     tables settings | metrics | errors
 */
#include <stdio.h>
#include <string.h>

#include "gosched.h"

static void settings(void) {
  const gs_setting *s;
  for (size_t i = 0; (s = gs_setting_info(i)); i++)
    printf("%s\t%s\t%s\t%s\n", s->name, s->accepted, s->otherwise, s->text);
}

static void metrics(void) {
  static const char *const kinds[] = {"counter", "gauge", "histogram"};
  const gs_metric *m;
  for (size_t i = 0; (m = gs_metric_info(i)); i++)
    printf("%s\t%s\t%s\t%s\t%s\n", m->name, kinds[m->kind], m->unit, m->stable ? "yes" : "no",
           m->text);
}

/* All codes there are, from 0 down. */
static void errors(void) {
  const char *unknown = gs_strerror(1);
  for (int code = 0; strcmp(gs_strerror(code), unknown) != 0; code--)
    printf("%d\t%s\n", code, gs_strerror(code));
}

int main(int argc, char **argv) {
  const char *what = argc == 2 ? argv[1] : "";
  if (strcmp(what, "settings") == 0)
    settings();
  else if (strcmp(what, "metrics") == 0)
    metrics();
  else if (strcmp(what, "errors") == 0)
    errors();
  else
    return fprintf(stderr, "usage: %s settings | metrics | errors\n", argv[0]), 2;
  return 0;
}
