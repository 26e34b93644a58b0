/* tstate.c: the one place that knows how CPython keeps its thread states.
 *
 * A green thread has a PyThreadState for life, and takes it along when it goes on on another OS
 * thread.  CPython expects a thread state to stay on the thread that made it, so this file keeps
 * three things in order that normally need no thought.  The sources meant are Python/pystate.c and
 * Python/ceval_gil.c (Python/ceval_gil.h up to 3.11).
 *
 * 1. Which thread state is current.  Up to 3.11 this is one word of the process,
 *    _PyRuntime.gilstate.tstate_current, and PyThreadState_Swap exchanges it, keeping the GIL.
 *    Since 3.12 it is a thread-local, and Swap detaches the old state and attaches the new one: it
 *    drops the GIL and takes it again.
 *
 * 2. Which thread state belongs to this thread: the pthread key autoTSSkey, which PyGILState_Ensure
 *    reads when a callback comes from C.
 *      3.10, 3.11  PyThreadState_New sets it if it is empty, PyThreadState_Delete clears it if it
 *                  names the deleted one; Swap only checks it (in debug builds).  So it is set
 *                  here before each change.
 *      3.12 - 3.14 tstate_activate binds a state to the thread's key unless the state says that it
 *                  is bound already (_status.bound_gilstate), and marks the state that was in the
 *                  key as unbound.  After a migration both are wrong: the state says it is bound,
 *                  but to another thread; and that thread's key still names it, though it may be
 *                  deleted any moment.  So before a state is activated here, if the key does not
 *                  name it, the key is emptied (nobody writes through what was in it) and the
 *                  state's flag is cleared; CPython then binds the two.
 *    The key is found without internal headers: it is the one whose value PyGILState_GetThisThread-
 *    State() returns, and which that function follows when the value is exchanged for a moment.
 *
 * 3. How much C stack there is.  3.10 and 3.11 count Python calls only.  3.12 and 3.13 count C
 *    recursion in c_recursion_remaining, whose start value is meant for an 8 MiB stack (10,000 in
 *    some builds, which it does not hold); a level takes up to 2.5 KiB (measured: recursion
 *    through list.sort by __lt__; 6.8 MB at the 2,728 levels of 8 MiB), and is given 3.  3.14
 *    compares the stack pointer with limits that it computes from the thread's own stack, and has
 *    to be told.
 *
 * 4. Which lock of C belongs to this OS thread.  3.14 has one for the filters of warnings, held
 *    while C code asks the filters and shows the warning, which may be code of the user's; who
 *    releases it on another thread is a fatal error.  C takes it in every warning of its own, so it
 *    cannot be replaced: a green thread stays on its thread as long as it holds it.  The word that
 *    says who does is found without internal headers: of the interpreter's it is the one that is
 *    this thread's identity while the lock is taken here, and 0 before and after.  How large the
 *    interpreter is stands in the table that CPython has for debuggers (_Py_DebugOffsets).
 *
 * Deleting: PyThreadState_DeleteCurrent drops the GIL in every version.  It frees the chunk of 16
 * KiB from which 3.11 and later take Python frames; as chunks are mapped afresh for each state,
 * which is most of what a short green thread costs, some are kept here and given to the next one
 * (push_chunk of Python/pystate.c: the first word of a first chunk stays unused).
 */
#include "tstate.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#define VERSION_AT_LEAST(minor) (PY_VERSION_HEX >= (0x03000000 + ((minor) << 16)))

#if VERSION_AT_LEAST(15)
#error "gosched knows the thread states of CPython 3.10 to 3.14"
#endif
#ifdef Py_GIL_DISABLED
#error "gosched needs a CPython with a GIL; this one is free-threaded"
#endif

/* ---- the state that belongs to this thread -------------------------------------------------- */

static pthread_key_t state_key;
static bool state_key_known;

static void set_key(void *value) {
  if (pthread_setspecific(state_key, value) != 0)
    Py_FatalError("gosched: pthread_setspecific failed for a key that exists");
}

static bool find_key(void) {
  static char sentinel;
  void *mine = PyGILState_GetThisThreadState();
  if (!mine) return false;
  for (pthread_key_t k = 0; k < PTHREAD_KEYS_MAX; k++) {
    if (pthread_getspecific(k) != mine) continue;
    if (pthread_setspecific(k, &sentinel) != 0) continue;
    bool followed = (void *)PyGILState_GetThisThreadState() == (void *)&sentinel;
    pthread_setspecific(k, mine);
    if (followed) {
      state_key = k;
      return true;
    }
  }
  return false;
}

static void make_nobodies(void);
static void find_lock(void);

int tstate_boot(void) {
  if (state_key_known) return 0;
  if (!find_key()) {
    PyErr_SetString(PyExc_ImportError,
                    "gosched cannot find where this interpreter keeps the thread state of a thread "
                    "(PyGILState_GetThisThreadState follows no pthread key)");
    return -1;
  }
  state_key_known = true;
  make_nobodies();
  find_lock();
  return 0;
}

/* ts is about to become current on this thread. */
static inline void bind_here(PyThreadState *ts) {
  if (pthread_getspecific(state_key) == ts) return;
#if VERSION_AT_LEAST(12)
  set_key(NULL);
  ts->_status.bound_gilstate = 0;
#else
  set_key(ts);
#endif
}

/* Since 3.12 the state says that it is bound to a thread's key, which is true here from now on, so
 * CPython leaves both as they are when a callback makes it current. */
void tstate_here(PyThreadState *ts) { set_key(ts); }

void tstate_release(void) { PyEval_SaveThread(); }

void tstate_forget(void) { set_key(NULL); }

/* CPython has made the key anew (_PyGILState_Reinit), and it need not be the same. */
int tstate_forked(void) {
  state_key_known = false;
  return tstate_boot();
}

/* ---- current or not -------------------------------------------------------------------------- */

void tstate_acquire(PyThreadState *ts) {
  bind_here(ts);
  PyEval_RestoreThread(ts);
}

void tstate_switch(PyThreadState *ts) {
  bind_here(ts);
  PyThreadState_Swap(ts);
}

/* Up to 3.11 the word is the process's: the state in it is this thread's if it is the one that
 * belongs to this thread, and then nobody else changes the word. */
PyThreadState *tstate_held(void) {
#if VERSION_AT_LEAST(13)
  return PyThreadState_GetUnchecked();
#else
  PyThreadState *ts = _PyThreadState_UncheckedGet();
  return VERSION_AT_LEAST(12) || ts == PyGILState_GetThisThreadState() ? ts : NULL;
#endif
}

bool tstate_detached(const PyThreadState *ts) {
#if VERSION_AT_LEAST(13)
  return __atomic_load_n(&ts->state, __ATOMIC_RELAXED) == 0; /* _Py_THREAD_DETACHED */
#elif VERSION_AT_LEAST(12)
  return !((const volatile PyThreadState *)ts)->_status.active;
#else
  return _PyThreadState_UncheckedGet() != ts;
#endif
}

int tstate_gil_held(void) {
#if VERSION_AT_LEAST(12)
  return -1;
#else
  return _PyThreadState_UncheckedGet() != NULL;
#endif
}

/* ---- the lock of warnings ---- */

const unsigned long long *tstate_lock_owner;

#if VERSION_AT_LEAST(14)

/* Bytes of the interpreter; 0: unknown. */
static size_t interp_size(void) {
  extern const uint64_t _PyRuntime[]; /* begins with the table: its name, version, free_threaded,
                                         three words of the runtime, the interpreter's size */
  const uint64_t *table = _PyRuntime;
  return memcmp(table, "xdebugpy", 8) == 0 && table[1] >> 16 == PY_VERSION_HEX >> 16 ? table[6] : 0;
}

static bool lock_do(PyObject *warnings, const char *what) {
  PyObject *r = PyObject_CallMethod(warnings, what, NULL);
  Py_XDECREF(r);
  return r != NULL;
}

/* The first word from `at` on that is this thread's identity. */
static const unsigned long long *find_owner(const unsigned long long *at,
                                            const unsigned long long *end) {
  while (at < end && *(const volatile unsigned long long *)at != (unsigned long long)pthread_self())
    at++;
  return at < end ? at : NULL;
}

static void find_lock(void) {
  const void *interp = PyThreadState_Get()->interp;
  const unsigned long long *at = interp, *end = at + interp_size() / sizeof *at;
  PyObject *warnings = tstate_lock_owner ? NULL : PyImport_ImportModule("_warnings");
  while (warnings && at < end && lock_do(warnings, "_acquire_lock")) {
    const unsigned long long *found = find_owner(at, end);
    if (!lock_do(warnings, "_release_lock") || !found) break;
    if (__atomic_load_n(found, __ATOMIC_RELAXED) == 0) {
      tstate_lock_owner = found;
      break;
    }
    at = found + 1;
  }
  Py_XDECREF(warnings);
  PyErr_Clear();
}

#else

static void find_lock(void) {}

#endif

/* ---- chunks of the data stack -------------------------------------------------------------------
 */

#if VERSION_AT_LEAST(11)

#define CHUNKS_KEPT 2048
#define CHUNK_SIZE (16 * 1024)             /* DATA_STACK_CHUNK_SIZE of Python/pystate.c */
static _PyStackChunk *chunks[CHUNKS_KEPT]; /* GIL */
static int nchunks;

static void chunk_give(PyThreadState *ts) {
  if (nchunks == 0) return;
  _PyStackChunk *c = chunks[--nchunks];
  c->previous = NULL;
  c->top = 0;
  ts->datastack_chunk = c;
  ts->datastack_top = &c->data[1];
  ts->datastack_limit = (PyObject **)((char *)c + c->size);
}

static void chunk_keep(PyThreadState *ts) {
  _PyStackChunk *c = ts->datastack_chunk;
  if (!c || c->previous || c->size != CHUNK_SIZE || nchunks == CHUNKS_KEPT) return;
  chunks[nchunks++] = c;
  ts->datastack_chunk = NULL;
  ts->datastack_top = ts->datastack_limit = NULL;
}

#else

static void chunk_give(PyThreadState *ts) { (void)ts; }
static void chunk_keep(PyThreadState *ts) { (void)ts; }

#endif

/* ---- life ---- */

PyThreadState *tstate_new(PyInterpreterState *interp) {
  PyThreadState *ts = PyThreadState_New(interp);
  if (ts) chunk_give(ts);
  return ts;
}

/* Identities of threads are addresses of the lower half, so those of the upper half are nobody's.
 * 3.14 asks pthread_getname_np for the name of each thread that faulthandler shows, and that reads
 * from the address: there an identity is one in a piece of memory that holds nothing but zeros, of
 * which no page is ever provided.  The name of thread 0 is not found then. */
#if VERSION_AT_LEAST(14)

#define NOBODIES ((uint64_t)1 << 36) /* more than can be alive at the same time */
static uint64_t nobody;              /* set once, at boot */

static void make_nobodies(void) {
  if (nobody) return;
  void *at = mmap(NULL, NOBODIES + 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                  0); /* what is read of a name: less than a page */
  if (at != MAP_FAILED) nobody = (uint64_t)(uintptr_t)at;
}

uint64_t tstate_ident(uint64_t n) { return nobody ? nobody + n % NOBODIES : n | (uint64_t)1 << 63; }

#else

static void make_nobodies(void) {}
uint64_t tstate_ident(uint64_t n) { return n | (uint64_t)1 << 63; }

#endif

void tstate_set_ident(PyThreadState *ts, uint64_t ident) { ts->thread_id = (unsigned long)ident; }

int tstate_on_stack(PyThreadState *ts, char *top, size_t size) {
#if VERSION_AT_LEAST(14)
  if (PyUnstable_ThreadState_SetStackProtection(ts, top - size, size) < 0) PyErr_Clear();
  return 0;
#elif VERSION_AT_LEAST(12)
  (void)top;
  if (size > MAIN_STACK - 4096) size = MAIN_STACK - 4096; /* callbacks run on a thread's own */
  int less = ts->c_recursion_remaining - (int)(size / 3072);
  if (less < 0) return 0;
  ts->c_recursion_remaining -= less;
  return less;
#else
  (void)ts;
  (void)top;
  (void)size;
  return 0;
#endif
}

static void give_levels(PyThreadState *ts, int levels_less) {
#if VERSION_AT_LEAST(12) && !VERSION_AT_LEAST(14)
  ts->c_recursion_remaining += levels_less;
#else
  (void)ts;
  (void)levels_less;
#endif
}

void tstate_own_stack(PyThreadState *ts, int levels_less) {
  give_levels(ts, levels_less);
#if VERSION_AT_LEAST(14)
  PyUnstable_ThreadState_ResetStackProtection(ts);
#endif
}

void tstate_delete_current(PyThreadState *ts) {
  chunk_keep(ts);
  PyThreadState_DeleteCurrent();
}

void tstate_delete(PyThreadState *ts) {
  chunk_keep(ts);
#if VERSION_AT_LEAST(12)
  ts->_status.bound_gilstate = 0; /* else the key of this thread is emptied, see above */
#endif
  PyThreadState_Delete(ts);
}

/* ---- stopping Python code at its next line ----------------------------------------------------
 */

/* Up to 3.11 the trace function of a thread state is looked for at each instruction.  From 3.12 on
 * there are the events of sys.monitoring, which are set in a code object: in the one that ts is
 * running now, for a tool of ours, and taken out again.  The tool's number is taken when the first
 * one has to be stopped; coverage, debuggers and profilers have theirs. */

#if !VERSION_AT_LEAST(12)

int tstate_to_drop;
void tstate_drop(void) {}
void tstate_prepare(void) {}

static int stopped(PyObject *obj, PyFrameObject *frame, int what, PyObject *arg) {
  (void)obj;
  (void)frame;
  (void)what;
  (void)arg;
  PyThreadState_Get()->c_tracefunc = NULL;
  hog_interrupted();
  return 0;
}

bool tstate_interrupt(PyThreadState *ts, PyObject **mark) {
  *mark = NULL;
  if (ts->c_tracefunc || ts->c_profilefunc || ts->tracing || !ts->cframe) return false;
  ts->c_tracefunc = stopped;
  ts->cframe->use_tracing = 255;
  return true;
}

void tstate_follow(PyThreadState *ts, PyObject **mark, bool shared) {
  (void)ts;
  (void)mark;
  (void)shared;
}

void tstate_uninterrupt(PyThreadState *ts, PyObject **mark, bool shared) {
  (void)mark;
  (void)shared;
  if (ts->c_tracefunc != stopped) return;
  ts->c_tracefunc = NULL;
  if (!ts->tracing && !ts->c_profilefunc) ts->cframe->use_tracing = 0;
}

#else

static PyObject *stopped(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  (void)self;
  (void)args;
  (void)nargs;
  hog_interrupted();
  Py_RETURN_NONE;
}

static PyObject *monitoring, *tool; /* NULL: there is none; GIL */
static PyObject *events, *no_events;

static bool take_tool(void) {
  static PyMethodDef method = {"_stopped", (PyCFunction)(void (*)(void))stopped, METH_FASTCALL,
                               NULL};
  static const char *const names[] = {"LINE", "JUMP", "PY_RETURN", "PY_YIELD"};
  static bool tried;
  if (tried) return tool != NULL;
  tried = true;
  monitoring = PySys_GetObject("monitoring");
  if (!monitoring) return false;
  Py_INCREF(monitoring);
  PyObject *id = NULL, *fn = PyCFunction_New(&method, NULL);
  for (int i = 4; i >= 3 && fn && !id; i--) {
    PyObject *r = PyObject_CallMethod(monitoring, "use_tool_id", "is", i, "gosched");
    if (r) id = PyLong_FromLong(i);
    Py_XDECREF(r);
    PyErr_Clear(); /* somebody else has it */
  }
  PyObject *all = id ? PyObject_GetAttrString(monitoring, "events") : NULL;
  long mask = 0;
  for (size_t i = 0; all && i < sizeof names / sizeof *names; i++) {
    PyObject *event = PyObject_GetAttrString(all, names[i]);
    PyObject *r =
        event ? PyObject_CallMethod(monitoring, "register_callback", "OOO", id, event, fn) : NULL;
    if (r) mask |= PyLong_AsLong(event);
    Py_XDECREF(r);
    Py_XDECREF(event);
  }
  Py_XDECREF(all);
  Py_XDECREF(fn);
  PyErr_Clear();
  events = PyLong_FromLong(mask);
  no_events = PyLong_FromLong(0);
  if (mask && events && no_events) tool = id;
  return tool != NULL;
}

static bool set_events(PyObject *code, PyObject *which) {
  PyObject *r = PyObject_CallMethod(monitoring, "set_local_events", "OOO", tool, code, which);
  if (!r) PyErr_Clear();
  Py_XDECREF(r);
  return r != NULL;
}

/* This may be in a hook, where no code of the user's may run, and the code object may be the last
 * one that a weak reference waits for. */
static PyObject *to_drop[64]; /* GIL */
int tstate_to_drop;           /* GIL */

static void drop_later(PyObject *code) {
  if (Py_REFCNT(code) > 1 || tstate_to_drop == sizeof to_drop / sizeof *to_drop)
    Py_DECREF(code);
  else
    to_drop[tstate_to_drop++] = code;
}

void tstate_drop(void) {
  while (tstate_to_drop > 0) Py_DECREF(to_drop[--tstate_to_drop]);
}

void tstate_prepare(void) { (void)take_tool(); }

bool tstate_interrupt(PyThreadState *ts, PyObject **mark) {
  *mark = NULL;
  if (ts->c_tracefunc || ts->c_profilefunc || ts->tracing) return false;
  PyObject *exc = error_take();
  PyFrameObject *frame = take_tool() ? PyThreadState_GetFrame(ts) : NULL;
  if (frame) {
    PyObject *code = (PyObject *)PyFrame_GetCode(frame);
    Py_DECREF(frame);
    if (set_events(code, events))
      *mark = code;
    else
      drop_later(code);
  }
  error_put(exc);
  return *mark != NULL;
}

void tstate_uninterrupt(PyThreadState *ts, PyObject **mark, bool shared) {
  (void)ts;
  PyObject *code = *mark, *exc;
  if (!code) return;
  exc = error_take();
  *mark = NULL;
  if (!shared) set_events(code, no_events);
  drop_later(code);
  error_put(exc);
}

void tstate_follow(PyThreadState *ts, PyObject **mark, bool shared) {
  PyFrameObject *frame = PyThreadState_GetFrame(ts);
  PyObject *code = frame ? (PyObject *)PyFrame_GetCode(frame) : NULL;
  bool same = code == *mark;
  Py_XDECREF(frame);
  Py_XDECREF(code);
  if (same) return;
  tstate_uninterrupt(ts, mark, shared);
  tstate_interrupt(ts, mark);
}

#endif

/* PyThreadState_Clear leaves a state as PyThreadState_New makes it, but for a few fields, and up to
 * 3.13 nothing that is called afterwards but Delete asks whether a state was cleared. */
bool tstate_reusable(void) { return !VERSION_AT_LEAST(14); }

/* Clear calls on_delete (_thread._set_sentinel: a lock that is released at the end), which frees
 * its data; the state may be cleared again, at the latest when the interpreter ends. */
void tstate_clear(PyThreadState *ts) {
  PyThreadState_Clear(ts);
#if !VERSION_AT_LEAST(13)
  ts->on_delete = NULL;
  ts->on_delete_data = NULL;
#endif
}

void tstate_again(PyThreadState *ts, int levels_less) {
  give_levels(ts, levels_less);
#if !VERSION_AT_LEAST(14)
  /* Somebody has set it for all states there are (threading.settrace_all_threads). */
  if (ts->c_tracefunc || ts->c_profilefunc || ts->async_exc || ts->dict) tstate_clear(ts);
  ts->coroutine_origin_tracking_depth = 0;
#if VERSION_AT_LEAST(12)
  ts->_status.finalizing = ts->_status.cleared = 0;
#else
  ts->cframe->use_tracing = 0;
#endif
#else
  (void)ts;
#endif
}

/* ---- errors in flight ---- */

PyObject *error_take(void) {
#if VERSION_AT_LEAST(12)
  return PyErr_GetRaisedException();
#else
  PyObject *type, *value, *tb;
  PyErr_Fetch(&type, &value, &tb);
  if (!type) return NULL;
  PyErr_NormalizeException(&type, &value, &tb);
  if (tb) PyException_SetTraceback(value, tb);
  Py_DECREF(type);
  Py_XDECREF(tb);
  return value;
#endif
}

void error_put(PyObject *exc) {
#if VERSION_AT_LEAST(12)
  PyErr_SetRaisedException(exc);
#else
  PyObject *type = (PyObject *)Py_TYPE(exc);
  Py_INCREF(type);
  PyErr_Restore(type, exc, PyException_GetTraceback(exc));
#endif
}
