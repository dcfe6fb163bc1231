/* SPDX-License-Identifier: MIT */
/* What test_smp.c and its guest (guest_smp.S) agree on: guest-physical addresses, which are linear ones too. */
#ifndef TESTS_CORE_ENGINE_SOFT_GUEST_SMP_H
#define TESTS_CORE_ENGINE_SOFT_GUEST_SMP_H

#define GUEST_BASE 0x8000
#define DONE 0x501 /* port */
#define VECTOR 0x40

/* 32 bits each, set by the test. */
#define JOB 0x40000
#define PROCESSORS 0x40004
#define COUNT 0x40008

/* 32 bits each, 0 at the start. */
#define READY 0x40040
#define FINISHED 0x40080
#define ERRORS 0x400c0
#define ROUND 0x40100
#define ANSWERS 0x40140
#define ONE_LINE 0x40180
#define TAKEN 0x40200 /* one a processor */

/* 64 bits each. */
#define TWO_LINES 0x4103c
#define TWO_PAGES 0x42ffc

/* mov $0, %eax; ret, where the test puts it. */
#define FUNCTION 0x44000
#define BESIDE_CODE 0x4423d /* 32 bits in two lines */

/* A page by an entry of its own in the page tables. */
#define WINDOW 0x200000
#define WINDOW_PAGE 0x50000
#define WINDOW_ENTRY 0x23000

/* The jobs. */
#define JOB_LOCKED 0
#define JOB_PATCHED 1
#define JOB_NEIGHBOURS 2
#define JOB_PAGE_TABLE 3
#define JOB_INTERRUPTS 4

#endif
