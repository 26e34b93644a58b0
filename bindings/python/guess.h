/* guess.h: see guess.c.  All with rec_lock held. */
#ifndef GOSCHED_PY_GUESS_H
#define GOSCHED_PY_GUESS_H

#include "binding.h"

/* sysmon has found r, whose turn it is, with the GIL. */
void guess_attached(const Rec *r);
/* It has found r without the GIL, and nobody has it.  True: r is likely to stay away. */
bool guess_blocked(const Rec *r);
/* It has found the one whose turn it is without the GIL, and somebody else has it. */
void guess_contended(void);
/* r ends, or (NULL) all are gone. */
void guess_forget(const Rec *r);

#endif
