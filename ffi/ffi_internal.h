/* ffi_internal.h: what the files of ffi/ share.
 *
 *   arena.c    memory that goes away together, or back to a mark
 *   types.c    gs_type: the built-in ones, derived ones, how they are spelled and compared
 *   layout.c   sizes and offsets of structs and unions
 *   survey.c   what is in the words of a struct      abi.c  a gs_type as libffi wants to see it
 *   decls.c    gs_ffi: the names it knows, and taking a failed cdef back
 *   clex.c     characters to tokens        cexpr.c  constant expressions
 *   cspec.c    declaration specifiers: struct, union, enum, attributes and the words for types
 *   ctypeof.c  typeof, and the types of expressions
 *   cdecl.c    declarators and declarations: what gs_ffi_cdef does
 *   site.c     call sites, which must outlive the functions that use them
 *   call.c     gs_func: preparing and calling      library.c  dlopen and dlsym
 *   plan.c, arch/   calls that need no libffi
 *   callback.c, trampoline.c, running.c   C functions that run a handler: see callback.h
 *   call_opts.c  calls that can be given up        closing.c  what goes away while calls last
 *   memory.c, access.c   gs_mem: typed memory, its elements, fields and values
 *
 * Types are made once and then only read, except that a struct gets its members when it is defined
 * and its libffi form when it is first passed by value; both happen on the one thread that declares
 * and loads.  Calls on other threads see them finished, because they need the gs_func first.
 */
#ifndef GS_FFI_INTERNAL_H
#define GS_FFI_INTERNAL_H

#include <ffi.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gosched_domain.h"
#include "gosched_ffi.h"

/* ---- arena.c --------------------------------------------------------------------------------- */

typedef struct gsf_chunk gsf_chunk;
typedef struct gsf_arena {
  gsf_chunk *top; /* the newest chunk; older ones hang below it */
} gsf_arena;
typedef struct gsf_mark {
  gsf_chunk *top;
  size_t used;
} gsf_mark;

/* Zeroed and aligned for anything; NULL if memory is exhausted. */
void *gsf_alloc(gsf_arena *a, size_t size);
char *gsf_copy(gsf_arena *a, const char *text, size_t length); /* with a NUL behind it */
gsf_mark gsf_arena_mark(const gsf_arena *a);
/* Frees what was allocated after the mark was taken. */
void gsf_arena_rollback(gsf_arena *a, gsf_mark mark);
void gsf_arena_free(gsf_arena *a);

/* ---- errors (decls.c) ------------------------------------------------------------------------ */

/* Fills *err (may be NULL) without a place and returns code. */
int gsf_error(gs_ffi_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int gsf_nomem(gs_ffi_error *err);

/* ---- types.c --------------------------------------------------------------------------------- */

#define GSF_QUALIFIERS (GS_TYPE_CONST | GS_TYPE_VOLATILE)
#define GSF_MAX_DEPTH 200 /* of types made of types: bounds every recursion over them */
#define GSF_MAX_SIZE                                                           \
  ((size_t)PTRDIFF_MAX / 16) /* of one type: positions in bits cannot overflow \
                              */
#define GSF_MAX_ARGS 255

typedef enum gsf_basic {
  B_VOID,
  B_BOOL,
  B_CHAR,
  B_SCHAR,
  B_UCHAR,
  B_SHORT,
  B_USHORT,
  B_INT,
  B_UINT,
  B_LONG,
  B_ULONG,
  B_LLONG,
  B_ULLONG,
  B_FLOAT,
  B_DOUBLE,
  B_LDOUBLE,
  B_COMPLEX_FLOAT,
  B_COMPLEX_DOUBLE,
  B_COMPLEX_LDOUBLE,
  B_COUNT
} gsf_basic;

struct gs_field {
  const char *name; /* NULL: an anonymous struct or union, or padding bits */
  const gs_type *type;
  size_t offset;
  unsigned bit_first, bit_width; /* width 0: not a bit-field */
  bool packed;                   /* by an attribute of its own */
  bool is_bits;                  /* a bit-field, also one of width 0 */
  size_t align;                  /* asked for by an attribute; 0: the type's own */
  int line, column;              /* where it is declared, for errors */
};

/* A type, or a spelling of one: a typedef name or a qualified variant has a record of its own
 * whose canon is the type itself.  All but kind, flags & GSF_QUALIFIERS and name is read there. */
struct gs_type {
  gs_kind kind;
  unsigned flags;
  unsigned depth;     /* longest chain of types below this one */
  size_t size, align; /* of a spelling: size is 0, and align is what an attribute asks for, or 0 */
  const char *name;   /* as C spells it without a name … */
  size_t hole;        /* … and where in it the name would stand */
  const gs_type *canon;
  const gs_type *target;  /* pointer, array, complex: of what; function: its result */
  size_t length;          /* array: elements; struct: members; function: parameters */
  gs_field *fields;       /* struct */
  const gs_type **params; /* function */
  const char *tag;        /* struct, enum: NULL is anonymous */
  gs_ffi *scope; /* whose names its spelling needs, or where it was defined; NULL: nobody's */
  ffi_type *ffi; /* libffi's form; of a struct NULL until it is passed by value */
};

extern const gs_type gsf_basics[B_COUNT];

/* Derived types.  NULL: out of memory, or (pointer, array, function) too deep; gsf_too_deep tells.
 */
const gs_type *gsf_qualified(gsf_arena *a, const gs_type *t, unsigned qualifiers);
const gs_type *gsf_alias(gs_ffi *ffi, const gs_type *t, const char *name, size_t align);
const gs_type *gsf_pointer(gsf_arena *a, const gs_type *target);
const gs_type *gsf_array(gsf_arena *a, const gs_type *element, size_t length, bool incomplete);
const gs_type *gsf_function(gsf_arena *a, const gs_type *result, const gs_type **params, size_t n,
                            bool variadic);
/* A struct or union (flags & GS_TYPE_UNION) without members yet; tag NULL: anonymous. */
gs_type *gsf_struct(gs_ffi *ffi, unsigned flags, const char *tag);
gs_type *gsf_enum(gs_ffi *ffi, const char *tag);
/* Makes an enum of the integer type that C compilers choose for these extremes. */
void gsf_enum_complete(gs_type *t, bool negative, int64_t least, uint64_t most);
void gsf_enum_of(gs_type *t, const gs_type *basic); /* of that one */

static inline bool gsf_complete(const gs_type *t) {
  return t->kind != GS_KIND_VOID && t->kind != GS_KIND_FUNCTION &&
         !(t->canon->flags & GS_TYPE_INCOMPLETE);
}
static inline size_t gsf_align(const gs_type *t) {
  return t->align > t->canon->align ? t->align : t->canon->align;
}
static inline bool gsf_too_deep(const gs_type *t) { return t->canon->depth >= GSF_MAX_DEPTH; }
bool gsf_same_unqualified(const gs_type *a, const gs_type *b);
bool gsf_same_members(const gs_type *a, const gs_type *b);
/* The type that an argument of type t has in a variadic place. */
const gs_type *gsf_promoted(const gs_type *t);

/* ---- layout.c -------------------------------------------------------------------------------- */

/* Gives t its members (kept, not copied), their offsets, and its size.  align is what an attribute
 * asks for (0: nothing).  Errors: GS_ETYPE (*bad is the member at fault). */
int gsf_layout(gs_type *t, gs_field *fields, size_t n, size_t align, bool packed, size_t *bad);
void gsf_unlayout(gs_type *t); /* incomplete again */

/* ---- survey.c -------------------------------------------------------------------------------- */

#define GSF_SURVEY_LARGEST 256u /* bytes: from here on the ABIs look at the size only */

/* What is in one eightbyte: nothing, floats only, or an integer among it. */
enum { GSF_NOTHING, GSF_FLOATS, GSF_INTEGER };

typedef struct gsf_survey {
  unsigned char word[GSF_SURVEY_LARGEST / 8];
  const gs_type *only; /* the one scalar type there is; NULL: none, or several */
  bool several;
  bool misplaced;   /* a member is not at a multiple of its alignment */
  bool overaligned; /* a member has more than its type's alignment */
  bool long_double; /* among them */
  bool padded;      /* there is `only`, and room that it does not fill */
  bool gave_up;     /* there are too many members */
  unsigned looked;
} gsf_survey;

/* t of a complete type of at most GSF_SURVEY_LARGEST bytes. */
void gsf_look(gsf_survey *s, const gs_type *t);

/* ---- abi.c ----------------------------------------------------------------------------------- */

/* libffi's form of t for an argument or a result.  role is for the text of errors: "argument 2". */
int gsf_ffi_type(gs_ffi *ffi, const gs_type *t, const char *role, ffi_type **out,
                 gs_ffi_error *err);
/* Whether the ABI passes an argument of this form by reference to a copy that the caller makes. */
bool gsf_by_reference(const ffi_type *form);

/* ---- decls.c --------------------------------------------------------------------------------- */

struct gs_decl {
  const char *name; /* first: what the search trees compare */
  gs_decl_kind what;
  const gs_type *type;
  const char *symbol;        /* exported name: asm("…") or name itself */
  int64_t value;             /* of a constant */
  bool predefined;           /* may be declared anew, and then is hidden */
  bool is_unsigned, is_long; /* of a constant: its type in expressions */
};

typedef struct gsf_tag {
  const char *name; /* first: what the search trees compare */
  gs_type *type;
} gsf_tag;

/* A journal entry: a struct or enum that got its members, a predefined name that was hidden, or a
 * declaration that got another symbol. */
typedef struct gsf_undo {
  struct gsf_undo *next;
  gs_type *completed;
  gs_decl *hidden;
  gs_decl *renamed;
  const char *old_symbol;
} gsf_undo;

typedef struct gsf_decl_list {
  gs_decl **at;
  size_t n, cap;
} gsf_decl_list;

typedef struct gsf_tag_list {
  gsf_tag **at;
  size_t n, cap;
} gsf_tag_list;

struct gs_ffi {
  gs_ffi *parent;      /* knows the names that this one does not, and stays as long; or NULL */
  unsigned level;      /* parents above it */
  gsf_arena arena;     /* types, names, declarations */
  gsf_decl_list decls; /* in order, the predefined ones first */
  size_t npredefined;
  gsf_tag_list tags;
  void *decl_tree, *tag_tree; /* tsearch(3) over what the lists hold */
  gsf_undo *journal;          /* since gsf_begin, newest first */
  gs_lib *libs;
  gs_func *funcs;
  gs_callback *callbacks; /* under the lock of callback.c */
  gs_func *dying;         /* freed while calls were under way: they go with the gs_ffi */
  unsigned children;      /* atomic: it stays until there is none */
  unsigned users;         /* calls that own their arguments, gs_mems: it stays as long; atomic */
  gs_ffi *next_dying;     /* closing.c, under its mutex */
};

typedef struct gsf_transaction {
  gsf_mark mark;
  size_t ndecls, ntags;
} gsf_transaction;

gsf_transaction gsf_begin(gs_ffi *ffi);
void gsf_commit(gs_ffi *ffi);
void gsf_rollback(gs_ffi *ffi, const gsf_transaction *tx);

/* Here, else in the parents; own: here only, which is where names are declared. */
gs_decl *gsf_find_decl(const gs_ffi *ffi, const char *name);
gsf_tag *gsf_find_tag(const gs_ffi *ffi, const char *name);
gs_decl *gsf_own_decl(const gs_ffi *ffi, const char *name);
gsf_tag *gsf_own_tag(const gs_ffi *ffi, const char *name);
/* Adds a copy of *decl (its strings are kept, not copied).  The name must be free or predefined. */
gs_decl *gsf_add_decl(gs_ffi *ffi, const gs_decl *decl);
gsf_tag *gsf_add_tag(gs_ffi *ffi, const char *name, gs_type *type);
/* Notes that t got its members, so that a roll-back takes them away.  false: out of memory. */
bool gsf_note_completed(gs_ffi *ffi, gs_type *t);
/* Gives d the symbol, and notes its old one.  false: out of memory. */
bool gsf_rename(gs_ffi *ffi, gs_decl *d, const char *symbol);

/* ---- site.c ---------------------------------------------------------------------------------- */

gs_site *gsf_site_new(const char *name, unsigned flags); /* name is copied */
void gsf_site_release(gs_site *site);

/* ---- call.c, library.c ----------------------------------------------------------------------- */

typedef struct gsf_plan gsf_plan; /* see plan.h */

struct gs_func {
  const gs_prepared *quick; /* the plan's, if it writes the result as it is; else NULL */
  gsf_plan *plan;           /* NULL: by libffi */
  void (*fn)(void);
  gs_site *site;
  size_t room;   /* a planned result's size, if it is written in more bytes than it has; or 0 */
  ffi_cif cif;   /* without a plan */
  size_t copies; /* without a plan: room for arguments that go by reference to a copy, or 0 */
  const gs_type *ret;
  const gs_type **args; /* behind this struct, and libffi's forms behind them */
  size_t nargs;         /* with this shape's variadic ones */
  size_t nfixed;
  bool variadic;
  unsigned char widened; /* libffi widens the result: its true size, 1..7; 0: it does not */
  gs_ffi *ffi;
  const gs_lib *lib;     /* that it was asked of, or NULL */
  gs_func *next, **link; /* in the ffi's list, or a shape in its function's */
  gs_func *shapes;
};

/* gs_func_prepare into a list, with a variadic function's own shape (no further arguments) allowed.
 */
int gsf_func_make(gs_ffi *ffi, gs_func **list, const char *name, void *addr, const gs_type *ret,
                  const gs_type *const *args, size_t nargs, size_t nfixed, bool variadic,
                  unsigned site_flags, gs_func **func, gs_ffi_error *err);
/* Runs fn(arg) on a full-size stack with the scheduler's turn kept. */
void gsf_on_big_stack(void (*fn)(void *), void *arg);
void gsf_libs_free(gs_ffi *ffi);
void gsf_func_destroy(gs_func *func);
/* Makes the call on this stack; what the foreign call of gs_ffi_call_opts runs. */
bool gsf_call_here(const gs_func *func, void *ret, void **args, int *saved_errno);
bool gsf_small_result(const gs_func *func); /* there ret may be NULL */

struct gs_lib {
  gs_ffi *ffi;
  gs_lib *next;
  void *handle;    /* NULL: it is closed, and unmapped as far as we are concerned */
  void *func_tree; /* tsearch(3) tree of known functions, by declaration */
  bool closed;     /* by gs_lib_close */
  char name[];
};
void gsf_dlclose(gs_lib *lib);

/* ---- memory.c -------------------------------------------------------------------------------- */

struct gs_mem {
  unsigned refs; /* references; atomic */
  unsigned word; /* of a root: see memory.c; atomic */
  gs_mem *root;  /* who owns the memory: itself, or what it is a view of, which it holds */
  void *addr;
  size_t size; /* bytes */
  const gs_type *type;
  size_t count;            /* elements of type; 1 if that is a flexible struct */
  size_t flexible;         /* elements in the array at its end */
  bool is_const;           /* a view of something const */
  void (*free_fn)(void *); /* of a root: NULL: nobody frees it; atomic */
  gs_ffi *ffi;             /* whose type it is, or NULL: anybody's */
};

/* ---- closing.c ------------------------------------------------------------------------------- */

/* Calls of ffi's functions may be under way. */
bool gsf_busy(const gs_ffi *ffi);
/* Frees and unmaps what had to wait for calls to end, if they have. */
void gsf_reap(void);
void gsf_use(gs_ffi *ffi); /* it stays until gsf_unuse; NULL: nothing */
void gsf_unuse(gs_ffi *ffi);
void gsf_child_made(gs_ffi *parent); /* the parent stays until gsf_child_gone; NULL: nothing */
void gsf_child_gone(gs_ffi *parent);
void gsf_unmap_closed(gs_ffi *ffi); /* the same for ffi's closed libraries */
void gsf_ffi_destroy(gs_ffi *ffi);  /* decls.c */

/* ---- plan.c ---------------------------------------------------------------------------------- */

/* Gives f a plan, if its calls can do without libffi.  Errors: GS_EINVAL (GOSCHED_FFI), GS_ENOMEM.
 */
int gsf_plan_make(gs_func *f, gs_ffi_error *err);
/* What GOSCHED_FFI asks for.  Errors: GS_EINVAL. */
int gsf_forced(bool *libffi, gs_ffi_error *err);

/* ---- cdecl.c --------------------------------------------------------------------------------- */

int gsf_predefine(gs_ffi *ffi);

#endif
