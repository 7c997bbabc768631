/* HIOR moves the hypervisor's vectors, and no guest's. */
#include "payload.h"

extern char guest_hypercall[], guest_system_call[];
static struct guest guest;

#define ELSEWHERE (64 * MIB)

void claims(void)
{
    u64 vector;

    make_guest(&guest, 128 * MIB, 64 * MIB);
    set_partition(&guest, HID4_LPES1);
    install_vectors(ELSEWHERE);
    /* What is still looked for at 0 is lost, and shows. */
    fill((void *)0x100, 0, 0xf00);
    mtspr(SPR_HIOR, ELSEWHERE | 0xfff);
    equal(mfspr(SPR_HIOR), ELSEWHERE, "HIOR keeps its bits 22:43");
    vector = run(&guest, guest_hypercall, 0);
    equal(vector, SYSTEM_CALL, "a hypercall finds the vectors there");
    run(&guest, guest_system_call, 0);
    check(in_guest(&guest, SYSTEM_CALL), "the guest's are where they were");
    mtspr(SPR_HIOR, 0);
    install_vectors(0);
    vector = run(&guest, guest_hypercall, 0);
    equal(vector, SYSTEM_CALL, "and back");
}
