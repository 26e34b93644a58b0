/* linux_walk.c: what stands on a stack that is not ours, for dumps.
 *
 * The stack of a thread that sits in C, or of a green thread that waits for it, is read as words: a
 * word that points behind a call instruction of loaded code is taken for a return address.  That
 * needs no frame pointers, no signal to that thread, and nothing that could fault, for the words
 * are addresses in stacks that stay mapped; a stale word may show as a frame too many.
 *
 * It takes no lock and allocates nothing, so that a dump works from a crash and while another
 * thread is inside dlopen: loaded objects are found by _dl_find_object, their symbols in their own
 * tables.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../runtime.h"

extern int _dl_find_object(void *pc, struct dl_find_object *result) __attribute__((weak));

static bool find_object(uintptr_t pc, struct dl_find_object *o) {
  return _dl_find_object && _dl_find_object((void *)pc, o) == 0;
}

/* The text says so and not only the mapping: the word before is a call. */
static bool after_call(uintptr_t pc, const struct dl_find_object *o) {
  const unsigned char *p = (const unsigned char *)pc;
  if (pc - (uintptr_t)o->dlfo_map_start < 16) return false;
#if defined(__x86_64__)
  if (p[-5] == 0xe8) return true;
  for (int n = 2; n <= 7; n++)
    if (p[-n] == 0xff && (p[-n + 1] & 0x38) == 0x10) return true;
  return false;
#elif defined(__aarch64__)
  uint32_t insn;
  if (pc & 3) return false;
  memcpy(&insn, p - 4, sizeof insn);
  return (insn & 0xfc000000u) == 0x94000000u || (insn & 0xfffffc1fu) == 0xd63f0000u;
#else
  (void)p;
  return false;
#endif
}

/* Is the page executable?  Data of an object is part of its mapping as well. */
static bool is_text(uintptr_t pc, const struct dl_find_object *o) {
  const ElfW(Ehdr) *eh = o->dlfo_map_start;
  if (memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0) return false;
  const ElfW(Phdr) *ph = (const void *)((const char *)eh + eh->e_phoff);
  uintptr_t base = o->dlfo_link_map->l_addr;
  for (int i = 0; i < eh->e_phnum; i++)
    if (ph[i].p_type == PT_LOAD && (ph[i].p_flags & PF_X) && pc >= base + ph[i].p_vaddr &&
        pc < base + ph[i].p_vaddr + ph[i].p_memsz)
      return true;
  return false;
}

static bool is_return_address(uintptr_t pc) {
  struct dl_find_object o;
  return pc > 65536 && find_object(pc, &o) && is_text(pc, &o) && after_call(pc, &o);
}

/* Copies without faulting: what is looked at may be gone by now.  False: it is, or the system does
 * not allow it (a seccomp filter). */
bool os_peek(const void *from, void *to, size_t n) {
  struct iovec local = {to, n}, remote = {(void *)(uintptr_t)from, n};
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)n;
}

/* The words of lo..hi, lowest first, that look like return addresses. */
int os_walk(const char *lo, const char *hi, void **pcs, int most) {
  uintptr_t words[64];
  int n = 0;
  lo = (const char *)(((uintptr_t)lo + 7) & ~(uintptr_t)7);
  for (; hi - lo >= 8 && n < most; lo += sizeof words) {
    size_t bytes = (size_t)(hi - lo) < sizeof words ? (size_t)(hi - lo) & ~(size_t)7 : sizeof words;
    if (!os_peek(lo, words, bytes)) break;
    for (size_t i = 0; i < bytes / 8 && n < most; i++)
      if (is_return_address(words[i])) pcs[n++] = (void *)words[i];
  }
  return n;
}

/* ---- names ---- */

typedef struct {
  const ElfW(Sym) * symbols;
  const char *strings;
  const uint32_t *hash; /* DT_GNU_HASH */
} Table;

static bool table_of(const struct link_map *l, Table *t) {
  memset(t, 0, sizeof *t);
  for (const ElfW(Dyn) *d = l->l_ld; d->d_tag != DT_NULL; d++) {
    if (d->d_tag == DT_SYMTAB) t->symbols = (const void *)d->d_un.d_ptr;
    if (d->d_tag == DT_STRTAB) t->strings = (const void *)d->d_un.d_ptr;
    if (d->d_tag == DT_GNU_HASH) t->hash = (const void *)d->d_un.d_ptr;
  }
  /* The dynamic linker has made addresses of them; the kernel's own object is left as it is. */
  return t->symbols && t->strings && t->hash && (uintptr_t)t->symbols > l->l_addr;
}

static uint32_t symbol_count(const uint32_t *hash) {
  uint32_t buckets = hash[0], first = hash[1], last = 0;
  const uint32_t *bucket = hash + 4 + hash[2] * (sizeof(ElfW(Addr)) / 4), *chain = bucket + buckets;
  for (uint32_t i = 0; i < buckets; i++)
    if (bucket[i] > last) last = bucket[i];
  if (last < first) return first;
  while (!(chain[last - first] & 1)) last++;
  return last + 1;
}

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static const ElfW(Sym) * symbol_of(const Table *t, uintptr_t offset) {
  const ElfW(Sym) *best = NULL;
  for (uint32_t i = 1, n = symbol_count(t->hash); i < n; i++) {
    const ElfW(Sym) *s = &t->symbols[i];
    if (ELF64_ST_TYPE(s->st_info) == STT_FUNC && s->st_shndx != SHN_UNDEF &&
        offset >= s->st_value && offset - s->st_value < s->st_size)
      best = s;
  }
  return best;
}

bool os_internal(const void *pc) {
  struct dl_find_object o, ours;
  Table t;
  if (!find_object((uintptr_t)pc, &o) || !find_object((uintptr_t)os_walk, &ours)) return false;
  const struct link_map *l = o.dlfo_link_map;
  if (l != ours.dlfo_link_map || !l->l_name || !*l->l_name) return false;
  return table_of(l, &t) && !symbol_of(&t, (uintptr_t)pc - l->l_addr);
}

/* "function+0x12 (library)", as far as it is known. */
void os_describe(const void *pc, char *buf, size_t size) {
  struct dl_find_object o;
  Table t;
  uintptr_t at = (uintptr_t)pc;
  if (!find_object(at, &o)) {
    snprintf(buf, size, "%p", pc);
    return;
  }
  const struct link_map *l = o.dlfo_link_map;
  const char *library = l->l_name && *l->l_name ? base_name(l->l_name) : "the program";
  const ElfW(Sym) *best = table_of(l, &t) ? symbol_of(&t, at - l->l_addr) : NULL;
  if (best)
    snprintf(buf, size, "%s+0x%zx (%s)", t.strings + best->st_name,
             (size_t)(at - l->l_addr - best->st_value), library);
  else
    snprintf(buf, size, "%s+0x%zx", library, (size_t)(at - l->l_addr));
}

/* Where a thread that sleeps in the kernel has its stack pointer and goes on (proc(5)).  False: it
 * runs, or may not be asked. */
bool os_thread_at(uint32_t tid, void **sp, void **pc) {
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/self/task/%u/syscall", tid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t n = read(fd, line, sizeof line - 1);
  close(fd);
  if (n <= 0) return false;
  line[n] = 0;
  char *last = strrchr(line, ' ');
  if (!last) return false;
  *pc = (void *)(uintptr_t)strtoull(last + 1, NULL, 16);
  *last = 0;
  if (!(last = strrchr(line, ' '))) return false;
  *sp = (void *)(uintptr_t)strtoull(last + 1, NULL, 16);
  return *sp != NULL;
}
