/*
 * A Linux kernel as a guest: what PAPR asks of a hypervisor before a kernel of that kind talks. It finds its machine in
 * a flattened tree, changes its hash table by hypercalls, and prints on a hypervisor's terminal.
 */
#include "hypervisor.h"

#define TABLE_SIZE (4 * MIB)
#define TABLE_SHIFT 22
/* Above what the two guests of the payload's own have, below the kernel's memory. */
#define TABLE (192 * MIB + 64 * MIB - TABLE_SIZE)
#define GROUP 8
#define ENTRY_VALID 1ull
#define ENTRY_LARGE 4ull
#define ENTRY_SECOND 2ull
/* AVPN: what of the virtual address an entry has. */
#define ENTRY_AVPN (~0x7full)
#define ENTRY_REAL 0x0ffffffffffff000ull

/* PAPR, flags of the page table's calls. */
#define H_EXACT BIT(24)
#define H_AVPN BIT(32)
#define H_ANDCOND BIT(33)
#define BULK_TYPE 0xc000000000000000ull
#define BULK_REQUEST 0x4000000000000000ull
#define BULK_RESPONSE 0x8000000000000000ull
#define BULK_END 0xc000000000000000ull
#define BULK_NOT_FOUND BIT(3)
#define BULK_FLAGS 0x0300000000000000ull
#define BULK_ANDCOND BIT(7)
#define BULK_AVPN BIT(6)
#define BULK_INDEX 0x00ffffffffffffffull

/* The kernel's image is moved down from where firmware had put it; the tree and the archive lie behind it. */
#define TREE (16 * MIB - 64 * 1024)
#define ARCHIVE (128 * MIB)
#define RTAS (TREE + 32 * 1024)
#define RTAS_SIZE 4096
#define RTAS_POWER_OFF 1
#define RTAS_REBOOT 2
/* mr r4,r3; lis r3,0; ori r3,r3,H_RTAS; sc 1; blr */
static const u32 rtas_code[] = {0x7c641b78, 0x3c600000, 0x60630000 | H_RTAS, 0x44000022, 0x4e800020};

static volatile u64 *entry_at(struct domain *domain, u64 index)
{
    return (volatile u64 *)(domain->table + index * 16);
}

/* tlbie wants the address that the entry had translated: its AVPN, and what the number of its group adds. */
static void forget(struct domain *domain, u64 index, u64 high)
{
    u64 avpn = (high & ENTRY_AVPN) >> 7, group = index / GROUP, hash;
    u64 address = avpn << 23;

    if (high & ENTRY_SECOND)
        group = ~group;
    hash = (group ^ (avpn >> 5)) & (domain->groups - 1) & 0x7ff;
    asm volatile("ptesync" : : : "memory");
    if (high & ENTRY_LARGE)
        asm volatile("tlbie %0,1" : : "r"(address) : "memory");
    else
        asm volatile("tlbie %0,0" : : "r"(address | hash << 12) : "memory");
    asm volatile("eieio; tlbsync; ptesync" : : : "memory");
}

static u64 enter_entry(struct domain *domain, u64 *gpr)
{
    u64 flags = gpr[4], index = gpr[5], high = gpr[6] & ~0x60ull, low = gpr[7];

    if (index >= domain->groups * GROUP)
        return H_PARAMETER;
    if ((low & ENTRY_REAL) >= domain->guest.limit)
        return H_PARAMETER;
    if (!(flags & H_EXACT)) {
        index &= ~(GROUP - 1ull);
        while (entry_at(domain, index)[0] & ENTRY_VALID)
            if (++index % GROUP == 0)
                return H_PTEG_FULL;
    } else if (entry_at(domain, index)[0] & ENTRY_VALID) {
        return H_PTEG_FULL;
    }
    /* Its real addresses begin at the guest's offset. */
    entry_at(domain, index)[1] = low + domain->guest.offset;
    asm volatile("eieio" : : : "memory");
    entry_at(domain, index)[0] = high | ENTRY_VALID;
    asm volatile("ptesync" : : : "memory");
    gpr[4] = index;
    return H_SUCCESS;
}

static bool matches(u64 flags, u64 high, u64 avpn)
{
    if (!(high & ENTRY_VALID))
        return false;
    if ((flags & H_AVPN) && (high & ENTRY_AVPN) != avpn)
        return false;
    return !(flags & H_ANDCOND) || !(high & avpn);
}

static u64 remove_entry(struct domain *domain, u64 flags, u64 index, u64 avpn, u64 *old)
{
    volatile u64 *entry;

    if (index >= domain->groups * GROUP)
        return H_PARAMETER;
    entry = entry_at(domain, index);
    if (!matches(flags, entry[0], avpn))
        return H_NOT_FOUND;
    old[0] = entry[0];
    old[1] = entry[1] - domain->guest.offset;
    entry[0] = 0;
    forget(domain, index, old[0]);
    return H_SUCCESS;
}

static u64 protect_entry(struct domain *domain, u64 flags, u64 index, u64 avpn)
{
    volatile u64 *entry;
    u64 high, low;

    if (index >= domain->groups * GROUP)
        return H_PARAMETER;
    entry = entry_at(domain, index);
    high = entry[0];
    if (!matches(flags, high, avpn))
        return H_NOT_FOUND;
    /* pp0, pp, n: where the flags have them, the entry has them. */
    low = entry[1] & ~(BIT(0) | BIT(62) | BIT(63) | BIT(61));
    low |= (flags << 55) & BIT(0);
    low |= flags & 7;
    entry[0] = 0;
    forget(domain, index, high);
    entry[1] = low;
    asm volatile("eieio" : : : "memory");
    entry[0] = high;
    asm volatile("ptesync" : : : "memory");
    return H_SUCCESS;
}

static u64 read_entries(struct domain *domain, u64 *gpr)
{
    u64 index = gpr[5], count = gpr[4] & BIT(26) ? 4 : 1;

    index &= ~(count - 1);
    if (index + count > domain->groups * GROUP)
        return H_PARAMETER;
    for (u64 i = 0; i < count; i++) {
        volatile u64 *entry = entry_at(domain, index + i);
        gpr[4 + 2 * i] = entry[0];
        gpr[5 + 2 * i] = entry[1] - (entry[0] & ENTRY_VALID ? domain->guest.offset : 0);
    }
    return H_SUCCESS;
}

/* Up to four requests, each of two registers; each has its answer in the place of its request. */
static u64 bulk_remove(struct domain *domain, u64 *gpr)
{
    for (u64 *pair = gpr + 4; pair < gpr + 12; pair += 2) {
        u64 old[2], flags = 0, status;

        if ((pair[0] & BULK_TYPE) == BULK_END)
            return H_SUCCESS;
        if ((pair[0] & BULK_TYPE) != BULK_REQUEST)
            return H_PARAMETER;
        flags |= pair[0] & BULK_AVPN ? H_AVPN : 0;
        flags |= pair[0] & BULK_ANDCOND ? H_ANDCOND : 0;
        status = remove_entry(domain, flags, pair[0] & BULK_INDEX, pair[1], old);
        pair[0] = (pair[0] & (BULK_INDEX | BULK_FLAGS)) | BULK_RESPONSE;
        if (status == H_NOT_FOUND)
            pair[0] |= BULK_NOT_FOUND;
        else if (status != H_SUCCESS)
            return status;
    }
    return H_SUCCESS;
}

u64 page_table_call(struct domain *domain, u64 call)
{
    u64 *gpr = domain->guest.context.gpr, old[2], status;

    switch (domain->table ? call : 0) {
    case H_ENTER:
        return enter_entry(domain, gpr);
    case H_REMOVE:
        status = remove_entry(domain, gpr[4], gpr[5], gpr[6], old);
        if (status == H_SUCCESS) {
            gpr[4] = old[0];
            gpr[5] = old[1];
        }
        return status;
    case H_PROTECT:
        return protect_entry(domain, gpr[4], gpr[5], gpr[6]);
    case H_READ:
        return read_entries(domain, gpr);
    case H_BULK_REMOVE:
        return bulk_remove(domain, gpr);
    default:
        return H_FUNCTION;
    }
}

/* Where the arguments are is in r4: the token first, then how many come in and go out, then they. */
u64 rtas_call(struct domain *domain)
{
    u64 address = domain->guest.context.gpr[4];
    u32 *arguments;

    if (address + 16 > domain->guest.limit)
        return H_PARAMETER;
    arguments = at(&domain->guest, address);
    if (arguments[0] == RTAS_POWER_OFF || arguments[0] == RTAS_REBOOT)
        domain->ended = true;
    else
        arguments[3 + arguments[1]] = -1;
    return H_SUCCESS;
}

/* The flattened tree (Devicetree Specification, chapter 5), written from front to back. */
static u32 *tree;
static char names[512];
static u32 names_size;

static void begin_node(const char *name)
{
    u64 length = 0;

    *tree++ = 1;
    while (name[length])
        length++;
    tree[length / 4] = 0;
    copy(tree, name, length);
    tree += length / 4 + 1;
}

static void end_node(void)
{
    *tree++ = 2;
}

static u32 name_offset(const char *name)
{
    u32 at = names_size, i = 0;

    do {
        names[names_size++] = name[i];
    } while (name[i++]);
    return at;
}

static void property(const char *name, const void *value, u32 size)
{
    *tree++ = 3;
    *tree++ = size;
    *tree++ = name_offset(name);
    tree[size ? (size - 1) / 4 : 0] = 0;
    copy(tree, value, size);
    tree += (size + 3) / 4;
}

static void cell(const char *name, u32 value)
{
    property(name, &value, 4);
}

static void number(const char *name, u64 value)
{
    property(name, &value, 8);
}

static void text(const char *name, const char *value)
{
    u32 size = 0;

    while (value[size++])
        ;
    property(name, value, size);
}

static void make_tree(struct domain *domain, u64 archive_size)
{
    u32 *header = at(&domain->guest, TREE), *structure;
    u64 memory[2] = {0, domain->guest.limit};
    u32 pft[2] = {0, TABLE_SHIFT}, servers[2] = {0, 1};
    /* Hypercalls by their names: the page table's, its bulk removal, the terminal. */
    static const char calls[] = "hcall-pft\0hcall-term\0hcall-bulk";

    /* Behind the header: what memory is taken, ended by an empty entry. */
    u64 *reserved = (u64 *)(header + 10);

    fill(header, 0, 128);
    reserved[0] = RTAS;
    reserved[1] = RTAS_SIZE;
    tree = header + 18;
    structure = tree;
    begin_node("");
    text("device_type", "chrp");
    text("model", "payload hypervisor");
    text("compatible", "payload,hypervisor");
    cell("#address-cells", 2);
    cell("#size-cells", 2);
    begin_node("chosen");
    /* Its shell computes what nobody has typed, then switches the guest off. */
    text("bootargs", "console=hvc0 panic=1 rdinit=/bin/sh -- -c \"uname -rm; echo its shell says $((6 * 7)); poweroff -f\"");
    text("linux,stdout-path", "/vdevice/vty@0");
    if (archive_size) {
        number("linux,initrd-start", ARCHIVE);
        number("linux,initrd-end", ARCHIVE + archive_size);
    }
    end_node();
    begin_node("cpus");
    cell("#address-cells", 1);
    cell("#size-cells", 0);
    begin_node("PowerPC,970FX@0");
    text("device_type", "cpu");
    cell("reg", 0);
    cell("cpu-version", mfspr(SPR_PVR));
    cell("timebase-frequency", TICKS_PER_SECOND);
    cell("clock-frequency", 900000000);
    cell("d-cache-size", 0x8000);
    cell("i-cache-size", 0x10000);
    cell("d-cache-block-size", 128);
    cell("i-cache-block-size", 128);
    cell("ibm,slb-size", 64);
    property("ibm,pft-size", pft, sizeof pft);
    property("64-bit", 0, 0);
    end_node();
    end_node();
    begin_node("memory@0");
    text("device_type", "memory");
    property("reg", memory, sizeof memory);
    end_node();
    begin_node("interrupt-controller@0");
    text("device_type", "PowerPC-External-Interrupt-Presentation");
    text("compatible", "IBM,ppc-xicp");
    property("ibm,interrupt-server-ranges", servers, sizeof servers);
    property("interrupt-controller", 0, 0);
    cell("#interrupt-cells", 2);
    end_node();
    begin_node("rtas");
    property("ibm,hypertas-functions", calls, sizeof calls);
    cell("linux,rtas-base", RTAS);
    cell("linux,rtas-entry", RTAS);
    cell("rtas-size", RTAS_SIZE);
    cell("power-off", RTAS_POWER_OFF);
    cell("system-reboot", RTAS_REBOOT);
    text("device_type", "rtas");
    end_node();
    begin_node("vdevice");
    text("device_type", "vdevice");
    text("compatible", "IBM,vdevice");
    cell("#address-cells", 1);
    cell("#size-cells", 0);
    begin_node("vty@0");
    text("device_type", "serial");
    text("compatible", "hvterm1");
    cell("reg", 0);
    end_node();
    end_node();
    end_node();
    *tree++ = 9;
    copy(tree, names, names_size);

    header[0] = 0xd00dfeed;
    header[1] = (u64)tree - (u64)header + names_size;
    header[2] = (u64)structure - (u64)header;
    header[3] = (u64)tree - (u64)header;
    header[4] = 40;
    header[5] = 17;
    header[6] = 16;
    header[7] = 0;
    header[8] = names_size;
    header[9] = (u64)tree - (u64)structure;
}

struct elf_header {
    u8 ident[16];
    u8 type[2], machine[2];
    u32 version;
    u64 entry, phoff, shoff;
    u32 flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct elf_segment {
    u32 type, flags;
    u64 offset, vaddr, paddr, filesz, memsz, align;
};

/* The archive is what follows the kernel's file: "070701" begins one (newc). */
static u64 archive_in(const u8 *image, u64 from, u64 size)
{
    static const u8 magic[6] = {'0', '7', '0', '7', '0', '1'};

    for (u64 place = (from + 3) & ~3ull; place + 6 < size; place += 4) {
        unsigned i = 0;

        while (i < 6 && image[place + i] == magic[i])
            i++;
        if (i == 6)
            return place;
    }
    return size;
}

void make_linux(struct domain *domain, u64 offset, const void *image, u64 size)
{
    const struct elf_header *elf = image;
    u64 archive, end = elf->shoff + (u64)elf->shentsize * elf->shnum;

    make_guest(&domain->guest, offset, 256 * MIB);
    fill(at(&domain->guest, 0), 0, 128 * MIB);
    for (unsigned i = 0; i < elf->phnum; i++) {
        const struct elf_segment *segment = (void *)((u64)image + elf->phoff + i * (u64)elf->phentsize);

        if (segment->type == 1)
            copy(at(&domain->guest, segment->paddr), (u8 *)image + segment->offset, segment->filesz);
    }
    archive = archive_in(image, end, size);
    copy(at(&domain->guest, ARCHIVE), (u8 *)image + archive, size - archive);
    make_tree(domain, size - archive);
    copy(at(&domain->guest, RTAS), rtas_code, sizeof rtas_code);

    domain->table = TABLE;
    domain->groups = TABLE_SIZE / 128;
    fill((void *)TABLE, 0, TABLE_SIZE);
    domain->sdr1 = TABLE | (TABLE_SHIFT - 18);
    domain->decrementer_at = mftb() + 0x7fffffff;
    domain->guest.context.nip = elf->entry & 0xffffffffull;
    domain->guest.context.msr = MSR_SF | MSR_ME;
    domain->guest.context.gpr[3] = TREE;
    say("the first guest is the kernel that firmware has brought");
}
