/* A guest's real addresses: they begin at RMOR, and end where RMLR says. */
#include "payload.h"

extern char guest_store[], guest_load[], guest_go[];
static struct guest guest, other;

static void limits(u64 limit, const char *size)
{
    make_guest(&guest, 256 * MIB, limit);
    set_partition(&guest, HID4_LPES1);
    print("# a limit of ");
    print(size);
    print("\n");

    guest.context.gpr[7] = limit - 8;
    guest.context.gpr[8] = 0x0123456789abcdefull;
    run(&guest, guest_store, 0);
    equal(guest.context.gpr[3], 0, "the last doubleword below it can be written");
    equal(*(u64 *)at(&guest, limit - 8), 0x0123456789abcdefull, "and is where the offset puts it");

    guest.context.gpr[7] = limit;
    run(&guest, guest_store, 0);
    check(in_guest(&guest, DSI), "a store at it is a data storage interrupt");
    equal(guest.context.dar, limit, "of that address");
    equal(guest.context.dsisr, DSISR_PROTECTION | DSISR_STORE, "not allowed, by a store");

    guest.context.gpr[7] = limit + 16 * MIB;
    run(&guest, guest_load, 0);
    check(in_guest(&guest, DSI), "so is a load past it");
    equal(guest.context.dsisr, DSISR_PROTECTION, "not allowed");

    guest.context.gpr[7] = limit + 16;
    guest.context.gpr[8] = MSR_SF | MSR_ME;
    run(&guest, guest_go, 0);
    check(in_guest(&guest, ISI), "code past it is an instruction storage interrupt");
    equal(guest_srr0(&guest), limit + 16, "there");
}

void claims(void)
{
    limits(64 * MIB, "64 MiB");
    limits(128 * MIB, "128 MiB");
    limits(256 * MIB, "256 MiB");

    make_guest(&guest, 128 * MIB, 64 * MIB);
    make_guest(&other, 192 * MIB, 64 * MIB);
    set_partition(&guest, HID4_LPES1);
    guest.context.gpr[7] = 0x10000;
    guest.context.gpr[8] = 1;
    run(&guest, guest_store, 0);
    set_partition(&other, HID4_LPES1);
    other.context.gpr[7] = 0x10000;
    other.context.gpr[8] = 2;
    run(&other, guest_store, 0);
    equal(*(u64 *)at(&guest, 0x10000), 1, "two guests write the same address: the first has its own");
    equal(*(u64 *)at(&other, 0x10000), 2, "and the second");
    set_partition(&guest, HID4_LPES1);
    guest.context.gpr[7] = 0x10000;
    run(&guest, guest_load, 0);
    equal(guest.context.gpr[8], 1, "and the first reads it again");

    /* RM_CI must not stand in the way of a field beside it. */
    mtspr(SPR_HID4, mfspr(SPR_HID4) | HID4_RM_CI);
    guest.context.gpr[7] = 0x10000;
    run(&guest, guest_load, 0);
    equal(guest.context.gpr[8], 1, "with RM_CI set the guest is where it was");
    equal(mfspr(SPR_HID4) & HID4_RM_CI, HID4_RM_CI, "RM_CI is kept");
    mtspr(SPR_HID4, mfspr(SPR_HID4) | 2 | 0xfull << (63 - 6));
    run(&guest, guest_load, 0);
    equal(guest.context.gpr[8], 1, "and with another LPID");
}
