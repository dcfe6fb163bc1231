/* SPDX-License-Identifier: MIT */
/*
 * A guest for test_soft.c, copied to GUEST_BASE and entered there in real mode. It climbs to long
 * mode, takes exceptions, goes to ring 3 and back, sleeps until a timer interrupt, and writes a
 * marker to port REPORT at each station. Registers: 32-bit values there are markers, port DONE ends.
 */
#define GUEST_BASE 0x8000
#define AT(label) (GUEST_BASE + (label) - guest_code)

#define REPORT 0x500
#define DONE 0x501

#define TABLES 0x20000 /* PML4, PDPT, PD */
#define IDT 0x24000
#define STACK 0x28000
#define IST_STACK 0x29000
#define USER_STACK 0x2a000
#define FAULT_PAGE 0x10000000 /* not mapped */

#define CODE32 0x08
#define CODE64 0x10
#define DATA 0x18
#define USER_DATA 0x28
#define USER_CODE 0x30
#define TSS 0x38

.macro report value
	movl $\value, %eax
	movw $REPORT, %dx
	outl %eax, %dx
.endm

	.section .rodata
	.globl guest_code, guest_code_end
	.balign 16
guest_code:
	.code16
	cli
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %ss
	movw $0x7000, %sp
	report 0x16
	/* A real-mode interrupt through the vector table. */
	movw $AT(real_handler), 0x21 * 4
	movw $0, 0x21 * 4 + 2
	int $0x21
	lgdtl AT(gdt_pointer)
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $CODE32, $AT(protected)
real_handler:
	report 0x21
	iretw

	.code32
protected:
	movw $DATA, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl $STACK, %esp
	report 0x32
	/* 1 GiB mapping of the first GiB is not wanted: one 2 MiB page, user accessible. */
	movl $TABLES, %edi
	xorl %eax, %eax
	movl $0x3000 / 4, %ecx
	cld
	rep stosl
	movl $TABLES + 0x1007, TABLES
	movl $TABLES + 0x2007, TABLES + 0x1000
	movl $0x87, TABLES + 0x2000
	movl %cr4, %eax
	orl $0x20, %eax
	movl %eax, %cr4
	movl $TABLES, %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x901, %eax /* NXE, LME, SCE */
	wrmsr
	movl %cr0, %eax
	orl $0x80010000, %eax /* PG, WP */
	movl %eax, %cr0
	ljmpl $CODE64, $AT(long_mode)

	.code64
long_mode:
	report 0x64
	xorl %eax, %eax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movq $STACK, %rsp
	call set_gates
	lidt AT(idt_pointer)
	movw $TSS, %ax
	ltr %ax
	int3
	ud2
	/* Page fault: the handler skips the two-byte load. */
	movl $FAULT_PAGE + 0x123, %ebx
	movb (%rbx), %al
	/* Ring 3. */
	movl $0xc0000081, %ecx /* STAR */
	xorl %eax, %eax
	movl $((USER_DATA - 8) | 3) << 16 | CODE64, %edx
	wrmsr
	movl $0xc0000082, %ecx /* LSTAR */
	movl $AT(system_call), %eax
	xorl %edx, %edx
	wrmsr
	movl $0xc0000084, %ecx /* SFMASK: IF */
	movl $0x200, %eax
	wrmsr
	pushq $USER_DATA | 3
	pushq $USER_STACK
	pushq $0x202
	pushq $USER_CODE | 3
	pushq $AT(user)
	iretq

user:
	movl $0x1234, %esi
	syscall
	cmpq $AT(user_after), %rcx
	jne user_wrong
user_after_check:
	/* Privileged instructions fault; the handler skips one byte. */
	cli
	movl $0x5678, %esi
	syscall
user_wrong:
	ud2
	.set user_after, user + 7

system_call:
	cmpl $0x1234, %esi
	jne system_call_last
	report 0x51
	sysretq
system_call_last:
	report 0x52
	movq $STACK, %rsp
	/* x2APIC, timer one-shot at vector 0x40. */
	movl $0x1b, %ecx
	rdmsr
	orl $0xc00, %eax
	wrmsr
	movl $0x80f, %ecx
	movl $0x1ff, %eax
	xorl %edx, %edx
	wrmsr
	movl $0x83e, %ecx
	movl $0xb, %eax
	wrmsr
	movl $0x832, %ecx
	movl $0x40, %eax
	wrmsr
	movl $0x838, %ecx
	movl $100000, %eax
	wrmsr
	sti
	hlt
	report 0x70
	/* TSC deadline. */
	movl $0x832, %ecx
	movl $0x40040, %eax
	xorl %edx, %edx
	wrmsr
	rdtsc
	addl $1000000, %eax
	adcl $0, %edx
	movl $0x6e0, %ecx
	wrmsr
	hlt
	report 0x71
	/* A jump into 32-bit code of long mode and back is a far return and a far jump. */
	pushq $CODE32
	pushq $AT(compat)
	lretq
	.code32
compat:
	report 0x72
	ljmpl $CODE64, $AT(from_compat)
	.code64
from_compat:
	report 0x73
	/* Self-modifying code: the immediate of the second instruction. */
	movl $0x74, AT(patched) + 1
patched:
	movl $0, %eax
	movw $REPORT, %dx
	outl %eax, %dx
	movw $DONE, %dx
	outl %eax, %dx
1:	hlt
	jmp 1b

/* The handlers end in reports of vector and error code; some return behind the instruction. */
	.macro handler name, vector, skip, error
\name:
	pushq %rax
	pushq %rdx
	report 0xe00 + \vector
	.if \error
	movl 16(%rsp), %eax
	outl %eax, %dx
	addq $\skip, 24(%rsp)
	popq %rdx
	popq %rax
	addq $8, %rsp
	.else
	addq $\skip, 16(%rsp)
	popq %rdx
	popq %rax
	.endif
	iretq
	.endm

	handler breakpoint, 3, 0, 0
	handler undefined, 6, 2, 0
	handler protection, 13, 1, 1
page_fault:
	pushq %rax
	movq %cr2, %rax
	movw $REPORT, %dx
	outl %eax, %dx
	popq %rax
	handler page_fault_rest, 14, 2, 1
timer:
	pushq %rax
	pushq %rcx
	pushq %rdx
	report 0x40
	movl $0x80b, %ecx
	xorl %eax, %eax
	xorl %edx, %edx
	wrmsr
	popq %rdx
	popq %rcx
	popq %rax
	iretq

	.macro gate vector, label, flags
	movl $AT(\label), %eax
	movl $\flags, %edx
	movl $IDT + 16 * \vector, %edi
	call set_gate
	.endm

set_gates:
	gate 3, breakpoint, 0xee00
	gate 6, undefined, 0x8e00
	gate 13, protection, 0x8e00
	gate 14, page_fault, 0x8e01
	gate 0x40, timer, 0x8e00
	ret
set_gate:
	movw %ax, (%rdi)
	movw $CODE64, 2(%rdi)
	movw %dx, 4(%rdi)
	shrl $16, %eax
	movw %ax, 6(%rdi)
	movq $0, 8(%rdi)
	ret

	.balign 8
gdt:
	.quad 0
	.quad 0x00cf9b000000ffff /* CODE32 */
	.quad 0x00af9b000000ffff /* CODE64 */
	.quad 0x00cf93000000ffff /* DATA */
	.quad 0x00cffb000000ffff /* 32-bit user code, for SYSRET */
	.quad 0x00cff3000000ffff /* USER_DATA */
	.quad 0x00affb000000ffff /* USER_CODE */
	.quad 0x0000890000000067 + ((GUEST_BASE + tss - guest_code) << 16)
	.quad 0
gdt_pointer:
	.word . - gdt - 1
	.long AT(gdt)
	.long 0
idt_pointer:
	.word 0xfff
	.quad IDT
	.balign 8
tss:
	.long 0
	.quad STACK, 0, 0, 0
	.quad IST_STACK, 0, 0, 0, 0, 0, 0
	.quad 0
	.word 0, 0x68
guest_code_end:

	.section .note.GNU-stack, "", @progbits
