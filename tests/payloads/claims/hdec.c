/* The hypervisor's decrementer. */
#include "payload.h"

extern char guest_count_down[], guest_count[], guest_keeps_srr[];
static struct guest guest;

#define SOON (TICKS_PER_SECOND / 50)

static void wait(u64 ticks)
{
    for (u64 began = mftb(); mftb() - began < ticks;)
        ;
}

void claims(void)
{
    u64 vector, was;

    make_guest(&guest, 128 * MIB, 64 * MIB);
    set_partition(&guest, HID4_LPES1);
    allow_hdec(false);

    mtspr(SPR_HDEC, 0x40000000);
    was = mfspr(SPR_HDEC);
    wait(SOON);
    check(mfspr(SPR_HDEC) < was && was - mfspr(SPR_HDEC) >= SOON, "HDEC counts down with the time base");

    mtspr(SPR_HDEC, SOON);
    vector = run(&guest, guest_count_down, MSR_EE);
    equal(vector, SYSTEM_CALL, "without HID0[HDICE] it interrupts nobody");

    mtspr(SPR_HDEC, 0x40000000);
    allow_hdec(true);
    vector = run(&guest, guest_count_down, 0);
    equal(vector, HYPERVISOR_DECREMENTER, "the one of that time comes with it, at last");
    mtspr(SPR_HDEC, SOON);
    guest.context.gpr[9] = 0;
    vector = run(&guest, guest_count, 0);
    equal(vector, HYPERVISOR_DECREMENTER, "with it, a guest is interrupted that has MSR[EE] = 0");
    check(guest.context.gpr[9] > 100, "the guest had got on until then");
    equal(guest.context.handler_msr & (MSR_HV | MSR_EE), MSR_HV, "in hypervisor state, EE off");
    equal(guest.context.hsrr1 & (MSR_HV | MSR_EE | MSR_PR), 0, "HSRR1 has the guest's MSR");
    check(guest.context.hsrr0 >= GUEST_CODE && guest.context.hsrr0 < GUEST_CODE + 16, "HSRR0 has where it was");
    was = guest.context.gpr[9];
    mtspr(SPR_HDEC, SOON);
    vector = enter(&guest.context);
    equal(vector, HYPERVISOR_DECREMENTER, "it goes on by hrfid, to the next time");
    check(guest.context.gpr[9] > was, "from where it was");

    mtspr(SPR_HDEC, SOON);
    guest.context.gpr[7] = 0x1234567890abcdefull & ~3ull;
    guest.context.gpr[8] = 0x8000000000001032ull;
    vector = run(&guest, guest_keeps_srr, 0);
    equal(vector, HYPERVISOR_DECREMENTER, "in the middle of a guest's own interrupt");
    equal(guest.context.srr0, guest.context.gpr[7], "SRR0 stays the guest's");
    equal(guest.context.srr1, guest.context.gpr[8], "and SRR1");

    mtspr(SPR_HDEC, SOON);
    vector = run(&guest, guest_count_down, MSR_HV);
    equal(vector, SYSTEM_CALL, "hypervisor state with EE = 0 is not interrupted");
    mtspr(SPR_HDEC, SOON);
    vector = run(&guest, guest_count, MSR_HV | MSR_EE);
    equal(vector, HYPERVISOR_DECREMENTER, "with EE = 1 it is");
    allow_hdec(false);
}
