/* SPDX-License-Identifier: MIT */
/* QEMU's firmware configuration device, as far as small kernels and test programs ask it. */
#ifndef HW_PC_FW_CFG_H
#define HW_PC_FW_CFG_H

#include "core/device/device.h"

extern const struct device_class fw_cfg_class;

#endif
