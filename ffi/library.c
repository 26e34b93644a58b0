/* library.c: shared libraries and what they export.
 *
 * Loading runs the constructors of a library and may wait for a disk or a lock of the dynamic
 * linker, and needs more stack than a green thread has: dlopen, dlsym and dlclose are foreign
 * calls.  Their error text belongs to the thread, so it is copied in the same call.
 */
#include <dlfcn.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "ffi_internal.h"

/* A function asked for.  By its declaration and not by its name, since a child's may hide its
 * parent's later. */
typedef struct known {
  const gs_decl *decl;
  gs_func *func;
} known;

static int by_decl(const void *a, const void *b) {
  uintptr_t x = (uintptr_t)((const known *)a)->decl, y = (uintptr_t)((const known *)b)->decl;
  return x < y ? -1 : x > y;
}

/* ---- the dynamic linker ---------------------------------------------------------------------- */

typedef struct request {
  const char *name;
  void *handle;
  void *found;
  bool failed;
  char text[160]; /* dlerror's */
} request;

static void keep_error(request *r) {
  const char *text = dlerror();
  r->failed = text != NULL;
  if (text) strncat(r->text, text, sizeof(r->text) - 1);
}

static int do_open(void *arg) {
  request *r = arg;
  r->found = dlopen(r->name, RTLD_NOW | RTLD_LOCAL);
  if (!r->found) keep_error(r);
  return 0;
}

static int do_symbol(void *arg) {
  request *r = arg;
  dlerror();
  r->found = dlsym(r->handle, r->name);
  if (!r->found) keep_error(r);
  return 0;
}

static int do_close(void *arg) {
  request *r = arg;
  dlclose(r->handle);
  return 0;
}

static gs_site open_site = {.name = "dlopen"};
static gs_site symbol_site = {.name = "dlsym"};
static gs_site close_site = {.name = "dlclose"};

static bool foreign(gs_site *site, int (*fn)(void *), request *r) {
  int e = gs_cgocall_site(site, fn, r, NULL);
  if (e != GS_OK && e != GS_ECALLBACK) fn(r); /* in a foreign call already */
  return !r->failed;
}

/* ---- loading --------------------------------------------------------------------------------- */

/* What may help with a name that cannot be loaded. */
static const char *advice(const char *soname) {
  if (strchr(soname, '/')) return "check the path, and what it depends on with ldd";
  if (!strstr(soname, ".so"))
    return "give the file's name, as in \"libz.so.1\" (ldconfig -p lists them)";
  if (!strstr(soname, ".so."))
    return "add the version: the file without one, as in \"libz.so\", comes with development "
           "packages only (ldconfig -p lists them)";
  return "install the package it is in, or add its folder to LD_LIBRARY_PATH";
}

static gs_lib *lib_of_handle(const gs_ffi *ffi, const void *handle) {
  gs_lib *lib = ffi->libs;
  while (lib && (lib->closed || lib->handle != handle)) lib = lib->next;
  return lib;
}

int gs_ffi_load(gs_ffi *ffi, const char *soname, gs_lib **lib, gs_ffi_error *err) {
  if (!ffi || !lib) return gsf_error(err, GS_EINVAL, "%s is NULL", ffi ? "lib" : "ffi");
  gsf_reap();
  gsf_unmap_closed(ffi);
  if (soname && !*soname)
    return gsf_error(err, GS_EINVAL,
                     "soname is empty, expected a name as \"libz.so.1\", or NULL "
                     "for the process itself");
  request r = {.name = soname};
  if (!foreign(&open_site, do_open, &r))
    return gsf_error(err, GS_ENOLIB, "cannot load '%.60s': %s; %s", soname ? soname : "the process",
                     r.text, soname ? advice(soname) : "");
  gs_lib *old = lib_of_handle(ffi, r.found);
  const char *name = soname ? soname : "the process";
  gs_lib *made = old ? NULL : calloc(1, sizeof(*made) + strlen(name) + 1);
  if (!made) {
    request c = {.handle = r.found};
    foreign(&close_site, do_close, &c);
    *lib = old;
    return old ? GS_OK : gsf_nomem(err);
  }
  strcpy(made->name, name);
  made->ffi = ffi;
  made->handle = r.found;
  made->next = ffi->libs;
  ffi->libs = made;
  *lib = made;
  return GS_OK;
}

void gsf_libs_free(gs_ffi *ffi) {
  while (ffi->libs) {
    gs_lib *lib = ffi->libs;
    ffi->libs = lib->next;
    while (lib->func_tree) {
      known *e = *(known **)lib->func_tree;
      tdelete(e, &lib->func_tree, by_decl);
      free(e);
    }
    gsf_dlclose(lib);
    free(lib);
  }
}

void gsf_dlclose(gs_lib *lib) {
  request r = {.handle = lib->handle};
  lib->handle = NULL;
  if (r.handle) foreign(&close_site, do_close, &r);
}

const char *gs_lib_name(const gs_lib *lib) { return lib->name; }

/* ---- symbols --------------------------------------------------------------------------------- */

int gs_lib_symbol(gs_lib *lib, const char *name, void **addr, gs_ffi_error *err) {
  if (!lib || !name || !addr)
    return gsf_error(err, GS_EINVAL, "%s is NULL", !lib ? "lib" : !name ? "name" : "addr");
  if (lib->closed) return gsf_error(err, GS_ECLOSED, "%.100s was closed", lib->name);
  const gs_decl *d = gsf_find_decl(lib->ffi, name);
  request r = {.name = d ? d->symbol : name, .handle = lib->handle};
  if (!foreign(&symbol_site, do_symbol, &r) || !r.found)
    return gsf_error(err, GS_ENOSYM,
                     "%.60s has no symbol '%.60s'%s: check the spelling, and with nm -D what "
                     "the library exports",
                     lib->name, r.name, d ? ", though it is declared" : "");
  *addr = r.found;
  return GS_OK;
}

/* NULL and an error if name is not a declared function. */
static const gs_decl *declared_function(const gs_lib *lib, const char *name, gs_ffi_error *err) {
  const gs_decl *d = gsf_find_decl(lib->ffi, name);
  if (d && d->what == GS_DECL_FUNCTION) return d;
  if (d)
    gsf_error(err, GS_ETYPE, "'%.100s' is declared as '%.80s', expected a function", name,
              d->type->name);
  else
    gsf_error(err, GS_ETYPE, "'%.100s' is not declared: give its C declaration to cdef first",
              name);
  return NULL;
}

static int make_known(gs_lib *lib, const gs_decl *d, gs_func **func, gs_ffi_error *err) {
  void *addr;
  int e = gs_lib_symbol(lib, d->name, &addr, err);
  if (e != GS_OK) return e;
  const gs_type *c = d->type->canon;
  known *made = malloc(sizeof(*made));
  if (!made) return gsf_nomem(err);
  e = gsf_func_make(lib->ffi, &lib->ffi->funcs, d->name, addr, c->target, c->params, c->length,
                    c->length, c->flags & GS_TYPE_VARIADIC, 0, func, err);
  if (e != GS_OK) {
    free(made);
    return e;
  }
  (*func)->lib = lib;
  *made = (known){d, *func};
  if (!tsearch(made, &lib->func_tree, by_decl)) {
    gs_func_free(*func);
    free(made);
    return gsf_nomem(err);
  }
  return GS_OK;
}

int gs_ffi_func(gs_lib *lib, const char *name, gs_func **func, gs_ffi_error *err) {
  if (!lib || !name || !func)
    return gsf_error(err, GS_EINVAL, "%s is NULL", !lib ? "lib" : !name ? "name" : "func");
  if (lib->closed) return gsf_error(err, GS_ECLOSED, "%.100s was closed", lib->name);
  const gs_decl *d = declared_function(lib, name, err);
  if (!d) return GS_ETYPE;
  void *node = tfind(&(known){.decl = d}, &lib->func_tree, by_decl);
  if (!node) return make_known(lib, d, func, err);
  *func = (*(known **)node)->func;
  return GS_OK;
}
