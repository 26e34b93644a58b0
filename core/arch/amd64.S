/* amd64.S: changing stacks on x86-64 (System V ABI).
 *
 * gs_arch_switch saves what a called function must preserve - rbx, rbp, r12-r15, the control bits
 * of MXCSR and of the x87 unit - on the stack it leaves, stores the stack pointer, loads the other
 * one and takes the same from there.  It returns with ret: nearly every switch is made at the same
 * place (switch_g_to_g), so the return predictor, which expects to go back there, is right although
 * the stack is another one; a jmp would leave it off by one, and every return above would miss.
 *
 * That expectation is also why a green thread begins and ends as a call does.  gs_arch_begin leaves
 * with a jmp, so that the predictor still expects what the one that was left would return to; and
 * when the new one's first function returns, gs_arch_start loads the next stack itself and returns
 * there, or begins another fresh one by a jmp.  A green thread that runs to its end and is followed
 * by the one that it interrupted, which is what a join is, thus costs no missed return, where all
 * returns of the joiner would miss.
 *
 * A saved stack, from its sp upwards:  mxcsr|fcw, r15, r14, r13, r12, rbx, rbp, return address.
 *
 * gs_arch_call calls a function on another stack and comes back: a foreign function on g0, a callback
 * on the green thread's stack.  It leaves the stack pointer of the stack it came from at the top of
 * the other one: a callback continues below it.  rbp is set up as a frame, so that debuggers and
 * unwinders walk from the function through here into the stack it was called from.
 * The outer frames may stand at lower addresses than the inner ones, which gdb takes for a corrupt
 * stack except at a signal frame; so this one says that it is one.
 */

        .text

/* What a called function must preserve, pushed. */
        .macro  save_registers
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r15, 0
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        .endm

/* void gs_arch_switch(void **save_sp, void *load_sp) */
        .globl  gs_arch_switch
        .hidden gs_arch_switch
        .type   gs_arch_switch, @function
        .p2align 4
gs_arch_switch:
        .cfi_startproc
        endbr64
        save_registers
        .cfi_remember_state
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movq    %rsp, (%rdi)
        /* Loading controls is slow, and nearly always they are the same. */
        movl    (%rsp), %eax
        movzwl  4(%rsp), %ecx
.Lload:
        cmpl    (%rsi), %eax
        jne     1f
        cmpw    4(%rsi), %cx
        jne     1f
        /* The other stack has the same shape, so the same unwind rules hold for it. */
        movq    %rsi, %rsp
2:      addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbp
        ret
        .cfi_restore_state
1:      movq    %rsi, %rsp
        ldmxcsr (%rsp)
        fldcw   4(%rsp)
        jmp     2b
        .cfi_endproc
        .size   gs_arch_switch, .-gs_arch_switch

/* void gs_arch_begin(void **save_sp, void *load_sp): as gs_arch_switch, to a stack that is fresh */
        .globl  gs_arch_begin
        .hidden gs_arch_begin
        .type   gs_arch_begin, @function
        .p2align 4
gs_arch_begin:
        .cfi_startproc
        endbr64
        save_registers
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movq    %rsp, (%rdi)
        movl    (%rsp), %eax
        movzwl  4(%rsp), %ecx
.Lload_fresh:
        cmpl    (%rsi), %eax
        jne     1f
        cmpw    4(%rsi), %cx
        jne     1f
2:      movq    32(%rsi), %r12          /* entry */
        leaq    64(%rsi), %rsp
        .cfi_undefined rip
        jmp     gs_arch_start
1:      ldmxcsr (%rsi)
        fldcw   4(%rsi)
        jmp     2b
        .cfi_endproc
        .size   gs_arch_begin, .-gs_arch_begin

/* Where a fresh stack starts: r12 has the entry function, which returns the sp of the stack to go
 * to, at its end, plus 1 if that one is fresh.  Nobody called us, and unwinders must stop here (also
 * those of pthread_exit, which runs on a green thread's stack when an interpreter ends its
 * threads). */
        .globl  gs_arch_start
        .hidden gs_arch_start
        .type   gs_arch_start, @function
        .p2align 4
gs_arch_start:
        .cfi_startproc
        .cfi_undefined rip
        endbr64
        xorl    %ebp, %ebp
        callq   *%r12
        movq    %rax, %rsi
        stmxcsr -8(%rsp)
        fnstcw  -4(%rsp)
        movl    -8(%rsp), %eax
        movzwl  -4(%rsp), %ecx
        testb   $1, %sil
        je      .Lload
        decq    %rsi                    /* a fresh one, and no ret either */
        jmp     .Lload_fresh
        .cfi_endproc
        .size   gs_arch_start, .-gs_arch_start

/* void gs_arch_controls(uint64_t *out): mxcsr|fcw as this thread has them now */
        .globl  gs_arch_controls
        .hidden gs_arch_controls
        .type   gs_arch_controls, @function
        .p2align 4
gs_arch_controls:
        .cfi_startproc
        endbr64
        stmxcsr (%rdi)
        fnstcw  4(%rdi)
        ret
        .cfi_endproc
        .size   gs_arch_controls, .-gs_arch_controls

/* void *gs_arch_frame(void *top, void *(*entry)(void), uint64_t controls): top is 16-aligned */
        .globl  gs_arch_frame
        .hidden gs_arch_frame
        .type   gs_arch_frame, @function
        .p2align 4
gs_arch_frame:
        .cfi_startproc
        endbr64
        leaq    gs_arch_start(%rip), %rax
        movq    $0, -8(%rdi)
        movq    $0, -16(%rdi)           /* rsp is here in gs_arch_start: 16-aligned for its call */
        movq    %rax, -24(%rdi)         /* return address */
        movq    $0, -32(%rdi)           /* rbp */
        movq    $0, -40(%rdi)           /* rbx */
        movq    %rsi, -48(%rdi)         /* r12: entry */
        movq    $0, -56(%rdi)           /* r13 */
        movq    $0, -64(%rdi)           /* r14 */
        movq    $0, -72(%rdi)           /* r15 */
        movq    %rdx, -80(%rdi)         /* mxcsr|fcw */
        leaq    -80(%rdi), %rax
        ret
        .cfi_endproc
        .size   gs_arch_frame, .-gs_arch_frame

/* int gs_arch_call(int (*fn)(void *), void *arg, void *sp): sp is 16-aligned; 8 bytes there and
 * everything below are free */
        .globl  gs_arch_call
        .hidden gs_arch_call
        .type   gs_arch_call, @function
        .p2align 4
gs_arch_call:
        .cfi_startproc
        .cfi_signal_frame
        .cfi_personality 0x1b, gs_arch_personality      /* see core/personality.c */
        endbr64
        pushq   %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset rbp, -16
        movq    %rsp, %rbp
        .cfi_def_cfa_register rbp
        movq    %rdi, %rax
        movq    %rsi, %rdi
        movq    %rsp, (%rdx)
        movq    %rdx, %rsp
        callq   *%rax
        movq    %rbp, %rsp
        popq    %rbp
        .cfi_def_cfa rsp, 8
        ret
        .cfi_endproc
        .size   gs_arch_call, .-gs_arch_call

        .section .note.GNU-stack, "", @progbits
