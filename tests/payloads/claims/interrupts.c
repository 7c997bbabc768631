/* Who gets an interrupt: what LPES says. */
#include "payload.h"

extern char guest_decrementer[], guest_count_down[], guest_store[], guest_system_call[], guest_hrfid[];
static struct guest guest;

#define SOON (TICKS_PER_SECOND / 1000)
#define LPES1 HID4_LPES1
#define LPES0 HID4_LPES0

void claims(void)
{
    u64 vector;

    make_guest(&guest, 128 * MIB, 64 * MIB);
    ipi_init(0);

    set_partition(&guest, LPES1);
    guest.context.gpr[7] = SOON;
    run(&guest, guest_decrementer, MSR_EE);
    check(in_guest(&guest, DECREMENTER), "LPES1 = 1: the decrementer is the guest's");
    equal(guest_msr(&guest) & MSR_HV, 0, "taken without HV");
    guest.context.gpr[7] = SOON;
    run(&guest, guest_decrementer, 0);
    check(in_guest(&guest, 0), "with EE = 0 it waits");

    set_partition(&guest, 0);
    guest.context.gpr[7] = SOON;
    vector = run(&guest, guest_decrementer, MSR_EE);
    equal(vector, DECREMENTER, "LPES1 = 0: it is the hypervisor's");
    equal(guest.context.handler_msr & MSR_HV, MSR_HV, "taken with HV");
    equal(guest.context.srr1 & MSR_HV, 0, "SRR1 says it came from a guest");

    mtspr(SPR_DEC, 0x7fffffff);
    guest.context.gpr[7] = 64 * MIB;
    vector = run(&guest, guest_store, 0);
    equal(vector, DSI, "LPES1 = 0: so is a data storage interrupt");
    vector = run(&guest, guest_hrfid, 0);
    equal(vector, PROGRAM, "and a program interrupt");
    vector = run(&guest, guest_system_call, 0);
    equal(vector, SYSTEM_CALL, "and a system call");
    equal(guest.context.nip, GUEST_CODE + 4, "of the guest's own code");

    set_partition(&guest, LPES0 | LPES1);
    ipi_send(0, 0);
    run(&guest, guest_count_down, 0);
    check(in_guest(&guest, 0), "with EE = 0 an external interrupt waits, LPES0 = 1");
    run(&guest, guest_count_down, MSR_EE);
    check(in_guest(&guest, EXTERNAL), "LPES0 = 1: an external interrupt is the guest's");
    equal(guest_msr(&guest) & MSR_HV, 0, "taken without HV");

    set_partition(&guest, LPES1);
    run(&guest, guest_count_down, 0);
    check(in_guest(&guest, 0), "with EE = 0 it waits, LPES0 = 0: a 970 masks it in a guest, too");
    vector = run(&guest, guest_count_down, MSR_EE);
    equal(vector, EXTERNAL, "LPES0 = 0: it is the hypervisor's");
    equal(guest.context.handler_msr & MSR_HV, MSR_HV, "taken with HV");
    check(guest.context.srr0 >= GUEST_CODE && guest.context.srr0 < GUEST_CODE + 32, "SRR0 has where the guest was");
    equal(guest.context.srr1 & (MSR_HV | MSR_EE), MSR_EE, "SRR1 its MSR");
    equal(guest.context.hsrr0, GUEST_CODE, "HSRR0 is still what we had entered it with");
    equal(ipi_acknowledge(0), 0x42, "it was the one that we sent");
    run(&guest, guest_count_down, MSR_EE);
    check(in_guest(&guest, 0), "once acknowledged it is gone");
}
