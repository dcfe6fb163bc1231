/* SPDX-License-Identifier: MIT */
/* The pair of 8259A interrupt controllers: ISA inputs 0-15 to the boot CPU's LINT0. */
#ifndef HW_PC_I8259_H
#define HW_PC_I8259_H

#include "core/device/device.h"

extern const struct device_class i8259_class;

/* Level of input 0..15. Any thread. */
void i8259_set_input(struct device *device, unsigned input, bool level);

/* INTA cycle: the vector of the highest request, which is now in service. Any thread. */
uint8_t i8259_acknowledge(struct device *device);

#endif
