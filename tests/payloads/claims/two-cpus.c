/* Firmware starts a second processor, which has all of this for itself. */
#include "payload.h"

extern char second_start[], guest_count_down[], guest_hypercall[];
static struct guest first, second;
static volatile u64 second_msr, second_pir, second_argument, second_vector, beats;
static volatile bool leave_first;
static long phandle = -1, started = -1;

void second_main(u64 argument)
{
    second_argument = argument;
    second_msr = mfmsr();
    second_pir = mfspr(SPR_PIR);
    asm volatile("sync" : : : "memory");
    while (!leave_first)
        beats++;
    ipi_init(1);
    set_partition(&second, HID4_LPES1);
    second_vector = run(&second, guest_count_down, MSR_EE);
    asm volatile("sync" : : : "memory");
    leave_first = false;
    for (;;)
        beats++;
}

void before(void)
{
    if (!entry_gpr[5])
        return;
    phandle = of_call("finddevice", 1, 1, "/cpus/@1");
    if (phandle != -1)
        started = of_call("start-cpu", 3, 0, phandle, (u64)second_start, 0x5ec0ull);
}

static bool soon(volatile u64 *value, u64 unlike)
{
    for (u64 began = mftb(); mftb() - began < 5 * TICKS_PER_SECOND;)
        if (*value != unlike)
            return true;
    return false;
}

void claims(void)
{
    u64 vector, was;

    check(phandle != -1, "the device tree has a second processor");
    equal(started, 0, "the client interface has start-cpu");
    if (!soon(&beats, 0)) {
        check(false, "it runs");
        return;
    }
    check(true, "it runs");
    equal(second_argument, 0x5ec0, "with the argument in r3");
    equal(second_msr & MSR_HV, MSR_HV, "in hypervisor state");
    equal(second_pir, 1, "its PIR is 1");
    equal(mfspr(SPR_PIR), 0, "ours is 0");

    make_guest(&first, 128 * MIB, 64 * MIB);
    make_guest(&second, 192 * MIB, 64 * MIB);
    set_partition(&first, HID4_LPES1);
    vector = run(&first, guest_hypercall, 0);
    equal(vector, SYSTEM_CALL, "a guest runs here");
    was = beats;
    check(soon(&beats, was), "while the other goes on");

    /* Its guest waits for an interrupt from us. */
    ipi_init(0);
    leave_first = true;
    asm volatile("sync" : : : "memory");
    for (u64 began = mftb(); leave_first && mftb() - began < 5 * TICKS_PER_SECOND;)
        ipi_send(0, 1);
    check(!leave_first, "its guest comes back");
    equal(second_vector, EXTERNAL, "interrupted by us, to its hypervisor");
    equal(ipi_acknowledge(1), 0x42, "with our vector");
    equal(second.context.srr1 & MSR_HV, 0, "out of guest state");
    equal(mfspr(SPR_HID4), HID4_LPES1 | 3ull << 61 | (first.offset >> 26) << 41, "HID4 is each processor's own");
}
