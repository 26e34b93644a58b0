/* meeting.c: a library for tests of guests: who calls meet waits there, blocked in C, until all
 * have come.  So the test passes only if the languages run at the same time, on different threads.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 16, PATIENCE_S = 60 };

int meet(int n);

/* Waits until n have come.  How many threads they came on; 0: somebody did not come in time. */
int meet(int n) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
  static long threads[MOST];
  static int come, distinct, round, last;
  struct timespec until;
  long me = syscall(SYS_gettid);
  int seen = 0, e = 0;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += PATIENCE_S;
  pthread_mutex_lock(&mutex);
  for (int i = 0; i < distinct; i++) seen |= threads[i] == me;
  if (!seen && distinct < MOST) threads[distinct++] = me;
  int mine = round;
  if (++come == n) {
    round++;
    last = distinct;
    come = distinct = 0;
    pthread_cond_broadcast(&changed);
  }
  while (round == mine && e != ETIMEDOUT) e = pthread_cond_timedwait(&changed, &mutex, &until);
  int result = round == mine ? 0 : last;
  pthread_mutex_unlock(&mutex);
  return result;
}
