/* SPDX-License-Identifier: MIT */
/* Small devices through which a guest speaks to its monitor: pvpanic and the debug-exit port. */
#ifndef HW_PC_ISA_DEBUG_H
#define HW_PC_ISA_DEBUG_H

#include "core/device/device.h"

extern const struct device_class pvpanic_class, debug_exit_class;

#endif
