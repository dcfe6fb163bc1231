/* SPDX-License-Identifier: MIT */
/*
 * A guest for test_smp.c: every processor enters at GUEST_BASE in real mode, the first by the test, the others by its SIPI, and
 * climbs to long mode. There all of them do the job that JOB names, COUNT times, at once; the last one done writes to port DONE.
 * What a job found wrong it counts in ERRORS.
 */
#include "tests/core/engine/soft/guest_smp.h"

#define AT(label) (GUEST_BASE + (label) - guest_smp)

#define TABLES 0x20000 /* PML4, PDPT, PD, PT */
#define IDT 0x24000
#define STACKS 0x60000

#define CODE32 0x08
#define CODE64 0x10
#define DATA 0x18

	.section .rodata
	.globl guest_smp, guest_smp_end
	.balign 16
guest_smp:
	.code16
	cli
	ljmp $0, $AT(real)
real:
	xorw %ax, %ax
	movw %ax, %ds
	lgdtl AT(gdt_pointer)
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $CODE32, $AT(protected)

	.code32
protected:
	movw $DATA, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl $1, %eax
	cpuid
	shrl $24, %ebx
	movl %ebx, %ebp /* our number */
	testl %ebp, %ebp
	jnz 1f
	movl $TABLES + 0x1003, TABLES
	movl $TABLES + 0x2003, TABLES + 0x1000
	movl $0x83, TABLES + 0x2000
	movl $TABLES + 0x3003, TABLES + 0x2008
	movl $WINDOW_PAGE + 3, TABLES + 0x3000
1:	movl $0x6a0, %eax /* PAE, OSFXSR, OSXMMEXCPT, PGE */
	movl %eax, %cr4
	movl $TABLES, %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x900, %eax /* LME, NXE */
	wrmsr
	movl %cr0, %eax
	orl $0x80010000, %eax /* PG, WP */
	movl %eax, %cr0
	ljmpl $CODE64, $AT(long_mode)

	.code64
long_mode:
	xorl %eax, %eax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl %ebp, %esp
	shll $12, %esp
	addl $STACKS + 0x1000, %esp
	/* x2APIC, enabled. */
	movl $0x1b, %ecx
	rdmsr
	orl $0xc00, %eax
	wrmsr
	movl $0x80f, %ecx
	movl $0x1ff, %eax
	xorl %edx, %edx
	wrmsr
	lidt AT(idt_pointer)
	testl %ebp, %ebp
	jnz meet
	movl $AT(interrupt), %eax
	movw %ax, IDT + 16 * VECTOR
	movw $CODE64, IDT + 16 * VECTOR + 2
	movw $0x8e00, IDT + 16 * VECTOR + 4
	/* INIT and SIPI to all but us. */
	movl $0x830, %ecx
	movl $0xc4500, %eax
	xorl %edx, %edx
	wrmsr
	movl $0xc4600 | (GUEST_BASE >> 12), %eax
	wrmsr

meet:
	lock incl READY
1:	pause
	movl READY, %eax
	cmpl PROCESSORS, %eax
	jne 1b
	movl COUNT, %r12d
	movl JOB, %eax
	leaq jobs(%rip), %rbx
	movslq (%rbx, %rax, 4), %rax
	addq %rax, %rbx
	sti
	call *%rbx
	movl $1, %eax
	lock xaddl %eax, FINISHED
	incl %eax
	cmpl PROCESSORS, %eax
	jne 2f
	movw $DONE, %dx
	outb %al, %dx
2:	hlt /* interrupts are still answered */
	jmp 2b

	.balign 4
jobs:
	.long locked - jobs
	.long patched - jobs
	.long neighbours - jobs
	.long page_table - jobs
	.long interrupts - jobs

/* Counters that lie in two lines, in two pages, and where code is too. */
locked:
	lock incq TWO_LINES
	lock incq TWO_PAGES
	lock incl ONE_LINE
	movl $1, %eax
	lock xaddq %rax, TWO_PAGES
	movq TWO_LINES, %rax
1:	leaq 1(%rax), %rcx
	lock cmpxchgq %rcx, TWO_LINES
	jne 1b
	lock addl $1, BESIDE_CODE
	lock btsl $3, BESIDE_CODE + 3 /* two lines, and a bit that nobody counts in */
	call beside_code
	decl %r12d
	jnz locked
	ret

/* The function in the page of BESIDE_CODE is the same for all and run by all. */
beside_code:
	movl $FUNCTION, %eax
	jmp *%rax

/* One processor patches a function and says so, the others then call it. */
patched:
	testl %ebp, %ebp
	jnz 2f
1:	movl ROUND, %eax
	incl %eax
	movl %eax, FUNCTION + 1 /* mov $round, %eax */
	movl $0, ANSWERS
	movl %eax, ROUND
3:	pause
	movl PROCESSORS, %ecx
	decl %ecx
	cmpl %ecx, ANSWERS
	jne 3b
	decl %r12d
	jnz 1b
	ret
2:	xorl %edx, %edx
6:	incl %edx
4:	pause
	cmpl %edx, ROUND
	jne 4b
	movl $30, %ebx /* often enough to be translated */
7:	movl $FUNCTION, %eax
	call *%rax
	cmpl %eax, %edx
	je 5f
	lock incl ERRORS
5:	decl %ebx
	jnz 7b
	lock incl ANSWERS
	decl %r12d
	jnz 6b
	ret

/* All processors have a function of their own in the same page, which each patches and calls. */
neighbours:
	movl %ebp, %ebx
	shll $5, %ebx
	addl $FUNCTION + 0x100, %ebx
	movb $0xb8, (%rbx) /* mov $count, %eax; ret */
	movb $0xc3, 5(%rbx)
1:	movl %r12d, 1(%rbx)
	call *%rbx
	cmpl %eax, %r12d
	je 2f
	lock incl ERRORS
2:	decl %r12d
	jnz 1b
	ret

/* One processor counts in a page table entry and clears its accessed and dirty bits, the others use the page. */
page_table:
	testl %ebp, %ebp
	jnz 3f
1:	movq TABLES + 0x3000, %rax
2:	movq %rax, %rcx
	andq $~0x60, %rcx
	movq $1 << 52, %rdx
	addq %rdx, %rcx
	lock cmpxchgq %rcx, TABLES + 0x3000
	jne 2b
	decl %r12d
	jnz 1b
	ret
3:	invlpg WINDOW
	movl (WINDOW), %eax
	movb %al, WINDOW(%rbp)
	decl %r12d
	jnz 3b
	ret

/* Interrupts around the ring; one is sent when the last has been counted. */
interrupts:
	leal 1(%rbp), %ebx
	cmpl PROCESSORS, %ebx
	jne 1f
	xorl %ebx, %ebx
1:	movl TAKEN(, %rbx, 4), %edi
	movl $0x830, %ecx
	movl $VECTOR, %eax
	movl %ebx, %edx
	wrmsr
2:	pause
	cmpl %edi, TAKEN(, %rbx, 4)
	je 2b
	decl %r12d
	jnz 1b
	ret

interrupt:
	pushq %rax
	pushq %rcx
	pushq %rdx
	incl TAKEN(, %rbp, 4)
	movl $0x80b, %ecx
	xorl %eax, %eax
	xorl %edx, %edx
	wrmsr
	popq %rdx
	popq %rcx
	popq %rax
	iretq

	.balign 8
gdt:
	.quad 0
	.quad 0x00cf9b000000ffff /* CODE32 */
	.quad 0x00af9b000000ffff /* CODE64 */
	.quad 0x00cf93000000ffff /* DATA */
gdt_pointer:
	.word . - gdt - 1
	.long AT(gdt)
	.long 0
idt_pointer:
	.word 0xfff
	.quad IDT
guest_smp_end:

	.section .note.GNU-stack, "", @progbits
