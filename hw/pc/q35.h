/* SPDX-License-Identifier: MIT */
/*
 * The Q35 host bridge at 00.0: configuration cycles by ports 0xcf8/0xcfc and by ECAM, reset control
 * at 0xcf9.
 */
#ifndef HW_PC_Q35_H
#define HW_PC_Q35_H

#include "core/device/device.h"

#define Q35_ECAM_BASE UINT64_C(0xb0000000)
#define Q35_ECAM_SIZE UINT64_C(0x10000000) /* 256 buses */
#define Q35_RESET_PORT 0xcf9
#define Q35_RESET_VALUE 0x0e /* a full reset */

extern const struct device_class q35_host_class;

#endif
