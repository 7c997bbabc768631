/* What C and assembly both know: registers by number, bits, and where a context keeps what. */
#ifndef ASM_H
#define ASM_H

/* By number, as Linux has them (arch/powerpc/include/asm/reg.h). */
#define SPR_DSISR 18
#define SPR_DAR 19
#define SPR_DEC 22
#define SPR_SDR1 25
#define SPR_SRR0 26
#define SPR_SRR1 27
#define SPR_SPRG0 272
#define SPR_SPRG1 273
#define SPR_SPRG2 274
#define SPR_SPRG3 275
#define SPR_SCOMC 276
#define SPR_SCOMD 277
#define SPR_PVR 287
#define SPR_HSPRG0 304
#define SPR_HSPRG1 305
#define SPR_HDEC 310
#define SPR_HIOR 311
#define SPR_HSRR0 314
#define SPR_HSRR1 315
#define SPR_HID0 1008
#define SPR_HID1 1009
#define SPR_HID4 1012
#define SPR_HID5 1014
#define SPR_PIR 1023

/* struct context (payload.h): offsets in bytes. */
#define CTX_GPR(n) ((n) * 8)
#define CTX_NIP 256
#define CTX_MSR 264
#define CTX_CR 272
#define CTX_LR 280
#define CTX_CTR 288
#define CTX_XER 296
#define CTX_SRR0 304
#define CTX_SRR1 312
#define CTX_HSRR0 320
#define CTX_HSRR1 328
#define CTX_DAR 336
#define CTX_DSISR 344
#define CTX_VECTOR 352
#define CTX_HANDLER_MSR 360
#define CTX_HOST 368

#define STACK_SIZE 16384

/* PAPR's hypercall for a terminal; from 0xf000 on they are each hypervisor's own. */
#define H_PUT_TERM_CHAR 0x58
#define H_EXIT 0xf000
/* Where a talking guest has its lines, 16 bytes each, and their lengths. */
#define GUEST_LINES 0x5000
#define GUEST_LENGTHS 0x5100

#endif
