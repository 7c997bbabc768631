/* Hypervisor, supervisor, problem state, and back. */
#include "payload.h"

extern char guest_msr_then_call[], guest_read_msr[], guest_system_call[];
static struct guest guest;

void claims(void)
{
    u64 vector;

    make_guest(&guest, 128 * MIB, 64 * MIB);
    set_partition(&guest, HID4_LPES1);

    vector = run(&guest, guest_msr_then_call, 0);
    equal(vector, SYSTEM_CALL, "a supervisor comes back by sc 1");
    equal(guest.context.gpr[3] & (MSR_HV | MSR_PR), 0, "it ran with MSR[HV PR] = 00");
    equal(guest.context.msr & (MSR_HV | MSR_PR), 0, "SRR1 says so");
    equal(guest.context.handler_msr & (MSR_HV | MSR_PR | MSR_EE | MSR_IR | MSR_DR), MSR_HV,
          "the interrupt was taken in hypervisor state");

    /* In problem state translation is on by definition, so what comes first is a segment's fault. */
    run(&guest, guest_read_msr, MSR_PR);
    check(in_guest(&guest, ISI + 0x80), "a program in problem state is translated: its supervisor sees the fault");
    equal(guest_srr1(&guest) & (MSR_HV | MSR_PR), MSR_PR, "SRR1 of its supervisor has MSR[HV PR] = 01");
    equal(guest_srr1(&guest) & (MSR_EE | MSR_IR | MSR_DR), MSR_EE | MSR_IR | MSR_DR,
          "and EE, IR and DR, which PR brings with it");
    equal(guest_msr(&guest) & (MSR_HV | MSR_PR), 0, "the supervisor took it without HV");

    run(&guest, guest_system_call, 0);
    check(in_guest(&guest, SYSTEM_CALL), "sc is the supervisor's own");
}
