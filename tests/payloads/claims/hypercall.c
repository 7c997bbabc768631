/* sc 1 reaches the hypervisor from every state. */
#include "payload.h"

extern char guest_hypercall[], guest_system_call[], guest_translate[];
static struct guest guest;

/* A hash table of its own for problem state, which is always translated. */
#define TABLE (32 * MIB)
#define VSID 0x1234567ull

void claims(void)
{
    u64 vector;

    make_guest(&guest, 128 * MIB, 64 * MIB);
    set_partition(&guest, HID4_LPES1);

    vector = run(&guest, guest_hypercall, 0);
    equal(vector, SYSTEM_CALL, "from supervisor state");
    equal(guest.context.srr1 & (MSR_HV | MSR_PR), 0, "SRR1: MSR[HV PR] = 00");
    equal(guest.context.handler_msr & MSR_HV, MSR_HV, "the handler has HV");
    equal(guest.context.nip, GUEST_CODE + 4, "it goes on behind it");

    vector = run(&guest, guest_hypercall, MSR_HV);
    equal(vector, SYSTEM_CALL, "from hypervisor state");
    equal(guest.context.srr1 & (MSR_HV | MSR_PR), MSR_HV, "SRR1: MSR[HV PR] = 10");

    fill(at(&guest, TABLE), 0, TABLE_SIZE_SMALL);
    mtspr(SPR_SDR1, guest.offset + TABLE);
    map_page(&guest, TABLE, VSID, 0x10000000 + GUEST_CODE, guest.offset + GUEST_CODE + 0x1000);
    copy(at(&guest, GUEST_CODE + 0x1000), guest_hypercall, 256);
    guest.context.gpr[9] = 0x18000000;         /* slbmte RB: ESID 1, valid, entry 0 */
    guest.context.gpr[10] = VSID << 12 | 0xc00; /* RS: Ks, Kp */
    guest.context.gpr[11] = MSR_SF | MSR_ME | MSR_PR;
    guest.context.gpr[12] = 0x10000000 + GUEST_CODE;
    vector = run(&guest, guest_translate, 0);
    equal(vector, SYSTEM_CALL, "from problem state");
    equal(guest.context.srr1 & (MSR_HV | MSR_PR), MSR_PR, "SRR1: MSR[HV PR] = 01");
    equal(guest.context.srr0, 0x10000000 + GUEST_CODE + 4, "SRR0: behind it, as the program sees it");
    equal(guest.context.handler_msr & (MSR_HV | MSR_PR), MSR_HV, "the handler has HV");

    run(&guest, guest_system_call, 0);
    check(in_guest(&guest, SYSTEM_CALL), "sc without it stays in the guest");
}
