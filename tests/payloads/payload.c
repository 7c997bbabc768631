/* The consoles, the results, and what claims share. */
#include "payload.h"

/* Maple's COM1: a 16550. */
#define UART 0xf40003f8ull
#define UART_LSR 5
#define LSR_READY 0x01
#define LSR_EMPTY 0x20
/* mac99's ESCC, channel A, where OpenBIOS puts it. */
#define ESCC_DATA 0x80013030ull
/* skiboot's: include/opal-api.h. */
#define OPAL_CONSOLE_WRITE 1
#define OPAL_REINIT_CPUS 70
#define OPAL_REINIT_CPUS_HILE_BE 1

/* mac99's interrupt controller, where OpenBIOS puts it; its registers are little-endian. */
#define MPIC 0x80040000ull
#define MPIC_GLOBAL 0x1020
#define MPIC_IPI0 0x10a0
#define MPIC_CPU(cpu) (0x20000 + 0x1000 * (cpu))
#define MPIC_DISPATCH0 0x40
#define MPIC_PRIORITY 0x80
#define MPIC_ACKNOWLEDGE 0xa0
#define MPIC_EOI 0xb0

#define PVR_POWER8 0x4b
#define PVR_POWER8NVL 0x4c
#define PVR_POWER8DD 0x4d

/* POWER8's, in place of HID4 and HID0. */
#define SPR_RMOR 312
#define SPR_LPCR 318
/* An even one: QEMU takes the last bit of RMLS for LPCR[HAIL], which POWER8 does not have (docs/findings.md). */
#define LPCR_RMLS_256M (4ull << (63 - 37))
#define LPCR_LPES0 BIT(60)
#define LPCR_HDICE BIT(63)

u64 entry_msr, entry_gpr[10];
bool hypervisor, power8;
static unsigned results;

extern u64 enter_hypervisor(struct context *context), enter_supervisor(struct context *context);
extern u64 opal_call(u64 token, u64 a, u64 b, u64 c);
extern long of_enter(void *args, u64 entry);
extern char hypervisor_vectors[], supervisor_vectors[], guest_vectors[];
#define VECTORS_SIZE (32 * 128)

void copy(void *to, const void *from, u64 size)
{
    for (u64 i = 0; i < size; i++)
        ((volatile u8 *)to)[i] = ((const u8 *)from)[i];
    asm volatile("sync; isync" : : : "memory");
}

void fill(void *to, u8 byte, u64 size)
{
    for (u64 i = 0; i < size; i++)
        ((volatile u8 *)to)[i] = byte;
}

/* GCC may ask for it by name. */
void *memset(void *to, int byte, unsigned long size)
{
    fill(to, byte, size);
    return to;
}

void *memcpy(void *to, const void *from, unsigned long size)
{
    copy(to, from, size);
    return to;
}

/* Real-mode accesses to a device are cache-inhibited only while HID4[RM_CI] is set. */
static u64 begin_io(void)
{
    u64 was = 0;

    if (hypervisor && !power8) {
        was = mfspr(SPR_HID4);
        mtspr(SPR_HID4, was | HID4_RM_CI);
    }
    return was;
}

static void end_io(u64 was)
{
    if (hypervisor && !power8)
        mtspr(SPR_HID4, was);
}

void put(char c)
{
    static char byte;
    static u64 length;

    if (power8) {
        byte = c;
        length = 1;
        opal_call(OPAL_CONSOLE_WRITE, 0, (u64)&length, (u64)&byte);
        return;
    }
    u64 was = begin_io();
    if (hypervisor) {
        while (!(*(volatile u8 *)(UART + UART_LSR) & LSR_EMPTY))
            ;
        *(volatile u8 *)UART = c;
    } else {
        *(volatile u8 *)ESCC_DATA = c;
    }
    end_io(was);
}

int get(void)
{
    u64 was = begin_io();
    int got = -1;

    if (*(volatile u8 *)(UART + UART_LSR) & LSR_READY)
        got = *(volatile u8 *)UART;
    end_io(was);
    return got;
}

void print(const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            put('\r');
        put(*text);
    }
}

void print_hex(u64 value)
{
    print("0x");
    for (int shift = 60; shift >= 0; shift -= 4)
        if (value >> shift || !shift)
            put("0123456789abcdef"[value >> shift & 15]);
}

static void print_number(unsigned value)
{
    if (value >= 10)
        print_number(value / 10);
    put('0' + value % 10);
}

static void result(bool holds, const char *claim)
{
    print(holds ? "ok " : "not ok ");
    print_number(++results);
    print(" - ");
    print(claim);
}

void check(bool holds, const char *claim)
{
    result(holds, claim);
    print("\n");
}

void equal(u64 is, u64 wanted, const char *claim)
{
    result(is == wanted, claim);
    if (is != wanted) {
        print(" (is ");
        print_hex(is);
        print(", wanted ");
        print_hex(wanted);
        print(")");
    }
    print("\n");
}

void comment(const char *text, u64 value)
{
    print("# ");
    print(text);
    print(" ");
    print_hex(value);
    print("\n");
}

void save_sprgs(u64 *into)
{
    into[0] = mfspr(SPR_SPRG0);
    into[1] = mfspr(SPR_SPRG1);
    into[2] = mfspr(SPR_SPRG2);
    into[3] = mfspr(SPR_SPRG3);
}

void load_sprgs(const u64 *from)
{
    mtspr(SPR_SPRG0, from[0]);
    mtspr(SPR_SPRG1, from[1]);
    mtspr(SPR_SPRG2, from[2]);
    mtspr(SPR_SPRG3, from[3]);
}

/* What of the processor and of low memory is firmware's, while it cannot see. */
#define LOW_MEMORY 0x8000
static u8 firmware_memory[LOW_MEMORY];
#define SLB_ENTRIES 64
#define SLB_VALID BIT(36)
static u64 firmware_sprg[4], firmware_slb[SLB_ENTRIES][2], firmware_sdr1;

static void save_firmware(void)
{
    copy(firmware_memory, (void *)0, LOW_MEMORY);
    save_sprgs(firmware_sprg);
    firmware_sdr1 = mfspr(SPR_SDR1);
    for (u64 i = 0; i < SLB_ENTRIES; i++)
        asm volatile("slbmfee %0,%2; slbmfev %1,%2" : "=&r"(firmware_slb[i][0]), "=r"(firmware_slb[i][1]) : "r"(i));
}

/* Open Firmware's power-off, by its own interpreter, in the processor as it had left it. */
static void power_off(void)
{
    if (hypervisor) {
        mtspr(SPR_HID4, 0);
        mtspr(SPR_HIOR, 0);
    }
    mtspr(SPR_DEC, 0x7fffffff);
    copy((void *)0, firmware_memory, LOW_MEMORY);
    load_sprgs(firmware_sprg);
    mtspr(SPR_SDR1, firmware_sdr1);
    asm volatile("slbia; isync" : : : "memory");
    for (u64 i = 0; i < SLB_ENTRIES; i++)
        if (firmware_slb[i][0] & SLB_VALID)
            asm volatile("slbmte %1,%0; isync" : : "r"(firmware_slb[i][0] | i), "r"(firmware_slb[i][1]) : "memory");
    of_call("interpret", 1, 1, "power-off");
}

void finish(void)
{
    print("1..");
    print_number(results);
    print("\n");
    if (entry_gpr[5])
        power_off();
    for (;;)
        ;
}

void install_vectors(u64 to)
{
    copy((void *)to, hypervisor ? hypervisor_vectors : supervisor_vectors, VECTORS_SIZE);
}

u64 enter(struct context *context)
{
    u64 vector = hypervisor ? enter_hypervisor(context) : enter_supervisor(context);
    bool hsrr = vector == HYPERVISOR_DECREMENTER || (power8 && vector == EXTERNAL);

    context->nip = hsrr ? context->hsrr0 : context->srr0;
    context->msr = hsrr ? context->hsrr1 : context->srr1;
    return vector;
}

void make_guest(struct guest *guest, u64 offset, u64 limit)
{
    fill(&guest->context, 0, sizeof guest->context);
    guest->limit = limit;
    /* Without a hypervisor mode all addresses are the machine's, and all vectors ours. */
    guest->offset = hypervisor ? offset : 0;
    if (hypervisor)
        copy((void *)offset, guest_vectors, VECTORS_SIZE);
}

/* The RMLR's encoding, and POWER8's RMLS. */
static u64 encode_limit(u64 limit)
{
    switch (limit / MIB) {
    case 64:
        return 3;
    case 128:
        return 7;
    case 256:
        return 4;
    case 1024:
        return 2;
    default:
        return 0; /* 256 GiB */
    }
}

void set_partition(struct guest *guest, u64 lpes)
{
    u64 code;

    if (!hypervisor)
        return;
    if (power8) {
        mtspr(SPR_LPCR, (mfspr(SPR_LPCR) & LPCR_HDICE) | LPCR_RMLS_256M | (lpes & HID4_LPES0 ? LPCR_LPES0 : 0));
        mtspr(SPR_RMOR, guest->offset);
        return;
    }
    code = encode_limit(guest->limit);
    mtspr(SPR_HID4, lpes | (code & 3) << (63 - 2) | (code >> 2) << (63 - 58) | (guest->offset >> 26) << (63 - 22));
}

void allow_hdec(bool allowed)
{
    if (power8)
        mtspr(SPR_LPCR, (mfspr(SPR_LPCR) & ~LPCR_HDICE) | (allowed ? LPCR_HDICE : 0));
    else
        mtspr(SPR_HID0, (mfspr(SPR_HID0) & ~HID0_HDICE) | (allowed ? HID0_HDICE : 0));
}

u64 run(struct guest *guest, const void *code, u64 msr)
{
    /* Hypervisor state has the machine's own addresses. */
    copy(msr & MSR_HV ? (void *)GUEST_CODE : at(guest, GUEST_CODE), code, 1024);
    guest->context.nip = GUEST_CODE;
    guest->context.msr = MSR_SF | MSR_ME | msr;
    return enter(&guest->context);
}

bool in_guest(struct guest *guest, u64 vector)
{
    return guest->context.vector == SYSTEM_CALL && guest->context.gpr[3] == vector;
}

void map_page(struct guest *guest, u64 table, u64 vsid, u64 effective, u64 real)
{
    u64 page = (effective >> 12) & 0xffff;
    u64 group = (vsid ^ page) & (TABLE_SIZE_SMALL / 128 - 1);
    volatile u64 *entry = at(guest, table + group * 128);

    while (entry[0] & 1)
        entry += 2;
    entry[1] = real | 0x192; /* R, M, PP = 10 */
    entry[0] = (vsid << 12 | (page >> 11) << 7) | 1;
    asm volatile("ptesync" : : : "memory");
}

static u32 mpic_read(u64 reg)
{
    u64 was = begin_io();
    u32 value;

    asm volatile("lwbrx %0,0,%1; sync" : "=r"(value) : "r"(MPIC + reg) : "memory");
    end_io(was);
    return value;
}

static void mpic_write(u64 reg, u32 value)
{
    u64 was = begin_io();

    asm volatile("stwbrx %0,0,%1; sync" : : "r"(value), "r"(MPIC + reg) : "memory");
    end_io(was);
}

void ipi_init(unsigned cpu)
{
    mpic_write(MPIC_GLOBAL, 0x20000000); /* not as an 8259 */
    mpic_write(MPIC_IPI0, 8 << 16 | 0x42);
    mpic_write(MPIC_CPU(cpu) + MPIC_PRIORITY, 0);
}

void ipi_send(unsigned from, unsigned to)
{
    mpic_write(MPIC_CPU(from) + MPIC_DISPATCH0, 1 << to);
}

u32 ipi_acknowledge(unsigned cpu)
{
    u32 vector = mpic_read(MPIC_CPU(cpu) + MPIC_ACKNOWLEDGE) & 0xff;

    mpic_write(MPIC_CPU(cpu) + MPIC_EOI, 0);
    return vector;
}

long of_call(const char *service, int args, int rets, ...)
{
    static u32 cells[16];
    __builtin_va_list list;

    cells[0] = (u64)service;
    cells[1] = args;
    cells[2] = rets;
    __builtin_va_start(list, rets);
    for (int i = 0; i < args; i++)
        cells[3 + i] = __builtin_va_arg(list, u64);
    __builtin_va_end(list);
    if (of_enter(cells, entry_gpr[5]))
        return -1;
    return rets ? (int)cells[3 + args] : 0;
}

__attribute__((weak)) void before(void)
{
}

void main(void)
{
    u32 version = mfspr(SPR_PVR) >> 16;

    power8 = version == PVR_POWER8 || version == PVR_POWER8NVL || version == PVR_POWER8DD;
    hypervisor = mfmsr() & MSR_HV;
    /* skiboot has interrupts little-endian, as it is itself. */
    if (power8)
        opal_call(OPAL_REINIT_CPUS, OPAL_REINIT_CPUS_HILE_BE, 0, 0);
    mtspr(SPR_DEC, 0x7fffffff);
    before();
    if (entry_gpr[5])
        save_firmware();
    /* slbia leaves the first entry as it is. */
    asm volatile("slbia; slbmte %0,%0; isync" : : "r"(0ull) : "memory");
    install_vectors(0);
    claims();
    finish();
}
