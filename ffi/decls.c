/* decls.c: gs_ffi, what has been declared, and taking it back.
 *
 * A gs_ffi knows two kinds of names, as C does: ordinary ones (typedefs, functions, variables,
 * enumerators) and tags.  Each kind is a list in the order of declaration, with a search tree of
 * the C library over it.
 *
 * A child (gs_ffi_child) is to its parent what a block is to the file around it in C: a name that
 * it does not have is looked up in the parent, and what is declared in it is its own, hiding the
 * parent's.  It never writes to the parent's lists, and the parent stays until it has gone
 * (closing.c), so that the types it has found there stay.
 *
 * A cdef is a transaction: what it adds stands at the ends of the lists and of the arena, and the
 * changes it makes to older things are written to a journal: a struct that gets its members, a
 * declaration that gets an asm("…") name, a predefined name that is hidden.  Hiding exchanges the
 * entry in its tree node, so that rolling back allocates nothing and cannot fail.
 */
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ffi_internal.h"

/* ---- errors ---------------------------------------------------------------------------------- */

int gsf_error(gs_ffi_error *err, int code, const char *format, ...) {
  if (!err) return code;
  va_list ap;
  va_start(ap, format);
  *err = (gs_ffi_error){.code = code};
  vsnprintf(err->text, sizeof(err->text), format, ap);
  va_end(ap);
  return code;
}

int gsf_nomem(gs_ffi_error *err) { return gsf_error(err, GS_ENOMEM, "memory is exhausted"); }

/* ---- names ----------------------------------------------------------------------------------- */

/* Everything in the trees begins with its name. */
static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

gs_decl *gsf_own_decl(const gs_ffi *ffi, const char *name) {
  void *node = tfind(&name, &ffi->decl_tree, by_name);
  return node ? *(gs_decl **)node : NULL;
}

gsf_tag *gsf_own_tag(const gs_ffi *ffi, const char *name) {
  void *node = tfind(&name, &ffi->tag_tree, by_name);
  return node ? *(gsf_tag **)node : NULL;
}

gs_decl *gsf_find_decl(const gs_ffi *ffi, const char *name) {
  gs_decl *d = NULL;
  for (; ffi && !d; ffi = ffi->parent) d = gsf_own_decl(ffi, name);
  return d;
}

gsf_tag *gsf_find_tag(const gs_ffi *ffi, const char *name) {
  gsf_tag *t = NULL;
  for (; ffi && !t; ffi = ffi->parent) t = gsf_own_tag(ffi, name);
  return t;
}

/* Room for one more element in a list of pointers. */
static bool grow(void *list_at, size_t n, size_t *cap) {
  void **at = list_at;
  if (n < *cap) return true;
  size_t more = *cap ? *cap * 2 : 64;
  void *bigger = realloc(*at, more * sizeof(void *));
  if (!bigger) return false;
  *at = bigger;
  *cap = more;
  return true;
}

/* A new journal entry, or NULL. */
static gsf_undo *note(gs_ffi *ffi) {
  gsf_undo *undo = gsf_alloc(&ffi->arena, sizeof(*undo));
  if (!undo) return NULL;
  undo->next = ffi->journal;
  ffi->journal = undo;
  return undo;
}

/* Puts d into its predefined namesake's place. */
static bool hide(gs_ffi *ffi, void *node, gs_decl *d) {
  gsf_undo *undo = note(ffi);
  if (!undo) return false;
  undo->hidden = *(gs_decl **)node;
  *(gs_decl **)node = d;
  return true;
}

gs_decl *gsf_add_decl(gs_ffi *ffi, const gs_decl *decl) {
  gs_decl *d = gsf_alloc(&ffi->arena, sizeof(*d));
  if (!d || !grow(&ffi->decls.at, ffi->decls.n, &ffi->decls.cap)) return NULL;
  *d = *decl;
  void *node = tsearch(d, &ffi->decl_tree, by_name);
  if (!node) return NULL;
  if (*(gs_decl **)node != d && !hide(ffi, node, d)) return NULL;
  ffi->decls.at[ffi->decls.n++] = d;
  return d;
}

gsf_tag *gsf_add_tag(gs_ffi *ffi, const char *name, gs_type *type) {
  gsf_tag *t = gsf_alloc(&ffi->arena, sizeof(*t));
  if (!t || !grow(&ffi->tags.at, ffi->tags.n, &ffi->tags.cap)) return NULL;
  *t = (gsf_tag){name, type};
  if (!tsearch(t, &ffi->tag_tree, by_name)) return NULL;
  ffi->tags.at[ffi->tags.n++] = t;
  return t;
}

bool gsf_note_completed(gs_ffi *ffi, gs_type *t) {
  gsf_undo *undo = note(ffi);
  if (undo) undo->completed = t;
  return undo;
}

bool gsf_rename(gs_ffi *ffi, gs_decl *d, const char *symbol) {
  gsf_undo *undo = note(ffi);
  if (!undo) return false;
  undo->renamed = d;
  undo->old_symbol = d->symbol;
  d->symbol = symbol;
  return true;
}

/* ---- transactions ---------------------------------------------------------------------------- */

gsf_transaction gsf_begin(gs_ffi *ffi) {
  ffi->journal = NULL;
  return (gsf_transaction){gsf_arena_mark(&ffi->arena), ffi->decls.n, ffi->tags.n};
}

void gsf_commit(gs_ffi *ffi) { ffi->journal = NULL; }

void gsf_rollback(gs_ffi *ffi, const gsf_transaction *tx) {
  for (gsf_undo *u = ffi->journal; u; u = u->next) {
    if (u->completed && u->completed->flags & GS_TYPE_ENUM) u->completed->length = 0;
    if (u->completed && u->completed->kind == GS_KIND_STRUCT) gsf_unlayout(u->completed);
    if (u->renamed) u->renamed->symbol = u->old_symbol;
    if (u->hidden) *(gs_decl **)tfind(u->hidden, &ffi->decl_tree, by_name) = u->hidden;
  }
  ffi->journal = NULL;
  while (ffi->decls.n > tx->ndecls) {
    gs_decl *d = ffi->decls.at[--ffi->decls.n];
    void *node = tfind(d, &ffi->decl_tree, by_name);
    if (node && *(gs_decl **)node == d) tdelete(d, &ffi->decl_tree, by_name);
  }
  while (ffi->tags.n > tx->ntags) tdelete(ffi->tags.at[--ffi->tags.n], &ffi->tag_tree, by_name);
  gsf_arena_rollback(&ffi->arena, tx->mark);
}

/* ---- gs_ffi ---------------------------------------------------------------------------------- */

gs_ffi *gs_ffi_new(void) {
  gs_ffi *ffi = calloc(1, sizeof(*ffi));
  if (!ffi) return NULL;
  if (gsf_predefine(ffi) != GS_OK) {
    gsf_ffi_destroy(ffi);
    return NULL;
  }
  for (size_t i = 0; i < ffi->decls.n; i++) ffi->decls.at[i]->predefined = true;
  ffi->npredefined = ffi->decls.n;
  return ffi;
}

gs_ffi *gs_ffi_child(gs_ffi *parent) {
  gs_ffi *ffi = parent ? calloc(1, sizeof(*ffi)) : NULL;
  if (!ffi) return NULL;
  gsf_child_made(parent);
  ffi->parent = parent;
  ffi->level = parent->level + 1;
  return ffi;
}

void gsf_ffi_destroy(gs_ffi *ffi) {
  gs_ffi *parent = ffi->parent;
  while (ffi->funcs) gsf_func_destroy(ffi->funcs);
  while (ffi->dying) gsf_func_destroy(ffi->dying);
  gsf_libs_free(ffi);
  gsf_rollback(ffi, &(gsf_transaction){{NULL, 0}, 0, 0});
  free(ffi->decls.at);
  free(ffi->tags.at);
  free(ffi);
  gsf_child_gone(parent); /* last: it may go now, too */
}

size_t gs_ffi_ndecls(const gs_ffi *ffi) { return ffi->decls.n - ffi->npredefined; }

const gs_decl *gs_ffi_decl(const gs_ffi *ffi, size_t i) {
  return i < gs_ffi_ndecls(ffi) ? ffi->decls.at[ffi->npredefined + i] : NULL;
}

const gs_decl *gs_ffi_find(const gs_ffi *ffi, const char *name) {
  return name ? gsf_find_decl(ffi, name) : NULL;
}

const char *gs_decl_name(const gs_decl *decl) { return decl->name; }
gs_decl_kind gs_decl_what(const gs_decl *decl) { return decl->what; }
const gs_type *gs_decl_type(const gs_decl *decl) { return decl->type; }
int64_t gs_decl_value(const gs_decl *decl) { return decl->value; }
