/* amd64_stubs.S: C functions without end, for callbacks (System V ABI; see ffi/trampoline.c).
 *
 * Each stub says its number in r11, which belongs to no argument, and jumps to what they have in
 * common: that makes room for a struct gsf_frame, stores the argument registers there (g[8] at 0, of
 * which six are used, f[8] at 64), finds the gs_callback by the number, and calls gsf_stub_called,
 * whose result goes into both registers that a scalar may come back in.  rbp is set up as a frame.
 */

#define STUBS 1024              /* as in ffi/trampoline.c */
#define FRAME 288               /* sizeof(gsf_frame), and 16-aligned */

        .text

/* Not functions that C has names for; 16 bytes each. */
        .globl  gsf_stubs
        .hidden gsf_stubs
        .type   gsf_stubs, @function
        .p2align 4
gsf_stubs:
        .cfi_startproc
        .set    number, 0
        .rept   STUBS
        .p2align 4
        endbr64
        movl    $number, %r11d
        jmp     gsf_stub_common
        .set    number, number + 1
        .endr
        .p2align 4
        .cfi_endproc
        .size   gsf_stubs, .-gsf_stubs

        .type   gsf_stub_common, @function
        .p2align 4
gsf_stub_common:
        .cfi_startproc
        pushq   %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset rbp, -16
        movq    %rsp, %rbp
        .cfi_def_cfa_register rbp
        subq    $FRAME, %rsp
        leaq    gsf_stub_callbacks(%rip), %rax
        movq    (%rax,%r11,8), %rax
        movq    %rdi, 0(%rsp)
        movq    %rsi, 8(%rsp)
        movq    %rdx, 16(%rsp)
        movq    %rcx, 24(%rsp)
        movq    %r8, 32(%rsp)
        movq    %r9, 40(%rsp)
        cmpb    $0, (%rax)              /* gs_callback's vector */
        jne     2f
1:      movq    %rsp, %rdi
        movq    %rax, %rsi
        callq   gsf_stub_called
        movq    %rax, %xmm0
        leave
        .cfi_remember_state
        .cfi_def_cfa rsp, 8
        ret
        .cfi_restore_state
2:      movsd   %xmm0, 64(%rsp)
        movsd   %xmm1, 72(%rsp)
        movsd   %xmm2, 80(%rsp)
        movsd   %xmm3, 88(%rsp)
        movsd   %xmm4, 96(%rsp)
        movsd   %xmm5, 104(%rsp)
        movsd   %xmm6, 112(%rsp)
        movsd   %xmm7, 120(%rsp)
        jmp     1b
        .cfi_endproc
        .size   gsf_stub_common, .-gsf_stub_common

        .section .note.GNU-stack, "", @progbits
