/* SPDX-License-Identifier: MIT */
/*
 * Running a vCPU. Devices are reached from here: port and memory accesses that leave the guest go
 * to the machine's address spaces. The kernel finishes such an instruction when KVM_RUN is entered
 * again, before it looks at kicks: so a vCPU that stands still never stands in the middle of one.
 */
#include "core/base/bytes.h"
#include "core/base/fd.h"
#include "core/base/log.h"
#include "core/engine/kvm/vm.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>

#define KERNEL_SIGSET_SIZE 8 /* bytes; the C library's is larger */

/*
 * The kick. Its signal is blocked in the vCPU's thread except in KVM_RUN, so that no system call of
 * a device is ever interrupted; there it stays pending and is taken afterwards.
 */

static int kick_signal(void)
{
	return SIGRTMIN;
}

static void ignore_signal(int number)
{
	(void)number;
}

bool kvm_kick_init(struct kvm_cpu *cpu, GError **error)
{
	struct sigaction action = {.sa_handler = ignore_signal, .sa_flags = SA_RESTART};
	g_autofree struct kvm_signal_mask *mask = g_malloc0(sizeof(*mask) + KERNEL_SIGSET_SIZE);
	sigset_t set;

	/* Never called; an ignored signal would be dropped before KVM sees it. */
	sigaction(kick_signal(), &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, kick_signal());
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	sigdelset(&set, kick_signal());
	mask->len = KERNEL_SIGSET_SIZE;
	memcpy(mask->sigset, &set, KERNEL_SIGSET_SIZE);
	if (ioctl(cpu->fd, KVM_SET_SIGNAL_MASK, mask) < 0) {
		set_error_errno(error, "/dev/kvm: signal mask");
		return false;
	}
	return true;
}

void kvm_vcpu_kick(struct vcpu *vcpu)
{
	struct kvm_cpu *cpu = kvm_cpu_of(vcpu);

	if (!__atomic_exchange_n(&cpu->kicked, 1, __ATOMIC_SEQ_CST) && vcpu != vcpu_current()) {
		pthread_kill(vcpu->thread, kick_signal());
	}
}

/* Takes the kick; whoever kicked before this is answered by the return from vcpu_run. */
static void take_kick(struct kvm_cpu *cpu)
{
	const struct timespec now = {0};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, kick_signal());
	while (sigtimedwait(&set, NULL, &now) > 0) {
		continue;
	}
	__atomic_store_n(&cpu->kicked, 0, __ATOMIC_SEQ_CST);
}

/*
 * Exits to devices.
 */

static void do_port_access(struct kvm_cpu *cpu)
{
	struct kvm_run *run = cpu->run;
	struct address_space *ports = cpu->base.engine->config.ports;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned size = run->io.size;

	for (uint32_t i = 0; i < run->io.count; i++, data += size) {
		if (run->io.direction == KVM_EXIT_IO_OUT) {
			address_space_write(ports, run->io.port, le_load(data, size), size);
		} else {
			le_store(data, address_space_read(ports, run->io.port, size), size);
		}
	}
}

/* The kernel cuts an access that crosses a page in two: pieces may have any length up to 8. */
static void do_memory_access(struct kvm_cpu *cpu)
{
	struct kvm_run *run = cpu->run;
	struct address_space *memory = cpu->base.engine->config.memory;
	unsigned len = MIN(run->mmio.len, sizeof(run->mmio.data));

	for (unsigned done = 0, size; done < len; done += size) {
		uint64_t address = run->mmio.phys_addr + done;
		uint8_t *data = run->mmio.data + done;
		for (size = 8; size > len - done; size /= 2) {
			continue;
		}
		if (run->mmio.is_write) {
			address_space_write(memory, address, le_load(data, size), size);
		} else {
			le_store(data, address_space_read(memory, address, size), size);
		}
	}
}

static void report_internal_error(struct kvm_cpu *cpu)
{
	const struct kvm_run *run = cpu->run;
	unsigned words = MIN(run->internal.ndata, G_N_ELEMENTS(run->internal.data));
	g_autoptr(GString) data = g_string_new(NULL);

	for (unsigned i = 0; i < words; i++) {
		g_string_append_printf(data, " %llx", (unsigned long long)run->internal.data[i]);
	}
	log_error("kvm: vCPU %u: internal error %u%s%s%s", cpu->base.index, run->internal.suberror,
			run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
					? " (an instruction could not be emulated)"
					: "",
			words ? ", data" : "", data->str);
}

static enum vcpu_exit give_up(struct kvm_cpu *cpu)
{
	const struct kvm_run *run = cpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_INTERNAL_ERROR:
		report_internal_error(cpu);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		log_error("kvm: vCPU %u: the processor refused its state (reason 0x%llx)",
				cpu->base.index,
				(unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		log_error("kvm: vCPU %u: unexpected exit %u", cpu->base.index, run->exit_reason);
		break;
	}
	kvm_log_registers(cpu);
	return VCPU_EXIT_ERROR;
}

/* Serves an exit. False if it is the machine's to decide; then *ret_reason says what it is. */
static bool serve(struct kvm_cpu *cpu, enum vcpu_exit *ret_reason)
{
	struct kvm_run *run = cpu->run;
	struct irqchip_board *board = cpu->base.engine->config.board;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		do_port_access(cpu);
		return true;
	case KVM_EXIT_MMIO:
		do_memory_access(cpu);
		return true;
	case KVM_EXIT_IOAPIC_EOI:
		board->eoi(board, run->eoi.vector);
		return true;
	case KVM_EXIT_IRQ_WINDOW_OPEN: /* looked at before KVM_RUN */
	case KVM_EXIT_HLT: /* not with the kernel's local APIC */
	case KVM_EXIT_INTR:
		return true;
	case KVM_EXIT_SHUTDOWN:
		*ret_reason = VCPU_EXIT_SHUTDOWN;
		return false;
	case KVM_EXIT_DEBUG:
		*ret_reason = VCPU_EXIT_DEBUG;
		return false;
	default:
		*ret_reason = give_up(cpu);
		return false;
	}
}

enum vcpu_exit kvm_vcpu_run(struct vcpu *vcpu)
{
	struct kvm_cpu *cpu = kvm_cpu_of(vcpu);
	enum vcpu_exit reason;

	for (;;) {
		kvm_offer_extint(cpu);
		cpu->run->immediate_exit = __atomic_load_n(&cpu->kicked, __ATOMIC_SEQ_CST) != 0;
		if (ioctl(cpu->fd, KVM_RUN, 0) < 0) {
			if (errno == EINTR) {
				take_kick(cpu);
				return VCPU_EXIT_KICKED;
			}
			if (errno == EAGAIN) { /* it waits to be started by another vCPU */
				continue;
			}
			log_error("kvm: vCPU %u: KVM_RUN: %s", vcpu->index, g_strerror(errno));
			kvm_log_registers(cpu);
			return VCPU_EXIT_ERROR;
		}
		cpu->exits++;
		if (!serve(cpu, &reason)) {
			return reason;
		}
	}
}
