/*
 * The smallest hypervisor that is one: it starts two guests, takes the processor from each when its time is up, and
 * serves the hypercalls that it knows. Its own words begin with "hv:", a guest's with the guest's number.
 *
 * Where firmware brings an initrd, that is the first guest's kernel (linux.c).
 */
#include "hypervisor.h"

/* Of the processor's time, for each turn (ticks of the time base): 5 ms. */
#define SLICE (TICKS_PER_SECOND / 200)

extern char guest_talks[];

static struct domain domains[2] = {{.number = 1}, {.number = 2}};

static const char *const said[] = {"one", "two", "three", "four", "five"};
#define LINES (sizeof said / sizeof *said)

void say(const char *text)
{
    print("hv: ");
    print(text);
    print("\n");
}

/* Whole lines: two guests share one console. */
static void domain_put(struct domain *domain, char c)
{
    if (c == '\r')
        return;
    if (c != '\n' && domain->column < sizeof domain->line - 1) {
        domain->line[domain->column++] = c;
        return;
    }
    domain->line[domain->column] = 0;
    put('0' + domain->number);
    print(": ");
    print(domain->line);
    print("\n");
    domain->column = 0;
}

/* PAPR, H_PUT_TERM_CHAR: the length in r5, up to 16 bytes in r6 and r7. */
static u64 put_term_char(struct domain *domain)
{
    u64 *gpr = domain->guest.context.gpr;

    if (gpr[5] > 16)
        return H_PARAMETER;
    for (u64 i = 0; i < gpr[5]; i++)
        domain_put(domain, gpr[6 + i / 8] >> (56 - 8 * (i % 8)));
    return H_SUCCESS;
}

static void hypercall(struct domain *domain)
{
    struct context *context = &domain->guest.context;

    domain->hypercalls++;
    switch (context->gpr[3]) {
    case H_PUT_TERM_CHAR:
        context->gpr[3] = put_term_char(domain);
        break;
    case H_GET_TERM_CHAR:
        context->gpr[3] = H_SUCCESS;
        context->gpr[4] = 0;
        break;
    case H_XIRR:
        /* No device of the machine's is the guest's: nothing ever interrupts it but its decrementer. */
        context->gpr[4] = 0;
        context->gpr[3] = H_SUCCESS;
        break;
    case H_CPPR:
    case H_EOI:
        context->gpr[3] = H_SUCCESS;
        break;
    case H_CEDE:
        context->msr |= MSR_EE;
        context->gpr[3] = H_SUCCESS;
        domain->ceded = true;
        break;
    case H_RTAS:
        context->gpr[3] = rtas_call(domain);
        break;
    case H_EXIT:
        domain->ended = true;
        break;
    default:
        context->gpr[3] = page_table_call(domain, context->gpr[3]);
    }
}

static void lost(struct domain *domain, u64 vector)
{
    struct context *context = &domain->guest.context;

    put('0' + domain->number);
    print(": lost\n");
    comment("vector", vector);
    comment("nip", context->nip);
    comment("msr", context->msr);
    domain->ended = domain->lost = true;
}

/* What belongs to a guest and is in the processor besides its context. */
static void switch_to(struct domain *domain)
{
    set_partition(&domain->guest, HID4_LPES1);
    mtspr(SPR_SDR1, domain->sdr1);
    load_sprgs(domain->sprg);
    mtspr(SPR_DEC, domain->decrementer_at - mftb());
    mtspr(SPR_DAR, domain->guest.context.dar);
    mtspr(SPR_DSISR, domain->guest.context.dsisr);
}

static void switch_from(struct domain *domain)
{
    domain->decrementer_at = mftb() + (int)mfspr(SPR_DEC);
    save_sprgs(domain->sprg);
    /* A decrementer that is not the hypervisor's concern must not come while no guest runs. */
    mtspr(SPR_DEC, 0x7fffffff);
}

static void turn(struct domain *domain)
{
    switch_to(domain);
    mtspr(SPR_HDEC, SLICE);
    domain->ceded = false;
    while (!domain->ended && !domain->ceded) {
        u64 vector = enter(&domain->guest.context);

        if (vector == HYPERVISOR_DECREMENTER) {
            domain->slices++;
            break;
        }
        if (vector == SYSTEM_CALL && !(domain->guest.context.srr1 & MSR_PR))
            hypercall(domain);
        else
            lost(domain, vector);
    }
    switch_from(domain);
}

/* A guest of the payload's own: it has something to say, and much to think about in between. */
static void make_talker(struct domain *domain, u64 offset)
{
    make_guest(&domain->guest, offset, 64 * MIB);
    copy(at(&domain->guest, GUEST_CODE), guest_talks, 1024);
    for (unsigned i = 0; i < LINES; i++) {
        char *line = at(&domain->guest, GUEST_LINES + i * 16);
        unsigned length = 0;

        for (; said[i][length]; length++)
            line[length] = said[i][length];
        line[length] = '\n';
        *(u64 *)at(&domain->guest, GUEST_LENGTHS + i * 8) = length + 1;
    }
    domain->guest.context.gpr[14] = LINES;
    domain->guest.context.nip = GUEST_CODE;
    domain->guest.context.msr = MSR_SF | MSR_ME;
    domain->decrementer_at = mftb() + 0x7fffffff;
}

void claims(void)
{
    bool brought = hypervisor && entry_gpr[4];

    say("payload hypervisor");
    if (!hypervisor) {
        say("the processor has no hypervisor mode");
        check(false, "there is a hypervisor mode");
        return;
    }
    if (brought)
        make_linux(&domains[0], 256 * MIB, (void *)entry_gpr[3], entry_gpr[4]);
    else
        make_talker(&domains[0], 128 * MIB);
    make_talker(&domains[1], 192 * MIB);
    say("two guests begin");
    mtspr(SPR_HDEC, 0x7fffffff);
    allow_hdec(true);
    while (!domains[0].ended || !domains[1].ended)
        for (unsigned i = 0; i < 2; i++)
            if (!domains[i].ended)
                turn(&domains[i]);
    allow_hdec(false);
    for (unsigned i = 0; i < 2; i++) {
        comment("guest", domains[i].number);
        comment("times its turn was over", domains[i].slices);
        comment("hypercalls", domains[i].hypercalls);
        check(!domains[i].lost, "it ended by itself");
        check(domains[i].slices > 1, "it was interrupted by HDEC, and went on");
    }
    say("both guests have ended");
}
