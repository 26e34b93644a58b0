/* hogs.h: green threads that compute give up their turn at their next line.  See hogs.c. */
#ifndef GOSCHED_PYTHON_HOGS_H
#define GOSCHED_PYTHON_HOGS_H

#include "binding.h"

/* How many have been asked, or will notice; whoever takes the GIL looks. */
extern _Atomic int hogs_busy;

/* sysmon, under rec_lock, about one that computes while others wait. */
void hog_ask(Rec *r);

/* `current` has the GIL now: those that were asked will notice, and it goes on itself. */
void hogs_stop(Rec *current);

/* It goes on: what it would have noticed is over.  GIL. */
void hog_go_on(Rec *r);

/* It ends.  Under rec_lock, with the GIL. */
void hog_forget(Rec *r);

/* In a child of fork, where this one alone is left, or none. */
void hogs_forked(Rec *r);

#endif
