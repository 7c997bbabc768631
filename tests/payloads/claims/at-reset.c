/* The processor comes up in hypervisor state, and nothing is set up yet. */
#include "payload.h"

void claims(void)
{
    equal(entry_msr & MSR_HV, MSR_HV, "MSR[HV] is set when firmware enters us");
    equal(entry_msr & MSR_PR, 0, "and this is no problem state");
    equal(mfmsr() & MSR_HV, MSR_HV, "rfid and mtmsrd have left it so");
    equal(mfspr(SPR_HID4), 0, "HID4 is clear: no partition, LPES 0");
    equal(mfspr(SPR_HIOR), 0, "HIOR is 0");
    equal(mfspr(SPR_HID0) & HID0_HDICE, 0, "HID0[HDICE] is clear");
    equal(mfspr(SPR_PIR), 0, "PIR is the first processor's");
}
