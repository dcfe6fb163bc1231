/* SPDX-License-Identifier: MIT */
#include "core/sandbox/lists.h"

#include <asm/prctl.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <termios.h>

#define WHOLE UINT32_MAX /* what the kernel looks at in an argument that is an int */
#define NEW_NAMESPACES \
	(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | \
			CLONE_NEWCGROUP)
#define ARGUMENT_IS(argument, number, name) \
	{ \
		argument, WHOLE, number, false, name \
	}
#define ARGUMENT_HAS(argument, bits, name) \
	{ \
		argument, bits, bits, false, name \
	}
#define ARGUMENT_LACKS(argument, bits, name) \
	{ \
		argument, bits, 0, false, name \
	}

static const struct sandbox_entry everyone_entries[] = {
		{"futex membarrier sched_yield", "locks, and the published tables (RCU)"},
		{"set_robust_list rseq sched_getaffinity",
				"what each thread of the C library does"},
		{"prctl", "threads are named", .check = ARGUMENT_IS(0, PR_SET_NAME, "PR_SET_NAME")},
		{"clone", "threads: workers of disks, and drivers' own",
				.check = {0, CLONE_THREAD | NEW_NAMESPACES, CLONE_THREAD, false,
						"with CLONE_THREAD, without CLONE_NEW..."}},
		{"clone3", "its arguments cannot be seen: the C library takes clone instead",
				SANDBOX_MISSING},
		{"exit exit_group rt_sigreturn restart_syscall",
				"ends of threads, handlers and waits"},
		{"rt_sigprocmask rt_sigaction sigaltstack", "threads' signals; abort()"},
		{"tgkill", "abort(), and kicks of vCPUs",
				.check = {0, WHOLE, 0, true, "to the process itself"}},
		{"getpid gettid getppid getuid geteuid getgid getegid", "who we are"},
		{"brk munmap mremap madvise", "memory"},
		{"clock_gettime clock_getres gettimeofday time clock_nanosleep nanosleep",
				"clocks, where they are not read without the kernel"},
		{"timerfd_settime timerfd_gettime", "the machine's timers"},
		{"poll ppoll epoll_wait epoll_pwait epoll_pwait2 epoll_ctl", "waiting"},
		{"read write readv writev close", "eventfds, sockets, the log"},
		{"recvmsg sendmsg recvfrom sendto", "sockets that are there"},
		{"setsockopt getsockopt shutdown", "their time-outs and ends"},
		{"socketpair", "the channel in which the picture asks the machine"},
		{"eventfd2 memfd_create ftruncate", "what machine and picture share"},
		{"fcntl dup dup2 dup3", "descriptors' flags, seals and locks"},
		{"fstat newfstatat lseek", "the C library looks at what it writes to"},
		{"getrandom", "hash tables; the guest's entropy device"},
		{NULL},
};

/* Not for GL: llvmpipe compiles. */
static const struct sandbox_entry no_code_entries[] = {
		{"mmap mprotect", "memory, threads' stacks",
				.check = ARGUMENT_LACKS(2, PROT_EXEC, "without PROT_EXEC")},
		{"mmap mprotect", "no new code: the software CPU maps its own before it starts",
				SANDBOX_REFUSE,
				.check = ARGUMENT_HAS(2, PROT_EXEC, "with PROT_EXEC")},
		{NULL},
};

static const struct sandbox_entry devices_entries[] = {
		{"ioctl", "KVM: vCPUs run, devices' addresses move, interrupts are routed",
				.check = {1, 0xff00, KVMIO << 8, false, "KVM's"}},
		{"ioctl", "whether the log is a terminal",
				.check = ARGUMENT_IS(1, TCGETS, "TCGETS")},
		{"arch_prctl", "translated code finds its processor by GS",
				.check = ARGUMENT_IS(0, ARCH_SET_GS, "ARCH_SET_GS")},
		{"ioctl", "discards of a block device",
				.check = ARGUMENT_IS(1, BLKDISCARD, "BLKDISCARD")},
		{"rt_sigtimedwait", "a vCPU takes the kick that brought it out of KVM"},
		{"pread64 pwrite64 preadv pwritev preadv2 pwritev2", "disks"},
		{"fsync fdatasync fallocate", "their flushes and discards"},
		{"io_uring_enter", "disks; what may be asked is restricted when the ring is made"},
		{NULL},
};

static const struct sandbox_entry vcpu_entries[] = {
		{"openat open access faccessat faccessat2 readlink readlinkat stat lstat statx "
		 "socket connect getpeername getsockname",
				"libraries look for files and a journal at odd times, and go on without",
				SANDBOX_REFUSE},
		{NULL},
};

static const struct sandbox_entry files_entries[] = {
		{"openat open openat2", "screendumps; the kernel, again at a reset"},
		{"access faccessat faccessat2 stat lstat statx getcwd readlink readlinkat statfs fstatfs",
				"looking for files"},
		{"unlink unlinkat", "sockets at the end; screendumps that failed"},
		{"pipe2 eventfd epoll_create1 timerfd_create", "GLib's and libraries' own"},
		{"select pselect6", "libraries that wait"},
		{"accept accept4 getpeername getsockname",
				"peers that connect to sockets that are there"},
		{"prlimit64", "limits are read, not set",
				.check = {2, UINT64_MAX, 0, false, "without new limits"}},
		{"getrlimit getrusage sysinfo uname times getcpu sched_getattr sched_getparam "
		 "sched_getscheduler sched_get_priority_min sched_get_priority_max getpriority "
		 "getresuid getresgid capget getgroups getpgrp getpgid getsid",
				"questions that change nothing"},
		{"fadvise64 flock", "files that are read or kept"},
		{"prctl", "the names of threads",
				.check = ARGUMENT_IS(0, PR_GET_NAME, "PR_GET_NAME")},
		{NULL},
};

static const struct sandbox_entry machine_entries[] = {
		{"seccomp", "vCPU threads take their own list on top",
				.check = ARGUMENT_IS(0, SECCOMP_SET_MODE_FILTER,
						"SECCOMP_SET_MODE_FILTER")},
		{"wait4 waitid", "the launcher's end"},
		{"ioctl", "the terminal is restored", .check = ARGUMENT_IS(1, TCSETS, "TCSETS")},
		{"ioctl", "the terminal is restored", .check = ARGUMENT_IS(1, TCSETSW, "TCSETSW")},
		{"ioctl", "sockets", .check = ARGUMENT_IS(1, FIONBIO, "FIONBIO")},
		{"ioctl", "sockets", .check = ARGUMENT_IS(1, FIONREAD, "FIONREAD")},
		{"socket connect", "libraries tell a journal what goes wrong, and do without",
				SANDBOX_REFUSE},
		{NULL},
};

static const struct sandbox_entry picture_entries[] = {
		{"mmap mprotect", "memory; GL drivers compile shaders"},
		{"ioctl", "DRM and other drivers' devices"},
		{"mlock munlock mincore msync", "drivers' buffers"},
		{"kcmp", "whether two descriptors are one device"},
		{"getdents64 getdents mkdir mkdirat rename renameat renameat2 link linkat symlink "
		 "fchmod fchmodat chmod utimensat futimesat fsync fdatasync fallocate truncate rmdir",
				"drivers' caches of compiled shaders"},
		{"pread64 pwrite64 preadv pwritev sendfile copy_file_range creat", "files"},
		{"memfd_secret shmget shmat shmdt shmctl", "images shared with the X server"},
		{"inotify_init1 inotify_add_watch inotify_rm_watch", "input devices come and go"},
		{"pipe poll eventfd epoll_create signalfd4 recvmmsg sendmmsg epoll_ctl_old",
				"libraries' own"},
		{"timer_create timer_settime timer_gettime timer_delete setitimer getitimer alarm",
				"libraries' timers"},
		{"sched_setaffinity sched_setscheduler sched_setattr setpriority",
				"drivers place their threads"},
		{"rt_sigtimedwait rt_sigsuspend rt_sigpending", "signals"},
		{"arch_prctl", "what the processor has",
				.check = ARGUMENT_IS(0, 0x1022, "ARCH_GET_XCOMP_PERM")},
		{"wait4", "libraries that had helpers"},
		{"set_tid_address get_robust_list get_mempolicy mbind",
				"drivers that place memory"},
		{NULL},
};

static const struct sandbox_entry window_entries[] = {
		{"socket", "the window system's", .check = ARGUMENT_IS(0, AF_UNIX, "AF_UNIX")},
		{"connect", "the window system's, and what SDL asks for input methods"},
		{NULL},
};

static const struct sandbox_entry hostile_entries[] = {
		{"execve execveat fork vfork", "other programs", SANDBOX_KILL, SANDBOX_SPAWN},
		{"clone", "other processes", SANDBOX_KILL, SANDBOX_SPAWN,
				ARGUMENT_LACKS(0, CLONE_THREAD, "without CLONE_THREAD")},
		{"setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset "
		 "setpgid setsid",
				"other users", SANDBOX_KILL, SANDBOX_ELEVATE_PRIVILEGES},
		{"uselib ustat sysfs _sysctl create_module get_kernel_syms query_module",
				"what only old programs call", SANDBOX_KILL, SANDBOX_OBSOLETE},
		{"setrlimit ioprio_set sched_setparam sched_setscheduler sched_setattr "
		 "sched_setaffinity setpriority migrate_pages move_pages set_mempolicy",
				"shares of the host", SANDBOX_REFUSE, SANDBOX_RESOURCE_CONTROL},
		{"ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd",
				"other processes' memory and files", SANDBOX_KILL},
		{"mount umount2 pivot_root chroot setns unshare open_tree move_mount fsopen fsconfig "
		 "fsmount fspick mount_setattr",
				"other views of the host's files", SANDBOX_KILL},
		{"init_module finit_module delete_module kexec_load kexec_file_load bpf "
		 "perf_event_open userfaultfd iopl ioperm modify_ldt lookup_dcookie vmsplice",
				"the kernel's inside", SANDBOX_KILL},
		{"keyctl add_key request_key", "the kernel's keys", SANDBOX_KILL},
		{"name_to_handle_at open_by_handle_at", "files past their folders", SANDBOX_KILL},
		{"reboot swapon swapoff acct quotactl quotactl_fd sethostname setdomainname vhangup "
		 "settimeofday clock_settime clock_adjtime adjtimex syslog nfsservctl personality",
				"the host itself", SANDBOX_KILL},
		{NULL},
};

static const struct sandbox_entry sanitizer_entries[] = {
		{"clone fork vfork execve ptrace process_vm_readv personality",
				"leaks are looked for by a process that looks into this one; reports "
				"get their names of functions from a program"},
		{NULL},
};

static const struct sandbox_table everyone = {"All threads of both programs", everyone_entries};
static const struct sandbox_table no_code = {"All threads of `oriel`: memory", no_code_entries};
static const struct sandbox_table devices = {"All threads of `oriel`: devices", devices_entries};
static const struct sandbox_table vcpu = {"vCPU threads of `oriel`", vcpu_entries};
static const struct sandbox_table files = {
		"All of both programs but vCPU threads: files", files_entries};
static const struct sandbox_table machine = {"`oriel` but its vCPU threads", machine_entries};
static const struct sandbox_table picture = {"`oriel-gpu`", picture_entries};
static const struct sandbox_table window = {"`oriel-gpu` with a window", window_entries};
static const struct sandbox_table hostile = {"Nobody", hostile_entries};

const struct sandbox_table sandbox_sanitizer = {
		"A build with a sanitizer: all calls but those of the last list, without these",
		sanitizer_entries};

const struct sandbox_table *const sandbox_parts[SANDBOX_PARTS][SANDBOX_MAX_TABLES] = {
		[SANDBOX_MACHINE] = {&everyone, &no_code, &devices, &files, &machine, &hostile},
		[SANDBOX_VCPU] = {&everyone, &no_code, &devices, &vcpu, &hostile},
		[SANDBOX_PICTURE] = {&everyone, &files, &picture, &hostile},
		[SANDBOX_WINDOW] = {&everyone, &files, &picture, &window, &hostile},
};

const struct sandbox_table *const sandbox_tables[] = {&everyone, &no_code, &devices, &vcpu, &files,
		&machine, &picture, &window, &hostile, &sandbox_sanitizer, NULL};
