/* amd64.S: calls a function with whatever the argument registers are to hold (System V ABI).
 *
 * The ABI hands out integer and vector registers independently of each other, in order, so loading
 * all of them from two arrays makes every call whose arguments are in registers (ffi/registers.c
 * says which are).  A function does not look at registers that it has no parameters in.  al is what
 * a variadic function expects: an upper bound of the vector registers in use.
 *
 *     struct gsf_registers:  g[8] at 0 (six are used), f[8] at 64, result integer at 128, float 136
 *
 * void gsf_arch_call_ints(void (*fn)(void), gsf_registers *r)    no vector registers
 * void gsf_arch_call_all(void (*fn)(void), gsf_registers *r)     all of them
 */

        .text

        .macro  CALL_AND_STORE
        movq    0(%rbx), %rdi
        movq    8(%rbx), %rsi
        movq    16(%rbx), %rdx
        movq    24(%rbx), %rcx
        movq    32(%rbx), %r8
        movq    40(%rbx), %r9
        callq   *%r11
        movq    %rax, 128(%rbx)
        movsd   %xmm0, 136(%rbx)
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbx
        ret
        .endm

        .macro  BEGIN name
        .globl  \name
        .hidden \name
        .type   \name, @function
        .p2align 4
\name:
        .cfi_startproc
        endbr64
        pushq   %rbx                    /* and the stack is 16-aligned for the call */
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbx, 0
        movq    %rsi, %rbx
        movq    %rdi, %r11
        .endm

        BEGIN   gsf_arch_call_ints
        xorl    %eax, %eax
        CALL_AND_STORE
        .cfi_endproc
        .size   gsf_arch_call_ints, .-gsf_arch_call_ints

        BEGIN   gsf_arch_call_all
        movsd   64(%rbx), %xmm0
        movsd   72(%rbx), %xmm1
        movsd   80(%rbx), %xmm2
        movsd   88(%rbx), %xmm3
        movsd   96(%rbx), %xmm4
        movsd   104(%rbx), %xmm5
        movsd   112(%rbx), %xmm6
        movsd   120(%rbx), %xmm7
        movl    $8, %eax
        CALL_AND_STORE
        .cfi_endproc
        .size   gsf_arch_call_all, .-gsf_arch_call_all

        .section .note.GNU-stack, "", @progbits
