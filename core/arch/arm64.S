/* arm64.S: changing stacks on 64-bit Arm (AAPCS64).
 *
 * gs_arch_switch saves what a called function must preserve - x19-x28, the frame pointer x29, the
 * link register x30, the low halves of v8-v15 (d8-d15), and FPCR, which rounds and traps for the
 * green thread - on the stack it leaves, stores the stack pointer, loads the other one and takes
 * the same from there.  x18 is the platform's and belongs to the thread, not to the green thread:
 * Linux leaves it alone, and it is not touched here.
 *
 * A saved stack, from its sp upwards (176 bytes, sp stays 16-aligned):
 *     0 x29  8 x30  16 x19  24 x20 … 88 x28  96 d8  104 d9 … 152 d15  160 FPCR  168 unused
 *
 * FPCR is written only if it differs: nearly all green threads round alike, and a write to it may
 * drain the pipeline.  FPSR, the flags of what happened, is not preserved over calls by the
 * procedure call standard and so is not kept here either.
 *
 * Pointer authentication (PAC).  A signed return address is signed with the sp it was pushed under,
 * and a green thread's stack never moves, so signatures of frames above stay right on whatever
 * thread the green thread goes on: the keys belong to the process.  x30 as gs_arch_switch saves it
 * is the plain address of the instruction after the bl, because nothing here signs; its callers
 * have signed theirs before, on their own frames.  It is as safe as a jmp_buf and no safer.  Leaf
 * functions need no signature.
 *
 * Branch targets (BTI).  Every function that can be called through a pointer, and gs_arch_start,
 * where a fresh stack begins, starts with "bti c"; the first switch to a fresh stack ends in a ret,
 * which needs no landing pad.  The note at the end says so to the linker; the instruction is a hint
 * (hint #34), a no-op on processors that do not know it.
 *
 * Guarded control stacks (GCS, Armv9.4) keep a second stack of return addresses, which a switch
 * would have to change too.  The note does not claim GCS, so a process that loads this does not
 * enforce it.
 */

        .arch   armv8-a

        .macro  landing
        hint    #34                     /* bti c */
        .endm

        .text

/* void gs_arch_switch(void **save_sp, void *load_sp) */
        .globl  gs_arch_switch
        .hidden gs_arch_switch
        .type   gs_arch_switch, %function
        .p2align 4
gs_arch_switch:
        .cfi_startproc
        landing
        stp     x29, x30, [sp, #-176]!
        .cfi_adjust_cfa_offset 176
        .cfi_rel_offset x29, 0
        .cfi_rel_offset x30, 8
        stp     x19, x20, [sp, #16]
        .cfi_rel_offset x19, 16
        .cfi_rel_offset x20, 24
        stp     x21, x22, [sp, #32]
        .cfi_rel_offset x21, 32
        .cfi_rel_offset x22, 40
        stp     x23, x24, [sp, #48]
        .cfi_rel_offset x23, 48
        .cfi_rel_offset x24, 56
        stp     x25, x26, [sp, #64]
        .cfi_rel_offset x25, 64
        .cfi_rel_offset x26, 72
        stp     x27, x28, [sp, #80]
        .cfi_rel_offset x27, 80
        .cfi_rel_offset x28, 88
        stp     d8, d9, [sp, #96]
        .cfi_rel_offset b8, 96
        .cfi_rel_offset b9, 104
        stp     d10, d11, [sp, #112]
        .cfi_rel_offset b10, 112
        .cfi_rel_offset b11, 120
        stp     d12, d13, [sp, #128]
        .cfi_rel_offset b12, 128
        .cfi_rel_offset b13, 136
        stp     d14, d15, [sp, #144]
        .cfi_rel_offset b14, 144
        .cfi_rel_offset b15, 152
        mrs     x9, fpcr
        str     x9, [sp, #160]
        mov     x10, sp
        str     x10, [x0]
.Lload:
        /* The other stack has the same shape, so the same unwind rules hold for it. */
        mov     sp, x1
        ldr     x10, [sp, #160]
        cmp     x10, x9
        b.eq    1f
        msr     fpcr, x10
1:      ldp     x19, x20, [sp, #16]
        ldp     x21, x22, [sp, #32]
        ldp     x23, x24, [sp, #48]
        ldp     x25, x26, [sp, #64]
        ldp     x27, x28, [sp, #80]
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        ldp     x29, x30, [sp], #176
        .cfi_adjust_cfa_offset -176
        .cfi_restore x29
        .cfi_restore x30
        .cfi_restore x19
        .cfi_restore x20
        .cfi_restore x21
        .cfi_restore x22
        .cfi_restore x23
        .cfi_restore x24
        .cfi_restore x25
        .cfi_restore x26
        .cfi_restore x27
        .cfi_restore x28
        .cfi_restore b8
        .cfi_restore b9
        .cfi_restore b10
        .cfi_restore b11
        .cfi_restore b12
        .cfi_restore b13
        .cfi_restore b14
        .cfi_restore b15
        ret
        .cfi_endproc
        .size   gs_arch_switch, .-gs_arch_switch

/* Where a fresh stack starts: x19 has the entry function, which returns the sp of the stack to go
 * to, at its end: see amd64.S.  Nobody called us, and unwinders must stop here (also those of
 * pthread_exit, which runs on a green thread's stack when an interpreter ends its threads). */
        .globl  gs_arch_start
        .hidden gs_arch_start
        .type   gs_arch_start, %function
        .p2align 4
gs_arch_start:
        .cfi_startproc
        .cfi_undefined x30
        landing
        mov     x29, xzr
        mov     x30, xzr
        blr     x19
        mov     x1, x0
        mrs     x9, fpcr
        b       .Lload
        .cfi_endproc
        .size   gs_arch_start, .-gs_arch_start

/* void gs_arch_controls(uint64_t *out): FPCR as this thread has it now */
        .globl  gs_arch_controls
        .hidden gs_arch_controls
        .type   gs_arch_controls, %function
        .p2align 4
gs_arch_controls:
        .cfi_startproc
        landing
        mrs     x9, fpcr
        str     x9, [x0]
        ret
        .cfi_endproc
        .size   gs_arch_controls, .-gs_arch_controls

/* void *gs_arch_frame(void *top, void *(*entry)(void), uint64_t controls): top is 16-aligned */
        .globl  gs_arch_frame
        .hidden gs_arch_frame
        .type   gs_arch_frame, %function
        .p2align 4
gs_arch_frame:
        .cfi_startproc
        landing
        adrp    x9, gs_arch_start
        add     x9, x9, :lo12:gs_arch_start
        sub     x0, x0, #176            /* sp is top in gs_arch_start */
        stp     xzr, x9, [x0]           /* x29, x30: where the switch returns to */
        stp     x1, xzr, [x0, #16]      /* x19: entry */
        stp     xzr, xzr, [x0, #32]
        stp     xzr, xzr, [x0, #48]
        stp     xzr, xzr, [x0, #64]
        stp     xzr, xzr, [x0, #80]
        stp     xzr, xzr, [x0, #96]     /* d8… */
        stp     xzr, xzr, [x0, #112]
        stp     xzr, xzr, [x0, #128]
        stp     xzr, xzr, [x0, #144]
        stp     x2, xzr, [x0, #160]     /* FPCR */
        ret
        .cfi_endproc
        .size   gs_arch_frame, .-gs_arch_frame

/* int gs_arch_call(int (*fn)(void *), void *arg, void *sp): calls a function on another stack and
 * comes back: a foreign function on g0, a callback on the green thread's stack.  It leaves the stack
 * pointer of the stack it came from at sp: a callback goes on below it.  x29 is set up as a frame, so that debuggers and unwinders walk from the foreign
 * function through here into the green thread.  The outer frames may stand at lower addresses than
 * the inner ones, which gdb takes for a corrupt stack except at a signal frame; so this one says
 * that it is one. */
        .globl  gs_arch_call
        .hidden gs_arch_call
        .type   gs_arch_call, %function
        .p2align 4
gs_arch_call:
        .cfi_startproc
        .cfi_signal_frame
        .cfi_personality 0x1b, gs_arch_personality      /* see core/personality.c */
        landing
        stp     x29, x30, [sp, #-16]!
        .cfi_def_cfa_offset 16
        .cfi_offset x29, -16
        .cfi_offset x30, -8
        mov     x29, sp
        .cfi_def_cfa_register x29
        mov     x9, x0
        mov     x0, x1
        str     x29, [x2]
        mov     sp, x2
        blr     x9
        mov     sp, x29
        .cfi_def_cfa_register sp
        ldp     x29, x30, [sp], #16
        .cfi_def_cfa_offset 0
        .cfi_restore x29
        .cfi_restore x30
        ret
        .cfi_endproc
        .size   gs_arch_call, .-gs_arch_call

        .section .note.GNU-stack, "", %progbits

/* GNU property: all code here has its BTI landing pads (bit 0) and is PAC-clean (bit 1). */
        .section .note.gnu.property, "a", %note
        .p2align 3
        .word   4
        .word   16
        .word   5
        .asciz  "GNU"
        .word   0xc0000000              /* GNU_PROPERTY_AARCH64_FEATURE_1_AND */
        .word   4
        .word   3
        .word   0
