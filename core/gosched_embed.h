/* gosched_embed.h: another language's interpreter in the process, a guest.  Part of gosched.h,
 * which includes it and has the conventions.
 *
 * The library knows no language.  A guest's interpreter is in a plugin, gosched-guest-NAME.so,
 * which is looked for in the directories that GOSCHED_GUESTS names (separated by colons), in the
 * directory gosched/ beside the library, and where the library was to be installed.
 */
#ifndef GOSCHED_EMBED_H
#define GOSCHED_EMBED_H

#include "gosched.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- guests: interpreters of other languages ----
 *
 * A guest is an interpreter on an OS thread of its own, which runs one source text, in parallel
 * with its host, and has green threads of its own: the source is their main one, so that it may use
 * all of its language's gosched at once.  It lives inside the gs_run under way when it was started:
 * at the end of that one (without GS_RUN_ABANDON) it is cancelled and waited for like a green
 * thread. While a guest lives no deadlock is declared. */

typedef struct gs_guest gs_guest;
typedef struct gs_value gs_value; /* gosched_shared.h */

typedef struct gs_embed_options {
  size_t size;             /* sizeof(gs_embed_options) */
  const char *name;        /* of the source, in its tracebacks and in dumps; NULL: the language */
  const char *const *args; /* what the source gets as the arguments of a program, the last one
                              followed by NULL; NULL: none.  UTF-8 */
} gs_embed_options;

#define GS_EMBED_OPTIONS_DEFAULT \
  { sizeof(gs_embed_options), NULL, NULL }

/* Starts an interpreter that runs source.
 *   language  "lua", "tcl", "python", or whatever else there is a plugin for
 *   source    UTF-8, copied
 *   opts      NULL means GS_EMBED_OPTIONS_DEFAULT; copied
 *   out       the guest, to be released by gs_guest_release
 * An error in the source is no error here: it is how the guest ends.
 * Errors, with gs_error_detail: GS_EINVAL (an argument), GS_EPERM (no gs_run is under way),
 * GS_ENOLIB (there is no plugin for the language, or it cannot be loaded), GS_EABI (the plugin is
 * made for another version, or uses another copy of this library), GS_EBUSY (the language has one
 * interpreter in a process, which runs already), GS_ENOTSUP, GS_ENOMEM, GS_ETHREADS.
 * A foreign call: the green thread may move to another thread.  Any thread. */
GS_API int gs_embed(const char *language, const char *source, const gs_embed_options *opts,
                    gs_guest **out);

/* Waits until the guest has ended: parks; on a thread that runs no green thread it blocks that
 * thread.  Errors: those of gs_join: GS_ETIMEOUT, GS_ECANCELED (the caller was cancelled, not the
 * guest), GS_EINTR, GS_EPERM, GS_EINVAL, GS_ENOMEM. */
GS_API int gs_guest_join(gs_guest *g, int64_t deadline_ns);

/* Asks the guest to stop, as gs_cancel does with its main green thread: what that waits in fails,
 * now and later.  A guest of Tcl is also interrupted where it computes.  Idempotent; does not park;
 * any thread, not in signal handlers.  Errors: GS_EINVAL. */
GS_API int gs_guest_cancel(gs_guest *g);

/* 1 once the guest has ended.  Any thread. */
GS_API int gs_guest_done(gs_guest *g);

/* Does not end the guest.  NULL: nothing happens.  Any thread, not in signal handlers. */
GS_API void gs_guest_release(gs_guest *g);

/* Cancels all guests of the process and waits for their ends.  The calling thread is blocked
 * meanwhile, also where it runs a green thread.  It is done at the exit of the process, for a
 * second at most; a program, or a binding, that has to take something apart before that calls it
 * first. GS_OK: none lives any more.  Errors: GS_ETIMEOUT.  Any thread but a guest's own, not in
 * signal handlers. */
GS_API int gs_guests_end(int64_t deadline_ns);

enum {
  GS_GUEST_RETURNED = 0,  /* value: what it returned; text: the same as its language writes it */
  GS_GUEST_FAILED = 1,    /* text: the error; trace: where it came from */
  GS_GUEST_EXITED = 2,    /* it called its language's exit; status: with this number */
  GS_GUEST_CANCELLED = 3, /* gs_guest_cancel, or the end of gs_run, and it went along with it */
};

typedef struct gs_guest_end {
  size_t size;           /* sizeof(gs_guest_end), set by the caller */
  int how;               /* GS_GUEST_… */
  int status;            /* of GS_GUEST_EXITED; 0 otherwise */
  int none;              /* 1: it returned nothing (nil, None) */
  const char *text;      /* never NULL; UTF-8 */
  size_t length;         /* of text, in bytes: there may be zeros in it */
  const char *trace;     /* its language's traceback, several lines; "": there is none */
  const gs_value *value; /* what it returned, by the rules of shared channels: numbers, lists, maps;
                            what cannot be carried is its text.  Never NULL; null if it returned
                            nothing, or has ended otherwise.  To be read, not to be freed */
} gs_guest_end;

/* How the guest has ended.  The texts and the value live as long as the guest is not released.
 * Errors: GS_EINVAL, GS_EWOULDBLOCK (it has not ended).  Any thread, any stack; does not park. */
GS_API int gs_guest_result(gs_guest *g, gs_guest_end *out);

/* ---- for plugins and bindings ----
 *
 * A plugin exports one symbol, gosched_guest: a gs_guest_plugin.  What follows is called on the
 * guest's own thread, unless it is said otherwise. */

#define GS_GUEST_ABI 1

typedef struct gs_guest_plugin {
  size_t size;                  /* sizeof(gs_guest_plugin) */
  int abi;                      /* GS_GUEST_ABI */
  const char *language;         /* "lua" */
  const void *(*library)(void); /* returns what gs_guest_library tells the plugin */
  int (*begin)(void);           /* a guest is about to be made: GS_OK, or why there can be none now,
                                   with gs_fail; on a system stack of any thread, one at a time */
  void (*run)(gs_guest *g);     /* runs the source to its end, and says how that was */
  void (*end)(void);            /* after run; or on any thread, if it came to nothing after begin */
} gs_guest_plugin;

/* The address of something in the copy of the library that the caller is bound to: two that see the
 * same see one copy.  Never NULL.  Any thread, any stack. */
GS_API const void *gs_guest_library(void);

/* The guest of the calling thread; NULL: this is not a guest's own thread.  Any thread. */
GS_API gs_guest *gs_guest_here(void);

/* What it was made with; never NULL (args: one NULL).  Any thread. */
GS_API const char *gs_guest_source(gs_guest *g);
GS_API const char *gs_guest_name(gs_guest *g);
GS_API const char *const *gs_guest_args(gs_guest *g);

/* From now on the guest is cancelled by stop(ud), which is called once, by whoever cancels, on that
 * thread, or here and now if it was cancelled already; NULL: not any more, and when this has
 * returned stop(ud) does not run.  stop must be short and must not park.  Returns nothing.  Any
 * thread, not in signal handlers; with NULL it may yield. */
GS_API void gs_guest_on_cancel(gs_guest *g, void (*stop)(void *ud), void *ud);

/* 1 once gs_guest_cancel was called.  Any thread. */
GS_API int gs_guest_told(gs_guest *g);

/* What the guest returns, if it ends by gs_guest_returned, is *value, which is the library's from
 * then on (*value is null).  The last one counts.  Without this it is the text, or null.
 * Errors: GS_EINVAL.  Any thread; does not park. */
GS_API int gs_guest_value(gs_guest *g, gs_value *value);

/* Say how the guest ends; the first that is said counts.  Return 1: it was the first, 0: it was
 * not. text    what it returned, NULL: nothing; or the error.  UTF-8, copied length  of text, in
 * bytes trace   where the error came from, copied; NULL: unknown status  as a process would exit
 * with Any thread; do not park. */
GS_API int gs_guest_returned(gs_guest *g, const char *text, size_t length);
GS_API int gs_guest_failed(gs_guest *g, const char *text, const char *trace);
GS_API int gs_guest_exited(gs_guest *g, int status);
GS_API int gs_guest_cancelled(gs_guest *g);

#ifdef __cplusplus
}
#endif
#endif
