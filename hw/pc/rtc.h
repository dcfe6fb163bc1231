/* SPDX-License-Identifier: MIT */
/* The MC146818 real-time clock with its battery-backed memory. */
#ifndef HW_PC_RTC_H
#define HW_PC_RTC_H

#include "core/device/device.h"

extern const struct device_class rtc_class;

#endif
