/* What the payload hypervisor knows of a guest. */
#ifndef HYPERVISOR_H
#define HYPERVISOR_H

#include "payload.h"

/* PAPR, "Hypervisor Call Functions" and "return codes"; H_RTAS is our own. */
#define H_REMOVE 0x04
#define H_ENTER 0x08
#define H_READ 0x0c
#define H_PROTECT 0x18
#define H_GET_TERM_CHAR 0x54
#define H_EOI 0x64
#define H_CPPR 0x68
#define H_XIRR 0x74
#define H_CEDE 0xe0
#define H_BULK_REMOVE 0x124
#define H_RTAS 0xf001

#define H_SUCCESS 0ull
#define H_FUNCTION (-2ull)
#define H_PARAMETER (-4ull)
#define H_PTEG_FULL (-6ull)
#define H_NOT_FOUND (-7ull)

struct domain {
    struct guest guest;
    unsigned number;
    bool ceded, ended, lost;
    u64 slices, hypercalls;
    u64 sprg[4], decrementer_at, sdr1;
    u64 table, groups; /* its hash table: where, and how many groups */
    char line[256];
    unsigned column;
};

void say(const char *text);
void make_linux(struct domain *domain, u64 offset, const void *image, u64 size);
u64 rtas_call(struct domain *domain);
u64 page_table_call(struct domain *domain, u64 call);

#endif
