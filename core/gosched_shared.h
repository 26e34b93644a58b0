/* gosched_shared.h: channels that languages share, and the values that they carry.
 *
 * gs_shared_chan opens the channel of a name; whoever opens that name in the same process, in C,
 * Python, Lua or Tcl, has the same channel.  It is a gs_chan whose elements are gs_value: all of
 * gs_chan_send, gs_chan_recv, gs_chan_close, gs_select, … work on it.
 *
 * A value is null, a truth value, an integer of 64 bits, a double, a text, bytes, a list or a map.
 * It says what it is; nobody guesses.  Inside it is 16 bytes: numbers and texts of up to 14 bytes
 * are in them, everything else is in one block of memory, written by whoever makes the value and
 * read by whoever receives it, without a tree in between.
 *
 * Who owns a value.  A gs_value that holds a block belongs to one owner, who ends it by
 * gs_value_free or by sending it: after gs_chan_send has returned GS_OK the value is the receiver's
 * (do not free it), after an error it is still the sender's.  What gs_chan_recv has written is the
 * caller's to free.  Copying the struct does not copy the value.
 *
 *     gs_chan *jobs;
 *     gs_value v;
 *     gs_shared_chan("jobs", 16, &jobs);
 *     gs_value_text("hello", 5, &v);
 *     if (gs_chan_send(jobs, &v, GS_FOREVER) != GS_OK) gs_value_free(&v);
 *     gs_shared_release(jobs);
 */
#ifndef GOSCHED_SHARED_H
#define GOSCHED_SHARED_H

#include "gosched.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- channels by name ---- */

#define GS_SHARED_NAME_MOST 255    /* bytes of a name */
#define GS_SHARED_ANY ((size_t)-1) /* a capacity: that of the open channel, or 0 */

/* Opens the channel `name`, and makes it if nobody has it open.
 *   name  1..255 bytes of UTF-8; copied
 *   cap   room for so many values (0: unbuffered; up to 2^26); GS_SHARED_ANY: whatever it has
 *   out   the channel, to be given back once by gs_shared_release
 * The channel lives as long as somebody has it open.  When the last one has released it, it is gone
 * with what is buffered, and the name is free; as long as it lives a channel that was closed
 * stays closed, also for who opens it anew.
 * Errors: GS_EINVAL (an argument; the channel is open with another capacity; gs_error_detail says
 * which), GS_ENOMEM.  Any thread, any stack, also without a gs_run; not in signal handlers.  Does
 * not park. */
GS_API int gs_shared_chan(const char *name, size_t cap, gs_chan **out);

/* One more holder of an open shared channel, to be released as well.  Errors: GS_EINVAL (c is NULL
 * or not shared).  Any thread, not in signal handlers.  Does not park. */
GS_API int gs_shared_retain(gs_chan *c);

/* Gives back what gs_shared_chan or gs_shared_retain gave; c is not the caller's any more.
 * Errors: GS_EINVAL (c is not a shared channel), GS_EBUSY (green threads wait on it, and this was
 * the last holder: it is as it was).  Any thread, not in signal handlers.  Does not park. */
GS_API int gs_shared_release(gs_chan *c);

/* The channel's name, valid as long as c is; NULL if it is not shared.  Any thread, any stack.
 * Does not park. */
GS_API const char *gs_shared_name(const gs_chan *c);

/* Announces (delta 1), or takes back (delta -1), that a thread which is none of the runtime's has
 * the channel open and may use it at any time.  As long as there is one, green threads that wait on
 * this channel are not asleep for good, and there is no deadlock.  Languages whose code runs on
 * such threads (Tcl) do so for each channel that they have open; what runs as a green thread
 * needs not.
 * Errors: GS_EINVAL (c is not a shared channel).  Any thread, not in signal handlers.  Does not
 * park. */
GS_API int gs_shared_outside(gs_chan *c, int delta);

/* For a binding's gs_on_deadlock: 1 if somebody waits on a shared channel, and the process has
 * threads that the runtime has not made, one of which may be on its way to open that channel; else
 * 0.  May take 5 ms.  On the thread and stack of that callback only, where everything sleeps.  Does
 * not park. */
GS_API int gs_shared_strangers(void);

/* ---- values ---- */

enum {
  GS_VALUE_NULL = 0, /* zeroed memory is one */
  GS_VALUE_BOOL = 1,
  GS_VALUE_INT = 2, /* int64_t */
  GS_VALUE_DOUBLE = 3,
  GS_VALUE_TEXT = 4,  /* UTF-8, any code point but surrogates; NUL is one */
  GS_VALUE_BYTES = 5, /* any */
  GS_VALUE_LIST = 6,  /* of values */
  GS_VALUE_MAP = 7,   /* keys (bool, int, double, text or bytes) and values, in their order */
};

#define GS_VALUE_DEPTH 100        /* lists and maps inside one another, at most */
#define GS_VALUE_MOST 0x7fffffffu /* bytes of a value, at most */

/* A value.  The words are the library's. */
typedef struct gs_value {
  uint64_t word[2];
} gs_value;

/* Makes *out that value: null, whether truth is other than 0, the integer i, the double d.  What
 * was in *out is not freed.  Any thread, any stack; do not park. */
GS_API void gs_value_null(gs_value *out);
GS_API void gs_value_bool(int truth, gs_value *out);
GS_API void gs_value_int(int64_t i, gs_value *out);
GS_API void gs_value_double(double d, gs_value *out);

/* The same for n bytes at s, which are copied.  Errors: GS_EINVAL (s is NULL and n is not 0; n is
 * more than GS_VALUE_MOST; a text that is not UTF-8, and gs_error_detail says where), GS_ENOMEM;
 * *out is null then.  Any thread, any stack, not in signal handlers.  Do not park. */
GS_API int gs_value_text(const char *s, size_t n, gs_value *out);
GS_API int gs_value_bytes(const void *s, size_t n, gs_value *out);

/* Frees what *v holds and makes it null.  NULL: nothing happens.  Any thread, any stack, not in
 * signal handlers.  Does not park. */
GS_API void gs_value_free(gs_value *v);

/* Returns what v is, GS_VALUE_…; for NULL GS_VALUE_NULL.  Any thread, any stack.  Does not park. */
GS_API int gs_value_type(const gs_value *v);

/* ---- writing lists and maps ----
 *
 * One after the other, as they are read:
 *
 *     gs_value_writer w;
 *     gs_value_begin(&w);
 *     gs_value_put_map(&w);
 *     gs_value_put_text(&w, "id", 2);        a key …
 *     gs_value_put_int(&w, 7);               … and its value
 *     gs_value_put_end(&w);
 *     int e = gs_value_end(&w, &v);
 *
 * Each put returns GS_OK or what went wrong, and after that does nothing: it is enough to look at
 * what gs_value_end returns.  Any thread, any stack (the struct has 1.2 KiB); they do not park. */

typedef struct gs_value_writer {
  unsigned char *at, *end, *block; /* where the next byte goes; the library's, as the rest */
  int error;
  uint32_t depth;
  uint32_t where[GS_VALUE_DEPTH], count[GS_VALUE_DEPTH];
  unsigned char is_map[GS_VALUE_DEPTH];
  unsigned char some; /* there is a value */
  gs_value scalar;
  unsigned char few[256];
} gs_value_writer;

/* Begins.  What was in *w before is not freed.  Any thread, any stack.  Does not park. */
GS_API void gs_value_begin(gs_value_writer *w);

/* Write null, whether truth is other than 0, the integer i, the double d, n bytes at s as a text or
 * as bytes, the beginning of a list or map, its end.  Any thread, any stack; they do not park.
 * Errors: GS_EINVAL (more than one value outside of a list, deeper than GS_VALUE_DEPTH, more than
 * GS_VALUE_MOST, a text that is not UTF-8, a map that ends with a key, an end without a
 * beginning), GS_ETYPE (a key that can be none), GS_ENOMEM.  gs_error_detail says more. */
GS_API int gs_value_put_null(gs_value_writer *w);
GS_API int gs_value_put_bool(gs_value_writer *w, int truth);
GS_API int gs_value_put_int(gs_value_writer *w, int64_t i);
GS_API int gs_value_put_double(gs_value_writer *w, double d);
GS_API int gs_value_put_text(gs_value_writer *w, const char *s, size_t n);
GS_API int gs_value_put_bytes(gs_value_writer *w, const void *s, size_t n);
GS_API int gs_value_put_list(gs_value_writer *w); /* its elements are what follows … */
GS_API int gs_value_put_map(gs_value_writer *w);  /* a key, its value, a key, its value … */
GS_API int gs_value_put_end(gs_value_writer *w);  /* … up to here */

/* Makes *out what was written, or frees that and returns the first error (*out is null then);
 * GS_EINVAL also if there is no value, or a list or map has no end.  The writer is done with. */
GS_API int gs_value_end(gs_value_writer *w, gs_value *out);

/* Instead of gs_value_end: frees what was written. */
GS_API void gs_value_drop(gs_value_writer *w);

/* ---- reading ----
 *
 * A reader goes through a value from its beginning to its end:
 *
 *     gs_value_reader r;
 *     gs_value_item it;
 *     gs_value_read(&v, &r);
 *     gs_value_next(&r, &it);
 *
 * gives the value itself; if that is a list of n, its elements are the n next ones, and of a map
 * the 2 n next ones, each key before its value; those that are lists themselves are followed by
 * their own elements. */

typedef struct gs_value_item {
  int type;      /* GS_VALUE_… */
  int64_t i;     /* of an integer; 0 or 1 for a truth value */
  double d;      /* of a double */
  const char *s; /* of a text or bytes, not ended by NUL; valid as long as the value is, unmoved */
  size_t n;      /* their bytes; how many elements a list has; how many pairs a map */
} gs_value_item;

typedef struct gs_value_reader {
  const gs_value *whole;         /* not read yet; the library's, as the rest */
  const unsigned char *at, *end; /* what is still to be read */
} gs_value_reader;

/* v must stay where it is while it is read.  Any thread, any stack. */
GS_API void gs_value_read(const gs_value *v, gs_value_reader *r);

/* The next one, in *item.  Errors: GS_EINVAL (there is none, or the value is damaged; item is
 * null).  Any thread, any stack.  Does not park. */
GS_API int gs_value_next(gs_value_reader *r, gs_value_item *item);

#ifdef __cplusplus
}
#endif
#endif
