/* clex.h: the tokens of C declarations.  See clex.c. */
#ifndef GS_FFI_CLEX_H
#define GS_FFI_CLEX_H

#include "ffi_internal.h"

/* A one-character punctuator is its character; these are all other kinds. */
enum {
  TK_END = 0, /* the end of the declarations */
  TK_ERROR = 256,
  TK_NAME,
  TK_TYPE,     /* a type that was given for a '$' */
  TK_NUMBER,   /* an integer or character constant */
  TK_FLOATING, /* a floating constant; its value is of no use here */
  TK_STRING,
  TK_ELLIPSIS,
  TK_SHL,
  TK_SHR,
  TK_LE,
  TK_GE,
  TK_EQ,
  TK_NE,
  TK_AND,
  TK_OR,
  TK_ARROW,
  /* keywords; the word's alternative spellings give the same kind */
  TK_ALIGNAS,
  TK_ALIGNOF,
  TK_ASM,
  TK_ATOMIC,
  TK_ATTRIBUTE,
  TK_BOOL,
  TK_CHAR,
  TK_COMPLEX,
  TK_INT128,
  TK_CONST,
  TK_CONSTEXPR,
  TK_DOUBLE,
  TK_ENUM,
  TK_EXTENSION,
  TK_EXTERN,
  TK_FLOAT,
  TK_FUNCTION_SPECIFIER, /* inline, _Noreturn */
  TK_INT,
  TK_LONG,
  TK_RESTRICT,
  TK_SHORT,
  TK_SIGNED,
  TK_SIZEOF,
  TK_STATIC,
  TK_STATIC_ASSERT,
  TK_STORAGE, /* register, auto, thread_local: of no concern here */
  TK_STRUCT,
  TK_TYPEDEF,
  TK_TYPEOF,
  TK_TYPEOF_UNQUAL,
  TK_UNION,
  TK_UNSIGNED,
  TK_VOID,
  TK_VOLATILE,
};

/* A constant with C's type for it: int, unsigned, long, or unsigned long. */
typedef struct gsf_value {
  uint64_t bits; /* sign-extended if signed, zero-extended if not */
  bool is_unsigned, is_long;
} gsf_value;

typedef struct gsf_token {
  int kind;
  int line, column;    /* 1-based; columns count bytes */
  const char *source;  /* as it stands in the declarations … */
  size_t length;       /* … with any line continuations */
  const char *text;    /* TK_NAME: the name; TK_STRING: its bytes; TK_ERROR: what is wrong */
  gsf_value value;     /* TK_NUMBER; TK_STRING: how many bytes */
  const gs_type *type; /* TK_TYPE, TK_NUMBER */
} gsf_token;

typedef struct gsf_lexer {
  const char *at;
  int line, column;
  gsf_arena *arena; /* of names, strings and messages */
  bool nomem;
} gsf_lexer;

void gsf_lex_start(gsf_lexer *lx, const char *source, gsf_arena *arena);
/* The next token.  After TK_ERROR or TK_END the lexer must not be asked again. */
gsf_token gsf_lex(gsf_lexer *lx);

#endif
