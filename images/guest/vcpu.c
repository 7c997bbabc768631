/*
 * A vCPU of KVM-PR without a QEMU around it, for what a whole guest shows only now and then.
 *
 *   vcpu real-mode      its state is set as that of a guest that was stopped in real mode, with an SLB of many entries;
 *                       it must reach its memory at 0 and, as an interrupt handler does, at 0xc000000000000000
 *
 * Prints what the vCPU did and ends with 0 if it did as it should, 1 if not, 2 if it could not be tried.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MEMORY = 1 << 20, CODE = 0x1000, DATA = 0x2000, SECONDS = 5, SEGMENTS = 60, HASH_BITS = 9 };
static const uint64_t NOWHERE = 0x40000000, LINEAR = 0xc000000000000000, MSR_SF = 1ull << 63, SLB_VALID = 1 << 27;
static const uint32_t MARK = 0x970, PVR_970 = 0x00390202;

static void tick(int number)
{
	(void)number; /* it interrupts the vCPU, which is all */
}

static int failed(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	return 2;
}

/*
 * Give the SLB an entry for the kernel's memory, as Linux has it first, and then for segments whose places in the
 * host's map of guest VSIDs are those of the segment at 0 (arch/powerpc/kvm/book3s_64_mmu_host.c, kvmppc_sid_hash()
 * takes the exclusive or of pieces of nine bits: pieces that are alike in pairs leave it as it is).
 */
static void fill_slb(struct kvm_sregs *sregs)
{
	memset(sregs->u.s.ppc64.slb, 0, sizeof sregs->u.s.ppc64.slb);
	sregs->u.s.ppc64.slb[0].slbe = LINEAR | SLB_VALID;
	for (uint64_t i = 1; i <= SEGMENTS; i++) {
		sregs->u.s.ppc64.slb[i].slbe = (i << HASH_BITS | i) << 28 | SLB_VALID | i;
		sregs->u.s.ppc64.slb[i].slbv = i << 12;
	}
}

static int real_mode(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, KVM_VM_PPC_PR);
	int vcpu = vm < 0 ? -1 : ioctl(vm, KVM_CREATE_VCPU, 0);
	if (vcpu < 0)
		return failed("no vCPU");
	uint32_t *memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	struct kvm_run *run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (memory == MAP_FAILED || run == MAP_FAILED)
		return failed("no memory");
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY, .userspace_addr = (uintptr_t)memory };
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return failed("no memory for the guest");
	memory[DATA / 4] = MARK;
	memory[CODE / 4] = 0x80830000;     /* lwz r4,0(r3): at LINEAR */
	memory[CODE / 4 + 1] = 0x90850000; /* stw r4,0(r5): where there is no memory, which is told to us */

	struct kvm_regs regs = { .pc = CODE, .msr = MSR_SF };
	struct kvm_sregs sregs;
	regs.gpr[3] = LINEAR | DATA;
	regs.gpr[5] = NOWHERE;
	if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
		return failed("the vCPU's state cannot be read");
	sregs.pvr = PVR_970;
	fill_slb(&sregs);
	/* In the order of QEMU's kvm_arch_put_registers(). */
	if (ioctl(vcpu, KVM_SET_REGS, &regs) < 0 || ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0)
		return failed("the vCPU's state cannot be set");

	struct sigaction action = { .sa_handler = tick };
	sigaction(SIGALRM, &action, NULL);
	alarm(SECONDS);
	int outcome = ioctl(vcpu, KVM_RUN, 0), why = errno;
	alarm(0);
	ioctl(vcpu, KVM_GET_REGS, &regs);
	if (outcome < 0 && why == EINTR) {
		printf("after %d s it still is at %#llx\n", SECONDS, (unsigned long long)regs.pc);
		return 1;
	}
	if (outcome < 0 || run->exit_reason != KVM_EXIT_MMIO || run->mmio.phys_addr != NOWHERE || !run->mmio.is_write) {
		printf("it ended with %s, exit %u, at %#llx\n", outcome < 0 ? strerror(why) : "no error", run->exit_reason,
		       (unsigned long long)regs.pc);
		return 1;
	}
	uint32_t told;
	memcpy(&told, run->mmio.data, sizeof told);
	printf("it read %#x at %#llx\n", told, (unsigned long long)regs.gpr[3]);
	return told == MARK ? 0 : 1;
}

int vcpu_main(int count, char **words)
{
	if (count == 2 && !strcmp(words[1], "real-mode"))
		return real_mode();
	fprintf(stderr, "usage: vcpu real-mode\n");
	return 2;
}
