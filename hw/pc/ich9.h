/* SPDX-License-Identifier: MIT */
/* The ICH9 LPC bridge at 1f.0 with ACPI power management. */
#ifndef HW_PC_ICH9_H
#define HW_PC_ICH9_H

#include "core/device/device.h"

/* Where the power management registers are; the ACPI tables say so. */
#define ICH9_PM_BASE 0x600
#define ICH9_PM1_CNT (ICH9_PM_BASE + 4)
#define ICH9_PM_TIMER (ICH9_PM_BASE + 8)
#define ICH9_GPE0 (ICH9_PM_BASE + 0x20)
#define ICH9_GPE0_LEN 16
#define ICH9_SCI_GSI 9

extern const struct device_class ich9_lpc_class;

/* The user pressed the power button: the guest is told by ACPI. Any thread. */
void ich9_power_button(struct device *device);

#endif
