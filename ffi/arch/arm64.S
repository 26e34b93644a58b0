/* arm64.S: the code that makes a planned call (AAPCS64; plan.h says what a plan is).
 *
 * What amd64.S says holds here, too.
 *
 *     plan      steps 24, before them at 16: bytes for the stack
 *     step      go 0, arg 8, inside 16; 24 bytes
 *
 *     x29       this frame: at 16 is ret
 *     x9        the step            x10  args            x11, x12  whatever a step needs
 *     x13       where the next argument on the stack goes: those are first
 */

        .text

        .macro  NEXT
        ldr     x16, [x9, #24]!
        br      x16
        .endm

        .macro  STEP
        .p2align 2
77:     .pushsection .rodata.gsf_steps, "a"
        .long   77b - gsf_arch_thunk
        .popsection
        hint    #36                     /* bti j */
        .endm

/* x11 = the pointer to the argument */
        .macro  ARGUMENT
        ldr     x11, [x9, #8]
        ldr     x11, [x10, x11]
        .endm

/* x11 = the pointer to the word in it */
        .macro  ARGUMENT_INSIDE
        ldp     x11, x12, [x9, #8]
        ldr     x11, [x10, x11]
        add     x11, x11, x12
        .endm

        .macro  TO_STACK load, reg
        STEP
        ARGUMENT
        \load   \reg, [x11]
        str     x11, [x13], #8
        NEXT
        .endm

        .macro  TO_REGISTER load, reg
        STEP
        ARGUMENT
        \load   \reg, [x11]
        NEXT
        .endm

        .macro  WORD_TO_REGISTER load, reg
        STEP
        ARGUMENT_INSIDE
        \load   \reg, [x11]
        NEXT
        .endm

        .macro  MORE_TO_GENERAL shift, n, load
        STEP
        ARGUMENT_INSIDE
        \load   w11, [x11]
        orr     x\n, x\n, x11, lsl #\shift
        NEXT
        .endm

        .macro  GENERAL n
        TO_REGISTER ldrb, w\n
        TO_REGISTER ldrsb, x\n
        TO_REGISTER ldrh, w\n
        TO_REGISTER ldrsh, x\n
        TO_REGISTER ldr, w\n
        TO_REGISTER ldrsw, x\n
        TO_REGISTER ldr, x\n
        WORD_TO_REGISTER ldrb, w\n
        WORD_TO_REGISTER ldrh, w\n
        WORD_TO_REGISTER ldr, w\n
        WORD_TO_REGISTER ldr, x\n
        MORE_TO_GENERAL 16, \n, ldrb
        MORE_TO_GENERAL 32, \n, ldrb
        MORE_TO_GENERAL 32, \n, ldrh
        MORE_TO_GENERAL 48, \n, ldrb
        .endm

/* Two arguments in a row into two registers in a row, with half the jumps. */
        .macro  LOAD_PAIR first, from, second, to
        ldr     x11, [x9, #8]
        add     x11, x11, x10
        ldp     x11, x12, [x11]
        \first  \from, [x11]
        \second \to, [x12]
        .endm

        .macro  PAIR first, from, second, to
        STEP
        LOAD_PAIR \first, \from, \second, \to
        NEXT
        .endm

        .macro  PAIRS pair, a, b
        \pair   ldr, w\a, ldr, w\b
        \pair   ldr, w\a, ldrsw, x\b
        \pair   ldr, w\a, ldr, x\b
        \pair   ldrsw, x\a, ldr, w\b
        \pair   ldrsw, x\a, ldrsw, x\b
        \pair   ldrsw, x\a, ldr, x\b
        \pair   ldr, x\a, ldr, w\b
        \pair   ldr, x\a, ldrsw, x\b
        \pair   ldr, x\a, ldr, x\b
        .endm

/* The first n arguments in a row into the first n registers. */
        .macro  RUN begin, n
        RUN_OF  \begin, \n, ldr, w
        RUN_OF  \begin, \n, ldrsw, x
        RUN_OF  \begin, \n, ldr, x
        .endm

        .macro  RUN_OF begin, n, load, size
        \begin
        ldr     x11, [x9, #8]
        add     x11, x11, x10
        .irp    k, 0, 1, 2, 3, 4, 5, 6, 7
        .if     \k < \n
        ldr     x\k, [x11, #8 * \k]
        .endif
        .endr
        .irp    k, 0, 1, 2, 3, 4, 5, 6, 7
        .if     \k < \n
        \load   \size\k, [x\k]
        .endif
        .endr
        NEXT
        .endm

        .macro  RUNS begin
        RUN     \begin, 3
        RUN     \begin, 4
        RUN     \begin, 5
        RUN     \begin, 6
        RUN     \begin, 7
        RUN     \begin, 8
        .endm

/* Two arguments in a row to the stack. */
        .macro  STACK_PAIR first, from, second, to
        STEP
        LOAD_PAIR \first, \from, \second, \to
        stp     x11, x12, [x13], #16
        NEXT
        .endm

        .macro  VECTOR n
        TO_REGISTER ldr, s\n
        TO_REGISTER ldr, d\n
        WORD_TO_REGISTER ldr, s\n
        WORD_TO_REGISTER ldr, d\n
        .endm

/* The call; behind it x14 is where the result is wanted. */
        .macro  CALL
        ldr     x16, [x9, #16]
        blr     x16
        ldr     x14, [x29, #16]
        .endm

        .macro  RETURN
        mov     sp, x29
        .cfi_remember_state
        ldp     x29, x30, [sp], #32
        .cfi_restore 29
        .cfi_restore 30
        .cfi_def_cfa sp, 0
        ret
        .cfi_restore_state
        .endm

/* The last two have a general and a vector register: not in this ABI. */
        .macro  CALLS begin
        \begin
        CALL
        RETURN
        \begin
        CALL
        strb    w0, [x14]
        RETURN
        \begin
        CALL
        strh    w0, [x14]
        RETURN
        \begin
        CALL
        str     w0, [x14]
        RETURN
        \begin
        CALL
        str     x0, [x14]
        RETURN
        \begin
        CALL
        str     s0, [x14]
        RETURN
        \begin
        CALL
        str     d0, [x14]
        RETURN
        \begin
        CALL
        str     q0, [x14]
        RETURN
        \begin
        CALL
        stp     q0, q1, [x14]
        RETURN
        \begin
        CALL
        stp     x0, x1, [x14]
        RETURN
        \begin
        CALL
        stp     d0, d1, [x14]
        RETURN
        \begin
        CALL
        str     x0, [x14]
        str     d0, [x14, #8]
        RETURN
        \begin
        CALL
        str     d0, [x14]
        str     x0, [x14, #8]
        RETURN
        .endm

/* The beginning of a function. */
        .macro  BEGIN
        .p2align 4
        .cfi_remember_state
        .cfi_def_cfa sp, 0
        .cfi_restore 29
        .cfi_restore 30
        STEP
        hint    #34                     /* bti c */
        stp     x29, x30, [sp, #-32]!
        .cfi_def_cfa_offset 32
        .cfi_offset 29, -32
        .cfi_offset 30, -24
        mov     x29, sp
        .cfi_restore_state
        str     x1, [sp, #16]
        add     x9, x2, #24
        mov     x10, x0
        .endm

        .macro  BEGIN_GENERAL load, reg
        BEGIN
        ARGUMENT
        \load   \reg, [x11]
        NEXT
        .endm

        .macro  BEGIN_PAIR first, from, second, to
        BEGIN
        LOAD_PAIR \first, \from, \second, \to
        NEXT
        .endm

        .macro  JUMP
        ldr     x16, [x9]
        br      x16
        .endm

        .pushsection .rodata.gsf_steps, "a"
        .globl  gsf_arch_steps
        .hidden gsf_arch_steps
        .type   gsf_arch_steps, %object
        .p2align 2
gsf_arch_steps:
        .popsection

        .globl  gsf_arch_thunk
        .hidden gsf_arch_thunk
        .type   gsf_arch_thunk, %function
        .p2align 4
gsf_arch_thunk:
        .cfi_startproc
        .cfi_def_cfa 29, 32
        .cfi_offset 29, -32
        .cfi_offset 30, -24

        TO_STACK ldrb, w11
        TO_STACK ldrsb, x11
        TO_STACK ldrh, w11
        TO_STACK ldrsh, x11
        TO_STACK ldr, w11
        TO_STACK ldrsw, x11
        TO_STACK ldr, x11

        PAIRS   STACK_PAIR, 11, 12

        STEP                            /* STEP_COPY: no argument is in its register yet */
        ARGUMENT
        ldr     x2, [x9, #16]
        mov     x1, x11
        mov     x0, x13
        add     x13, x13, x2
        add     x13, x13, #7
        and     x13, x13, #-8
        stp     x9, x10, [sp, #-32]!    /* below the arguments that are there */
        str     x13, [sp, #16]
        bl      memcpy
        ldr     x13, [sp, #16]
        ldp     x9, x10, [sp], #32
        NEXT

        STEP                            /* STEP_ALIGN */
        add     x13, x13, #15
        and     x13, x13, #-16
        NEXT

        GENERAL 0
        GENERAL 1
        GENERAL 2
        GENERAL 3
        GENERAL 4
        GENERAL 5
        GENERAL 6
        GENERAL 7

        PAIRS   PAIR, 0, 1
        PAIRS   PAIR, 1, 2
        PAIRS   PAIR, 2, 3
        PAIRS   PAIR, 3, 4
        PAIRS   PAIR, 4, 5
        PAIRS   PAIR, 5, 6
        PAIRS   PAIR, 6, 7

        RUNS    STEP

        STEP                            /* STEP_RESULT */
        ldr     x8, [x29, #16]
        NEXT

        VECTOR  0
        VECTOR  1
        VECTOR  2
        VECTOR  3
        VECTOR  4
        VECTOR  5
        VECTOR  6
        VECTOR  7

        CALLS   STEP

        BEGIN                           /* BEGIN_STACK */
        ldr     x11, [x9, #-8]
        sub     sp, sp, x11
        mov     x13, sp
        JUMP

        BEGIN
        JUMP

        BEGIN_GENERAL ldrb, w0
        BEGIN_GENERAL ldrsb, x0
        BEGIN_GENERAL ldrh, w0
        BEGIN_GENERAL ldrsh, x0
        BEGIN_GENERAL ldr, w0
        BEGIN_GENERAL ldrsw, x0
        BEGIN_GENERAL ldr, x0

        PAIRS   BEGIN_PAIR, 0, 1

        RUNS    BEGIN

        CALLS   BEGIN
        .cfi_endproc
        .size   gsf_arch_thunk, .-gsf_arch_thunk

        .section .note.GNU-stack, "", %progbits
