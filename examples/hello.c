#include <gosched.h>
#include <stdio.h>
#include <unistd.h>

static gs_chan *done;

static int nap(void *arg) {
  (void)arg;
  return usleep(200000); /* blocks for 0.2 s */
}

static void green(void *arg) {
  gs_cgocall(nap, arg, NULL); /* a foreign call: meanwhile the others go on */
  gs_chan_send(done, NULL, GS_FOREVER);
}

static int run(void *arg) {
  int64_t start = gs_now();
  (void)arg;
  for (int i = 0; i < 100; i++) gs_go(green, NULL);
  for (int i = 0; i < 100; i++) gs_chan_recv(done, NULL, GS_FOREVER);
  printf("100 calls of 0.2 s took %.2f s\n", (double)(gs_now() - start) / 1e9);
  return 0;
}

int main(void) {
  int error = gs_chan_new(0, 0, &done);
  if (!error) error = gs_run(NULL, run, NULL, NULL);
  if (error) fprintf(stderr, "%s\n", gs_strerror(error));
  return error != 0;
}
