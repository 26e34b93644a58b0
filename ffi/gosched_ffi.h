/* gosched_ffi.h: C functions by declaration, called as foreign calls of the scheduler.
 *
 *   gs_ffi *ffi = gs_ffi_new();
 *   gs_ffi_error err;
 *   gs_ffi_cdef(ffi, "int usleep(unsigned usec);", &err);
 *   gs_lib *libc;  gs_ffi_load(ffi, "libc.so.6", &libc, &err);
 *   gs_func *f;    gs_ffi_func(libc, "usleep", &f, &err);
 *   unsigned us = 1000; void *args[] = {&us}; int ret, e;
 *   gs_ffi_call(f, &ret, args, &e);
 *
 * Threads.  Any thread may call these functions, a green thread or not; none parks but
 * gs_ffi_call.  Objects are not locked: one thread at a time declares and loads on a gs_ffi.
 * gs_ffi_call of a prepared function is safe from any number of green threads at once.  A gs_ffi
 * and its children (gs_ffi_child) count as one here.
 */
#ifndef GOSCHED_FFI_H
#define GOSCHED_FFI_H

#include "gosched.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gs_ffi gs_ffi;           /* declarations */
typedef struct gs_lib gs_lib;           /* a loaded library */
typedef struct gs_func gs_func;         /* a prepared function */
typedef struct gs_callback gs_callback; /* a C function that runs a handler */
typedef struct gs_type gs_type;         /* a C type */
typedef struct gs_decl gs_decl;   /* a declared name: a typedef, function, variable or constant */
typedef struct gs_field gs_field; /* a member of a struct or union */

/* Where and why a call failed. */
typedef struct gs_ffi_error {
  int code;         /* GS_E… */
  int line, column; /* 1-based, in the declarations (GS_EDECL, GS_ETYPE); 0: not about a place */
  char text[256];   /* a sentence: what was found, what was expected, what to do */
} gs_ffi_error;

/* What a gs_type is, for bindings that convert values. */
typedef enum gs_kind {
  GS_KIND_VOID,
  GS_KIND_BOOL,
  GS_KIND_INT,  /* signed, any width; plain char where it is signed; enums with a negative member */
  GS_KIND_UINT, /* unsigned; enums without a negative member, as C compilers have it */
  GS_KIND_FLOAT, /* float, double, long double by size */
  GS_KIND_POINTER,
  GS_KIND_STRUCT,   /* struct or union by value */
  GS_KIND_ARRAY,    /* only as a member, a variable or what a pointer points to */
  GS_KIND_FUNCTION, /* only as what a pointer points to, or of a declaration */
  GS_KIND_COMPLEX,  /* two values of gs_type_target, which is GS_KIND_FLOAT: real, imaginary */
} gs_kind;

/* What else is known of a type, as bits. */
enum {
  GS_TYPE_CONST = 1,
  GS_TYPE_VOLATILE = 2,
  GS_TYPE_CHAR = 4, /* plain char: pointers to it are strings by convention */
  GS_TYPE_ENUM = 8,
  GS_TYPE_UNION = 16,      /* GS_KIND_STRUCT that is a union */
  GS_TYPE_INCOMPLETE = 32, /* a struct, union or array without a size: behind pointers only */
  GS_TYPE_VARIADIC = 64,   /* a function type with "..." */
  GS_TYPE_PACKED = 128,    /* laid out without padding */
  GS_TYPE_BITFIELDS = 256, /* a struct with bit-fields among its own members */
  GS_TYPE_FLEXIBLE = 512,  /* a struct that ends in an array without a size */
};

/* What a declared name stands for. */
typedef enum gs_decl_kind {
  GS_DECL_TYPEDEF,
  GS_DECL_FUNCTION,
  GS_DECL_VARIABLE,
  GS_DECL_CONSTANT, /* an enumerator */
} gs_decl_kind;

/* NULL if out of memory. */
GS_API gs_ffi *gs_ffi_new(void);
/* A gs_ffi whose declarations stand to those of parent as a block's do to those of the file around
 * it in C: names that it does not have are looked up in parent, also those that are declared there
 * later; what is declared in the child is seen in the child only, and hides what parent calls so,
 * whatever that is.  So two children may declare a name differently, and a type of parent is one
 * and the same type in all of them.  As in C, "struct s {…}" and "struct s;" declare a struct of
 * the child's own, also if parent has one that looks the same, and a tag that neither knows is
 * entered in the child where it is mentioned first.
 * A child is a gs_ffi in all else: with libraries, functions and callbacks of its own (a library
 * that parent has loaded, too, is loaded once by the system), freed by gs_ffi_free.  Children may
 * have children.  parent may be freed first; its types and declarations stay as long as there is a
 * child of it.  NULL if out of memory, or parent is NULL.  Any thread, as for gs_ffi_new. */
GS_API gs_ffi *gs_ffi_child(gs_ffi *parent);
/* Its libs, funcs and callbacks too.  If green threads are in calls of its functions, those come to
 * their end undisturbed (though its callbacks are freed at once), and the memory and the libraries
 * are given back by a later gs_ffi_free, gs_ffi_load or gs_lib_close.  None may begin any more, and
 * on threads that run no green thread none may be under way. */
GS_API void gs_ffi_free(gs_ffi *ffi);

/* Parses C declarations as they stand in a header and remembers them.  Either all of decls is
 * taken or nothing.  "static const int N = 5;" declares a constant; "[?]" is as "[]".
 * Headers may have been preprocessed as C23: typeof and typeof_unqual of a type, or of an
 * expression of constants, declared names, members, elements and calls of them; nullptr (of type
 * void *), true and false; [[attributes]]; constexpr integers; enums of a given type.  _Atomic is
 * taken where it changes no layout; _BitInt and vectors are refused, GS_ETYPE; _Float16, _Float128
 * and _Decimal… are types without a size, which functions may have but not be called with.
 * Errors: GS_EDECL, GS_ETYPE (both with line and column), GS_ENOMEM,
 * GS_EINVAL.  err may be NULL. */
GS_API int gs_ffi_cdef(gs_ffi *ffi, const char *decls, gs_ffi_error *err);

/* The type that ctype spells, as in a cast: "const char *", "struct point", "int (*)(void)".
 * Owned by ffi.  Errors: as gs_ffi_cdef; nothing is remembered then. */
GS_API int gs_ffi_type(gs_ffi *ffi, const char *ctype, const gs_type **out, gs_ffi_error *err);

/* gs_ffi_type of what is declared already, in ffi or a parent: a text that mentions a tag that is
 * not is an error instead of a declaration of it, and changes nothing.  Errors: as gs_ffi_type. */
GS_API int gs_ffi_type_known(gs_ffi *ffi, const char *ctype, const gs_type **out,
                             gs_ffi_error *err);

/* What stands for a '$' in declarations: a type if type is not NULL, else an identifier if name is
 * not NULL, else a whole number. */
typedef struct gs_ffi_param {
  const gs_type *type; /* of the same gs_ffi or a parent, or built in */
  const char *name;    /* a typedef's, a tag or a member's */
  int64_t number;
} gs_ffi_param;

/* gs_ffi_cdef and gs_ffi_type with parameters: each '$' that stands alone in decls, or in ctype, is
 * the next of the nparams ones in params (NULL: there are none, and '$' is a name as any other).
 * Errors: also GS_EDECL if there are more or fewer '$'. */
GS_API int gs_ffi_cdef_with(gs_ffi *ffi, const char *decls, const gs_ffi_param *params,
                            size_t nparams, gs_ffi_error *err);
GS_API int gs_ffi_type_with(gs_ffi *ffi, const char *ctype, const gs_ffi_param *params,
                            size_t nparams, const gs_type **out, gs_ffi_error *err);

/* The names declared through gs_ffi_cdef, in order, without a parent's; i < gs_ffi_ndecls, else
 * NULL.  find: NULL if there is no such name, here or in a parent (predefined typedefs such as
 * size_t are found, but not counted). */
GS_API size_t gs_ffi_ndecls(const gs_ffi *ffi);
GS_API const gs_decl *gs_ffi_decl(const gs_ffi *ffi, size_t i);
GS_API const gs_decl *gs_ffi_find(const gs_ffi *ffi, const char *name);
GS_API const char *gs_decl_name(const gs_decl *decl);
GS_API gs_decl_kind gs_decl_what(const gs_decl *decl);
GS_API const gs_type *gs_decl_type(const gs_decl *decl);
GS_API int64_t gs_decl_value(const gs_decl *decl); /* of a constant; else 0 */

/* dlopen; soname NULL is the process itself.  Errors: GS_ENOLIB (text has dlerror's), GS_ENOMEM. */
GS_API int gs_ffi_load(gs_ffi *ffi, const char *soname, gs_lib **lib, gs_ffi_error *err);

/* lib is not used any more: gs_ffi_func and gs_lib_symbol give GS_ECLOSED for it from now on, and
 * so do calls of the functions that they gave, which stay valid.  Calls of its gs_ffi's functions
 * that green threads are in come to their end undisturbed; dlclose is called when there is none,
 * now or in a later gs_lib_close, gs_ffi_load or gs_ffi_free.  On threads that run no green thread
 * no call may be under way.  Errors: GS_EINVAL (lib is NULL), GS_ECLOSED (it was closed already).
 */
GS_API int gs_lib_close(gs_lib *lib);

/* The function `name` of lib: signature from the declarations, address from dlsym, prepared.
 * Owned by the gs_ffi; asking twice gives the same.  Errors: GS_ETYPE (not declared, or not a
 * function), GS_ENOSYM, GS_ENOMEM. */
GS_API int gs_ffi_func(gs_lib *lib, const char *name, gs_func **func, gs_ffi_error *err);

/* The address of what lib exports under a declared name (a variable, a function).  A name that is
 * not declared is looked up as it stands.  Errors: GS_ENOSYM, GS_EINVAL. */
GS_API int gs_lib_symbol(gs_lib *lib, const char *name, void **addr, gs_ffi_error *err);
GS_API const char *gs_lib_name(const gs_lib *lib); /* as given to gs_ffi_load, or "the process" */

/* A function declared with "..." for a call with nextra further arguments of the types extra.  They
 * are promoted as C
 * does it (float to double, what is narrower than int to int): gs_func_arg of the new function
 * tells which types gs_ffi_call wants.  Kept per shape: asking twice gives the same; freed with
 * func.  Errors: GS_EINVAL, GS_ETYPE (func is not variadic; a type that cannot be passed),
 * GS_ENOMEM. */
GS_API int gs_func_variadic_shape(gs_func *func, const gs_type *const *extra, size_t nextra,
                                  gs_func **out, gs_ffi_error *err);

/* Built-in types, for bindings that parse elsewhere: "int8" … "uint64", "bool", "float", "double",
 * "longdouble", "complexfloat", "complexdouble", "complexlongdouble", "pointer", "void".  Static;
 * NULL for an unknown name. */
GS_API const gs_type *gs_type_builtin(const char *name);

/* A struct type from its n members in order (layout by the C ABI; no bit-fields).  Owned by ffi.
 * Errors: GS_EINVAL, GS_ENOMEM, GS_ETYPE. */
GS_API int gs_type_struct(gs_ffi *ffi, const gs_type *const *members, size_t n, const gs_type **out,
                          gs_ffi_error *err);

/* A prepared function from an address addr, the type it returns (ret) and those of its nargs
 * arguments (args).  nfixed < nargs: a variadic call of this shape,
 * whose arguments from nfixed on are promoted as in gs_func_variadic_shape; nfixed is at least 1.
 * name is copied, shown in traces; site_flags are GS_SITE_….  Freed by gs_func_free or with ffi.
 * Nearly all signatures are called without libffi (docs/design.md says which are not);
 * GOSCHED_FFI=libffi in the environment sends all calls through libffi (auto: the default; anything
 * else is refused), which cannot pass structs with packed or over-aligned members by value.
 * Errors: GS_EINVAL, GS_ETYPE, GS_ENOMEM. */
GS_API int gs_func_prepare(gs_ffi *ffi, const char *name, void *addr, const gs_type *ret,
                           const gs_type *const *args, size_t nargs, size_t nfixed,
                           unsigned site_flags, gs_func **func, gs_ffi_error *err);
GS_API void gs_func_free(gs_func *func);

/* Calls it: as a foreign call on the system stack if a green thread calls (it may come back on
 * another OS thread), in place if not.
 *   ret          room for the result, of the size of the return type (integers narrower than int
 *                are stored in their own size); NULL: not wanted
 *   args         one pointer per argument to a value of the argument's C type
 *   saved_errno  errno as the function left it (NULL: not wanted); errno is 0 before the call
 * Inside another foreign call it acts as inside gs_cgocallback.
 * Errors: GS_EINVAL (func or args NULL), GS_EPERM (as gs_cgocall), GS_ENOMEM (for a large result
 * that is not wanted, or for copies of large arguments), GS_ECALLBACK (a callback out of it failed:
 * see gs_callback_fail; ret and saved_errno are filled in all the same). */
GS_API int gs_ffi_call(const gs_func *func, void *ret, void *const *args, int *saved_errno);

/* gs_ffi_call that can be given up: see gs_cgocall_opts, whose options these are.  site NULL: the
 * function's own.  unblock and destroy are both given opts->uarg.
 * With destroy the call owns what it uses: the values that args points to are copied, and so is the
 * result, into ret, if the code is GS_OK or GS_ECALLBACK; args, ret and saved_errno need not
 * outlive this function, whatever it returns.  What the values point to must stay until
 * destroy(uarg) is called.  Without destroy, ret and *saved_errno are also set if the code is
 * GS_ECANCELED or GS_ETIMEOUT and the function ran. Errors: as gs_cgocall_opts, and GS_EINVAL
 * (func, args, opts). */
GS_API int gs_ffi_call_opts(const gs_func *func, void *ret, void *const *args, int *saved_errno,
                            const gs_call_options *opts);

/* ---- callbacks ----
 *
 * A C function pointer made from a signature and a handler: a comparator for qsort, a write
 * function for curl.
 *
 *   static int compare(void *ret, void *const *args, void *user) {
 *     *(int *)ret = **(const int **)args[0] - **(const int **)args[1];
 *     return 0;
 *   }
 *   gs_callback *cb;
 *   gs_ffi_callback(ffi, "int (*)(const void *, const void *)", compare, NULL, &cb);
 *   … gs_callback_code(cb) is what qsort gets …
 *   gs_callback_free(cb);
 *
 * Where handlers run.  As in gs_cgocallback: called from inside a foreign call, on the green thread
 * that made it, on its stack (which may be small) and its OS thread, where all gs_ functions work,
 * foreign calls too; from any other thread, also one that the runtime never saw, on a green thread
 * that belongs to this thread; on a green thread itself, in place.  Any number of threads may call
 * one function at once.  errno is carried both ways.  A handler must return.  Not in signal
 * handlers.
 *
 * What C gets if the handler fails, or cannot run: the default result.  Who is told of it: the
 * foreign call that C runs in, the innermost, which returns GS_ECALLBACK; where there is none, the
 * function of gs_callback_on_error; else the logger (gs_set_logger), as a warning that names the
 * callback.  Inside critical and nocallback calls handlers cannot run (GS_EPERM).
 *
 * Memory.  Functions whose arguments and result are integers, pointers, float or double in
 * registers (amd64: 6 integers and 8 floats; arm64: 8 and 8) are part of this library, 1024 of
 * them; no memory is made executable.  Others, and more, are libffi's closures, for which the
 * system must let libffi map the same memory twice at least, to write and to execute.
 *
 * Threads.  Making a callback is like declaring: one thread at a time for a gs_ffi.  The others are
 * for any thread. */

/* What a callback runs.  Returns 0, or a failure: the code of gs_callback_fail; where the handler
 * has called that itself, that counts.
 *   ret   room for the result, of the size of its type, zeroed (integers narrower than int have
 *         their own size there); what stands there after a failure is not used
 *   args  one pointer per argument to a value of its C type; valid until the handler returns
 *   user  as given when the callback was made */
typedef int gs_ffi_handler(void *ret, void *const *args, void *user);

/* A callback of the function type that ctype spells: "int (*)(const void *, const void *)", or
 * "int(const void *, const void *)", or a typedef of such a one.  Freed by gs_callback_free, or
 * with ffi.  Errors: GS_EDECL and GS_ETYPE (also: not a function, variadic, a type that cannot be
 * passed by value), GS_EINVAL, GS_ENOMEM (also if the system lets no memory be executed and libffi
 * would need some); gs_error_detail says more.  Does not park. */
GS_API int gs_ffi_callback(gs_ffi *ffi, const char *ctype, gs_ffi_handler *handler, void *user,
                           gs_callback **out);

/* The same with a type of ffi (a function, or a pointer to one), a name for what is told of it (at
 * most 63 bytes of it are kept; NULL: the type's), and what is wrong in *err.  Errors: as
 * gs_ffi_callback.  Does not park. */
GS_API int gs_callback_prepare(gs_ffi *ffi, const char *name, const gs_type *type,
                               gs_ffi_handler *handler, void *user, gs_callback **out,
                               gs_ffi_error *err);

/* The C function pointer.  NULL if cb is NULL.  Any thread, any stack; does not park. */
GS_API void *gs_callback_code(const gs_callback *cb);

/* What C gets where the handler has no result for it: a copy of value, of the size of the result
 * type; NULL: zeros, as in the beginning.  Not while C calls it.  Errors: GS_EINVAL (cb is NULL, or
 * returns void), GS_ENOMEM.  Any thread; does not park. */
GS_API int gs_callback_set_default(gs_callback *cb, const void *value);

/* Who is told, instead of the logger, where no foreign call can be.  onerror NULL: the logger.
 * It runs as foreign code, on the thread on which C has called.
 *   error  GS_ECALLBACK: the handler has failed with code.  Else why the handler did not run:
 *          GS_EPERM (in a critical or nocallback call), GS_ENOMEM, GS_ETHREADS, GS_EABI
 *   code   what the handler has returned, or 0
 *   user   as given when the callback was made
 * There are no errors.  Any thread, also while C calls it; does not park. */
GS_API void gs_callback_on_error(gs_callback *cb, void (*onerror)(int error, int code, void *user));

/* destroy(user) is called when the callback has been freed and the last handler that was running
 * has returned: by gs_callback_free if none runs, else on the thread of the last one, as foreign
 * code.  Once; NULL: nothing.  Any thread; does not park. */
GS_API void gs_callback_on_free(gs_callback *cb, void (*destroy)(void *user));

/* Frees it; NULL: nothing.  Does not wait: handlers that run, on any thread, run to their end (user
 * must live so long: gs_callback_on_free says when it is over), also the one that calls this.
 * C must not call the function any more.  If it does, it gets the default result, and the logger is
 * told once, by name; for certain until 256 other callbacks have been freed, after which the
 * function may be another callback's.  The logger is also told of a callback that is freed twice.
 * Any thread, any stack; may take microseconds, does not park. */
GS_API void gs_callback_free(gs_callback *cb);

/* Looking at a prepared function and at types.  Any thread; none parks. */

/* ---- typed memory ----
 *
 * A gs_mem is memory with a type and a number of elements: allocated, lent, or a view of a part of
 * another gs_mem.  It is counted by references, and what is done with it is checked: an access
 * after the memory was freed, or beyond its end, is an error.  Any thread may use one, also at the
 * same time, as far as the values themselves allow that; nothing parks.
 *
 * Where a place is asked for, index is an element of the memory, and path names something inside
 * that element: "a.b[3].c", "[2].x"; NULL or "": the element itself.  Members of anonymous structs
 * and unions are named directly; a path does not follow pointers.
 *
 * All that return int: GS_OK, or GS_EINVAL (NULL, freed, out of range, a value that does not fit),
 * GS_ETYPE (a type that cannot be used so; const), GS_ENOMEM, with a sentence in err (may be NULL).
 */

typedef struct gs_mem gs_mem;

/* count elements of type, zeroed, with one reference, which is the caller's.  Of a struct that ends
 * in an array without a size: one, with count elements in that array.  "T[]" is as T.
 *   ffi  whose type it is, and which stays as long as the memory does; NULL: type is built in */
GS_API int gs_mem_new(gs_ffi *ffi, const gs_type *type, size_t count, gs_mem **out,
                      gs_ffi_error *err);

/* The same for memory at addr that somebody else has allocated, of which count elements may be
 * used. free_fn(addr) is called when it is freed; NULL: it is lent, and must stay until then. */
GS_API int gs_mem_from(gs_ffi *ffi, void *addr, const gs_type *type, size_t count,
                       void (*free_fn)(void *addr), gs_mem **out, gs_ffi_error *err);

/* length + 1 elements of char: the text, and a NUL. */
GS_API int gs_mem_string(const char *text, size_t length, gs_mem **out, gs_ffi_error *err);

/* A part of mem as a gs_mem of its own, which keeps mem: an array's elements, or one of what the
 * place is.  Not of a bit-field (GS_ETYPE). */
GS_API int gs_mem_view(gs_mem *mem, size_t index, const char *path, gs_mem **out,
                       gs_ffi_error *err);

GS_API void gs_mem_retain(gs_mem *mem); /* one reference more; NULL: nothing */
/* One less.  With the last one the memory is freed, unless it was already. */
GS_API void gs_mem_release(gs_mem *mem);

/* Frees the memory now, whoever still has references: accesses fail from here on.  Errors: also
 * GS_EINVAL (freed already, or a view), GS_EBUSY (pinned: see gs_mem_pin).  The free function runs
 * in a critical call, on a full-size stack; so it does when the last reference goes. */
GS_API int gs_mem_free(gs_mem *mem, gs_ffi_error *err);

/* Sets free_fn as what frees the memory (of gs_mem_new: free); NULL: nobody does, the caller has
 * taken it.
 * *old (NULL: not wanted) is what would have. */
GS_API int gs_mem_set_free(gs_mem *mem, void (*free_fn)(void *addr), void (**old)(void *addr),
                           gs_ffi_error *err);

/* For the time of a foreign call that uses the memory: its address, and gs_mem_free is refused
 * until gs_mem_unpin.  They nest.  NULL, and nothing to unpin: it was freed.  The caller has a
 * reference. */
GS_API void *gs_mem_pin(gs_mem *mem);
GS_API void gs_mem_unpin(gs_mem *mem);

GS_API void *gs_mem_addr(const gs_mem *mem);          /* NULL: it was freed */
GS_API size_t gs_mem_size(const gs_mem *mem);         /* bytes */
GS_API size_t gs_mem_count(const gs_mem *mem);        /* elements */
GS_API const gs_type *gs_mem_type(const gs_mem *mem); /* of an element */

/* What is where. */
typedef struct gs_place {
  void *addr;
  const gs_type *type;
  unsigned bit_first, bit_width; /* a bit-field, as in gs_field_bits; width 0: none */
  size_t size;                   /* bytes; of the array at a struct's end as many as there are */
  size_t count;                  /* elements of an array; else 1 */
  size_t flexible;               /* elements in the array at the struct's end */
  int is_const;
} gs_place;

GS_API int gs_mem_at(gs_mem *mem, size_t index, const char *path, gs_place *out, gs_ffi_error *err);

/* Numbers: integers of up to 64 bits, enums, _Bool, bit-fields, floating ones.  Whole numbers go in
 * and out of all of them if they fit; gs_mem_get_double and writing to a floating type round. */
GS_API int gs_mem_get_int64(gs_mem *mem, size_t index, const char *path, int64_t *value,
                            gs_ffi_error *err);
GS_API int gs_mem_get_uint64(gs_mem *mem, size_t index, const char *path, uint64_t *value,
                             gs_ffi_error *err);
GS_API int gs_mem_get_double(gs_mem *mem, size_t index, const char *path, double *value,
                             gs_ffi_error *err);
GS_API int gs_mem_set_int64(gs_mem *mem, size_t index, const char *path, int64_t value,
                            gs_ffi_error *err);
GS_API int gs_mem_set_uint64(gs_mem *mem, size_t index, const char *path, uint64_t value,
                             gs_ffi_error *err);
GS_API int gs_mem_set_double(gs_mem *mem, size_t index, const char *path, double value,
                             gs_ffi_error *err);
GS_API int gs_mem_get_pointer(gs_mem *mem, size_t index, const char *path, void **value,
                              gs_ffi_error *err);
GS_API int gs_mem_set_pointer(gs_mem *mem, size_t index, const char *path, void *value,
                              gs_ffi_error *err);

/* Text in an array of characters, or in memory of characters from index on.  Writing needs room for
 * the length bytes of text and a NUL.  Reading copies to buf up to the first NUL or the end of the
 * room, at most n - 1 bytes and a NUL; *length (NULL: not wanted) is how many bytes there are. */
GS_API int gs_mem_set_string(gs_mem *mem, size_t index, const char *path, const char *text,
                             size_t length, gs_ffi_error *err);
GS_API int gs_mem_get_string(gs_mem *mem, size_t index, const char *path, char *buf, size_t n,
                             size_t *length, gs_ffi_error *err);

/* n bytes from offset on, to buf or from it. */
GS_API int gs_mem_read(gs_mem *mem, size_t offset, void *buf, size_t n, gs_ffi_error *err);
GS_API int gs_mem_write(gs_mem *mem, size_t offset, const void *buf, size_t n, gs_ffi_error *err);

/* ---- looking ---- */

/* Looking at a prepared function and at types. */
GS_API const char *gs_func_name(const gs_func *func);
GS_API size_t gs_func_nargs(const gs_func *func);
GS_API int gs_func_variadic(const gs_func *func); /* 1: declared with "…" */
GS_API const gs_type *gs_func_arg(const gs_func *func, size_t i);
GS_API const gs_type *gs_func_ret(const gs_func *func);
GS_API gs_kind gs_type_kind(const gs_type *type);
GS_API unsigned gs_type_flags(const gs_type *type); /* GS_TYPE_… */
GS_API size_t gs_type_size(const gs_type *type);    /* 0: void, incomplete, a function */
GS_API size_t gs_type_align(const gs_type *type);
GS_API const char *gs_type_name(const gs_type *type); /* as declared, e.g. "const char *" */
/* The type itself, without its typedef names and its own const and volatile. */
GS_API const gs_type *gs_type_canon(const gs_type *type);
/* The gs_ffi in which the type's name means this type: the one that declares the typedef or the tag
 * in it, and if there are several, the child among those; its parents do not know it, its children
 * do unless they hide it.  A struct or enum without a tag: where it was defined.  NULL: the type is
 * made of built-in ones only. */
GS_API const gs_ffi *gs_type_scope(const gs_type *type);
/* What a pointer points to, an array or a complex number consists of, a function returns; else
 * NULL. */
GS_API const gs_type *gs_type_target(const gs_type *type);
GS_API size_t gs_type_length(const gs_type *type); /* elements, members or parameters; else 0 */
GS_API const gs_type *gs_type_param(const gs_type *type, size_t i); /* of a function, or NULL */
/* 1 if a and b are the same C type, whatever typedefs spell them; qualifiers count. */
GS_API int gs_type_same(const gs_type *a, const gs_type *b);
/* 1 if C passes a pointer of type `from` where one of type `to` is wanted, without a cast: to the
 * same type but for more const or volatile, or void * on either side. */
GS_API int gs_type_accepts(const gs_type *to, const gs_type *from);

GS_API const gs_field *gs_type_field(const gs_type *type, size_t i); /* of a struct, or NULL */
/* NULL: an anonymous struct or union, whose members are its struct's; or, if the type is something
 * else, a bit-field without a name, which is padding and no member (its width may be 0). */
GS_API const char *gs_field_name(const gs_field *field);
GS_API const gs_type *gs_field_type(const gs_field *field); /* as declared */
GS_API size_t gs_field_offset(const gs_field *field);       /* bytes from the start of its struct */
/* 0, or the width of a bit-field, whose lowest bit is *first bits above the offset. */
GS_API unsigned gs_field_bits(const gs_field *field, unsigned *first);

/* The hints (site_flags: GS_SITE_…); and sets them, and returns the old ones.  Any thread, also
 * while calls run. */
GS_API unsigned gs_func_hints(const gs_func *func);
GS_API unsigned gs_func_set_hints(gs_func *func, unsigned site_flags);

#ifdef __cplusplus
}
#endif
#endif
