/* Nothing that a guest does gives it MSR[HV]. */
#include "payload.h"

extern char guest_rfid[], guest_mtmsrd[], guest_hrfid[], guest_hypercall[];
static struct guest guest;
static const u32 unknown[256];

void claims(void)
{
    make_guest(&guest, 128 * MIB, 64 * MIB);
    set_partition(&guest, HID4_LPES1);

    guest.context.gpr[7] = MSR_SF | MSR_HV | MSR_ME;
    run(&guest, guest_rfid, 0);
    equal(guest.context.gpr[3] & MSR_HV, 0, "rfid with SRR1[HV] set leaves a supervisor without it");

    guest.context.gpr[7] = MSR_SF | MSR_HV | MSR_ME;
    run(&guest, guest_mtmsrd, 0);
    equal(guest.context.gpr[3] & MSR_HV, 0, "so does mtmsrd");

    guest.context.gpr[7] = MSR_SF;
    run(&guest, guest_mtmsrd, 0);
    equal(guest.context.gpr[3] & MSR_ME, MSR_ME, "a supervisor cannot clear MSR[ME]");

    run(&guest, guest_hrfid, 0);
    check(in_guest(&guest, PROGRAM), "hrfid is not a supervisor's");
    equal(guest_srr1(&guest) & (SRR1_ILLEGAL | SRR1_PRIVILEGED), SRR1_PRIVILEGED, "it is privileged, not unknown");

    /* POWER8 has an interrupt of its own for it, to the hypervisor. */
    if (!power8) {
        run(&guest, unknown, 0);
        check(in_guest(&guest, PROGRAM), "an unknown instruction is the guest's own affair");
        equal(guest_srr1(&guest) & (SRR1_ILLEGAL | SRR1_PRIVILEGED), SRR1_ILLEGAL, "it is illegal, not privileged");
    }

    u64 vector = run(&guest, guest_hypercall, MSR_HV);
    equal(vector, SYSTEM_CALL, "hrfid from hypervisor state may keep HV");
    equal(guest.context.msr & MSR_HV, MSR_HV, "and has kept it");
    run(&guest, guest_hypercall, 0);
    equal(guest.context.msr & MSR_HV, 0, "hrfid from hypervisor state may clear HV");
}
