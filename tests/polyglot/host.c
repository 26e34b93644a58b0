/* host.c: a C program in which several interpreters run at the same time, each on its own thread.
 *
 * usage: host lua FILE tcl FILE …   0 if all programs end well; what failed is told
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guests.h"

typedef struct guest {
  pthread_t thread;
  const char *language, *file;
  char error[4096];
  int bad;
} guest;

static char *read_file(const char *name) {
  FILE *f = fopen(name, "r");
  if (!f) return NULL;
  char *text = calloc(1, 1 << 16);
  if (text) (void)!fread(text, 1, (1 << 16) - 1, f);
  fclose(f);
  return text;
}

static void *run(void *arg) {
  guest *g = arg;
  char *program = read_file(g->file);
  if (!program) {
    g->bad = 1;
    fprintf(stderr, "%s cannot be read\n", g->file);
    return NULL;
  }
  g->bad = strcmp(g->language, "lua") == 0 ? run_lua(program, g->error, sizeof g->error)
                                           : run_tcl(program, g->error, sizeof g->error);
  /* At once: the others may wait for this one for ever. */
  if (g->bad) fprintf(stderr, "%s: %s\n", g->file, g->error);
  free(program);
  return NULL;
}

int main(int argc, char **argv) {
  int n = (argc - 1) / 2, bad = n == 0;
  guest *guests = calloc((size_t)n + 1, sizeof *guests);
  for (int i = 0; i < n; i++) {
    guests[i].language = argv[2 * i + 1];
    guests[i].file = argv[2 * i + 2];
    if (pthread_create(&guests[i].thread, NULL, run, &guests[i]) != 0) return 2;
  }
  for (int i = 0; i < n; i++) {
    pthread_join(guests[i].thread, NULL);
    bad |= guests[i].bad;
  }
  free(guests);
  return bad;
}
