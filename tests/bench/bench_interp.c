/* SPDX-License-Identifier: MIT */
/*
 * How many guest instructions a second the interpreter executes, on a mixed integer loop (loads,
 * stores, arithmetic, branches, a call) in flat memory. Usage: bench_interp [seconds]
 */
#include "tests/core/engine/soft/fake_machine.h"

#include "core/engine/soft/interp.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

#define CODE 0x10000u
#define DATA 0x100000u
#define DATA_SIZE 0x40000u

static const uint8_t code[] = {
		0x48, 0x8d, 0x75, 0x00, /* 0: lea rsi,[rbp+0x0] */
		0xb9, 0xe8, 0x03, 0x00, 0x00, /* 4: mov ecx,0x3e8 */
		0x8b, 0x06, /* 9: mov eax,DWORD PTR [rsi] */
		0x01, 0xd8, /* b: add eax,ebx */
		0x89, 0x46, 0x04, /* d: mov DWORD PTR [rsi+0x4],eax */
		0x0f, 0xb6, 0xd0, /* 10: movzx edx,al */
		0x44, 0x8b, 0x44, 0x95, 0x00, /* 13: mov r8d,DWORD PTR [rbp+rdx*4+0x0] */
		0x44, 0x31, 0xc3, /* 18: xor ebx,r8d */
		0xc1, 0xe8, 0x03, /* 1b: shr eax,0x3 */
		0xa8, 0x01, /* 1e: test al,0x1 */
		0x74, 0x03, /* 20: je 25 */
		0x48, 0xff, 0xc7, /* 22: inc rdi */
		0xe8, 0x0b, 0x00, 0x00, 0x00, /* 25: call 35 */
		0x48, 0x83, 0xc6, 0x08, /* 2a: add rsi,0x8 */
		0x83, 0xe9, 0x01, /* 2e: sub ecx,0x1 */
		0x75, 0xd6, /* 31: jne 9 */
		0xeb, 0xcb, /* 33: jmp 0 */
		0x53, /* 35: push rbx */
		0x4d, 0x8d, 0x0c, 0x00, /* 36: lea r9,[r8+rax*1] */
		0x4d, 0x39, 0xc1, /* 3a: cmp r9,r8 */
		0x4c, 0x0f, 0x47, 0xd3, /* 3d: cmova r10,rbx */
		0x5b, /* 41: pop rbx */
		0xc3, /* 42: ret */
};

static struct cpu *running;

static void time_is_up(int signal_number)
{
	(void)signal_number;
	__atomic_fetch_or(&running->request, CPU_REQUEST_EXIT, __ATOMIC_RELAXED);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts); /* others may use the processor, too */
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
	struct itimerval time = {.it_value.tv_sec = argc > 1 ? atoi(argv[1]) : 2};
	uint8_t *memory = mmap(NULL, DATA_SIZE + GUEST_PAGE_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct fake_machine *fake = fake_machine_create();
	double start;

	assert(memory != MAP_FAILED);
	memcpy(memory, code, sizeof(code));
	fake_machine_add(fake, CODE, GUEST_PAGE_SIZE, memory, true);
	fake_machine_add(fake, DATA, DATA_SIZE, memory + GUEST_PAGE_SIZE, true);
	running = fake->cpu;
	running->rip = CODE;
	running->regs[X86_RBP] = DATA;
	running->regs[X86_RBX] = 0x12345678;
	running->regs[X86_RSP] = DATA + DATA_SIZE;
	signal(SIGPROF, time_is_up);
	start = now();
	setitimer(ITIMER_PROF, &time, NULL);
	cpu_run(running);
	printf("%.1f million instructions/s\n",
			(double)running->instructions / (now() - start) / 1e6);
	assert(fake->faults == 0);
	fake_machine_destroy(fake);
	munmap(memory, DATA_SIZE + GUEST_PAGE_SIZE);
	return EXIT_SUCCESS;
}
