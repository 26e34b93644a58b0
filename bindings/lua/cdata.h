/* cdata.h: what the files of gosched.ffi share.
 *
 *   ffi.c       the table gosched.ffi: cdef, string, copy, fill, errno, abi …
 *   library.c   ffi.load and ffi.C: what is declared, as fields
 *   ctype.c     C types as Lua values: typeof, sizeof, alignof, offsetof, istype
 *   cdata.c     C data as Lua values: making it, its fields and elements
 *   cinit.c     ffi.new: initialisers
 *   cnumber.c   numbers between Lua and C     cpointer.c  the same for pointers
 *   cconv.c     all other values, Lua to C and back
 *   coperator.c pointer arithmetic, comparisons, and what else operators do
 *   metatype.c  ffi.metatype, ffi.gc
 *   ccall.c     C functions: preparing and calling
 *   cbind.c     ffi.bind: hints, and calls that can be ended
 *   callback.c  Lua functions as C functions        gate.c  coming into the VM from elsewhere
 *
 * A C type is a userdata (ctype), one for each gs_type; it lives as long as its VM.  C data is a
 * userdata (cdata) that either has the value in itself or refers to memory of somebody else.  What
 * refers into the memory of another cdata keeps that one alive: it is its uservalue.
 */
#ifndef GS_LUA_CDATA_H
#define GS_LUA_CDATA_H

#include "binding.h"

/* How a value is loaded and stored. */
typedef enum cop {
  OP_VOID,
  OP_BOOL,
  OP_I8,
  OP_U8,
  OP_I16,
  OP_U16,
  OP_I32,
  OP_U32,
  OP_I64,
  OP_U64,
  OP_FLOAT,
  OP_DOUBLE,
  OP_LDOUBLE, /* up to here: numbers */
  OP_POINTER,
  OP_STRUCT,
  OP_ARRAY,
  OP_COMPLEX,
  OP_FUNCTION,
} cop;

static inline bool is_number(cop op) { return op >= OP_BOOL && op <= OP_LDOUBLE; }
static inline bool is_integer(cop op) { return op >= OP_BOOL && op <= OP_U64; }

typedef struct ctype ctype;

/* A member, or a bit-field. */
typedef struct cfield {
  ctype *type;
  size_t offset, size;   /* of an array without a size: 0, and is_open */
  unsigned first, width; /* width 0: not a bit-field */
  bool is_open;
  const char *name; /* NULL: an anonymous struct or union, for initialisers by order */
} cfield;

#define RECENT 8 /* members that are found by the address of their name; a power of 2 */

/* A C type as a Lua value. */
struct ctype {
  const gs_type *type;
  ctype *base; /* of the type without typedef names and qualifiers; itself, if it is that one */
  cop op;
  bool is_const;
  bool has_meta;   /* of a base: ffi.metatype gave it a metatable, which the registry has */
  bool has_fields; /* of a base: the registry has its table of fields */
  size_t size;     /* 0: none, or not known when it was asked for last */
  ctype *target;   /* gsl_target's, made when it is first asked for */
  ctype *pointer;  /* gsl_pointer_to's, likewise */
  struct {
    const char *name; /* of a string that the table of fields keeps */
    const cfield *field;
  } recent[RECENT]; /* of a base */
};

/* C data as a Lua value. */
typedef struct cdata {
  ctype *type;
  char *at;      /* in this userdata, or memory of somebody else */
  size_t size;   /* bytes there, as far as is known */
  bool refers;   /* at is somebody else's memory */
  uint32_t mark; /* CDATA_MARK */
} cdata;

#define CDATA_MARK 0x67a5c0deu

/* Room for any scalar. */
typedef union cslot {
  int8_t i8;
  uint8_t u8;
  int16_t i16;
  uint16_t u16;
  int32_t i32;
  uint32_t u32;
  int64_t i64;
  uint64_t u64;
  float f;
  double d;
  long double ld;
  void *p;
  bool b;
} cslot;

/* What a conversion is for, in the texts of errors. */
typedef struct cplace {
  const char *name; /* a function's, a field's; NULL: nothing to be said */
  int arg;          /* 1 and up: an argument of it; 0: itself */
  int owner;        /* the index of the C data that the value becomes a part of; 0: none */
} cplace;

/* Raises "argument 2 of usleep: " and the text. */
__attribute__((noreturn)) void gsl_wrong(lua_State *L, const cplace *at, const char *format, ...);

/* ---- ctype.c --------------------------------------------------------------------------------- */

void gsl_open_ctype(lua_State *L, int vm_index);
ctype *gsl_ctype_of(lua_State *L, vm *v, const gs_type *type);
ctype *gsl_test_ctype(lua_State *L, vm *v, int index); /* NULL: it is none */
void gsl_push_ctype(lua_State *L, const ctype *t);
/* The type that the value at index names: a string, a ctype, or C data.  params: the index of the
 * first value for a '$' (to the top of the stack), or 0. */
ctype *gsl_check_ctype(lua_State *L, vm *v, int index, int params);
/* The values from index first on, for the '$' of declarations.  Returns how many. */
size_t gsl_read_params(lua_State *L, vm *v, int first, gs_ffi_param *params, int most);
ctype *gsl_target(lua_State *L, vm *v, ctype *t);
ctype *gsl_pointer_to(lua_State *L, vm *v, ctype *t);
/* The member named by the string at index, or NULL; t is a base with OP_STRUCT. */
const cfield *gsl_field(lua_State *L, vm *v, ctype *t, int index);
/* The same, if it has been asked for lately. */
static inline const cfield *gsl_recent_field(const ctype *t, const char *name) {
  size_t slot = (uintptr_t)name / 16 % RECENT;
  return t->recent[slot].name == name ? t->recent[slot].field : NULL;
}
/* All members in order, those of anonymous structs not taken apart. */
const cfield *gsl_fields(lua_State *L, vm *v, ctype *t, size_t *n);
/* Bytes of a value of the type with nelem elements in its array without a size; false: unknown. */
bool gsl_size_of(const gs_type *type, bool has_nelem, lua_Integer nelem, size_t *size);
bool gsl_is_open(const gs_type *type); /* an array without a size, or a struct that ends in one */
const char *gsl_name(const ctype *t);
/* 0: it has none, or none yet */
static inline size_t gsl_size(ctype *t) {
  if (!t->size) t->size = gs_type_size(t->type);
  return t->size;
}

void gsl_forget_spellings(lua_State *L); /* names may mean other types now */
int gsl_l_typeof(lua_State *L);
int gsl_l_sizeof(lua_State *L);
int gsl_l_alignof(lua_State *L);
int gsl_l_offsetof(lua_State *L);
int gsl_l_istype(lua_State *L);

/* ---- cdata.c --------------------------------------------------------------------------------- */

void gsl_open_cdata(lua_State *L, int vm_index);
cdata *gsl_test_cdata(lua_State *L, vm *v, int index);
cdata *gsl_check_cdata(lua_State *L, vm *v, int index);
/* Pushes zeroed C data of its own. */
cdata *gsl_new_cdata(lua_State *L, vm *v, ctype *t, size_t size);
/* Pushes C data that refers to memory; owner: the index of what keeps that alive, or 0. */
cdata *gsl_push_ref(lua_State *L, vm *v, ctype *t, void *at, size_t size, int owner);
cdata *gsl_push_pointer(lua_State *L, vm *v, ctype *pointer, void *address, int owner);
/* Pushes what keeps the memory alive that the C data at index is, or points to. */
void gsl_push_owner(lua_State *L, vm *v, int index, const cdata *c);
/* The address that C data stands for where a pointer is wanted. */
void *gsl_address(const cdata *c);
/* C memory at `to` gets the address of the string at index, which has to stay: as long as the C
 * data at owner does, or (0) until something else is stored there. */
void gsl_keep_string(lua_State *L, int owner, const void *to, int index);
/* Puts what must stay alive with the C data on top of the stack. */
void gsl_set_owner(lua_State *L, int owner);

/* ---- cnumber.c ------------------------------------------------------------------------------- */

typedef struct cnumber {
  enum { N_SIGNED, N_UNSIGNED, N_FLOATING } kind;
  int64_t i;
  long double f;
} cnumber;

cop gsl_op_of(const gs_type *type);
/* The number that a value is; false: it is none. */
bool gsl_number(lua_State *L, vm *v, int index, cnumber *out);
bool gsl_number_at(cop op, const void *at, cnumber *out);
void gsl_push_number(lua_State *L, cop op, const void *at);
void gsl_store_number(lua_State *L, cop op, cnumber n, void *to, const ctype *t, const cplace *at);
uint64_t gsl_load_bits(const void *p, unsigned first, unsigned width);
void gsl_store_bits(void *p, unsigned first, unsigned width, uint64_t value);

/* ---- cconv.c, cpointer.c --------------------------------------------------------------------- */

enum { CONV_CAST = 1 }; /* as ffi.cast, not as an assignment */

/* Stores the value at index as a C value of type t at `to`. */
void gsl_to_c(lua_State *L, vm *v, int index, ctype *t, void *to, size_t size, unsigned how,
              const cplace *at);
void gsl_to_pointer(lua_State *L, vm *v, int index, ctype *t, void **to, unsigned how,
                    const cplace *at);
/* Pushes a C value; one that is no single value as a reference, with owner as in gsl_push_ref.
 * Returns how many values were pushed: 0 for void. */
int gsl_to_lua(lua_State *L, vm *v, ctype *t, const void *from, size_t size, int owner);
/* The same as a copy: of a struct or complex number. */
int gsl_copy_to_lua(lua_State *L, vm *v, ctype *t, const void *from);
/* The C type by which a value is passed in place of "...". */
ctype *gsl_variadic_type(lua_State *L, vm *v, int index, const cplace *at);
/* "string", "'struct pair'": for error texts; pushes a string. */
const char *gsl_given(lua_State *L, vm *v, int index);
__attribute__((noreturn)) void gsl_mismatch(lua_State *L, vm *v, int index, const ctype *t,
                                            const cplace *at);
/* Whether C data may be passed as a pointer of this type; whether a string may. */
bool gsl_cdata_fits(const gs_type *to, const cdata *c);
bool gsl_takes_string(const gs_type *pointer);
/* Whether a pointer of one type may be used where one of the other is wanted. */
bool gsl_pointer_fits(const gs_type *to, const gs_type *from, bool void_too);

/* ---- cinit.c --------------------------------------------------------------------------------- */

/* Initialises zeroed memory with n values from index first on. */
void gsl_init(lua_State *L, vm *v, ctype *t, void *to, size_t size, int first, int n,
              const cplace *at);
int gsl_l_new(lua_State *L);
int gsl_call_ctype(lua_State *L);
int gsl_l_cast(lua_State *L);

/* ---- coperator.c, metatype.c ----------------------------------------------------------------- */

void gsl_open_operators(lua_State *L, int vm_index); /* into the metatable on top of the stack */
void gsl_open_metatype(lua_State *L, int vm_index);
/* Pushes the field `name` of the metatable that the C data's struct has, or that of what it points
 * to; false: there is none, and nothing is pushed. */
bool gsl_metafield(lua_State *L, vm *v, const cdata *c, const char *name);
bool gsl_type_metafield(lua_State *L, ctype *base, const char *name);
/* Calls the function on top of the stack with the arguments from 1 to the top below it. */
int gsl_call_meta(lua_State *L);
int gsl_finalize(lua_State *L); /* calls, once, the finalizer of the C data at 1 */
bool gsl_has_finalizer(lua_State *L, vm *v, int index);
void gsl_set_finalizer(lua_State *L, vm *v, int index, int finalizer);
int gsl_l_metatype(lua_State *L);
int gsl_l_gc(lua_State *L);

/* ---- ccall.c --------------------------------------------------------------------------------- */

typedef struct carg {
  ctype *type;
  cop op;
  bool takes_string;
  const ctype *fits; /* of C data that was accepted for this pointer last */
} carg;

/* A C function that can be called; a userdata, the upvalue of the Lua function. */
typedef struct cfunction {
  vm *v;
  int quick; /* how many arguments l_call takes by itself; -1: none */
  gs_func *func;
  gs_func *shapes; /* has the calls with arguments for "..."; NULL: func itself */
  void *code;
  const gs_type *type; /* the function's */
  ctype *ret;
  bool variadic;
  bool by_address; /* the result is written where the caller says: a struct, a complex number */
  struct cbinding *binding; /* cbind.c; NULL: none */
  size_t nargs;
  carg args[];
} cfunction;

/* A foreign call that is under way, on the stack of who made it. */
typedef struct gsl_frame {
  struct gsl_frame *outer;
  lua_State *L;
  bool away;  /* in C now, and not in a callback out of it */
  int failed; /* where on L's stack the error is that a callback has raised; 0: none */
} gsl_frame;

/* A call whose arguments have been converted. */
typedef struct ccall {
  gs_func *func;
  void *ret, **args;
  int saved_errno;
} ccall;

/* Pushes a new cfunction. */
cfunction *gsl_new_function(lua_State *L, vm *v, gs_func *func, void *code, const gs_type *type);
/* Pushes the Lua function for the cfunction on top of the stack, instead of that. */
void gsl_push_function(lua_State *L);
/* The function that a value is, if it is one that gsl_push_function made. */
cfunction *gsl_test_function(lua_State *L, int index);
static inline void *gsl_function_code(const cfunction *f) { return f->code; }
static inline const gs_type *gsl_function_type(const cfunction *f) { return f->type; }
/* Prepares the function at an address. */
gs_func *gsl_prepare(lua_State *L, vm *v, const char *name, void *code, const gs_type *type,
                     bool variadic, unsigned hints);
int gsl_call_pointer(lua_State *L); /* __call of C data that is a function pointer */

/* cbind.c: pushes the lua_State in which a call is ended, with its n arguments, from index first
 * on; function: the index of the cfunction. */
lua_State *gsl_prepare_bound(lua_State *L, int function, int first, int n);
/* Makes the call so that it can be ended. */
int gsl_call_bound(vm *v, const cfunction *f, ccall *c, lua_State *T, int n);
int gsl_l_bind(lua_State *L);
/* The GS_SITE_… that a table of hints by name says. */
unsigned gsl_check_hints(lua_State *L, int table);

/* ---- callback.c ------------------------------------------------------------------------------ */

/* The C function that calls the Lua function at index, of type t, a function pointer.  If it is
 * shared it is made once for each function and type. */
void *gsl_callback(lua_State *L, vm *v, int index, ctype *t, bool shared, const cplace *at);
void gsl_open_callback(lua_State *L, int vm_index);
/* Pushes the method `free` or `set` of callbacks if the key at index is one of these. */
bool gsl_callback_method(lua_State *L, int index);

/* gate.c: runs fn(L, v, frame, arg) with the turn in the VM, on any thread.  frame is the foreign
 * call that this thread is in, or NULL.  false: the turn cannot be had, and fn was not called. */
typedef void gsl_visitor(lua_State *L, vm *v, gsl_frame *frame, void *arg);
bool gsl_with_turn(gsl_gate *gate, gsl_visitor *fn, void *arg);
gsl_gate *gsl_gate_hold(gsl_gate *gate);
void gsl_gate_drop(gsl_gate *gate);
/* Around a foreign call that is made outside gosched.run. */
void gsl_gate_plain(gsl_gate *gate, bool begins);

/* ---- library.c ------------------------------------------------------------------------------- */

void gsl_open_library(lua_State *L, int vm_index);
void gsl_push_library(lua_State *L, vm *v, const char *name);
int gsl_l_load(lua_State *L);

#endif
