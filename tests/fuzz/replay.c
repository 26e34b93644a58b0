/* replay.c: runs a fuzz target on files, once each: the corpus as a test, a finding in a debugger.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path) {
  static uint8_t data[1 << 20];
  FILE *f = fopen(path, "rb");
  if (!f) {
    fprintf(stderr, "%s cannot be read\n", path);
    return 1;
  }
  size_t size = fread(data, 1, sizeof data, f);
  fclose(f);
  return LLVMFuzzerTestOneInput(data, size);
}

int main(int argc, char **argv) {
  int n = 0, bad = 0;
  for (int i = 1; i < argc; i++) {
    DIR *d = opendir(argv[i]);
    if (!d) {
      bad |= run_file(argv[i]);
      n++;
      continue;
    }
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
      char path[4096];
      if (e->d_name[0] == '.') continue;
      snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
      bad |= run_file(path);
      n++;
    }
    closedir(d);
  }
  printf("%d inputs\n", n);
  return bad || n == 0;
}
