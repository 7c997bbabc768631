/* The hypervisor's registers: only it writes them, and what a supervisor reads is what it wrote. */
#include "payload.h"

static struct guest guest;
static u32 code[256];

#define LI_R3_0 0x38600000u
#define SC_1 0x44000022u

static u32 spr_field(unsigned spr)
{
    return (spr & 31) << 16 | (spr >> 5) << 11;
}

static u32 mt(unsigned spr, unsigned gpr)
{
    return 31u << 26 | gpr << 21 | spr_field(spr) | 467 << 1;
}

static u32 mf(unsigned spr, unsigned gpr)
{
    return 31u << 26 | gpr << 21 | spr_field(spr) | 339 << 1;
}

static void write_from_guest(unsigned spr, u64 value)
{
    code[0] = mt(spr, 7);
    code[1] = LI_R3_0;
    code[2] = SC_1;
    guest.context.gpr[7] = value;
    run(&guest, code, 0);
}

static u64 read_from_guest(unsigned spr)
{
    code[0] = mf(spr, 8);
    code[1] = LI_R3_0;
    code[2] = SC_1;
    guest.context.gpr[8] = ~0ull;
    run(&guest, code, 0);
    return guest.context.gpr[8];
}

#define PROBE(spr, name, value)                                                                \
    do {                                                                                       \
        u64 was = mfspr(spr);                                                                  \
        write_from_guest(spr, value);                                                          \
        check(in_guest(&guest, PROGRAM) && (guest_srr1(&guest) & SRR1_PRIVILEGED),             \
              "mtspr " name " by a supervisor is a privileged instruction");                   \
        equal(mfspr(spr), was, name " is as it was");                                          \
    } while (0)

/* HSPRG0 is ours while a guest runs; HSRR0 and 1 change at each entry, HDEC with the time. */
#define REFUSED(spr, name)                                                                     \
    do {                                                                                       \
        write_from_guest(spr, 0);                                                              \
        check(in_guest(&guest, PROGRAM) && (guest_srr1(&guest) & SRR1_PRIVILEGED),             \
              "mtspr " name " by a supervisor is a privileged instruction");                   \
    } while (0)

void claims(void)
{
    make_guest(&guest, 128 * MIB, 64 * MIB);
    set_partition(&guest, HID4_LPES1);

    REFUSED(SPR_HSPRG0, "HSPRG0");
    REFUSED(SPR_HSPRG1, "HSPRG1");
    REFUSED(SPR_HSRR0, "HSRR0");
    REFUSED(SPR_HSRR1, "HSRR1");
    REFUSED(SPR_HDEC, "HDEC");
    PROBE(SPR_HIOR, "HIOR", 0x100000);
    PROBE(SPR_HID0, "HID0", BIT(9));
    PROBE(SPR_HID1, "HID1", BIT(3));
    PROBE(SPR_HID4, "HID4", 0);
    PROBE(SPR_HID5, "HID5", BIT(56));
    PROBE(SPR_SDR1, "SDR1", 0x4000000);
    PROBE(SPR_SCOMC, "SCOMC", 0x8000);
    PROBE(SPR_SCOMD, "SCOMD", 1);

    mtspr(SPR_SCOMD, 0x123456789abcdef0ull);
    equal(read_from_guest(SPR_SCOMD), 0x123456789abcdef0ull, "a supervisor may read SCOMD");
    equal(read_from_guest(SPR_HID4), mfspr(SPR_HID4), "and HID4");
    equal(read_from_guest(SPR_HSPRG0), (u64)&guest.context, "and HSPRG0");
    equal(read_from_guest(SPR_PIR), 0, "and PIR");

    mtspr(SPR_HSRR0, 0x1122334455667788ull);
    equal(mfspr(SPR_HSRR0), 0x1122334455667788ull, "the hypervisor writes all of HSRR0");
    mtspr(SPR_HSRR1, 0x8877665544332211ull);
    equal(mfspr(SPR_HSRR1), 0x8877665544332211ull, "and of HSRR1");
}
