/* SPDX-License-Identifier: MIT */
/* The I/O APIC (82093AA): 24 inputs that become messages to the local APICs. */
#ifndef HW_PC_IOAPIC_H
#define HW_PC_IOAPIC_H

#include "core/device/device.h"

extern const struct device_class ioapic_class;

/* Level of input 0..23. Any thread. */
void ioapic_set_input(struct device *device, unsigned input, bool level);

/*
 * A local APIC finished vector: level-triggered inputs that are still high are sent again. Any
 * thread.
 */
void ioapic_eoi(struct device *device, uint8_t vector);

#endif
