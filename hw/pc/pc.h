/* SPDX-License-Identifier: MIT */
/*
 * The PC: Q35 identity, RAM, engine and board put together. All calls on the main thread.
 */
#ifndef HW_PC_PC_H
#define HW_PC_PC_H

#include "core/base/base.h"
#include "hw/pc/machine.h"

#define PC_SERIAL_COUNT 4
#define PC_MIN_RAM (UINT64_C(1) << 20)

struct boot_image;
struct boot_modules;
struct chardev;
struct device;
struct pc;

/* Posted to the main thread. All required. */
struct pc_events {
	/* status: exit status that a debug exit asks for; 0 otherwise. */
	void (*event)(struct pc_events *events, enum machine_event event, int status);
	/* A vCPU stopped: SHUTDOWN, DEBUG or ERROR. */
	void (*vcpu_stopped)(struct pc_events *events, struct vcpu *vcpu, enum vcpu_exit reason);
};

struct pc_config {
	const char *accel;
	uint64_t ram_size; /* bytes, a multiple of the page size */
	unsigned vcpus;
	enum clock_kind clock;
	uint64_t tb_size; /* as in struct engine_config */
	bool check_translation;
	bool no_fsgsbase;
	struct cpu_model cpu;
	bool perf_map;
	struct chardev *serial[PC_SERIAL_COUNT]; /* NULL: none */
	struct pc_events *events;
};

/* What runs at power-up. Borrowed during pc_reset(). */
struct pc_boot {
	const struct boot_image *kernel;
	const struct boot_modules *modules; /* may be NULL */
	const char *command_line; /* may be NULL */
};

struct pc *pc_create(const struct pc_config *config, GError **error);

/* Stops everything and gives it back, devices included. May be NULL. */
void pc_destroy(struct pc *pc);

struct machine *pc_machine(struct pc *pc);

/*
 * Realizes the device and takes it: it is reset with the machine and destroyed with it. On failure
 * the caller keeps it.
 */
bool pc_add_device(struct pc *pc, struct device *device, GError **error);

/* Power-up: everything reset, addresses assigned, the kernel placed, vCPUs ready and standing. */
bool pc_reset(struct pc *pc, const struct pc_boot *boot, GError **error);

void pc_start(struct pc *pc);
void pc_stop(struct pc *pc); /* vCPUs stand still and time stops when it returns */
bool pc_running(const struct pc *pc);

/* The user pressed the power button. */
void pc_power_button(struct pc *pc);

#endif
