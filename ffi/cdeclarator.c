/* cdeclarator.c: declarators, where C's types are written inside out.
 *
 * Reading from the name outwards, each step says what the thing is: "*(*f[3])(int)" is an array of
 * pointers to functions that return a pointer.  The steps are collected in that order (suffixes of
 * a level, then its stars, then the level around it), and applied to the base type from the last to
 * the first.
 */
#include "cparse.h"

typedef struct step {
  struct step *next; /* towards the base type */
  int kind;          /* '*', '[' or '(' */
  int line, column;
  unsigned qualifiers;    /* of a pointer */
  size_t length;          /* of an array */
  bool incomplete;        /* an array without a size */
  const gs_type **params; /* of a function */
  size_t nparams;
  bool variadic;
} step;

typedef struct steps {
  step *first, **end;
} steps;

typedef struct param {
  struct param *next;
  const gs_type *type;
} param;

static step *new_step(gsf_parser *p, int kind) {
  step *s = gsf_alloc(&p->scratch, sizeof(*s));
  if (!s) {
    gsf_oom(p);
    return NULL;
  }
  s->kind = kind;
  s->line = p->tok.line;
  s->column = p->tok.column;
  return s;
}

static void append(steps *list, step *s) {
  *list->end = s;
  list->end = &s->next;
}

/* ---- suffixes -------------------------------------------------------------------------------- */

static bool read_array(gsf_parser *p, steps *list, bool parameter) {
  step *s = new_step(p, '[');
  if (!s) return false;
  gsf_next(p);
  bool outermost = list->first == NULL;
  append(list, s);
  if (parameter && outermost) { /* becomes a pointer, so what is in the brackets does not matter */
    s->incomplete = true;
    return gsf_skip(p, '[', ']', "']'");
  }
  if (gsf_accept(p, '?')) { /* as LuaJIT writes it */
    s->incomplete = true;
    return gsf_expect(p, ']', "']'");
  }
  if (gsf_accept(p, ']')) {
    s->incomplete = true;
    return true;
  }
  return gsf_size_expression(p, GSF_MAX_SIZE, "an array's size", &s->length) &&
         gsf_expect(p, ']', "']'");
}

/* The type that a parameter really has; NULL: an error. */
static const gs_type *adjusted(gsf_parser *p, const gsf_declarator *d) {
  const gs_type *t = d->type;
  if (t->kind == GS_KIND_VOID) {
    gsf_fail(p, GS_ETYPE, d->line, d->column, "a parameter of type void, expected another type");
    return NULL;
  }
  if (t->kind == GS_KIND_ARRAY)
    t = t->canon->target;
  else if (t->kind != GS_KIND_FUNCTION)
    return t;
  const gs_type *pointer = gsf_pointer(&p->ffi->arena, t);
  if (!pointer) gsf_oom(p);
  return pointer;
}

static bool read_param(gsf_parser *p, param ***end) {
  gsf_specifiers specs;
  gsf_declarator d;
  if (!gsf_read_specifiers(p, false, &specs)) return false;
  if (!gsf_read_declarator(p, specs.type, GSF_EITHER, true, &d)) return false;
  if (!gsf_read_attributes(p, &specs.attributes)) return false;
  const gs_type *t = adjusted(p, &d);
  param *one = t ? gsf_alloc(&p->scratch, sizeof(*one)) : NULL;
  if (!one) return t ? gsf_oom(p) : false;
  one->type = t;
  **end = one;
  *end = &one->next;
  return true;
}

/* From behind '(' to behind ')'. */
static bool read_param_list(gsf_parser *p, step *s) {
  param *first = NULL, **end = &first;
  if (gsf_accept(p, ')')) return true;
  if (p->tok.kind == TK_VOID && gsf_ahead(p)->kind == ')') {
    gsf_next(p);
    gsf_next(p);
    return true;
  }
  do {
    if (p->tok.kind == TK_ELLIPSIS && s->nparams > 0) {
      gsf_next(p);
      s->variadic = true;
      break;
    }
    if (p->tok.kind == TK_ELLIPSIS) return gsf_expected(p, "a parameter before '...'");
    if (s->nparams == GSF_MAX_ARGS) return gsf_expected(p, "at most 255 parameters");
    if (!read_param(p, &end)) return false;
    s->nparams++;
  } while (gsf_accept(p, ','));
  if (!gsf_expect(p, ')', s->variadic ? "')'" : "',' or ')'")) return false;
  s->params = gsf_alloc(&p->ffi->arena, s->nparams * sizeof(*s->params));
  if (!s->params) return gsf_oom(p);
  size_t i = 0;
  for (const param *one = first; one; one = one->next) s->params[i++] = one->type;
  return true;
}

static bool read_function(gsf_parser *p, steps *list) {
  step *s = new_step(p, '(');
  if (!s || !gsf_enter(p)) return false;
  gsf_next(p);
  append(list, s);
  bool ok = read_param_list(p, s);
  gsf_leave(p);
  return ok;
}

/* ---- the whole declarator -------------------------------------------------------------------- */

/* Whether the '(' here holds a declarator and not parameters. */
static bool holds_declarator(gsf_parser *p, gsf_naming naming) {
  if (naming == GSF_NAMED) return true;
  const gsf_token *t = gsf_ahead(p);
  return t->kind != ')' && !gsf_starts_type(p, t);
}

static bool collect(gsf_parser *p, gsf_naming naming, bool parameter, gsf_declarator *out,
                    steps *list);

static bool collect_inner(gsf_parser *p, gsf_naming naming, bool parameter, gsf_declarator *out,
                          steps *list) {
  gsf_attributes ignored = {.align = 0};
  if (!gsf_enter(p)) return false;
  gsf_next(p);
  bool ok = gsf_read_attributes(p, &ignored) && collect(p, naming, parameter, out, list) &&
            gsf_expect(p, ')', "')'");
  gsf_leave(p);
  return ok;
}

/* The stars of this level, the last one first. */
static bool read_stars(gsf_parser *p, step **stars) {
  gsf_attributes ignored = {.align = 0};
  *stars = NULL;
  while (p->tok.kind == '*') {
    step *s = new_step(p, '*');
    if (!s) return false;
    gsf_next(p);
    if (gsf_at_brackets(p) && !gsf_read_attributes(p, &ignored)) return false;
    s->qualifiers = gsf_read_qualifiers(p);
    s->next = *stars;
    *stars = s;
  }
  return gsf_at_brackets(p) || gsf_read_attributes(p, &ignored);
}

static bool collect(gsf_parser *p, gsf_naming naming, bool parameter, gsf_declarator *out,
                    steps *list) {
  step *stars;
  if (!read_stars(p, &stars)) return false;
  out->line = p->tok.line;
  out->column = p->tok.column;
  if (p->tok.kind == '(' && holds_declarator(p, naming)) {
    if (!collect_inner(p, naming, parameter, out, list)) return false;
  } else if (p->tok.kind == TK_NAME && naming != GSF_UNNAMED) {
    out->name = p->tok.text;
    gsf_next(p);
  } else if (naming == GSF_NAMED) {
    return gsf_expected(p, "a name");
  }
  if (gsf_at_brackets(p) && !gsf_read_attributes(p, &out->attributes)) return false;
  while ((p->tok.kind == '[' && !gsf_at_brackets(p)) || p->tok.kind == '(')
    if (!(p->tok.kind == '[' ? read_array(p, list, parameter) : read_function(p, list)))
      return false;
  while (stars) {
    step *s = stars;
    stars = s->next;
    s->next = NULL;
    append(list, s);
  }
  return true;
}

static const gs_type *apply_array(gsf_parser *p, const step *s, const gs_type *t) {
  if (!gsf_complete(t)) {
    gsf_fail(p, GS_ETYPE, s->line, s->column, "an array of '%.80s', expected a type with a size",
             t->name);
    return NULL;
  }
  if (t->canon->size && s->length > GSF_MAX_SIZE / t->canon->size) {
    gsf_fail(p, GS_ETYPE, s->line, s->column, "an array of %zu '%.80s' is too large", s->length,
             t->name);
    return NULL;
  }
  return gsf_array(&p->ffi->arena, t, s->length, s->incomplete);
}

static const gs_type *apply_function(gsf_parser *p, const step *s, const gs_type *t) {
  if (t->kind == GS_KIND_ARRAY || t->kind == GS_KIND_FUNCTION) {
    gsf_fail(p, GS_ETYPE, s->line, s->column,
             "a function that returns '%.80s', expected a pointer to it", t->name);
    return NULL;
  }
  return gsf_function(&p->ffi->arena, t, s->params, s->nparams, s->variadic);
}

static const gs_type *apply(gsf_parser *p, const step *s, const gs_type *t) {
  const gs_type *made = NULL;
  if (s->kind == '[') made = apply_array(p, s, t);
  if (s->kind == '(') made = apply_function(p, s, t);
  if (s->kind == '*') made = gsf_pointer(&p->ffi->arena, t);
  if (made && s->qualifiers) made = gsf_qualified(&p->ffi->arena, made, s->qualifiers);
  if (made || p->err->code) return made;
  if (t->canon->depth + 1 >= GSF_MAX_DEPTH)
    gsf_fail(p, GS_ETYPE, s->line, s->column, "a type of more than %d levels", GSF_MAX_DEPTH);
  else
    gsf_oom(p);
  return NULL;
}

bool gsf_read_declarator(gsf_parser *p, const gs_type *base, gsf_naming naming, bool parameter,
                         gsf_declarator *out) {
  steps list = {.end = &list.first};
  *out = (gsf_declarator){.name = NULL};
  if (!collect(p, naming, parameter, out, &list)) return false;
  step *outward = NULL; /* the same steps, the base's first */
  for (step *s = list.first, *next; s; s = next) {
    next = s->next;
    s->next = outward;
    outward = s;
  }
  out->type = base;
  for (const step *s = outward; s && out->type; s = s->next) out->type = apply(p, s, out->type);
  return out->type != NULL;
}

const gs_type *gsf_read_type_name(gsf_parser *p) {
  gsf_specifiers specs;
  gsf_declarator d;
  if (!gsf_enter(p)) return NULL;
  bool ok = gsf_read_specifiers(p, false, &specs) &&
            gsf_read_declarator(p, specs.type, GSF_UNNAMED, false, &d);
  gsf_leave(p);
  return ok ? d.type : NULL;
}
