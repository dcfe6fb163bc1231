/* SPDX-License-Identifier: MIT */
/*
 * The guests of the KVM tests. Each is copied to CODE_AT, except where said otherwise, and must not care where it was
 * linked. Ports and addresses are those of fixture.h.
 */
#define CODE_AT 0x9000
#define DATA_AT 0x30000
#define PORT 0x100
#define DONE_PORT 0x10f
#define MMIO 0xd0000000
#define ROM 0x10000000
#define LATE_RAM 0x40000000
#define APIC 0xfee00000

#define GUEST(name) .globl guest_##name; guest_##name:
#define END(name) .globl guest_##name##_end; guest_##name##_end:

	.section .rodata, "a"

	.macro done
	mov $DONE_PORT, %dx
	out %al, %dx
9:	hlt
	jmp 9b
	.endm

	.code16
GUEST(real)
	mov $PORT, %dx
	mov $40, %ax
	add $2, %ax
	out %ax, %dx
	mov %ax, 0x5000
	in %dx, %al
	inc %al
	out %al, %dx
	cld
	mov $(1f - guest_real + CODE_AT), %si
	mov $5, %cx
	rep outsb
	mov $0x5002, %di
	mov $4, %cx
	rep insb
	done
1:	.ascii "hello"
END(real)

	/* At 0xfffffff0. */
GUEST(reset_vector)
	mov $PORT, %dx
	mov $0x99, %al
	out %al, %dx
1:	hlt
	jmp 1b
END(reset_vector)

	/* At AP_AT: says its APIC id and the number of processors. */
GUEST(application_cpu)
	mov $1, %eax
	cpuid
	shr $16, %ebx
	mov %bx, %ax
	mov $PORT, %dx
	out %ax, %dx
1:	hlt
	jmp 1b
END(application_cpu)

	.code32
	/* With the address of DATA_AT in esi. */
GUEST(protected)
	mov (%esi), %eax
	mov $PORT, %edx
	out %eax, %dx
	movl $0x55aa, 4(%esi)
	done
END(protected)

	.code64
GUEST(long)
	movabs $0x123456789abcdef0, %rax
	mov %rax, %r15
	mov $0x100, %ecx
	mul %rcx
	mov %rax, DATA_AT
	mov %rdx, DATA_AT + 8
	mov %r15, DATA_AT + 16
	movdqu DATA_AT, %xmm9
	movdqu %xmm9, DATA_AT + 24
	done
END(long)

GUEST(mmio)
	mov $MMIO, %r8d
	movb $0x11, (%r8)
	movw $0x2222, 2(%r8)
	movl $0x44444444, 4(%r8)
	movabs $0x8877665544332211, %rax
	mov %rax, 8(%r8)
	movl $0xa4a3a2a1, 0xffd(%r8)
	mov 4(%r8), %eax
	mov $PORT, %edx
	out %eax, %dx
	done
END(mmio)

	/* With interrupts off: halts for good. */
GUEST(halt)
	mov $PORT, %edx
	out %al, %dx
1:	hlt
	jmp 1b
END(halt)

GUEST(spin)
	mov $PORT, %edx
	out %al, %dx
1:	inc %r15
	jmp 1b
END(spin)

GUEST(undefined)
	ud2
END(undefined)

GUEST(steps)
	inc %rax
	inc %rax
	inc %rax
	done
END(steps)

GUEST(breakpoint)
	nop
	int3
	done
END(breakpoint)

GUEST(lost)
	mov $MMIO, %eax
	jmp *%rax
END(lost)

GUEST(start_others)
	mov $APIC, %esi
	movl $0x1ff, 0xf0(%rsi)
	movl $0xc4500, 0x300(%rsi)	/* INIT to all but itself */
	movl $0xc4608, 0x300(%rsi)	/* start at 0x8000 */
1:	hlt
	jmp 1b
END(start_others)

	/* Questions from DATA_AT on, pairs of leaf and subleaf, ended by ~0; answers behind them. */
GUEST(cpuid)
	mov $DATA_AT, %esi
	mov $DATA_AT + 0x1000, %edi
1:	mov (%rsi), %eax
	mov 4(%rsi), %ecx
	cmp $-1, %eax
	je 2f
	cpuid
	mov %eax, (%rdi)
	mov %ebx, 4(%rdi)
	mov %ecx, 8(%rdi)
	mov %edx, 12(%rdi)
	add $8, %esi
	add $16, %edi
	jmp 1b
2:	done
END(cpuid)

	/* Answers with the MSR whose number is at DATA_AT, and changes it to what is at DATA_AT + 8. */
GUEST(msr)
	mov DATA_AT, %ecx
	rdmsr
	mov %eax, DATA_AT + 16
	mov %edx, DATA_AT + 20
	mov DATA_AT + 8, %eax
	mov DATA_AT + 12, %edx
	wrmsr
	done
END(msr)

GUEST(rom)
	mov $ROM, %r8d
	mov $PORT, %edx
	mov (%r8), %eax
	out %eax, %dx
	movl $1, (%r8)
	mov (%r8), %eax
	out %eax, %dx
	done
END(rom)

	/* Waits until RAM appears, says what is in it, and waits until it is gone. */
GUEST(late_ram)
	mov $LATE_RAM, %r8d
1:	mov (%r8), %eax
	cmp $-1, %eax
	je 1b
	mov $PORT, %edx
	out %eax, %dx
2:	mov (%r8), %eax
	cmp $-1, %eax
	jne 2b
	done
END(late_ram)

GUEST(doorbells)
	mov $MMIO, %r8d
	movl $7, 0x100(%r8)
	movw $8, 0x100(%r8)
	movb $9, 0x200(%r8)
	movl $9, 0x200(%r8)
	mov $PORT + 8, %edx
	mov $10, %eax
	out %ax, %dx
	out %al, %dx
	done
END(doorbells)

	/* Waits for interrupts, which the handlers report. */
GUEST(wait)
	mov $APIC, %esi
	movl $0x1ff, 0xf0(%rsi)
	mov $DONE_PORT, %dx
	out %al, %dx
	sti
1:	hlt
	jmp 1b
END(wait)

	/* Likewise, but takes interrupts only after it was heard again. */
GUEST(wait_late)
	mov $DONE_PORT, %dx
	out %al, %dx
	mov $1000, %ecx
1:	dec %ecx
	jnz 1b
	out %al, %dx
	sti
1:	hlt
	jmp 1b
END(wait_late)

	/*
	 * At HANDLERS_AT, HANDLER_SIZE bytes a vector from FIRST_HANDLER on: says the vector at PORT. Those from 0x40
	 * on are a local APIC's and end with an EOI.
	 */
	.balign 8
GUEST(handlers)
	vector = 0x30
	.rept 0x30
	.balign 8
	.byte 0x6a, vector	/* push */
	jmp 1f
	vector = vector + 1
	.endr
	.balign 8
1:	push %rdx
	push %rsi
	mov $PORT, %edx
	xchg %rax, 16(%rsp)
	out %al, %dx
	cmp $0x40, %al
	jb 2f
	mov $APIC, %esi
	movl $0, 0xb0(%rsi)
2:	pop %rsi
	pop %rdx
	pop %rax
	iretq
END(handlers)

	.section .note.GNU-stack, "", @progbits
