/* binding.h: what the files of the Tcl binding share.
 *
 *   module.c     the package: loading, unloading, what belongs to an interpreter, errors
 *   home.c       what belongs to a thread with interpreters: where results come home, what is ready
 *   wait.c       waiting: a coroutine yields, anybody else serves the event loop
 *   context.c    what is known of who runs: errno, timeouts, its own OS thread
 *   green.c      go, join, cancel, yield, sleep: coroutines as green threads
 *   chan.c       channels;  select.c  waiting for several
 *   shared.c     channels by name;  carry.c  what they carry
 *   service.c    the thread that keeps the scheduler running
 *   operation.c  blocking operations: done on a green thread of the scheduler, waited for in Tcl
 *   worker.c     gosched::os_thread        ready.c   gosched::wait
 *   library.c    gosched::load;  function.c  the commands that call C functions
 *   argument.c   arguments, out-parameters;  convert.c  scalars;  value.c  structs and arrays
 *   space.c      the declarations of a namespace
 *   pointer.c    pointers as Tcl values;  memory.c  gosched::new and what reads and writes memory
 *   callback.c   command prefixes as C functions
 *   embed.c      gosched::embed: interpreters of other languages
 *   inspect.c    stats, snapshot, dump, trace;  deadlock.c;  tell.c  dumps that others ask for
 *   gosched.tcl  what is written in Tcl: run, task groups, struct
 *
 * A Tcl interpreter is bound to its OS thread, its home, and so are its coroutines: these are the
 * green threads of Tcl.  Only what blocks leaves home: it runs on a green thread of the scheduler's
 * native domain, and its end comes back as an event in the home thread's queue.
 */
#ifndef GS_TCL_BINDING_H
#define GS_TCL_BINDING_H

#include <stdbool.h>
#include <stdint.h>

#include "compat.h"
#include "gosched.h"
#include "gosched_domain.h"
#include "gosched_ffi.h"

typedef struct gst_state gst_state;
typedef struct gst_home gst_home;
typedef struct gst_waiter gst_waiter;
typedef struct gst_context gst_context;
typedef struct gst_green gst_green;
typedef struct gst_chan gst_chan;
typedef struct gst_shared gst_shared;
typedef struct gst_space gst_space;

/* ---- home.c ---------------------------------------------------------------------------------- */

/* What other threads send home. */
typedef struct gst_post gst_post;
struct gst_post {
  gst_post *next;
  /* At home; or, with alive false, on any thread, because the home thread has ended. */
  void (*arrive)(gst_post *, bool alive);
  bool runs_code; /* when it arrives, which may wait for what has come after it */
};

/* What belongs to a thread.  Used on that thread only, but for what home.c has to itself. */
struct gst_home {
  gst_state *states;                    /* of its interpreters */
  gst_waiter *waiters;                  /* all that wait */
  gst_waiter *ready_first, *ready_last; /* to be resumed, in order */
  Tcl_Obj *yield, *which;    /* the words "::yield" and "::info coroutine", which outlive their
                                evaluation */
  int running;               /* rounds of gst_run_ready, one inside the other */
  int nesting;               /* waits that serve the event loop, one inside the other */
  uint64_t posts, batches;   /* what has come home, in how many events */
  uint64_t resumed;          /* coroutines resumed */
  int64_t looked;            /* when Tcl's other sources of events were last asked */
  int frames;                /* of who looks at stacks: gst_stack_of */
  unsigned long counter;     /* of names, none of which comes twice, also after unloading */
  struct gst_mailbox *box;   /* home.c */
  struct gst_teller *teller; /* tell.c; NULL: no memory */
};

gst_home *gst_home_here(void); /* this thread's, made when there is none; NULL: no memory */
bool gst_home_is_here(const gst_home *home);

typedef struct gst_mailbox gst_mailbox;
gst_mailbox *gst_mailbox_retain(gst_mailbox *box);
void gst_mailbox_release(gst_mailbox *box);
/* Whether those that are ready may go on before other events have had their turn. */
bool gst_home_fresh(const gst_home *home);
/* Somebody has become ready. */
void gst_home_ready(gst_home *home);
/* Any thread.  Calls post->arrive at home, or at once if home is no more. */
void gst_post_home(gst_mailbox *box, gst_post *post);

/* ---- module.c -------------------------------------------------------------------------------- */

/* What is known of whoever runs Tcl code: a green thread, another coroutine, the top level. */
struct gst_context {
  gst_waiter *wait;          /* what it waits in */
  struct gst_scope *scopes;  /* gosched::timeout, the innermost first */
  struct gst_worker *worker; /* gosched::os_thread, or NULL */
  bool cancelled;
  int saved_errno; /* of its last foreign call that ended */
  int refs;        /* context.c, for those of plain coroutines */
  gst_green *green;
};

/* What belongs to one interpreter.  Used on its home thread only. */
struct gst_state {
  gst_state *next;    /* of the same thread */
  Tcl_Interp *interp; /* NULL once it is deleted, or the package unloaded */
  gst_home *home;
  gst_mailbox *box;         /* home's; a reference */
  gst_space *global;        /* the global namespace's declarations; a reference */
  Tcl_HashTable spaces;     /* Tcl_Namespace -> gst_space, without the global one's */
  Tcl_HashTable space_ids;  /* number -> the same */
  Tcl_HashTable space_ffis; /* gs_ffi -> the same */
  struct gst_library *libraries;
  Tcl_HashTable contexts; /* Tcl_Command of a coroutine -> gst_context */
  Tcl_HashTable greens;   /* name -> gst_green */
  Tcl_HashTable blocks;   /* serial number -> struct gst_block */
  Tcl_HashTable channels; /* gst_chan -> itself */
  gst_context *top;       /* of the top level, of this nesting */
  gst_context top_first;
  gst_context plain;   /* of coroutines that are no green threads and have asked for nothing */
  gst_green *starting; /* for the command that is a coroutine's body */
  gst_green *kept_first, *kept_last; /* ended, and nothing holds their names */
  size_t kept;
  size_t under_way;   /* operations */
  size_t callbacks;   /* that C may call */
  gst_context latest; /* of who has called in place, and has not waited since: only its errno */
  bool in_latest;     /* that is newer than that of whoever runs */
  int workers;        /* contexts that have one */
  int calling;        /* calls in place, which keep the interpreter's reference */
  bool gone;          /* interp is, and its reference when nobody is calling */
  bool deadlocks;     /* whether to look for them */
  int refs;           /* atomic: the interpreter, and each operation under way */
};

gst_state *gst_state_retain(gst_state *s);
void gst_state_release(gst_state *s); /* any thread */

/* Sets message and errorCode {GOSCHED …}; always TCL_ERROR.  The words end with NULL. */
int gst_error(Tcl_Interp *interp, Tcl_Obj *message, ...);
int gst_no_memory(Tcl_Interp *interp);
int gst_ffi_error(Tcl_Interp *interp, const gs_ffi_error *err, const char *subject);
/* Milliseconds from 0 on, in *ms. */
int gst_get_ms(Tcl_Interp *interp, Tcl_Obj *value, const char *name, double *ms);
/* Registers an NR command that may also be called without the NR engine. */
void gst_command(gst_state *s, const char *name, Tcl_ObjCmdProc *nr, Tcl_ObjCmdProc *plain);

/* ---- wait.c ---------------------------------------------------------------------------------- */

/* How a wait has ended. */
typedef enum gst_why {
  GST_DONE,
  GST_TIMEOUT,   /* its own time is up */
  GST_EXPIRED,   /* gosched::timeout's is */
  GST_CANCELLED, /* gosched::cancel */
  GST_DEADLOCK,
} gst_why;

/* Somebody who waits; the first member of the struct that says for what.  At home only. */
struct gst_waiter {
  /* Set by who waits. */
  const char *reason; /* static text */
  /* The command's result; may evaluate a script the NR way. */
  int (*finish)(Tcl_Interp *, gst_waiter *, gst_why);
  /* It does not wait for what it waited for any more; woken says that it had come. NULL: nothing */
  void (*withdraw)(gst_waiter *, bool woken);
  /* It is to end before its time: wakes it now or later, or never.  NULL: now. */
  void (*interrupt)(gst_waiter *, gst_why);
  void (*destroy)(gst_waiter *); /* last of all */
  /* wait.c's own. */
  gst_state *state;
  gst_context *context;
  gst_waiter *next, **link; /* of home->waiters */
  gst_waiter *ready_next;
  Tcl_Command coroutine; /* who waits; NULL: the event loop is being served */
  Tcl_Obj *name;         /* the coroutine's when it began to wait, or NULL */
  Tcl_TimerToken timer;
  Tcl_Obj *stack; /* what it has found when it was resumed with probing set: gst_stack_of */
  int64_t since;
  int level; /* of nesting, for who serves events */
  gst_why why;
  bool ready, queued, probing;
};

/* Waits until gst_wake, at most ms milliseconds (< 0: for ever).  For NR commands.  The waiter is
 * taken over. */
int gst_park(Tcl_Interp *interp, gst_state *s, gst_waiter *w, double ms);
/* Lets others run first: as gst_park of somebody who is ready. */
int gst_park_ready(Tcl_Interp *interp, gst_state *s, gst_waiter *w);
void gst_wake(gst_waiter *w, gst_why why);
void gst_interrupt(gst_waiter *w, gst_why why);
/* A round: resumes those that are ready.  until: it is over when that one, which serves events, is
 * ready; NULL: nobody. */
void gst_run_ready(gst_home *home, const gst_waiter *until);
/* The error of a wait that ended otherwise than with GST_DONE. */
int gst_wait_error(Tcl_Interp *interp, gst_waiter *w, gst_why why);
/* The coroutine that runs in the interpreter, or NULL. */
Tcl_Command gst_current_coroutine(Tcl_Interp *interp, gst_home *home);
/* The Tcl stack of somebody who waits in a coroutine, the innermost first; a new list. */
Tcl_Obj *gst_stack_of(gst_waiter *w);
/* As that, of who runs in the interpreter right now. */
Tcl_Obj *gst_stack_here(Tcl_Interp *interp);

/* ---- context.c ------------------------------------------------------------------------------- */

gst_context *gst_context_of(gst_state *s, Tcl_Command coroutine);
gst_context *gst_context_here(gst_state *s);
/* What was called in place until now was called by c (NULL: by somebody who is no more). */
void gst_context_settle(gst_state *s, gst_context *c);
/* Whether it must not wait any more, and why. */
bool gst_context_ended(const gst_context *c, gst_why *why);
/* A context of its own for who runs, until it is released. */
gst_context *gst_context_make(gst_state *s);
void gst_context_release(gst_state *s, gst_context *c);
int gst_timeout_nr(ClientData, Tcl_Interp *, int, Tcl_Obj *const[]);

/* ---- green.c --------------------------------------------------------------------------------- */

struct gst_green {
  gst_state *state;
  Tcl_Obj *name;
  Tcl_Command command; /* the coroutine; NULL: not yet, or it has ended */
  gst_context context;
  Tcl_Obj *words, *ns; /* what it runs, where */
  enum { GST_STARTING, GST_RUNNING, GST_RETURNED, GST_FAILED } status;
  Tcl_Obj *result, *options; /* when it has ended */
  gst_waiter *joiners;       /* their next_joiner */
  int njoiners;
  int handles;    /* Tcl values that are its name, as go has given it */
  bool escaped;   /* its name is known as text: anybody may join it */
  bool immediate; /* runs at once */
  bool told;      /* its error went to bgerror */
  int64_t started;
  uint64_t track;  /* its number in traces; 0: none has seen it */
  gst_chan *watch; /* its name goes there when it ends, or NULL; a reference */
  gst_green *kept_next, *kept_prev;
  void (*ended)(gst_green *, int code); /* instead of being kept for join */
  void *ended_data;
};

int gst_go_nr(ClientData, Tcl_Interp *, int, Tcl_Obj *const[]);
int gst_join_nr(ClientData, Tcl_Interp *, int, Tcl_Obj *const[]);
int gst_yield_nr(ClientData, Tcl_Interp *, int, Tcl_Obj *const[]);
int gst_sleep_nr(ClientData, Tcl_Interp *, int, Tcl_Obj *const[]);
void gst_green_init(gst_state *s);
void gst_greens_free(gst_state *s);
void gst_greens_delete(gst_state *s);
/* For a trace: what is GS_TRACK_…, why what it waits for, or NULL. */
void gst_green_trace(gst_green *g, int what, const char *why);
/* A green thread that nobody joins: calls ended at its end.  words is a list. */
gst_green *gst_green_start(Tcl_Interp *interp, gst_state *s, Tcl_Obj *words, const char *ns,
                           bool immediate, void (*ended)(gst_green *, int), void *data);
/* An error that nobody waits for, from where no Tcl code runs. */
void gst_background_error(Tcl_Interp *interp, Tcl_Obj *result, Tcl_Obj *options);

/* ---- chan.c and select.c --------------------------------------------------------------------- */

/* One of the things somebody waits for. */
typedef struct gst_case {
  struct gst_case *next, **link; /* of the channel's queue */
  struct gst_choice *choice;
  gst_chan *chan;     /* or NULL: */
  gst_shared *shared; /* a reference */
  gs_value carried;   /* what is to be sent there */
  const char *kind;   /* what was received from there: a type's name */
  Tcl_Obj *value;     /* to send; or what was received, a reference */
  bool send;
} gst_case;

/* A wait for one of several channels. */
typedef struct gst_choice {
  gst_waiter w; /* first */
  int n, chosen;
  bool closed;            /* the chosen one was */
  int failed;             /* or a GS_E… code */
  struct gst_mix *mix;    /* waits for the shared cases; NULL: nobody does */
  Tcl_Obj *kind_variable; /* where to put the type's name, or NULL */
  Tcl_Obj *variable;      /* where to put what is received, or NULL */
  Tcl_Obj *bodies;        /* of select: a list of the scripts and variables, or NULL */
  Tcl_Obj *timeout_body;
  double ms;
  gst_case cases[];
} gst_choice;

gst_chan *gst_chan_retain(gst_chan *c);
void gst_chan_release(gst_chan *c);
void gst_chan_push(gst_chan *c, Tcl_Obj *value);
gst_choice *gst_choice_new(int n);
gst_chan *gst_chan_from(Tcl_Interp *interp, gst_state *s, Tcl_Obj *name);
/* Sets up case i. */
void gst_choice_set(gst_choice *c, int i, gst_chan *chan, Tcl_Obj *value);
/* With the value, which is taken over; NULL: receives. */
void gst_choice_set_shared(gst_choice *c, int i, gst_shared *chan, const gs_value *value);
/* Does one that is ready, if there is one. */
bool gst_choice_try(gst_choice *c);
int gst_choice_enqueue(Tcl_Interp *interp, gst_state *s, gst_choice *c);
void gst_choice_choose(gst_case *k); /* it has been done: wakes who waits */
/* send and recv of a channel of one kind or the other. */
int gst_send_nr(Tcl_Interp *, gst_state *, gst_chan *, gst_shared *, int, Tcl_Obj *const[]);
int gst_recv_nr(Tcl_Interp *, gst_state *, gst_chan *, gst_shared *, int, Tcl_Obj *const[]);
int gst_shared_cmd(ClientData, Tcl_Interp *, int, Tcl_Obj *const[]);
void gst_choice_give_back(gst_waiter *w, bool woken); /* a waiter's withdraw */
void gst_choice_destroy(gst_waiter *w);
int gst_closed_error(Tcl_Interp *interp, gst_chan *c);
int gst_chan_nr(ClientData, Tcl_Interp *, int, Tcl_Obj *const[]);
int gst_select_nr(ClientData, Tcl_Interp *, int, Tcl_Obj *const[]);
void gst_channels_free(gst_state *s);

/* ---- service.c ------------------------------------------------------------------------------- */

/* Starts fn(arg) on a native green thread, and first the scheduler if it does not run. */
int gst_go(Tcl_Interp *interp, void (*fn)(void *), void *arg, gs_handle **handle);

/* ---- operation.c ----------------------------------------------------------------------------- */

/* One blocking operation; the first member of the struct that describes it. */
typedef struct gst_operation gst_operation;
struct gst_operation {
  gst_waiter w;                              /* first; reason and finish are set */
  void (*work)(gst_operation *);             /* on a green thread; may block */
  void (*destroy)(gst_operation *);          /* last of all, on any thread */
  void (*leave)(gst_waiter *);               /* at home: nobody waits; or NULL */
  bool keep_handle;                          /* handle is wanted, for gs_cancel */
  gs_handle *handle;                         /* of the green thread, or NULL */
  void (*unblock)(gst_operation *, gst_why); /* makes work return soon, or NULL */
  bool detach;                               /* who waits may go before its end */
  /* operation.c's own */
  gst_post post;
  gst_state *state;
  gst_mailbox *box;
  struct gst_operation *next; /* of a worker's queue */
  int refs;                   /* atomic: the work, and who waits */
  bool waited;                /* home only */
  bool interrupted;
  gst_why why; /* of the interrupt */
};

/* Starts it and waits.  For NR commands.  Takes the operation over also if it fails. */
int gst_operate(Tcl_Interp *interp, gst_state *s, gst_operation *op, double ms);
void gst_operation_run(void *op); /* the green thread's whole life */

/* ---- worker.c, ready.c ----------------------------------------------------------------------- */

int gst_worker_submit(Tcl_Interp *interp, struct gst_worker *worker, gst_operation *op);
int gst_os_thread_nr(ClientData, Tcl_Interp *, int, Tcl_Obj *const[]);
int gst_wait_nr(ClientData, Tcl_Interp *, int, Tcl_Obj *const[]);

/* ---- space.c --------------------------------------------------------------------------------- */

/* The declarations of a namespace. */
struct gst_space {
  gst_state *state; /* NULL: nobody can name its types any more; home only, as all but refs is */
  gs_ffi *ffi;
  Tcl_Namespace *ns; /* with a trace; NULL: it has ended, or is the global one */
  Tcl_Obj *name;     /* the namespace's; while there is state */
  uint64_t id;       /* behind pointers; 0: the global one's */
  Tcl_HashTable
      types; /* a type's text -> gs_type, which lives as long as ffi; while there is state */
  int held;  /* by its namespace, and by what home can see of it */
  int refs;  /* atomic: held, calls under way, callbacks */
};

bool gst_spaces_init(gst_state *s); /* false: no memory */
void gst_spaces_free(gst_state *s, Tcl_Interp *interp);
gst_space *gst_space_hold(gst_space *sp); /* at home */
void gst_space_drop(gst_space *sp);
gst_space *gst_space_retain(gst_space *sp); /* any thread */
void gst_space_release(gst_space *sp);
gst_space *gst_space_here(gst_state *s); /* of the current namespace, else the global one's */
gst_space *gst_space_make(gst_state *s); /* of the current namespace; NULL: an error */
void gst_space_declared(gst_space *sp);  /* a text may mean something else now */
/* gs_ffi_type, which makes a type anew each time, asked once for each text. */
int gst_type(gst_space *sp, const char *text, const gs_type **out, gs_ffi_error *err);
/* For a pointer without a number: the global namespace's type of that name if there is one, else
 * sp's.  Gives the space whose gs_ffi has the type, or NULL. */
gst_space *gst_value_type(gst_state *s, gst_space *sp, const char *text, const gs_type **out);
gst_space *gst_space_numbered(gst_state *s, uint64_t id);
/* In which the type's name means it; NULL: nobody can name it any more. */
gst_space *gst_type_space(gst_state *s, const gs_type *type);
/* gst_ffi_error; says where was looked, if something is not known. */
int gst_space_error(Tcl_Interp *interp, const gst_space *sp, const gs_ffi_error *err,
                    const char *subject);
void gst_append_looked_in(Tcl_Obj *message, const gst_space *sp); /* "; looked in ::a, then …" */

/* ---- library.c, function.c ------------------------------------------------------------------- */

typedef struct gst_library {
  struct gst_library *next;
  gs_lib *lib;
  gst_space *space;      /* of the namespace that has loaded it; held */
  Tcl_Obj *ns;           /* the name of the namespace with its commands */
  Tcl_Encoding encoding; /* of its texts; NULL: UTF-8 */
  size_t defined;        /* declarations that have their command … */
  size_t inherited;      /* … and of the global namespace's, where that is not the same */
  int refs;              /* state's list, and its commands; home only */
} gst_library;

/* How a result says that the call has failed. */
typedef enum gst_check {
  GST_CHECK_NONE,
  GST_CHECK_ERRNO, /* negative, or a null pointer: errno says why */
  GST_CHECK_ZERO,  /* anything but 0 */
  GST_CHECK_NONZERO,
  GST_CHECK_NONNEGATIVE,
} gst_check;

enum { GST_QUICK = 8 };

/* What a function's command knows. */
typedef struct gst_function {
  gst_state *state;
  gst_library *library;
  gs_func *func; /* NULL until the first call */
  size_t nargs;  /* func's, known with it */
  const char *name;
  Tcl_Obj *unblock; /* a command prefix, or NULL */
  bool detach, owns_name;
  unsigned hints, hints_set; /* GS_SITE_… of its own; the others are the function's */
  gst_check check;
  double ms;                          /* its timeout, < 0: none */
  unsigned char quick[1 + GST_QUICK]; /* what quick.c does for its result and its arguments */
} gst_function;

/* Before the first call of fn, when fn->func is known. */
void gst_quick_prepare(gst_function *fn);
/* Calls in place, if it is as simple as that; false: nothing has happened.  n values in objv. */
bool gst_quick_call(Tcl_Interp *interp, gst_function *fn, Tcl_Obj *const objv[],
                    gst_context *context, int *code);
int gst_call_failed(Tcl_Interp *interp, const gs_func *func, int code);

int gst_load_nr(ClientData, Tcl_Interp *, int, Tcl_Obj *const[]);
int gst_bind_nr(ClientData, Tcl_Interp *, int, Tcl_Obj *const[]);
int gst_symbol_nr(ClientData, Tcl_Interp *, int, Tcl_Obj *const[]);
/* Makes commands for what has been declared since the last time, in every library's namespace. */
int gst_define_new(gst_state *s);
void gst_libraries_free(gst_state *s);
/* Those of a namespace that ends; deletes their commands too, unless interp is NULL. */
void gst_libraries_forget(gst_state *s, gst_space *sp, Tcl_Interp *interp);
void gst_library_drop(gst_library *l);
int gst_call_nr(ClientData, Tcl_Interp *, int, Tcl_Obj *const[]);
int gst_call_cmd(ClientData, Tcl_Interp *, int, Tcl_Obj *const[]);
void gst_function_free(ClientData data);
int gst_function_resolve(Tcl_Interp *interp, gst_function *fn);

/* ---- convert.c, value.c ---------------------------------------------------------------------- */

/* Room for any scalar. */
typedef union gst_slot {
  int64_t integer;
  uint64_t natural;
  float single;
  double real;
  long double wide;
  void *pointer;
  bool truth;
} gst_slot;

/* Memory that lives as long as a call. */
typedef struct gst_owned {
  struct gst_owned *next;
  gs_mem *pinned; /* or NULL: this struct itself is the memory */
} gst_owned;

/* A conversion: for whom, and how errors name the place. */
typedef struct gst_conversion {
  Tcl_Interp *interp;
  gst_state *state;
  Tcl_Encoding encoding; /* of texts */
  int number;            /* of the argument; 0: the subject alone names the place */
  const char *subject;   /* the function */
  gst_owned *owned;      /* what the values need; NULL and !may_own: values must not need any */
  bool may_own;
  gst_space *space; /* where names of types are looked up that are not global */
} gst_conversion;

/* Room of n bytes, zeroed, that lives as long as the conversion's values; NULL: no memory. */
void *gst_own(gst_conversion *c, size_t n);
void gst_owned_free(gst_owned *o);
/* NULL, or why values of the type cannot be converted. */
const char *gst_unsupported(const gs_type *type);
int gst_mismatch(gst_conversion *c, Tcl_Obj *value, const gs_type *type, const char *expected);
/* Stores a Tcl value as a C value at `to`, of the type's size. */
int gst_to_c(gst_conversion *c, Tcl_Obj *value, const gs_type *type, void *to);
int gst_scalar_to_c(gst_conversion *c, Tcl_Obj *value, const gs_type *type, void *to);
int gst_aggregate_to_c(gst_conversion *c, Tcl_Obj *value, const gs_type *type, void *to,
                       size_t size);
int gst_bits_to_c(gst_conversion *c, Tcl_Obj *value, const gs_type *type, char *at, unsigned first,
                  unsigned width);
Tcl_Obj *gst_bits_to_tcl(gst_state *s, const gs_type *type, const char *at, unsigned first,
                         unsigned width);
bool gst_is_aggregate(const gs_type *type);
/* Whether results of the type are texts: char * and const char *. */
bool gst_is_text(const gs_type *type);
/* The Tcl value of a C value; for void the empty one.  size: of memory at from, for arrays. */
Tcl_Obj *gst_to_tcl(gst_state *s, Tcl_Encoding encoding, const gs_type *type, const void *from,
                    size_t size);
Tcl_Obj *gst_scalar_to_tcl(gst_state *s, const gs_type *type, const void *from);
/* n elements: text for characters, bytes for bytes, else a list. */
Tcl_Obj *gst_elements_to_tcl(gst_state *s, Tcl_Encoding encoding, const gs_type *element,
                             const void *from, size_t n);
Tcl_Obj *gst_text_to_tcl(Tcl_Encoding encoding, const char *text, Tcl_Size n);
/* The bytes of a value: of a byte array, or of its text in the encoding.  *ds is to be freed. */
const char *gst_bytes_of(Tcl_Obj *value, Tcl_Encoding encoding, Tcl_DString *ds, Tcl_Size *n);
bool gst_is_bytes(Tcl_Obj *value);
bool gst_byte_like(const gs_type *type); /* void, and integers of one byte */

/* ---- argument.c ------------------------------------------------------------------------------ */

/* An out-parameter. */
typedef struct gst_out {
  Tcl_Obj *variable; /* or NULL: the argument is none; a reference when it is made */
  const gs_type *element;
  void *memory;
  size_t n;
  bool one; /* a single value, else n of them */
} gst_out;

int gst_argument_to_c(gst_conversion *c, Tcl_Obj *value, const gs_type *type, void *to,
                      gst_out *out);
int gst_out_store(Tcl_Interp *interp, gst_state *s, Tcl_Encoding encoding, gst_out *out);

/* ---- pointer.c, memory.c --------------------------------------------------------------------- */

/* What a checked pointer points into. */
typedef struct gst_block {
  uint64_t serial;
  gs_mem *mem;                   /* or NULL */
  struct gst_callback *callback; /* or NULL */
  gst_space *space;              /* of its type; held */
} gst_block;

typedef struct gst_pointer {
  const gs_type *type; /* a pointer type … */
  gst_space *space;    /* … in whose gs_ffi it is */
  void *address;
  uint64_t serial;  /* 0: not checked */
  gst_block *block; /* or NULL */
} gst_pointer;

typedef enum gst_parsed { GST_NO_POINTER, GST_POINTER, GST_BAD_POINTER } gst_parsed;
/* GST_BAD_POINTER: written as one, but its memory was freed, or its type is unknown; the error is
 * in c->interp. */
gst_parsed gst_parse_pointer(gst_conversion *c, Tcl_Obj *value, gst_pointer *out);
/* The value of a pointer; type_name is its type's, which needs the same names as `type`. */
Tcl_Obj *gst_pointer_obj(gst_state *s, const char *type_name, const gs_type *type,
                         const void *address, uint64_t serial);
/* The name of a pointer to a type, "int (*)[3]"; NULL: "void *". */
Tcl_Obj *gst_pointer_type_name(const gs_type *target);
gst_block *gst_block_new(gst_state *s, gst_space *sp, gs_mem *mem, struct gst_callback *callback);
void gst_block_free(gst_block *b); /* not what it stands for */
void gst_blocks_free(gst_state *s);
void gst_memory_init(gst_state *s);

/* ---- callback.c ------------------------------------------------------------------------------ */

int gst_callback_nr(ClientData, Tcl_Interp *, int, Tcl_Obj *const[]);
void gst_callback_free(struct gst_callback *cb);
bool gst_callback_matches(const struct gst_callback *cb, const void *address);
/* Why a callback has failed, told to the foreign call that C was in. */
typedef struct gst_failure {
  char *message, *info, *code;
} gst_failure;
void gst_failure_free(gst_failure *f);
int gst_failure_raise(Tcl_Interp *interp, const gst_failure *f);

/* ---- embed.c --------------------------------------------------------------------------------- */

void gst_embed_init(gst_state *s);

/* ---- inspect.c, deadlock.c ------------------------------------------------------------------- */

void gst_inspect_init(gst_state *s);
/* Quick; false: gst_deadlock_look would find none. */
bool gst_deadlock_may_be(const gst_waiter *w);
/* 1 if nothing can wake whoever waits at home, and who serves events was told. */
bool gst_deadlock_look(gst_waiter *w);
/* top: nobody has evaluated anything since the innermost wait of the top level has begun to serve
 * events, so what the interpreter is in is that wait. */
Tcl_Obj *gst_report(gst_home *home, bool top);

/* ---- tell.c ---------------------------------------------------------------------------------- */

void gst_tell_start(gst_home *home);
void gst_tell_no_more(gst_home *home);
void gst_tell_free(gst_home *home);
gs_teller *gst_teller_of(const gst_home *home); /* or NULL */

#endif
