/* A machine saved in the middle of this is, where it goes on, what it was. */
#include "payload.h"

extern char guest_count_down[], guest_count[], guest_load[];
static struct guest guest;

#define LATER (2 * TICKS_PER_SECOND)

void claims(void)
{
    u64 vector, hid4, left;

    make_guest(&guest, 128 * MIB, 64 * MIB);
    set_partition(&guest, HID4_LPES1);
    hid4 = mfspr(SPR_HID4);
    install_vectors(64 * MIB);
    mtspr(SPR_HIOR, 64 * MIB);
    *(u64 *)at(&guest, 0x10000) = 0x5a5a5a5a5a5a5a5aull;
    mtspr(SPR_HSPRG1, 0x0123456789abcdefull);
    mtspr(SPR_SCOMD, 0x1122334455667788ull);
    allow_hdec(false);

    /* It fires before we are saved, and is pending. */
    mtspr(SPR_HDEC, 0x1000);
    for (u64 began = mftb(); mftb() - began < 0x10000;)
        ;
    print("# save this machine, and send a line where it goes on\n");
    while (get() != '\n')
        ;
    equal(mfmsr() & MSR_HV, MSR_HV, "we are in hypervisor state");
    equal(mfspr(SPR_HID4), hid4, "HID4 is what it was");
    equal(mfspr(SPR_HIOR), 64 * MIB, "and HIOR");
    equal(mfspr(SPR_HSPRG1), 0x0123456789abcdefull, "and HSPRG1");
    equal(mfspr(SPR_SCOMD), 0x1122334455667788ull, "and SCOMD");
    allow_hdec(true);
    vector = run(&guest, guest_count_down, 0);
    equal(vector, HYPERVISOR_DECREMENTER, "the interrupt that was pending is still");
    vector = run(&guest, guest_count_down, 0);
    equal(vector, SYSTEM_CALL, "but once");
    guest.context.gpr[7] = 0x10000;
    run(&guest, guest_load, 0);
    equal(guest.context.gpr[8], 0x5a5a5a5a5a5a5a5aull, "the guest is where it was");

    /* It counts while we are saved. */
    mtspr(SPR_HDEC, LATER);
    print("# save this machine again, and send a line where it goes on\n");
    while (get() != '\n')
        ;
    left = mfspr(SPR_HDEC);
    check(left <= LATER, "HDEC has gone on from where it was");
    vector = run(&guest, guest_count, 0);
    equal(vector, HYPERVISOR_DECREMENTER, "and comes when its time is over");
    allow_hdec(false);
}
