/* amd64.S: the code that makes a planned call (System V ABI; plan.h says what a plan is).
 *
 * The steps of BEGIN_... are functions, void (void *args, void *ret, void *plan), that are called on
 * the thread's own stack as a foreign call.  Each does its part and jumps to the first step; each
 * step does its own and jumps to the next; the last one calls the function, puts the result where it
 * is wanted.
 *
 *     plan      steps 24, before them at 16: bytes for the stack
 *     step      go 0, arg 8, inside 16; 24 bytes
 *
 *     r10       the step            r11  args            rax  whatever a step needs
 *     rdi       where the next argument on the stack goes: those are first
 *     rbp       with something on the stack: this frame, where at -8 is ret
 *     rsp       else: there is ret, and the return address behind it
 *
 * A call without anything on the stack, or with all its arguments in one piece of code, has no frame
 * and needs none: what an unwinder finds in rbp on the way to the call is its caller's, which does as
 * well.  At the call itself, where it matters, the two kinds have code of their own.
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
        .macro  LOAD_PAIR all:vararg
        movq    8(%r10), %rax
        addq    %r11, %rax
        LOAD_PAIR_AT rax, \all
        .endm

        .macro  LOAD_PAIR_AT at, first, from, second, to, toq
        movq    8(%\at), %\toq
        movq    (%\at), %rax
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
        \begin \n, movl, edi, esi, edx, ecx, r8d, r9d
        \begin \n, movslq, rdi, rsi, rdx, rcx, r8, r9
        \begin \n, movq, rdi, rsi, rdx, rcx, r8, r9
        .endm

        .macro  STEP_RUN_OF all:vararg
        STEP
        LOAD_RUN \all
        NEXT
        .endm

        .macro  BEGIN_RUN_OF all:vararg
        BEGIN
        LOAD_RUN \all
        NEXT
        .endm

        .macro  LOAD_RUN all:vararg
        movq    8(%r10), %rax
        addq    %r11, %rax
        LOAD_RUN_AT rax, \all
        .endm

        .macro  LOAD_RUN_AT at, n, load, a, b, c, d, e, f
        movq    8(%\at), %rsi
        movq    16(%\at), %rdx
        .if     \n > 3
        movq    24(%\at), %rcx
        .endif
        .if     \n > 4
        movq    32(%\at), %r8
        .endif
        .if     \n > 5
        movq    40(%\at), %r9
        .endif
        movq    (%\at), %rdi
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
        callq   *16(%r10)
        popq    %rsi
        .cfi_adjust_cfa_offset -8
        .endm

        .macro  RETURN
        ret
        .endm

/* The same with a frame. */
        .macro  CALL_FRAMED
        callq   *16(%r10)
        movq    -8(%rbp), %rsi
        .endm

        .macro  RETURN_FRAMED
        .cfi_remember_state
        leave
        .cfi_def_cfa rsp, 8
        ret
        .cfi_restore_state
        .endm

/* Steps that call: eax is how many vector registers are in use, for variadic functions. */
        .macro  STEP_CALL
        STEP
        LIGHT
        movl    8(%r10), %eax
        CALL
        .endm

        .macro  BEGIN_CALL
        BEGIN_WHOLE
        movl    32(%rdx), %eax
        callq   *40(%r10)
        popq    %rsi
        .cfi_adjust_cfa_offset -8
        .endm

        .macro  FRAMED_CALL
        STEP
        FRAMED
        movl    8(%r10), %eax
        CALL_FRAMED
        .endm

        .macro  CALLS call, return
        \call
        \return
        \call
        movb    %al, (%rsi)
        \return
        \call
        movw    %ax, (%rsi)
        \return
        \call
        movl    %eax, (%rsi)
        \return
        \call
        movq    %rax, (%rsi)
        \return
        \call
        movss   %xmm0, (%rsi)
        \return
        \call
        movsd   %xmm0, (%rsi)
        \return
        \call
        fstpt   (%rsi)
        \return
        \call
        fstpt   (%rsi)
        fstpt   16(%rsi)
        \return
        \call
        movq    %rax, (%rsi)
        movq    %rdx, 8(%rsi)
        \return
        \call
        movsd   %xmm0, (%rsi)
        movsd   %xmm1, 8(%rsi)
        \return
        \call
        movq    %rax, (%rsi)
        movsd   %xmm0, 8(%rsi)
        \return
        \call
        movsd   %xmm0, (%rsi)
        movq    %rax, 8(%rsi)
        \return
        .endm

/* All the arguments, from the first, by a macro with its own; and the call, of what is not
 * variadic. */
        .macro  WHOLE load:vararg
        BEGIN_WHOLE
        \load
        CALL_WHOLE
        RETURN
        BEGIN_WHOLE
        \load
        CALL_WHOLE
        movl    %eax, (%rsi)
        RETURN
        BEGIN_WHOLE
        \load
        CALL_WHOLE
        movq    %rax, (%rsi)
        RETURN
        .endm

        .macro  CALL_WHOLE
        callq   *40(%r10)
        popq    %rsi
        .cfi_adjust_cfa_offset -8
        .endm

        .macro  WHOLE_GENERAL load:vararg
        WHOLE   LOAD_GENERAL \load
        .endm

        .macro  LOAD_GENERAL load:vararg
        movq    (%rdi), %rax
        \load
        .endm

        .macro  WHOLE_PAIR first, from, second, to, toq
        WHOLE   LOAD_PAIR_AT rdi, \first, \from, \second, \to, \toq
        .endm

        .macro  WHOLE_RUN_OF all:vararg
        WHOLE   LOAD_RUN_AT rdi, \all
        .endm

/* Six into registers, and then n more on the stack. */
        .macro  LONG n
        LONG_OF \n, movl, edi, esi, edx, ecx, r8d, r9d
        LONG_OF \n, movslq, rdi, rsi, rdx, rcx, r8, r9
        LONG_OF \n, movq, rdi, rsi, rdx, rcx, r8, r9
        .endm

        .macro  LONG_OF n, all:vararg
        BEGIN_WHOLE
        LOAD_LONG \n, \all
        CALL_LONG \n
        RETURN
        BEGIN_WHOLE
        LOAD_LONG \n, \all
        CALL_LONG \n
        movl    %eax, (%rsi)
        RETURN
        BEGIN_WHOLE
        LOAD_LONG \n, \all
        CALL_LONG \n
        movq    %rax, (%rsi)
        RETURN
        .endm

        .macro  LOAD_LONG n, load, a, b, c, d, e, f
        .if     \n > 2
        subq    $32, %rsp
        .cfi_adjust_cfa_offset 32
        .else
        subq    $16, %rsp
        .cfi_adjust_cfa_offset 16
        .endif
        TO_PLACE 0, \load, \b, rsi
        .if     \n > 1
        TO_PLACE 1, \load, \c, rdx
        .endif
        .if     \n > 2
        TO_PLACE 2, \load, \d, rcx
        .endif
        .if     \n > 3
        TO_PLACE 3, \load, \e, r8
        .endif
        LOAD_RUN_AT rdi, 6, \load, \a, \b, \c, \d, \e, \f
        .endm

        .macro  TO_PLACE i, load, r, q
        movq    48+8*\i(%rdi), %\q
        \load   (%\q), %\r
        movq    %\q, 8*\i(%rsp)
        .endm

        .macro  CALL_LONG n
        callq   *40(%r10)
        .if     \n > 2
        addq    $32, %rsp
        .cfi_adjust_cfa_offset -32
        .else
        addq    $16, %rsp
        .cfi_adjust_cfa_offset -16
        .endif
        popq    %rsi
        .cfi_adjust_cfa_offset -8
        .endm

/* The beginning of a function. */
        .macro  BEGIN_PLAIN
        .p2align 5
        .cfi_def_cfa rsp, 8
        .cfi_restore rbp
        STEP
        .endm

        .macro  BEGIN
        BEGIN_PLAIN
        pushq   %rsi
        .cfi_def_cfa_offset 16
        movq    %rdi, %r11
        leaq    24(%rdx), %r10
        .endm

/* The same with all in one piece: r10 is the plan, with the function at 40, and rdi args still. */
        .macro  BEGIN_WHOLE
        BEGIN_PLAIN
        pushq   %rsi
        .cfi_def_cfa_offset 16
        movq    %rdx, %r10
        .endm

        .macro  BEGIN_FRAMED
        BEGIN_PLAIN
        pushq   %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset rbp, -16
        movq    %rsp, %rbp
        .cfi_def_cfa rbp, 16
        pushq   %rsi
        pushq   %rsi                    /* for alignment */
        movq    %rdi, %r11
        leaq    24(%rdx), %r10
        subq    -8(%r10), %rsp
        .endm

/* Where the return address is, in a step of the one kind or the other. */
        .macro  LIGHT
        .cfi_def_cfa rsp, 16
        .cfi_restore rbp
        .endm

        .macro  FRAMED
        .cfi_def_cfa rbp, 16
        .cfi_offset rbp, -16
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

        .macro  BEGIN_STACK_PAIR first, from, second, to, toq
        BEGIN_FRAMED
        LOAD_PAIR \first, \from, \second, \to, \toq
        movq    %rcx, (%rsp)
        movq    %rdx, 8(%rsp)
        leaq    16(%rsp), %rdi
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
        FRAMED

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

        RUNS    STEP_RUN_OF

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

        CALLS   STEP_CALL, RETURN

        BEGIN_FRAMED                    /* BEGIN_STACK */
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

        RUNS    BEGIN_RUN_OF

        CALLS   BEGIN_CALL, RETURN

        CALLS   FRAMED_CALL, RETURN_FRAMED

        PAIRS   BEGIN_STACK_PAIR, rcx, ecx, rdx, edx

        WHOLE_GENERAL movzbl (%rax), %edi
        WHOLE_GENERAL movsbq (%rax), %rdi
        WHOLE_GENERAL movzwl (%rax), %edi
        WHOLE_GENERAL movswq (%rax), %rdi
        WHOLE_GENERAL movl (%rax), %edi
        WHOLE_GENERAL movslq (%rax), %rdi
        WHOLE_GENERAL movq (%rax), %rdi

        PAIRS   WHOLE_PAIR, rdi, edi, rsi, esi

        RUNS    WHOLE_RUN_OF

        LONG    1
        LONG    2
        LONG    3
        LONG    4
        .cfi_endproc
        .size   gsf_arch_thunk, .-gsf_arch_thunk

        .section .note.GNU-stack, "", @progbits
