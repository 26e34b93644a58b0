/* main.c: gsbench ROW [--samples N] [--target-ms MS]; gsbench --list; gsbench --about.
 *
 * Prints one JSON object on one line: {"row", "unit", "samples", "rss_kib", "threads"}.  rss_kib is
 * the peak resident size of this process.  See harness.h and bench/README.md.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "gosched.h"
#include "harness.h"

static const bench_row *const tables[] = {
    bench_rows_floor,   bench_rows_calls, bench_rows_switch, bench_rows_sync,
    bench_rows_handoff, bench_rows_block, bench_rows_echo,   bench_rows_many,
    bench_rows_watch,   bench_rows_spec,  bench_rows_shared, bench_rows_snapshot,
};

enum { TABLES = sizeof tables / sizeof tables[0] };

static const bench_row *find_row(const char *name) {
  for (size_t t = 0; t < TABLES; t++) {
    for (const bench_row *row = tables[t]; row->name != NULL; row++) {
      if (strcmp(row->name, name) == 0) {
        return row;
      }
    }
  }
  return NULL;
}

static void list_rows(void) {
  for (size_t t = 0; t < TABLES; t++) {
    for (const bench_row *row = tables[t]; row->name != NULL; row++) {
      puts(row->name);
    }
  }
}

static void print_about(void) {
  printf("{\"gosched\": \"%s\", \"compiler\": \"%s\"}\n", gs_version(), GSBENCH_COMPILER);
}

static void print_result(const bench_row *row, const bench_result *result) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  printf("{\"row\": \"%s\", \"unit\": \"%s\", \"samples\": [", row->name, result->unit);
  for (size_t i = 0; i < result->n; i++) {
    printf("%s%.3f", i == 0 ? "" : ", ", result->samples[i]);
  }
  printf("], \"rss_kib\": %ld, \"threads\": %d}\n", usage.ru_maxrss, result->threads);
}

/* The number given to an option, in min..max; ends the process on anything else. */
static double number(const char *option, const char *text, double min, double max) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end != '\0' || !(value >= min && value <= max)) {
    bench_die("%s: \"%s\" given, a number from %g to %g accepted", option, text, min, max);
  }
  return value;
}

int main(int argc, char **argv) {
  static const struct option accepted[] = {
      {"samples", required_argument, NULL, 's'},
      {"target-ms", required_argument, NULL, 't'},
      {"list", no_argument, NULL, 'l'},
      {"about", no_argument, NULL, 'a'},
      {NULL, 0, NULL, 0},
  };
  bench_options options = {.samples = 9, .target_ns = 20e6};
  int option;
  while ((option = getopt_long(argc, argv, "", accepted, NULL)) != -1) {
    switch (option) {
      case 's': options.samples = (int)number("--samples", optarg, 1, 1000); break;
      case 't': options.target_ns = number("--target-ms", optarg, 0.001, 10000) * 1e6; break;
      case 'l': list_rows(); return 0;
      case 'a': print_about(); return 0;
      default: return 1; /* getopt_long has said what it does not accept */
    }
  }
  const char *name = optind == argc - 1 ? argv[optind] : NULL;
  const bench_row *row = name == NULL ? NULL : find_row(name);
  if (row == NULL) {
    bench_die("row \"%s\" given, one name of gsbench --list accepted", name == NULL ? "" : name);
  }
  bench_result result = {.unit = row->unit};
  row->run(&options, &result);
  print_result(row, &result);
  free(result.samples);
  return 0;
}
