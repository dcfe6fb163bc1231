/* SPDX-License-Identifier: MIT */
/* The 8254 timer: system tick on input 0, speaker gate on port 0x61. */
#ifndef HW_PC_I8254_H
#define HW_PC_I8254_H

#include "core/device/device.h"

extern const struct device_class i8254_class;

#endif
