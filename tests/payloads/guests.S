/* What runs in a guest: its vectors, and pieces of code that are copied to where it begins. */
#include "asm.h"

	.text
	/* Each vector tells the hypervisor which it is, what it was given, and the MSR. */
	.balign	128
	.globl	guest_vectors
guest_vectors:
	.set	offset, 0
	.rept	32
	li	r3, offset
	mfsrr0	r4
	mfsrr1	r5
	mfmsr	r6
	sc	1
	b	.
	.balign	128
	.set	offset, offset + 128
	.endr

	.macro	piece name
	.balign	8
	.globl	\name
\name:
	.endm

	/* To the hypervisor, with 0 where an interrupt's vector would be (in_guest) */
	.macro	come_back
	li	r3, 0
	sc	1
	b	.
	.endm

	/* Some tenths of a second */
	.macro	count_down
	lis	r9, 0x800
	mtctr	r9
1:	bdnz	1b
	.endm

	piece	guest_msr_then_call
	mfmsr	r3
	sc	1
	b	.

	piece	guest_read_msr
	mfmsr	r3
	b	.

	piece	guest_system_call
	sc
	b	.

	piece	guest_hypercall
	sc	1
	b	.

	/* rfid to the next instruction with MSR r7 */
	piece	guest_rfid
	bcl	20, 31, 1f
1:	mflr	r4
	addi	r4, r4, 2f - 1b
	mtsrr0	r4
	mtsrr1	r7
	rfid
2:	mfmsr	r3
	sc	1
	b	.

	piece	guest_mtmsrd
	mtmsrd	r7
	isync
	mfmsr	r3
	sc	1
	b	.

	piece	guest_hrfid
	.long	0x4c000224
	b	.

	/* It counts in r9 for ever. */
	piece	guest_count
	li	r9, 0
1:	addi	r9, r9, 1
	b	1b

	/* Nothing interrupts it: it comes back by itself after a while. */
	piece	guest_count_down
	count_down
	come_back

	piece	guest_store
	std	r8, 0(r7)
	come_back

	piece	guest_load
	ld	r8, 0(r7)
	come_back

	/* Where r7 says, with MSR r8 */
	piece	guest_go
	mtsrr0	r7
	mtsrr1	r8
	rfid

	/* The decrementer with r7, then as guest_count_down */
	piece	guest_decrementer
	mtdec	r7
	count_down
	come_back

	/* One segment (slbmte r10, r9), then on from r12 with MSR r11 */
	piece	guest_translate
	slbia
	slbmte	10, 9
	isync
	mtsrr0	12
	mtsrr1	11
	rfid

	/* Comes back when SRR0 or SRR1 is no longer what it has put there */
	piece	guest_keeps_srr
	mtsrr0	r7
	mtsrr1	r8
1:	mfsrr0	r3
	mfsrr1	r4
	cmpd	r3, r7
	bne	2f
	cmpd	r4, r8
	beq	1b
2:	sc	1
	b	.

	/* Says r14 lines, and computes for a while before each; then it ends. */
	piece	guest_talks
	li	r15, GUEST_LINES
	li	r16, GUEST_LENGTHS
1:	lis	r9, 0x100
	mtctr	r9
2:	bdnz	2b
	li	r3, H_PUT_TERM_CHAR
	li	r4, 0
	ld	r5, 0(r16)
	ld	r6, 0(r15)
	ld	r7, 8(r15)
	sc	1
	addi	r15, r15, 16
	addi	r16, r16, 8
	subi	r14, r14, 1
	cmpdi	r14, 0
	bne	1b
	li	r3, 0
	ori	r3, r3, H_EXIT
	sc	1
	b	.

	/* What is copied is always this much. */
	.space	1024
