/* words.h: what ffi/ uses of core/ that is not in a public header.
 */
#ifndef GS_WORDS_H
#define GS_WORDS_H

#include "gosched.h"

/* A call that has been prepared, the head of something that fn knows. */
typedef struct gs_prepared {
  gs_site *site;
  void (*fn)(void *a, void *b, void *call); /* not NULL */
} gs_prepared;

/* gs_cgocall_words(call->site, call->fn, a, b, call, saved_errno).  The arguments are in the order
 * in which gs_ffi_call has them, so that they stay where they are.  *call is not read any more once
 * fn has begun. */
int cgocall_prepared(const gs_prepared *call, void *b, void *a, int *saved_errno)
    __attribute__((visibility("hidden"), aligned(64)));

#endif
