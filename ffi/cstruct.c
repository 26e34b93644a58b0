/* cstruct.c: struct, union and enum.
 *
 * A tag is entered before its members are read, so that they can point to it.  A second definition
 * of a tag is read in full and compared: the same is fine, as headers get pasted together; another
 * one is an error.  All tags of a gs_ffi are of one scope, also those inside structs and parameter
 * lists.
 */
#include <string.h>

#include "cparse.h"

/* ---- members --------------------------------------------------------------------------------- */

typedef struct member {
  struct member *next;
  gs_field field;
} member;

typedef struct members {
  member *first, **end;
  size_t n;
} members;

static bool has_name(const gs_field *fields, size_t n, const char *name) {
  for (size_t i = 0; i < n; i++) {
    const gs_type *c = fields[i].type->canon;
    if (fields[i].name ? strcmp(fields[i].name, name) == 0
                       : c->kind == GS_KIND_STRUCT && has_name(c->fields, c->length, name))
      return true;
  }
  return false;
}

static bool check_type(gsf_parser *p, const gs_field *f) {
  const gs_type *c = f->type->canon;
  bool flexible = c->kind == GS_KIND_ARRAY && c->flags & GS_TYPE_INCOMPLETE;
  if (gsf_complete(f->type) || flexible) return true;
  return gsf_fail(p, GS_ETYPE, f->line, f->column,
                  "member '%.60s' has type '%.80s', expected one with a size",
                  f->name ? f->name : "", f->type->name);
}

static bool add_member(gsf_parser *p, members *list, const gs_field *f) {
  member *m = check_type(p, f) ? gsf_alloc(&p->scratch, sizeof(*m)) : NULL;
  if (!m) return p->err->code ? false : gsf_oom(p);
  m->field = *f;
  *list->end = m;
  list->end = &m->next;
  list->n++;
  return true;
}

/* ": width" of a bit-field. */
static bool read_width(gsf_parser *p, gs_field *f) {
  const gs_type *c = f->type->canon;
  gsf_next(p);
  if (c->kind != GS_KIND_INT && c->kind != GS_KIND_UINT && c->kind != GS_KIND_BOOL)
    return gsf_fail(p, GS_ETYPE, f->line, f->column,
                    "a bit-field has type '%.80s', expected an integer type", f->type->name);
  gsf_token at = p->tok;
  size_t most = c->kind == GS_KIND_BOOL ? 1 : c->size * 8, width;
  if (!gsf_size_expression(p, most, "a bit-field's width", &width)) return false;
  if (width == 0 && f->name)
    return gsf_fail(p, GS_EDECL, at.line, at.column,
                    "bit-field '%.60s' has width 0, expected 1 or more", f->name);
  f->bit_width = (unsigned)width;
  f->is_bits = true;
  return true;
}

static bool read_member(gsf_parser *p, const gsf_specifiers *specs, members *list) {
  gsf_declarator d = {.type = specs->type, .line = p->tok.line, .column = p->tok.column};
  if (p->tok.kind != ':' && !gsf_read_declarator(p, specs->type, GSF_NAMED, false, &d))
    return false;
  gs_field f = {.name = d.name, .type = d.type, .line = d.line, .column = d.column};
  if (p->tok.kind == ':' && !read_width(p, &f)) return false;
  gsf_attributes attributes = gsf_joined(&specs->attributes, &d.attributes);
  if (!gsf_read_attributes(p, &attributes)) return false;
  f.align = attributes.align;
  f.packed = attributes.packed;
  if (attributes.mode)
    return gsf_fail(p, GS_ETYPE, f.line, f.column,
                    "attribute mode is not supported for a member, expected it at a typedef");
  return add_member(p, list, &f);
}

/* One line of members: specifiers, declarators, ';'. */
static bool read_members(gsf_parser *p, members *list) {
  gsf_token at = p->tok;
  gsf_specifiers specs;
  if (gsf_accept(p, ';')) return true;
  if (p->tok.kind == TK_STATIC_ASSERT) return gsf_skip_assertion(p) && gsf_expect(p, ';', "';'");
  if (!gsf_read_specifiers(p, false, &specs)) return false;
  if (p->tok.kind == ';' && specs.defines) {
    const gs_type *c = specs.type->canon;
    gs_field f = {
        .type = specs.type, .line = at.line, .column = at.column, .align = specs.attributes.align};
    if (c->kind == GS_KIND_STRUCT && !c->tag && !add_member(p, list, &f)) return false;
  } else {
    do {
      if (!read_member(p, &specs, list)) return false;
    } while (gsf_accept(p, ','));
  }
  return gsf_expect(p, ';', "';'");
}

static bool check_names(gsf_parser *p, const gs_field *fields, size_t i) {
  const gs_type *c = fields[i].type->canon;
  if (fields[i].name) {
    if (!has_name(fields, i, fields[i].name)) return true;
    return gsf_fail(p, GS_EDECL, fields[i].line, fields[i].column,
                    "a second member '%.60s', expected another name", fields[i].name);
  }
  for (size_t k = 0; c->kind == GS_KIND_STRUCT && k < c->length; k++)
    if (c->fields[k].name && has_name(fields, i, c->fields[k].name))
      return gsf_fail(p, GS_EDECL, c->fields[k].line, c->fields[k].column,
                      "a second member '%.60s', expected another name", c->fields[k].name);
  return true;
}

/* The list as an array that outlives the parser; NULL and an error if two members have one name. */
static gs_field *as_array(gsf_parser *p, const members *list, bool is_union) {
  gs_field *fields = gsf_alloc(&p->ffi->arena, (list->n ? list->n : 1) * sizeof(*fields));
  if (!fields) {
    gsf_oom(p);
    return NULL;
  }
  size_t i = 0;
  for (const member *m = list->first; m; m = m->next, i++) {
    fields[i] = m->field;
    const char *name = m->field.name;
    if (name && !(fields[i].name = gsf_copy(&p->ffi->arena, name, strlen(name)))) {
      gsf_oom(p);
      return NULL;
    }
    if (!check_names(p, fields, i)) return NULL;
    if (!gsf_complete(m->field.type) && (m->next || is_union)) {
      gsf_fail(p, GS_ETYPE, m->field.line, m->field.column,
               "array '%.60s' without a size, expected it only as the last member of a struct",
               m->field.name);
      return NULL;
    }
  }
  return fields;
}

/* From '{' to behind '}' and its attributes: gives t its members. */
static bool read_body(gsf_parser *p, gs_type *t, gsf_attributes attributes) {
  members list = {.end = &list.first};
  gsf_token at = p->tok;
  gsf_next(p);
  while (p->tok.kind != '}') {
    if (p->tok.kind == TK_END) return gsf_expected(p, "'}'");
    if (!read_members(p, &list)) return false;
  }
  gsf_next(p);
  if (!gsf_read_attributes(p, &attributes)) return false;
  gs_field *fields = as_array(p, &list, t->flags & GS_TYPE_UNION);
  if (!fields) return false;
  size_t bad = 0;
  if (gsf_layout(t, fields, list.n, attributes.align, attributes.packed, &bad) != GS_OK) {
    const gs_field *f = bad < list.n ? &fields[bad] : NULL;
    return gsf_fail(p, GS_ETYPE, f ? f->line : at.line, f ? f->column : at.column,
                    "a struct that is too large or nests too deeply (member '%.60s')",
                    f && f->name ? f->name : "");
  }
  return true;
}

/* ---- struct and union ------------------------------------------------------------------------ */

static gs_type *new_tag(gsf_parser *p, const gsf_token *name, unsigned flags) {
  const char *text = gsf_copy(&p->ffi->arena, name->text, strlen(name->text));
  gs_type *t = text ? gsf_struct(p->ffi, flags, text) : NULL;
  if (t && gsf_add_tag(p->ffi, text, t)) return t;
  gsf_oom(p);
  return NULL;
}

/* The type that a tag stands for; makes it if it is new.  NULL: an error.  "struct s {" and
 * "struct s;" declare it here, whatever a parent calls so; elsewhere the parent's will do. */
static gs_type *tagged(gsf_parser *p, const gsf_token *name, unsigned flags) {
  bool declares = p->tok.kind == '{' || p->tok.kind == ';';
  gsf_tag *tag = declares ? gsf_own_tag(p->ffi, name->text) : gsf_find_tag(p->ffi, name->text);
  if (tag) {
    if (tag->type->kind == GS_KIND_STRUCT && (tag->type->flags & GS_TYPE_UNION) == flags)
      return tag->type;
    gsf_fail(p, GS_EDECL, name->line, name->column, "'%.60s' is '%.80s' already", name->text,
             tag->type->name);
    return NULL;
  }
  return new_tag(p, name, flags);
}

/* In a child, "typedef struct s s; struct s {…};" means one struct, and not the parent's by the
 * first word and its own by the second: tags that the text declares are entered before the rest is
 * read.  What is wrong with the text is said when it is. */
bool gsf_claim_tags(gsf_parser *p, const char *source) {
  gsf_lexer lx;
  gsf_token t, name = {.kind = TK_END};
  int word = 0; /* struct or union, if name is behind it or may be */
  if (!p->ffi->parent) return true;
  gsf_lex_start(&lx, source, &p->scratch);
  while ((t = gsf_lex(&lx)).kind != TK_END && t.kind != TK_ERROR) {
    if (t.kind == TK_STRUCT || t.kind == TK_UNION) {
      word = t.kind;
      name.kind = TK_END;
    } else if (word && t.kind == TK_NAME && name.kind == TK_END) {
      name = t;
    } else {
      bool declares = word && name.kind == TK_NAME && (t.kind == '{' || t.kind == ';');
      if (declares && !gsf_own_tag(p->ffi, name.text) &&
          !new_tag(p, &name, word == TK_UNION ? GS_TYPE_UNION : 0))
        return false;
      word = 0;
    }
  }
  return true;
}

static const gs_type *define(gsf_parser *p, gs_type *t, unsigned flags, const gsf_token *name,
                             gsf_attributes attributes) {
  gs_type read = {.kind = GS_KIND_STRUCT, .flags = flags | GS_TYPE_INCOMPLETE, .align = 1};
  if (!read_body(p, &read, attributes)) return NULL;
  if (!(t->flags & GS_TYPE_INCOMPLETE)) {
    if (gsf_same_members(t, &read)) return t;
    gsf_fail(p, GS_EDECL, name->line, name->column, "'%.80s' is defined differently before",
             t->name);
    return NULL;
  }
  if (!gsf_note_completed(p->ffi, t)) {
    gsf_oom(p);
    return NULL;
  }
  t->flags = read.flags;
  t->size = read.size;
  t->align = read.align;
  t->depth = read.depth;
  t->fields = read.fields;
  t->length = read.length;
  return t;
}

const gs_type *gsf_read_struct(gsf_parser *p, unsigned flags) {
  gsf_attributes attributes = {.align = 0};
  if (!gsf_read_attributes(p, &attributes)) return NULL;
  gsf_token name = p->tok;
  gs_type *t = NULL;
  if (name.kind == TK_NAME) {
    gsf_next(p);
    t = tagged(p, &name, flags);
  } else if (name.kind == '{') {
    t = gsf_struct(p->ffi, flags, NULL);
    if (!t) gsf_oom(p);
  } else {
    gsf_expected(p, flags & GS_TYPE_UNION ? "a union's tag or '{'" : "a struct's tag or '{'");
  }
  if (!t || p->tok.kind != '{') return t;
  return define(p, t, flags, &name, attributes);
}

/* ---- enum ------------------------------------------------------------------------------------ */

typedef struct extremes {
  bool negative;
  int64_t least;
  uint64_t most;
} extremes;

static void include(extremes *e, gsf_value v) {
  if (!v.is_unsigned && (int64_t)v.bits < 0) {
    e->negative = true;
    if ((int64_t)v.bits < e->least) e->least = (int64_t)v.bits;
  } else if (v.bits > e->most) {
    e->most = v.bits;
  }
}

/* An enumerator is an int if it fits, else the narrowest of unsigned, long, unsigned long. */
static gsf_value narrowest(gsf_value v) {
  int64_t s = (int64_t)v.bits;
  bool below_zero = !v.is_unsigned && s < 0;
  v.is_long = below_zero ? s < INT32_MIN : v.bits > UINT32_MAX;
  v.is_unsigned = !below_zero && (v.bits > INT64_MAX || (!v.is_long && v.bits > INT32_MAX));
  return v;
}

/* Whether an enumerator of `old` may be declared again by `t`, which is still being read. */
static bool same_enum(const gs_type *old, const gs_type *t) {
  return old->canon == t || (!old->canon->tag && !t->tag);
}

static bool declare_constant(gsf_parser *p, const gsf_token *name, const gs_type *t, bool again,
                             gsf_value v) {
  const gs_decl *old = gsf_own_decl(p->ffi, name->text);
  if (old && !old->predefined) {
    if (old->what == GS_DECL_CONSTANT && old->value == (int64_t)v.bits && same_enum(old->type, t))
      return true;
    return gsf_fail(p, GS_EDECL, name->line, name->column, "'%.60s' is declared differently before",
                    name->text);
  }
  if (again)
    return gsf_fail(p, GS_EDECL, name->line, name->column,
                    "'%.80s' is defined before, without '%.60s'", t->name, name->text);
  const char *text = gsf_copy(&p->ffi->arena, name->text, strlen(name->text));
  gs_decl d = {.name = text,
               .what = GS_DECL_CONSTANT,
               .type = t,
               .symbol = text,
               .value = (int64_t)v.bits,
               .is_unsigned = v.is_unsigned,
               .is_long = v.is_long};
  return (text && gsf_add_decl(p->ffi, &d)) || gsf_oom(p);
}

/* The type of an enumerator of t, if that says what it is of ("enum e : unsigned char"). */
static bool as_fixed(gsf_parser *p, const gs_type *t, const gsf_token *name, gsf_value *v) {
  bool sign = t->kind == GS_KIND_INT;
  unsigned bits = t->kind == GS_KIND_BOOL ? 1 : (unsigned)t->size * 8;
  uint64_t most = UINT64_MAX >> (64 - bits) >> (sign ? 1 : 0);
  bool negative = !v->is_unsigned && (int64_t)v->bits < 0;
  if (negative ? !sign || (int64_t)v->bits < -(int64_t)most - 1 : v->bits > most)
    return gsf_fail(p, GS_EDECL, name->line, name->column,
                    "the value of '%.60s' does not fit '%.60s'", name->text, t->name);
  v->is_unsigned = !sign && bits >= 32;
  v->is_long = bits > 32;
  return true;
}

/* One "NAME = value" with its comma; v is the value it has without "= value". */
static bool read_enumerator(gsf_parser *p, const gs_type *t, bool fixed, bool again, gsf_value *v) {
  gsf_token name = p->tok;
  gsf_attributes ignored = {.align = 0};
  if (name.kind != TK_NAME) return gsf_expected(p, "an enumerator's name or '}'");
  gsf_next(p);
  if (!gsf_read_attributes(p, &ignored)) return false;
  if (gsf_accept(p, '=') && !gsf_expression(p, v)) return false;
  if (!fixed) *v = narrowest(*v);
  if (fixed && !as_fixed(p, t, &name, v)) return false;
  if (!declare_constant(p, &name, t, again, *v)) return false;
  return p->tok.kind == '}' || gsf_expect(p, ',', "',' or '}'");
}

/* From '{' to behind '}'.  fixed: t has its integer type; again: it is defined already. */
static bool read_enumerators(gsf_parser *p, gs_type *t, bool fixed, bool again) {
  extremes e = {.negative = false};
  size_t n = 0;
  gsf_value v = {.bits = 0};
  gsf_token open = p->tok;
  for (gsf_next(p); p->tok.kind != '}'; n++) {
    gsf_token at = p->tok;
    if (n > 0) {
      bool last = v.is_unsigned ? v.bits == UINT64_MAX : v.bits == (uint64_t)INT64_MAX;
      if (last && gsf_ahead(p)->kind != '=')
        return gsf_fail(p, GS_EDECL, at.line, at.column, "an enumerator beyond 64 bits");
      v.bits++;
      v.is_long = true;
    }
    if (!read_enumerator(p, t, fixed, again, &v)) return false;
    include(&e, v);
  }
  if (n == 0) return gsf_expected(p, "an enumerator's name");
  gsf_next(p);
  if (!fixed && e.negative && e.most > INT64_MAX)
    return gsf_fail(p, GS_ETYPE, open.line, open.column,
                    "no integer type holds all values of this enum");
  if (again)
    return t->length == n || gsf_fail(p, GS_EDECL, open.line, open.column,
                                      "'%.80s' is defined differently before", t->name);
  if (!fixed) gsf_enum_complete(t, e.negative, e.least, e.most);
  if (!gsf_note_completed(p->ffi, t)) return gsf_oom(p);
  t->length = n;
  return true;
}

/* ": unsigned char" behind an enum's tag; *out stays NULL if there is none, and at the width of an
 * unnamed bit-field. */
static bool read_underlying(gsf_parser *p, const gs_type **out) {
  if (p->tok.kind != ':' || !gsf_starts_type(p, gsf_ahead(p))) return true;
  gsf_next(p);
  gsf_token at = p->tok;
  gsf_specifiers specs;
  if (!gsf_read_specifiers(p, false, &specs)) return false;
  const gs_type *c = specs.type->canon;
  *out = c;
  if (c->kind == GS_KIND_INT || c->kind == GS_KIND_UINT || c->kind == GS_KIND_BOOL) return true;
  return gsf_fail(p, GS_ETYPE, at.line, at.column,
                  "an enum of type '%.80s', expected an integer type", specs.type->name);
}

/* An enum that is new. */
static gs_type *new_enum(gsf_parser *p, const gsf_token *name, const gs_type *of) {
  const char *text = NULL;
  if (name->kind == TK_NAME && !(text = gsf_copy(&p->ffi->arena, name->text, strlen(name->text)))) {
    gsf_oom(p);
    return NULL;
  }
  gs_type *t = gsf_enum(p->ffi, text);
  if (!t || (of && text && !gsf_add_tag(p->ffi, text, t))) {
    gsf_oom(p);
    return NULL;
  }
  if (of) gsf_enum_of(t, of);
  return t;
}

/* "enum e : int" without braces, or with them, of which there may have been the one or the other.
 */
static const gs_type *fixed_enum(gsf_parser *p, const gsf_token *name, const gsf_tag *tag,
                                 const gs_type *of) {
  gs_type *t = tag ? tag->type : new_enum(p, name, of);
  if (!t) return NULL;
  if (t->kind != of->kind || t->size != of->size) {
    gsf_fail(p, GS_EDECL, name->line, name->column, "'%.80s' is defined differently before",
             t->name);
    return NULL;
  }
  if (p->tok.kind != '{') return t;
  return read_enumerators(p, t, true, t->length != 0) ? t : NULL;
}

const gs_type *gsf_read_enum(gsf_parser *p) {
  gsf_attributes attributes = {.align = 0};
  if (!gsf_read_attributes(p, &attributes)) return NULL;
  gsf_token name = p->tok;
  gsf_tag *tag = NULL;
  if (name.kind == TK_NAME) {
    gsf_next(p);
    bool declares = p->tok.kind == '{' || (p->tok.kind == ':' && gsf_starts_type(p, gsf_ahead(p)));
    tag = declares ? gsf_own_tag(p->ffi, name.text) : gsf_find_tag(p->ffi, name.text);
  }
  if (tag && !(tag->type->flags & GS_TYPE_ENUM)) {
    gsf_fail(p, GS_EDECL, name.line, name.column, "'%.60s' is '%.80s' already", name.text,
             tag->type->name);
    return NULL;
  }
  const gs_type *of = NULL;
  if (!read_underlying(p, &of)) return NULL;
  if (of && name.kind != TK_NAME && p->tok.kind != '{') {
    gsf_expected(p, "'{'");
    return NULL;
  }
  if (of) return fixed_enum(p, &name, tag, of);
  if (p->tok.kind != '{') {
    if (tag) return tag->type;
    if (name.kind == TK_NAME)
      gsf_fail(p, GS_EDECL, name.line, name.column, "enum '%.60s' is not defined", name.text);
    else
      gsf_expected(p, "an enum's tag or '{'");
    return NULL;
  }
  if (tag) return read_enumerators(p, tag->type, false, true) ? tag->type : NULL;
  gs_type *t = new_enum(p, &name, NULL);
  if (!t) return NULL;
  if (!read_enumerators(p, t, false, false) || !gsf_read_attributes(p, &attributes)) return NULL;
  if (attributes.packed || attributes.align) {
    gsf_fail(p, GS_ETYPE, name.line, name.column, "packed and aligned enums are not supported");
    return NULL;
  }
  if (t->tag && !gsf_add_tag(p->ffi, t->tag, t)) {
    gsf_oom(p);
    return NULL;
  }
  return t;
}
