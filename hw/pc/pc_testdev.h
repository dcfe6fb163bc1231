/* SPDX-License-Identifier: MIT */
/*
 * pc-testdev, the counterpart of test suites for PCs (kvm-unit-tests): ports and memory that keep
 * what they are given, the levels of the machine's interrupt inputs, and a port that takes a page of
 * RAM out of the host's page tables. Never part of a machine unless it is asked for.
 */
#ifndef HW_PC_PC_TESTDEV_H
#define HW_PC_PC_TESTDEV_H

#include "core/device/device.h"

extern const struct device_class pc_testdev_class;

#endif
