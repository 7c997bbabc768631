/* A guest with translation on, and a hash table of its own. */
#include "payload.h"

extern char guest_translate[], guest_load[], guest_store[];
static struct guest guest;

#define TABLE (32 * MIB)
#define VSID 0x0abcdefull
#define BASE 0x10000000ull

static void translated(const char *code)
{
    copy(at(&guest, GUEST_CODE + 0x1000), code, 256);
    guest.context.gpr[9] = BASE | 0x8000000;
    guest.context.gpr[10] = VSID << 12 | 0xc00;
    guest.context.gpr[11] = MSR_SF | MSR_ME | MSR_IR | MSR_DR;
    guest.context.gpr[12] = BASE + GUEST_CODE;
    run(&guest, guest_translate, 0);
}

static void access(const char *code, u64 address, u64 value)
{
    guest.context.gpr[7] = address;
    guest.context.gpr[8] = value;
    translated(code);
}

void claims(void)
{
    make_guest(&guest, 128 * MIB, 64 * MIB);
    set_partition(&guest, HID4_LPES1);
    fill(at(&guest, TABLE), 0, TABLE_SIZE_SMALL);
    mtspr(SPR_SDR1, guest.offset + TABLE);
    map_page(&guest, TABLE, VSID, BASE + GUEST_CODE, guest.offset + GUEST_CODE + 0x1000);
    map_page(&guest, TABLE, VSID, BASE + 0x9000, guest.offset + 0x20000);

    *(u64 *)at(&guest, 0x20018) = 0xfeedfacecafebeefull;
    access(guest_load, BASE + 0x9018, 0);
    equal(guest.context.vector, SYSTEM_CALL, "translated code runs");
    equal(guest.context.srr1 & (MSR_HV | MSR_IR | MSR_DR), MSR_IR | MSR_DR, "with IR and DR, without HV");
    equal(guest.context.gpr[8], 0xfeedfacecafebeefull, "and reads what its table maps");

    access(guest_store, BASE + 0x9020, 0x1111222233334444ull);
    equal(*(u64 *)at(&guest, 0x20020), 0x1111222233334444ull, "and writes it");

    access(guest_load, BASE + 0xa000, 0);
    check(in_guest(&guest, DSI), "a page that is not there is the guest's own fault");
    equal(guest.context.dar, BASE + 0xa000, "at its address");
    equal(guest.context.dsisr, DSISR_NO_ENTRY, "for want of an entry");
    equal(guest_srr0(&guest), BASE + GUEST_CODE, "of its instruction");

    access(guest_load, 0x30000000, 0);
    check(in_guest(&guest, DSEG), "a segment that is not there as well");

    /* Its addresses are the machine's once translation is on: the hypervisor must not give it the table. */
    map_page(&guest, TABLE, VSID, BASE + 0xb000, 0x1000000);
    access(guest_load, BASE + 0xb000, 0);
    equal(guest.context.gpr[8], *(u64 *)0x1000000, "the table's addresses know no RMOR");
}
