/* arm64.S: calls a function with whatever the argument registers are to hold (AAPCS64).
 *
 * Integer and vector registers are handed out independently of each other, in order, and a variadic
 * call is made like any other on Linux.  So loading all of them from two arrays makes every call
 * whose arguments are in registers (ffi/registers.c says which are).
 *
 *     struct gsf_registers:  g[8] at 0, f[8] at 64, result integer at 128, float at 136
 *
 * void gsf_arch_call_ints(void (*fn)(void), gsf_registers *r)    no vector registers
 * void gsf_arch_call_all(void (*fn)(void), gsf_registers *r)     all of them
 */

        .text

        .macro  BEGIN name
        .globl  \name
        .hidden \name
        .type   \name, %function
        .p2align 4
\name:
        .cfi_startproc
        hint    #34                     /* bti c */
        stp     x29, x30, [sp, #-32]!
        .cfi_def_cfa_offset 32
        .cfi_offset 29, -32
        .cfi_offset 30, -24
        mov     x29, sp
        str     x19, [sp, #16]
        .cfi_offset 19, -16
        mov     x19, x1
        mov     x16, x0
        .endm

        .macro  CALL_AND_STORE
        ldp     x0, x1, [x19]
        ldp     x2, x3, [x19, #16]
        ldp     x4, x5, [x19, #32]
        ldp     x6, x7, [x19, #48]
        blr     x16
        str     x0, [x19, #128]
        str     d0, [x19, #136]
        ldr     x19, [sp, #16]
        .cfi_restore 19
        ldp     x29, x30, [sp], #32
        .cfi_restore 30
        .cfi_restore 29
        .cfi_def_cfa_offset 0
        ret
        .endm

        BEGIN   gsf_arch_call_ints
        CALL_AND_STORE
        .cfi_endproc
        .size   gsf_arch_call_ints, .-gsf_arch_call_ints

        BEGIN   gsf_arch_call_all
        ldp     d0, d1, [x19, #64]
        ldp     d2, d3, [x19, #80]
        ldp     d4, d5, [x19, #96]
        ldp     d6, d7, [x19, #112]
        CALL_AND_STORE
        .cfi_endproc
        .size   gsf_arch_call_all, .-gsf_arch_call_all

        .section .note.GNU-stack, "", %progbits
