/* SCOM: a command is given in SCOMC, the data is in SCOMD, and SCOMC says how it went. */
#include "payload.h"

#define READ BIT(48)
#define STATUS (BIT(58) | BIT(59) | BIT(60) | BIT(63))
#define ADDRESS(a) ((u64)(a) << 16)
/* The core's "Array and MCE Status", which hypervisors of that time read at start. */
#define AMCS 0x0226

void claims(void)
{
    mtspr(SPR_SCOMD, ~0ull);
    equal(mfspr(SPR_SCOMD), ~0ull, "SCOMD keeps what is to be written");
    mtspr(SPR_SCOMC, ADDRESS(AMCS));
    equal(mfspr(SPR_SCOMC) & STATUS, 0, "a write succeeds");
    mtspr(SPR_SCOMC, ADDRESS(AMCS) | READ | STATUS);
    equal(mfspr(SPR_SCOMC) & STATUS, 0, "a read succeeds, whatever the status was");
    equal(mfspr(SPR_SCOMD), 0, "nothing has happened that the register would tell");
}
