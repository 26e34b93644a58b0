/* amd64.S: the code that makes a planned call (System V ABI; plan.h says what a plan is).
 *
 * The steps of BEGIN_... are functions, int (void *args, void *ret, void *steps), that are called on
 * the thread's own stack as a foreign call.  Each does its part and jumps to the first step; each
 * step does its own and jumps to the next; the last one calls the function, puts the result where it
 * is wanted, and returns 0.
 *
 *     step      go 0, arg 8, inside 16; 24 bytes; below the first, at -8: bytes for the stack
 *
 *     rbp       this frame: at -8 is ret
 *     r10       the step            r11  args            rax  whatever a step needs
 *     rdi       where the next argument on the stack goes: those are first
 *
 * rbp is the only register that is saved: what a caller keeps in the others would come back to it
 * through memory, late.
 *
 * Indirect jumps are one for each argument; the processor predicts them by the path that led there,
 * and the path of a call site is the same each time.  They are marked notrack, so that their
 * targets need no endbr64.
 */

        .text

        .macro  NEXT
        addq    $24, %r10
        notrack jmpq *(%r10)
        .endm

/* Begins a step: notes where it is. */
        .macro  STEP
        .p2align 3
77:     .pushsection .rodata.gsf_steps, "a"
        .long   77b - gsf_arch_thunk
        .popsection
        .endm

/* rax = the pointer to the argument */
        .macro  ARGUMENT
        movq    8(%r10), %rax
        movq    (%r11, %rax), %rax
        .endm

/* rax = the pointer to the word in it */
        .macro  ARGUMENT_INSIDE
        ARGUMENT
        addq    16(%r10), %rax
        .endm

        .macro  TO_STACK load:vararg
        STEP
        ARGUMENT
        \load
        movq    %rax, (%rdi)
        addq    $8, %rdi
        NEXT
        .endm

        .macro  TO_GENERAL load:vararg
        STEP
        ARGUMENT
        \load
        NEXT
        .endm

        .macro  WORD_TO_GENERAL load:vararg
        STEP
        ARGUMENT_INSIDE
        \load
        NEXT
        .endm

        .macro  MORE_TO_GENERAL shift, q, load:vararg
        STEP
        ARGUMENT_INSIDE
        \load
        shlq    $\shift, %rax
        orq     %rax, %\q
        NEXT
        .endm

        .macro  GENERAL q, d
        TO_GENERAL movzbl (%rax), %\d
        TO_GENERAL movsbq (%rax), %\q
        TO_GENERAL movzwl (%rax), %\d
        TO_GENERAL movswq (%rax), %\q
        TO_GENERAL movl (%rax), %\d
        TO_GENERAL movslq (%rax), %\q
        TO_GENERAL movq (%rax), %\q
        WORD_TO_GENERAL movzbl (%rax), %\d
        WORD_TO_GENERAL movzwl (%rax), %\d
        WORD_TO_GENERAL movl (%rax), %\d
        WORD_TO_GENERAL movq (%rax), %\q
        MORE_TO_GENERAL 16, \q, movzbl (%rax), %eax
        MORE_TO_GENERAL 32, \q, movzbl (%rax), %eax
        MORE_TO_GENERAL 32, \q, movzwl (%rax), %eax
        MORE_TO_GENERAL 48, \q, movzbl (%rax), %eax
        .endm

/* Two arguments in a row into two registers in a row, with half the jumps. */
        .macro  LOAD_PAIR first, from, second, to, toq
        movq    8(%r10), %rax
        movq    8(%r11, %rax), %\toq
        movq    (%r11, %rax), %rax
        \second (%\toq), %\to
        \first (%rax), %\from
        .endm

        .macro  PAIR first, from, second, to, toq
        STEP
        LOAD_PAIR \first, \from, \second, \to, \toq
        NEXT
        .endm

        .macro  PAIRS pair, q1, d1, q2, d2
        \pair   movl, \d1, movl, \d2, \q2
        \pair   movl, \d1, movslq, \q2, \q2
        \pair   movl, \d1, movq, \q2, \q2
        \pair   movslq, \q1, movl, \d2, \q2
        \pair   movslq, \q1, movslq, \q2, \q2
        \pair   movslq, \q1, movq, \q2, \q2
        \pair   movq, \q1, movl, \d2, \q2
        \pair   movq, \q1, movslq, \q2, \q2
        \pair   movq, \q1, movq, \q2, \q2
        .endm

/* The first n arguments in a row into the first n registers. */
        .macro  RUN begin, n
        RUN_OF  \begin, \n, movl, edi, esi, edx, ecx, r8d, r9d
        RUN_OF  \begin, \n, movslq, rdi, rsi, rdx, rcx, r8, r9
        RUN_OF  \begin, \n, movq, rdi, rsi, rdx, rcx, r8, r9
        .endm

        .macro  RUN_OF begin, n, load, a, b, c, d, e, f
        \begin
        movq    8(%r10), %rax
        addq    %r11, %rax
        movq    (%rax), %rdi
        movq    8(%rax), %rsi
        movq    16(%rax), %rdx
        .if     \n > 3
        movq    24(%rax), %rcx
        .endif
        .if     \n > 4
        movq    32(%rax), %r8
        .endif
        .if     \n > 5
        movq    40(%rax), %r9
        .endif
        \load   (%rdi), %\a
        \load   (%rsi), %\b
        \load   (%rdx), %\c
        .if     \n > 3
        \load   (%rcx), %\d
        .endif
        .if     \n > 4
        \load   (%r8), %\e
        .endif
        .if     \n > 5
        \load   (%r9), %\f
        .endif
        NEXT
        .endm

        .macro  RUNS begin
        RUN     \begin, 3
        RUN     \begin, 4
        RUN     \begin, 5
        RUN     \begin, 6
        .endm

/* Two arguments in a row to the stack, by way of registers that no argument is in yet. */
        .macro  STACK_PAIR first, from, second, to, toq
        STEP
        LOAD_PAIR \first, \from, \second, \to, \toq
        movq    %rcx, (%rdi)
        movq    %rdx, 8(%rdi)
        addq    $16, %rdi
        NEXT
        .endm

        .macro  VECTOR x
        TO_GENERAL movss (%rax), %\x
        TO_GENERAL movsd (%rax), %\x
        WORD_TO_GENERAL movss (%rax), %\x
        WORD_TO_GENERAL movsd (%rax), %\x
        .endm

/* The call.  Behind it rsi is where the result is wanted, and rax, rdx, xmm0, xmm1 and st are what
 * came back. */
        .macro  CALL
        movl    8(%r10), %eax           /* vector registers in use, for variadic functions */
        callq   *16(%r10)
        movq    -8(%rbp), %rsi
        .endm

        .macro  RETURN
        xorl    %eax, %eax
        .cfi_remember_state
        leave
        .cfi_def_cfa rsp, 8
        ret
        .cfi_restore_state
        .endm

        .macro  CALLS begin
        \begin
        CALL
        RETURN
        \begin
        CALL
        movb    %al, (%rsi)
        RETURN
        \begin
        CALL
        movw    %ax, (%rsi)
        RETURN
        \begin
        CALL
        movl    %eax, (%rsi)
        RETURN
        \begin
        CALL
        movq    %rax, (%rsi)
        RETURN
        \begin
        CALL
        movss   %xmm0, (%rsi)
        RETURN
        \begin
        CALL
        movsd   %xmm0, (%rsi)
        RETURN
        \begin
        CALL
        fstpt   (%rsi)
        RETURN
        \begin
        CALL
        fstpt   (%rsi)
        fstpt   16(%rsi)
        RETURN
        \begin
        CALL
        movq    %rax, (%rsi)
        movq    %rdx, 8(%rsi)
        RETURN
        \begin
        CALL
        movsd   %xmm0, (%rsi)
        movsd   %xmm1, 8(%rsi)
        RETURN
        \begin
        CALL
        movq    %rax, (%rsi)
        movsd   %xmm0, 8(%rsi)
        RETURN
        \begin
        CALL
        movsd   %xmm0, (%rsi)
        movq    %rax, 8(%rsi)
        RETURN
        .endm

/* The beginning of a function. */
        .macro  BEGIN
        .p2align 4
        .cfi_remember_state
        .cfi_def_cfa rsp, 8
        .cfi_restore rbp
        STEP
        endbr64
        pushq   %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset rbp, -16
        movq    %rsp, %rbp
        .cfi_restore_state
        pushq   %rsi
        pushq   %rsi                    /* for alignment */
        movq    %rdi, %r11
        movq    %rdx, %r10
        .endm

        .macro  BEGIN_GENERAL load:vararg
        BEGIN
        ARGUMENT
        \load
        NEXT
        .endm

        .macro  BEGIN_PAIR first, from, second, to, toq
        BEGIN
        LOAD_PAIR \first, \from, \second, \to, \toq
        NEXT
        .endm

        .pushsection .rodata.gsf_steps, "a"
        .globl  gsf_arch_steps
        .hidden gsf_arch_steps
        .type   gsf_arch_steps, @object
        .p2align 2
gsf_arch_steps:
        .popsection

        .globl  gsf_arch_thunk
        .hidden gsf_arch_thunk
        .type   gsf_arch_thunk, @function
        .p2align 4
gsf_arch_thunk:
        .cfi_startproc
        .cfi_def_cfa rbp, 16
        .cfi_offset rbp, -16

        TO_STACK movzbl (%rax), %eax
        TO_STACK movsbq (%rax), %rax
        TO_STACK movzwl (%rax), %eax
        TO_STACK movswq (%rax), %rax
        TO_STACK movl (%rax), %eax
        TO_STACK movslq (%rax), %rax
        TO_STACK movq (%rax), %rax

        PAIRS   STACK_PAIR, rcx, ecx, rdx, edx

        STEP                            /* STEP_COPY: no argument is in its register yet */
        ARGUMENT
        movq    16(%r10), %rdx
        movq    %rax, %rsi
        leaq    7(%rdi, %rdx), %rax
        andq    $-8, %rax
        pushq   %r10                    /* below the arguments that are there */
        pushq   %r11
        pushq   %rax
        pushq   %rax
        callq   *memcpy@GOTPCREL(%rip)
        popq    %rdi
        popq    %rdi
        popq    %r11
        popq    %r10
        NEXT

        STEP                            /* STEP_ALIGN */
        addq    $15, %rdi
        andq    $-16, %rdi
        NEXT

        GENERAL rdi, edi
        GENERAL rsi, esi
        GENERAL rdx, edx
        GENERAL rcx, ecx
        GENERAL r8, r8d
        GENERAL r9, r9d

        PAIRS   PAIR, rdi, edi, rsi, esi
        PAIRS   PAIR, rsi, esi, rdx, edx
        PAIRS   PAIR, rdx, edx, rcx, ecx
        PAIRS   PAIR, rcx, ecx, r8, r8d
        PAIRS   PAIR, r8, r8d, r9, r9d

        RUNS    STEP

        STEP                            /* STEP_RESULT */
        movq    -8(%rbp), %rdi
        NEXT

        VECTOR  xmm0
        VECTOR  xmm1
        VECTOR  xmm2
        VECTOR  xmm3
        VECTOR  xmm4
        VECTOR  xmm5
        VECTOR  xmm6
        VECTOR  xmm7

        CALLS   STEP

        BEGIN                           /* BEGIN_STACK */
        subq    -8(%r10), %rsp
        movq    %rsp, %rdi
        notrack jmpq *(%r10)

        BEGIN
        notrack jmpq *(%r10)

        BEGIN_GENERAL movzbl (%rax), %edi
        BEGIN_GENERAL movsbq (%rax), %rdi
        BEGIN_GENERAL movzwl (%rax), %edi
        BEGIN_GENERAL movswq (%rax), %rdi
        BEGIN_GENERAL movl (%rax), %edi
        BEGIN_GENERAL movslq (%rax), %rdi
        BEGIN_GENERAL movq (%rax), %rdi

        PAIRS   BEGIN_PAIR, rdi, edi, rsi, esi

        RUNS    BEGIN

        CALLS   BEGIN
        .cfi_endproc
        .size   gsf_arch_thunk, .-gsf_arch_thunk

        .section .note.GNU-stack, "", @progbits
