/* libffi_defect.c: which calls libffi 3.4.4 makes with wrong arguments on amd64.
 *
 * A struct of an eightbyte for an integer register and one for a vector register is copied whole to
 * where the integer register is loaded from.  If that is the last of the six, the second eightbyte
 * lands on the first vector register, and so on what an earlier argument has put there.  Later
 * versions copy eight bytes.  Calls that gosched makes without libffi are not concerned.
 *
 * What is worked out here is where each argument goes, from the layout (System V ABI, 3.2.3).
 */
#include "libffi_defect.h"

#if defined(__x86_64__)
#include <string.h>

enum { NOTHING, VECTOR, INTEGER, MEMORY };
enum { GENERAL_REGISTERS = 6, VECTOR_REGISTERS = 8 };

/* What is in each eightbyte of a value of at most two. */
typedef struct words {
  unsigned char at[2];
} words;

static void note(words *w, size_t first_bit, size_t bits, unsigned char what) {
  for (size_t i = first_bit / 64; i <= (first_bit + bits - 1) / 64 && i < 2; i++)
    if (what > w->at[i]) w->at[i] = what;
}

static void look(words *w, const gs_type *t, size_t at) {
  const gs_field *f;
  size_t size = gs_type_size(t);
  switch (gs_type_kind(t)) {
    case GS_KIND_STRUCT:
      for (size_t i = 0; (f = gs_type_field(t, i)) != NULL; i++) {
        unsigned first = 0, bits = gs_field_bits(f, &first);
        size_t offset = at + gs_field_offset(f);
        if (bits)
          note(w, offset * 8 + first, bits, INTEGER);
        else if (gs_field_name(f))
          look(w, gs_field_type(f), offset);
      }
      break;
    case GS_KIND_ARRAY:
      for (size_t i = 0; i < gs_type_length(t); i++)
        look(w, gs_type_target(t), at + i * gs_type_size(gs_type_target(t)));
      break;
    default: {
      bool floating = gs_type_kind(t) != GS_KIND_INT && gs_type_kind(t) != GS_KIND_UINT &&
                      gs_type_kind(t) != GS_KIND_BOOL && gs_type_kind(t) != GS_KIND_POINTER;
      bool x87 = strstr(gs_type_name(t), "long double") != NULL;
      if (size) note(w, at * 8, size * 8, x87 ? MEMORY : floating ? VECTOR : INTEGER);
    }
  }
}

/* In registers: how many of each kind; else false. */
static bool registers(const gs_type *t, words *w, unsigned *general, unsigned *vector) {
  *w = (words){{NOTHING, NOTHING}};
  *general = *vector = 0;
  if (gs_type_size(t) > 16) return false;
  look(w, t, 0);
  for (int i = 0; i < 2; i++) {
    if (w->at[i] == MEMORY) return false;
    *general += w->at[i] == INTEGER;
    *vector += w->at[i] == VECTOR;
  }
  return true;
}

bool libffi_corrupts(const gs_func *f) {
  words w;
  unsigned general, vector, used_general = 0, used_vector = 0;
  const gs_type *ret = gs_func_ret(f);
  if (gs_type_kind(ret) == GS_KIND_STRUCT && !registers(ret, &w, &general, &vector))
    used_general = 1; /* where the result is to be written */
  for (size_t i = 0; i < gs_func_nargs(f); i++) {
    if (!registers(gs_func_arg(f, i), &w, &general, &vector)) continue;
    if (used_general + general > GENERAL_REGISTERS || used_vector + vector > VECTOR_REGISTERS)
      continue;
    if (w.at[0] == INTEGER && w.at[1] == VECTOR && used_general == GENERAL_REGISTERS - 1 &&
        used_vector > 0)
      return true;
    used_general += general;
    used_vector += vector;
  }
  return false;
}

#else
bool libffi_corrupts(const gs_func *f) {
  (void)f;
  return false;
}
#endif
