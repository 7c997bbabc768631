/* What a payload is made of: the machine's registers, guests to enter, and results to print. */
#ifndef PAYLOAD_H
#define PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "asm.h"

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint8_t u8;

#define BIT(n) (1ull << (63 - (n))) /* IBM's numbering: 0 is the most significant */
#define MIB (1024ull * 1024)

#define MSR_SF BIT(0)
#define MSR_HV BIT(3)
#define MSR_EE BIT(48)
#define MSR_PR BIT(49)
#define MSR_ME BIT(51)
#define MSR_IR BIT(58)
#define MSR_DR BIT(59)
#define MSR_RI BIT(62)

#define HID0_HDICE BIT(23)
#define HID4_LPES0 BIT(0)
#define HID4_LPES1 BIT(57)
#define HID4_RM_CI BIT(23)

/* SRR1 after a program interrupt */
#define SRR1_ILLEGAL BIT(44)
#define SRR1_PRIVILEGED BIT(45)

#define DSISR_NO_ENTRY BIT(33)
#define DSISR_PROTECTION BIT(36)
#define DSISR_STORE BIT(38)

enum vector {
    DSI = 0x300, DSEG = 0x380, ISI = 0x400, EXTERNAL = 0x500, PROGRAM = 0x700, DECREMENTER = 0x900,
    HYPERVISOR_DECREMENTER = 0x980, SYSTEM_CALL = 0xc00,
};

#define mfspr(spr) ({ u64 v_; asm volatile("mfspr %0,%1" : "=r"(v_) : "i"(spr) : "memory"); v_; })
#define mtspr(spr, value) asm volatile("mtspr %0,%1; isync" : : "i"(spr), "r"((u64)(value)) : "memory")
#define mfmsr() ({ u64 v_; asm volatile("mfmsr %0" : "=r"(v_) : : "memory"); v_; })
#define mftb() ({ u64 v_; asm volatile("mftb %0" : "=r"(v_) : : "memory"); v_; })

/* Of the time base (QEMU: hw/ppc/mac_newworld.c, TBFREQ). On a powernv it is 512 MHz: waits are shorter there. */
#define TICKS_PER_SECOND 25000000ull

/*
 * A processor's state: what is loaded when it is entered, and what was there when an interrupt brought it back. The
 * offsets are those of asm.h.
 */
struct context {
    u64 gpr[32];
    u64 nip, msr, cr, lr, ctr, xer;
    u64 srr0, srr1, hsrr0, hsrr1, dar, dsisr;
    u64 vector;      /* the interrupt, by the offset of its vector */
    u64 handler_msr; /* MSR as the interrupt had set it */
    u64 host[24];
};

#define SAME_PLACE(field, offset) _Static_assert(offsetof(struct context, field) == (offset), "asm.h: " #field)
SAME_PLACE(nip, CTX_NIP);
SAME_PLACE(msr, CTX_MSR);
SAME_PLACE(cr, CTX_CR);
SAME_PLACE(xer, CTX_XER);
SAME_PLACE(srr0, CTX_SRR0);
SAME_PLACE(hsrr1, CTX_HSRR1);
SAME_PLACE(dsisr, CTX_DSISR);
SAME_PLACE(vector, CTX_VECTOR);
SAME_PLACE(handler_msr, CTX_HANDLER_MSR);
SAME_PLACE(host, CTX_HOST);

/* A guest: where its real addresses begin, and how many there are (bytes). */
struct guest {
    struct context context;
    u64 offset, limit;
};

/* What the program was entered with. */
extern u64 entry_msr, entry_gpr[10];
extern bool hypervisor; /* MSR[HV] is set: this is a 970 in hypervisor mode, or a POWER8 */
extern bool power8;

/* Run a context until an interrupt comes to us, and return that interrupt's vector. */
u64 enter(struct context *context);

/* Code for guests (guests.S) begins at `code`; it runs at GUEST_CODE. */
#define GUEST_CODE 0x4000ull
void make_guest(struct guest *guest, u64 offset, u64 limit);
u64 run(struct guest *guest, const void *code, u64 msr);
/* Where an address of the guest's is in memory. */
static inline void *at(struct guest *guest, u64 address) { return (void *)(guest->offset + address); }

/* HID4: interrupts as LPES says, the guest's memory. HID0: whether HDEC interrupts. */
void set_partition(struct guest *guest, u64 lpes);
void allow_hdec(bool allowed);

/* What a guest's own vector reports by `sc 1` (guests.S), when that is how it came back. */
bool in_guest(struct guest *guest, u64 vector);
static inline u64 guest_srr0(struct guest *guest) { return guest->context.gpr[4]; }
static inline u64 guest_srr1(struct guest *guest) { return guest->context.gpr[5]; }
static inline u64 guest_msr(struct guest *guest) { return guest->context.gpr[6]; }

/* Results, as the Test Anything Protocol has them. */
void check(bool holds, const char *claim);
void equal(u64 is, u64 wanted, const char *claim);
void comment(const char *text, u64 value);
void print(const char *text);
void print_hex(u64 value);
void put(char c);
int get(void); /* -1: nothing has come */
void finish(void) __attribute__((noreturn));

void copy(void *to, const void *from, u64 size);
void fill(void *to, u8 byte, u64 size);
void install_vectors(u64 at);

/* Open Firmware's client interface: only from before(), while the firmware's own vectors are there. */
long of_call(const char *service, int args, int rets, ...);

/* SPRG0 to SPRG3, which are whoever's runs. */
void save_sprgs(u64 *into);
void load_sprgs(const u64 *from);

/* A page in a guest's hash table of 256 KiB, which is at an address of the guest's; `real` is one of the machine's. */
#define TABLE_SIZE_SMALL (256 * 1024)
void map_page(struct guest *guest, u64 table, u64 vsid, u64 effective, u64 real);

/* The interrupt controller: an interrupt from one processor to another. */
void ipi_init(unsigned cpu);
void ipi_send(unsigned from, unsigned to);
u32 ipi_acknowledge(unsigned cpu);

/* Each payload has these two. */
void before(void);
void claims(void);

#endif
