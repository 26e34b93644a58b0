/* clex.c: characters to tokens.
 *
 * Reads C's tokens with their places.  A backslash before a line's end joins two lines anywhere,
 * also inside a word, so all reading goes through peek and next, which never show the join.
 * Comments are blanks.  Lines "# 12 "file"" and most pragmas, which preprocessors leave behind, are
 * skipped; any other directive is an error, because there is no preprocessor here.
 */
#include "clex.h"

#include <string.h>

#define LONGEST 1023 /* bytes of one name, number or string */

static const struct keyword {
  const char *text;
  int kind;
} keywords[] = {
    {"_Alignas", TK_ALIGNAS},
    {"alignas", TK_ALIGNAS},
    {"_Alignof", TK_ALIGNOF},
    {"__alignof__", TK_ALIGNOF},
    {"__alignof", TK_ALIGNOF},
    {"alignof", TK_ALIGNOF},
    {"asm", TK_ASM},
    {"__asm", TK_ASM},
    {"__asm__", TK_ASM},
    {"_Atomic", TK_ATOMIC},
    {"__attribute__", TK_ATTRIBUTE},
    {"__attribute", TK_ATTRIBUTE},
    {"_Bool", TK_BOOL},
    {"char", TK_CHAR},
    {"_Complex", TK_COMPLEX},
    {"__int128", TK_INT128},
    {"__complex__", TK_COMPLEX},
    {"__complex", TK_COMPLEX},
    {"const", TK_CONST},
    {"__const", TK_CONST},
    {"__const__", TK_CONST},
    {"constexpr", TK_CONSTEXPR},
    {"double", TK_DOUBLE},
    {"enum", TK_ENUM},
    {"__extension__", TK_EXTENSION},
    {"extern", TK_EXTERN},
    {"float", TK_FLOAT},
    {"inline", TK_FUNCTION_SPECIFIER},
    {"__inline", TK_FUNCTION_SPECIFIER},
    {"__inline__", TK_FUNCTION_SPECIFIER},
    {"_Noreturn", TK_FUNCTION_SPECIFIER},
    {"int", TK_INT},
    {"long", TK_LONG},
    {"restrict", TK_RESTRICT},
    {"__restrict", TK_RESTRICT},
    {"__restrict__", TK_RESTRICT},
    {"short", TK_SHORT},
    {"signed", TK_SIGNED},
    {"__signed", TK_SIGNED},
    {"__signed__", TK_SIGNED},
    {"sizeof", TK_SIZEOF},
    {"static", TK_STATIC},
    {"_Static_assert", TK_STATIC_ASSERT},
    {"static_assert", TK_STATIC_ASSERT},
    {"register", TK_STORAGE},
    {"auto", TK_STORAGE},
    {"_Thread_local", TK_STORAGE},
    {"thread_local", TK_STORAGE},
    {"__thread", TK_STORAGE},
    {"struct", TK_STRUCT},
    {"typedef", TK_TYPEDEF},
    {"typeof", TK_TYPEOF},
    {"__typeof", TK_TYPEOF},
    {"__typeof__", TK_TYPEOF},
    {"typeof_unqual", TK_TYPEOF_UNQUAL},
    {"__typeof_unqual", TK_TYPEOF_UNQUAL},
    {"__typeof_unqual__", TK_TYPEOF_UNQUAL},
    {"union", TK_UNION},
    {"unsigned", TK_UNSIGNED},
    {"void", TK_VOID},
    {"volatile", TK_VOLATILE},
    {"__volatile", TK_VOLATILE},
    {"__volatile__", TK_VOLATILE},
};

/* Longest first. */
static const struct keyword punctuators[] = {
    {"...", TK_ELLIPSIS}, {"<<", TK_SHL}, {">>", TK_SHR}, {"<=", TK_LE}, {">=", TK_GE},
    {"==", TK_EQ},        {"!=", TK_NE},  {"&&", TK_AND}, {"||", TK_OR}, {"->", TK_ARROW},
};

void gsf_lex_start(gsf_lexer *lx, const char *source, gsf_arena *arena) {
  *lx = (gsf_lexer){.at = source, .line = 1, .column = 1, .arena = arena};
}

/* ---- characters ------------------------------------------------------------------------------ */

/* The bytes of a backslash and line end at p, or 0. */
static size_t join_at(const char *p) {
  if (p[0] != '\\') return 0;
  return p[1] == '\n' ? 2 : p[1] == '\r' && p[2] == '\n' ? 3 : 0;
}

/* Where the nth (0 or 1) character from here is, joins left out. */
static const char *place(const gsf_lexer *lx, int n) {
  const char *p = lx->at;
  for (;; n--) {
    for (size_t j = join_at(p); j; j = join_at(p)) p += j;
    if (n == 0 || !*p) return p;
    p++;
  }
}

static int peek(const gsf_lexer *lx) { return (unsigned char)*place(lx, 0); }
static int peek2(const gsf_lexer *lx) { return (unsigned char)*place(lx, 1); }

static void skip_joins(gsf_lexer *lx) {
  for (size_t j = join_at(lx->at); j; j = join_at(lx->at)) {
    lx->at += j;
    lx->line++;
    lx->column = 1;
  }
}

static int next(gsf_lexer *lx) {
  skip_joins(lx);
  int c = (unsigned char)*lx->at;
  if (!c) return 0;
  lx->at++;
  lx->column++;
  if (c == '\n') {
    lx->line++;
    lx->column = 1;
  }
  return c;
}

static bool is_letter(int c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$';
}
static bool is_digit(int c) { return c >= '0' && c <= '9'; }
static bool is_blank(int c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static void fail(gsf_token *t, const char *message) {
  t->kind = TK_ERROR;
  t->text = message;
}

static void keep(gsf_lexer *lx, gsf_token *t, int kind, const char *text, size_t length) {
  t->kind = kind;
  t->text = gsf_copy(lx->arena, text, length);
  if (!t->text) {
    lx->nomem = true;
    fail(t, "out of memory");
  }
}

/* Whether the directive here is one that a preprocessor leaves behind and that changes nothing: a
 * line marker, or a pragma that is not about packing. */
static bool is_harmless(const gsf_lexer *lx) {
  const char *p = place(lx, 1);
  p += strspn(p, " \t");
  if (is_digit((unsigned char)*p)) return true;
  if (strncmp(p, "pragma", 6) != 0) return false;
  p += 6 + strspn(p + 6, " \t");
  return strncmp(p, "pack", 4) != 0;
}

/* Skips blanks, comments and line markers; false (and *t is an error) if a comment has no end. */
static bool skip_blanks(gsf_lexer *lx, gsf_token *t) {
  for (;;) {
    int c = peek(lx), d = peek2(lx);
    if (is_blank(c)) {
      next(lx);
    } else if (c == '/' && d == '/') {
      while (peek(lx) && peek(lx) != '\n') next(lx);
    } else if (c == '/' && d == '*') {
      skip_joins(lx);
      t->line = lx->line;
      t->column = lx->column;
      next(lx);
      next(lx);
      while (peek(lx) && !(peek(lx) == '*' && peek2(lx) == '/')) next(lx);
      if (!next(lx)) {
        fail(t, "a comment that has no end; expected '*/'");
        return false;
      }
      next(lx);
    } else if (c == '#' && is_harmless(lx)) {
      while (peek(lx) && peek(lx) != '\n') next(lx);
    } else {
      return true;
    }
  }
}

/* Reads on while characters belong to a name or number.  Returns how many, or -1 if too many. */
static int read_word(gsf_lexer *lx, char *text) {
  int n = 0;
  while (is_letter(peek(lx)) || is_digit(peek(lx))) {
    if (n == LONGEST) return -1;
    text[n++] = (char)next(lx);
  }
  text[n] = 0;
  return n;
}

static void lex_name(gsf_lexer *lx, gsf_token *t) {
  char text[LONGEST + 1];
  int n = read_word(lx, text);
  if (n < 0) {
    fail(t, "a name of more than 1023 characters; expected a shorter one");
    return;
  }
  for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
    if (strcmp(text, keywords[i].text) == 0) {
      t->kind = keywords[i].kind;
      return;
    }
  keep(lx, t, TK_NAME, text, (size_t)n);
}

static int digit_value(int c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* The suffixes u, l, ll in any order; false if p is something else. */
static bool read_suffix(const char *p, gsf_value *v) {
  static const char *const accepted[] = {"", "u", "l", "ul", "lu", "ll", "ull", "llu"};
  char lower[4] = "";
  if (strlen(p) > 3) return false;
  for (int i = 0; p[i]; i++) lower[i] = (char)(p[i] | 0x20);
  for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++)
    if (strcmp(lower, accepted[i]) == 0) {
      v->is_unsigned = strchr(lower, 'u') != NULL;
      v->is_long = strchr(lower, 'l') != NULL;
      return true;
    }
  return false;
}

/* The rest of a constant such as 1.5e-3f, whose first word has been read. */
static void lex_floating(gsf_lexer *lx, gsf_token *t, int last) {
  for (int c = peek(lx);; c = peek(lx)) {
    bool sign = (c == '+' || c == '-') && last && strchr("eEpP", last);
    if (c == 0 || !(is_letter(c) || is_digit(c) || c == '.' || sign)) break;
    last = next(lx);
  }
  t->kind = TK_FLOATING;
}

static const gs_type *number_type(gsf_value v, bool long_long) {
  return &gsf_basics[long_long       ? v.is_unsigned ? B_ULLONG : B_LLONG
                     : v.is_long     ? v.is_unsigned ? B_ULONG : B_LONG
                     : v.is_unsigned ? B_UINT
                                     : B_INT];
}

/* The first word of a number, without the quotes that C23 has between digits; -1: too long. */
static int read_digits(gsf_lexer *lx, char *text) {
  int n = read_word(lx, text);
  while (n > 0 && peek(lx) == '\'' && (is_digit(peek2(lx)) || is_letter(peek2(lx)))) {
    char more[LONGEST + 1];
    next(lx);
    int k = read_word(lx, more);
    if (k < 0 || n + k > LONGEST) return -1;
    memcpy(text + n, more, (size_t)k + 1);
    n += k;
  }
  return n;
}

static void lex_number(gsf_lexer *lx, gsf_token *t) {
  char text[LONGEST + 1];
  int n = read_digits(lx, text);
  if (n < 0) {
    fail(t, "a number of more than 1023 characters");
    return;
  }
  bool hex = n > 1 && (text[1] | 0x20) == 'x';
  bool exponent = strpbrk(text, hex ? "pP" : "eE") != NULL;
  if (peek(lx) == '.' || exponent) {
    lex_floating(lx, t, text[n - 1]);
    return;
  }
  const char *p = text;
  int base = 10;
  if (p[0] == '0' && (p[1] | 0x20) == 'x') {
    base = 16;
    p += 2;
  } else if (p[0] == '0' && (p[1] | 0x20) == 'b') {
    base = 2;
    p += 2;
  } else if (p[0] == '0') {
    base = 8;
  }
  uint64_t value = 0;
  const char *first = p;
  for (; digit_value((unsigned char)*p) < base; p++) {
    uint64_t digit = (uint64_t)digit_value((unsigned char)*p);
    if (value > (UINT64_MAX - digit) / (uint64_t)base) {
      fail(t, "a number beyond 64 bits");
      return;
    }
    value = value * (uint64_t)base + digit;
  }
  if (p == first || !read_suffix(p, &t->value)) {
    fail(t, "a number that is not well formed; expected digits and at most u, l, ll behind them");
    return;
  }
  if (value > (t->value.is_unsigned ? UINT32_MAX : INT32_MAX)) {
    if (base != 10 && value <= UINT32_MAX && !t->value.is_long)
      t->value.is_unsigned = true;
    else
      t->value.is_long = true;
  }
  if (value > INT64_MAX) t->value.is_unsigned = true;
  t->value.bits = value;
  t->kind = TK_NUMBER;
  t->type = number_type(t->value, strstr(p, "ll") || strstr(p, "LL"));
}

/* One character of a character constant or string, an escape taken as one.  -1: not well formed */
static int read_char(gsf_lexer *lx) {
  int c = next(lx);
  if (c == '\n' || c == 0) return -1;
  if (c != '\\') return c;
  static const char names[] = "abfnrtv\\'\"?e", values[] = "\a\b\f\n\r\t\v\\'\"?\033";
  c = next(lx);
  const char *at = c ? strchr(names, c) : NULL;
  if (at) return values[at - names];
  if (c == 'x') {
    int v = 0, digits = 0;
    while (digit_value(peek(lx)) < 16) {
      v = v * 16 + digit_value(next(lx));
      if (v > 255) return -1;
      digits++;
    }
    return digits ? v : -1;
  }
  if (c < '0' || c > '7') return -1;
  int v = c - '0';
  for (int i = 0; i < 2 && peek(lx) >= '0' && peek(lx) <= '7'; i++) v = v * 8 + next(lx) - '0';
  return v <= 255 ? v : -1;
}

static void lex_char(gsf_lexer *lx, gsf_token *t) {
  next(lx);
  int c = peek(lx) == '\'' ? -1 : read_char(lx);
  if (c < 0 || next(lx) != '\'') {
    fail(t, "a character constant that is not well formed; expected one character in quotes");
    return;
  }
  t->kind = TK_NUMBER;
  t->type = &gsf_basics[B_INT];
  t->value = (gsf_value){.bits = (uint64_t)(int64_t)(char)c};
}

static void lex_string(gsf_lexer *lx, gsf_token *t) {
  char text[LONGEST + 1];
  size_t n = 0;
  next(lx);
  while (peek(lx) != '"') {
    int c = read_char(lx);
    if (c < 0 || n == LONGEST) {
      fail(t, c < 0 ? "a string that is not well formed; expected '\"' on the same line"
                    : "a string of more than 1023 bytes");
      return;
    }
    text[n++] = (char)c;
  }
  next(lx);
  t->value.bits = n;
  keep(lx, t, TK_STRING, text, n);
}

static void lex_punctuator(gsf_lexer *lx, gsf_token *t) {
  for (size_t i = 0; i < sizeof(punctuators) / sizeof(punctuators[0]); i++) {
    const char *p = punctuators[i].text;
    gsf_lexer ahead = *lx;
    while (*p && peek(&ahead) == *p) {
      next(&ahead);
      p++;
    }
    if (!*p) {
      *lx = ahead;
      t->kind = punctuators[i].kind;
      return;
    }
  }
  int c = next(lx);
  if (c == '#')
    fail(t, "a preprocessor directive; expected declarations only (run a header through cc -E)");
  else if (strchr("()[]{}*,;:=+-/%&|^~!<>?.", c))
    t->kind = c;
  else
    fail(t, "a character that C declarations do not contain");
}

gsf_token gsf_lex(gsf_lexer *lx) {
  gsf_token t = {.kind = TK_END};
  if (!skip_blanks(lx, &t)) return t;
  skip_joins(lx);
  t.line = lx->line;
  t.column = lx->column;
  t.source = lx->at;
  int c = peek(lx);
  if (is_letter(c))
    lex_name(lx, &t);
  else if (is_digit(c))
    lex_number(lx, &t);
  else if (c == '.' && is_digit(peek2(lx)))
    lex_floating(lx, &t, 0);
  else if (c == '\'')
    lex_char(lx, &t);
  else if (c == '"')
    lex_string(lx, &t);
  else if (c)
    lex_punctuator(lx, &t);
  t.length = (size_t)(lx->at - t.source);
  return t;
}
