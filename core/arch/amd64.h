/* amd64.h: what x86-64 does in line (System V ABI); the rest is in amd64.S.
 */
#ifndef GS_ARCH_AMD64_H
#define GS_ARCH_AMD64_H

/* The thread-local that names this thread's M, read anew each time: the compiler does not know what
 * this asm reads, so it keeps neither the value nor the address over a switch. */
#define GS_ARCH_GETM 1
static inline void *gs_arch_getm(void) {
  void *m;
  __asm__ volatile("movq gs_tls_m@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0" : "=r"(m));
  return m;
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* Is *word equal to value?  A load that acquires, and a comparison, as one operation, which
 * compilers do not make of an atomic load. */
#define GS_ARCH_WORD_IS 1
static inline __attribute__((always_inline)) bool gs_arch_word_is(const uintptr_t *word,
                                                                  uintptr_t value) {
  bool is;
  __asm__ volatile("cmpq %[word], %[value]"
                   : "=@cce"(is)
                   : [word] "m"(*word), [value] "r"(value)
                   : "memory");
  return is;
}

/* gs_arch_call without the calls around it, *sp included.  Unwinders find the way out because the
 * function that this stands in has rbp for its frame, which asking for the frame's address makes
 * sure of; and as in amd64.S it says that it is a signal frame, for gdb, and has a personality. */
#define GS_ARCH_CALL_HERE 1
#define GS_ARCH_CALL_ON(sp)                        \
  ".cfi_signal_frame\n\t"                          \
  ".cfi_personality 0x1b, gs_arch_personality\n\t" \
  "movq %%rsp, %[saved]\n\t"                       \
  "movq %%rsp, (" sp                               \
  ")\n\t"                                          \
  "movq " sp                                       \
  ", %%rsp\n\t"                                    \
  "call *%%rax\n\t"                                \
  "movq %[saved], %%rsp"
#define GS_ARCH_CALL_SPOILS                                                                   \
  "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", \
      "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "st", "st(1)", "st(2)",   \
      "st(3)", "st(4)", "st(5)", "st(6)", "st(7)", "memory", "cc"

static inline __attribute__((always_inline)) int gs_arch_call_here(int (*fn)(void *), void *arg,
                                                                   void *sp) {
  int r;
  void *saved;
  __asm__ volatile(GS_ARCH_CALL_ON("%[sp]")
                   : "=a"(r), [saved] "=&b"(saved), "+D"(arg), [sp] "+S"(sp)
                   : "0"(fn), "r"(__builtin_frame_address(0))
                   : "rcx", "rdx", "r8", GS_ARCH_CALL_SPOILS);
  return r;
}

/* The same for the function at fn, with a, b, c; if it returns an int, that is the result. */
static inline __attribute__((always_inline)) int gs_arch_call3_here(uintptr_t fn, void *a, void *b,
                                                                    void *c, void *sp) {
  int r;
  void *saved;
  __asm__ volatile(GS_ARCH_CALL_ON("%[sp]")
                   : "=a"(r), [saved] "=&b"(saved), "+D"(a), "+S"(b), "+d"(c), [sp] "+c"(sp)
                   : "0"(fn), "r"(__builtin_frame_address(0))
                   : "r8", GS_ARCH_CALL_SPOILS);
  return r;
}
#endif

#endif
