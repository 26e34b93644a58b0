package main

// #include <pthread.h>
// #include <time.h>
// extern void gobenchEmpty(void);
// static long long now(void) {
//   struct timespec t;
//   clock_gettime(CLOCK_MONOTONIC, &t);
//   return (long long)t.tv_sec * 1000000000 + t.tv_nsec;
// }
// static long long callbacks(long n) {
//   long long start = now();
//   for (long i = 0; i < n; i++) gobenchEmpty();
//   return now() - start;
// }
// static long foreign_n;
// static long long foreign_took;
// static void *foreign(void *arg) {
//   gobenchEmpty();
//   foreign_took = callbacks(foreign_n);
//   return arg;
// }
// static long long callbacks_foreign(long n) {
//   pthread_t thread;
//   foreign_n = n;
//   foreign_took = -1;
//   if (pthread_create(&thread, NULL, foreign, NULL) == 0) pthread_join(thread, NULL);
//   return foreign_took;
// }
import "C"

import "time"

func loopCallback(n int) time.Duration {
	return time.Duration(C.callbacks(C.long(n)))
}

func loopCallbackForeign(n int) time.Duration {
	return time.Duration(C.callbacks_foreign(C.long(n)))
}
