/* arm64_stubs.S: C functions without end, for callbacks (AAPCS64; see ffi/trampoline.c).
 *
 * Each stub says its number in x9, which belongs to no argument, and jumps to what they have in
 * common: that makes room for a struct gsf_frame, stores the argument registers there (g[8] at 0,
 * f[8] at 64), finds the gs_callback by the number, and calls gsf_stub_called, whose result goes into
 * both registers that a scalar may come back in.  x29 is set up as a frame.
 */

#define STUBS 1024              /* as in ffi/trampoline.c */
#define FRAME 288               /* sizeof(gsf_frame), and 16-aligned */

        .text

/* Not functions that C has names for; 16 bytes each. */
        .globl  gsf_stubs
        .hidden gsf_stubs
        .type   gsf_stubs, %function
        .p2align 4
gsf_stubs:
        .cfi_startproc
        .set    number, 0
        .rept   STUBS
        hint    #34                     /* bti c */
        mov     w9, #number
        b       gsf_stub_common
        nop
        .set    number, number + 1
        .endr
        .cfi_endproc
        .size   gsf_stubs, .-gsf_stubs

        .type   gsf_stub_common, %function
        .p2align 4
gsf_stub_common:
        .cfi_startproc
        stp     x29, x30, [sp, #-(FRAME + 16)]!
        .cfi_def_cfa_offset FRAME + 16
        .cfi_offset 29, -(FRAME + 16)
        .cfi_offset 30, -(FRAME + 8)
        mov     x29, sp
        stp     x0, x1, [sp, #16]
        stp     x2, x3, [sp, #32]
        stp     x4, x5, [sp, #48]
        stp     x6, x7, [sp, #64]
        adrp    x10, gsf_stub_callbacks
        add     x10, x10, :lo12:gsf_stub_callbacks
        ldr     x1, [x10, x9, lsl #3]
        ldrb    w11, [x1]               /* gs_callback's vector */
        cbz     w11, 1f
        stp     d0, d1, [sp, #80]
        stp     d2, d3, [sp, #96]
        stp     d4, d5, [sp, #112]
        stp     d6, d7, [sp, #128]
1:      add     x0, sp, #16
        bl      gsf_stub_called
        fmov    d0, x0
        ldp     x29, x30, [sp], #(FRAME + 16)
        .cfi_restore 30
        .cfi_restore 29
        .cfi_def_cfa_offset 0
        ret
        .cfi_endproc
        .size   gsf_stub_common, .-gsf_stub_common

        .section .note.GNU-stack, "", %progbits
