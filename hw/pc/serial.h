/* SPDX-License-Identifier: MIT */
/* A 16550A serial port on the ISA bus. */
#ifndef HW_PC_SERIAL_H
#define HW_PC_SERIAL_H

#include "core/device/device.h"

struct chardev;

extern const struct device_class serial_class;

/* Before realize: index 0..3 chooses ports and input as COM1..COM4; chardev is borrowed. */
void serial_configure(struct device *device, unsigned index, struct chardev *chardev);

#endif
