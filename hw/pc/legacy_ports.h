/* SPDX-License-Identifier: MIT */
/* Ways to reset a PC older than ACPI: the keyboard controller's at 0x64, system control port A. */
#ifndef HW_PC_LEGACY_PORTS_H
#define HW_PC_LEGACY_PORTS_H

#include "core/device/device.h"

extern const struct device_class legacy_ports_class;

#endif
