/* The program's entry, the way into a guest and back, and the vectors. */
#include "asm.h"

.macro address reg, symbol
	lis	\reg, \symbol@h
	ori	\reg, \reg, \symbol@l
.endm

/* MSR with SF set, and all else as it is, in a register */
.macro msr_with_sf reg, other
	mfmsr	\reg
	li	\other, 1
	rldicr	\other, \other, 63, 0
	or	\reg, \reg, \other
.endm

	.section .head, "ax"
	.globl _start
_start:
	mfmsr	r31
	/* 64-bit mode, no translation: firmware maps us where we are. */
	li	r0, 1
	rldicr	r0, r0, 63, 0
	ori	r0, r0, 0x1002
	rldicr	r11, r31, 0, 3
	or	r0, r0, r11
	bcl	20, 31, 1f
1:	mflr	r11
	/* skiboot starts an image where it lies: move to where it is linked. */
	address	r12, 1b
	sub	r11, r11, r12
	address	r12, _start
	add	r11, r11, r12
	address	r10, __bss_start
	cmpd	r11, r12
	beq	6f
5:	ld	r6, 0(r11)
	std	r6, 0(r12)
	addi	r11, r11, 8
	addi	r12, r12, 8
	cmpld	r12, r10
	blt	5b
	sync
	isync
6:	address	r11, 2f
	mtsrr0	r11
	mtsrr1	r0
	rfid
2:	address	r12, __bss_start
	address	r11, __bss_end
	li	r0, 0
3:	cmpld	r12, r11
	bge	4f
	std	r0, 0(r12)
	addi	r12, r12, 8
	b	3b
4:	address	r12, entry_gpr
	std	r3, 24(r12)
	std	r4, 32(r12)
	std	r5, 40(r12)
	std	r8, 64(r12)
	std	r9, 72(r12)
	address	r12, entry_msr
	std	r31, 0(r12)
	address	r1, stack + STACK_SIZE - 128
	address	r2, .TOC.
	bl	main
	b	.

	/* Where another processor begins, with what start-cpu was given in r3. */
	.globl	second_start
second_start:
	msr_with_sf r0, r11
	ori	r0, r0, 0x1002
	mtmsrd	r0
	isync
	address	r1, second_stack + STACK_SIZE - 128
	address	r2, .TOC.
	.weak	second_main
	bl	second_main
	b	.

	.text
	.macro	save_host
	mflr	r0
	std	r0, CTX_HOST(r3)
	mfcr	r0
	std	r0, CTX_HOST + 8(r3)
	std	r1, CTX_HOST + 16(r3)
	std	r2, CTX_HOST + 24(r3)
	.irp	n, 13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	std	\n, CTX_HOST + 32 + (\n - 13) * 8(r3)
	.endr
	.endm

	.macro	load_guest
	ld	r4, CTX_CR(r3)
	mtcr	r4
	ld	r4, CTX_LR(r3)
	mtlr	r4
	ld	r4, CTX_CTR(r3)
	mtctr	r4
	ld	r4, CTX_XER(r3)
	mtxer	r4
	.irp	n, 0,1,2,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	ld	\n, CTX_GPR(\n)(r3)
	.endr
	ld	r4, CTX_GPR(4)(r3)
	ld	r3, CTX_GPR(3)(r3)
	.endm

	/* u64 enter_hypervisor(struct context *): hrfid leaves SRR0 and SRR1 to the guest. */
	.globl	enter_hypervisor
enter_hypervisor:
	save_host
	mtspr	SPR_HSPRG0, r3
	ld	r4, CTX_SRR0(r3)
	mtsrr0	r4
	ld	r4, CTX_SRR1(r3)
	mtsrr1	r4
	ld	r4, CTX_NIP(r3)
	mtspr	SPR_HSRR0, r4
	ld	r4, CTX_MSR(r3)
	mtspr	SPR_HSRR1, r4
	load_guest
	.long	0x4c000224	/* hrfid */

	/* The same without a hypervisor mode. */
	.globl	enter_supervisor
enter_supervisor:
	save_host
	mtspr	SPR_SPRG0, r3
	ld	r4, CTX_NIP(r3)
	mtsrr0	r4
	ld	r4, CTX_MSR(r3)
	mtsrr1	r4
	load_guest
	rfid

	.macro	leave name, scratch, hsrr
\name:	/* r3: the context; r4: the vector, and what r3 was is in the scratch register */
	std	r4, CTX_VECTOR(r3)
	.irp	n, 0,1,2,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	std	\n, CTX_GPR(\n)(r3)
	.endr
	mfspr	r5, \scratch
	std	r5, CTX_GPR(3)(r3)
	mfcr	r5
	std	r5, CTX_CR(r3)
	mflr	r5
	std	r5, CTX_LR(r3)
	mfctr	r5
	std	r5, CTX_CTR(r3)
	mfxer	r5
	std	r5, CTX_XER(r3)
	mfsrr0	r5
	std	r5, CTX_SRR0(r3)
	mfsrr1	r5
	std	r5, CTX_SRR1(r3)
	.if	\hsrr
	mfspr	r5, SPR_HSRR0
	std	r5, CTX_HSRR0(r3)
	mfspr	r5, SPR_HSRR1
	std	r5, CTX_HSRR1(r3)
	.endif
	mfspr	r5, SPR_DAR
	std	r5, CTX_DAR(r3)
	mfspr	r5, SPR_DSISR
	std	r5, CTX_DSISR(r3)
	mfmsr	r5
	std	r5, CTX_HANDLER_MSR(r3)
	ori	r5, r5, 2
	mtmsrd	r5, 1
	ld	r0, CTX_HOST(r3)
	mtlr	r0
	ld	r0, CTX_HOST + 8(r3)
	mtcr	r0
	ld	r1, CTX_HOST + 16(r3)
	ld	r2, CTX_HOST + 24(r3)
	.irp	n, 13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	ld	\n, CTX_HOST + 32 + (\n - 13) * 8(r3)
	.endr
	ld	r3, CTX_VECTOR(r3)
	blr
	.endm

	leave	leave_hypervisor, SPR_HSPRG1, 1
	leave	leave_supervisor, SPR_SPRG1, 0

	/* Vectors, one each 128 bytes; they are copied to where the processor looks for them. */
	.macro	vectors name, pointer, scratch, common
	.balign	128
	.globl	\name
\name:
	.set	offset, 0
	.rept	32
	mtspr	\scratch, r3
	mfspr	r3, \pointer
	std	r4, CTX_GPR(4)(r3)
	li	r4, offset
	ba	\common
	.balign	128
	.set	offset, offset + 128
	.endr
	.endm

	vectors	hypervisor_vectors, SPR_HSPRG0, SPR_HSPRG1, leave_hypervisor
	vectors	supervisor_vectors, SPR_SPRG0, SPR_SPRG1, leave_supervisor

	/* u64 of_enter(void *args, u64 entry): as firmware left the processor, 32-bit and translated. */
	.globl	of_enter
of_enter:
	mflr	r0
	std	r0, 16(r1)
	stdu	r1, -320(r1)
	std	r2, 40(r1)
	.irp	n, 13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	std	\n, 64 + (\n - 13) * 8(r1)
	.endr
	mfmsr	r31
	std	r31, 48(r1)
	mtctr	r4
	address	r30, entry_msr
	ld	r30, 0(r30)
	mtmsrd	r30
	isync
	bctrl
	/* It has saved the lower halves of registers alone: the rest is on our stack. */
	msr_with_sf r0, r11
	mtmsrd	r0
	isync
	rldicl	r1, r1, 0, 32
	ld	r31, 48(r1)
	mtmsrd	r31
	isync
	ld	r2, 40(r1)
	.irp	n, 13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	ld	\n, 64 + (\n - 13) * 8(r1)
	.endr
	addi	r1, r1, 320
	ld	r0, 16(r1)
	mtlr	r0
	extsw	r3, r3
	blr

	/* u64 opal_call(u64 token, u64 a, u64 b, u64 c): skiboot's, with r2 and the entry that it gave us. */
	.globl	opal_call
opal_call:
	mflr	r0
	std	r0, 16(r1)
	stdu	r1, -128(r1)
	std	r2, 40(r1)
	mr	r0, r3
	mr	r3, r4
	mr	r4, r5
	mr	r5, r6
	address	r11, entry_gpr
	ld	r2, 64(r11)
	ld	r12, 72(r11)
	mtctr	r12
	bctrl
	ld	r2, 40(r1)
	addi	r1, r1, 128
	ld	r0, 16(r1)
	mtlr	r0
	blr

	.section .bss
	.balign	16
	.globl	second_stack
stack:	.space	STACK_SIZE
second_stack:
	.space	STACK_SIZE
