/* SPDX-License-Identifier: MIT */
#include "core/sandbox/filter.h"

#include "core/base/fd.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Only a sanitizer's run time has it. */
extern void __sanitizer_print_stack_trace(void) __attribute__((weak));

bool filter_with_sanitizer(void)
{
	return __sanitizer_print_stack_trace != NULL;
}

static uint32_t action_of(enum sandbox_verdict verdict)
{
	switch (verdict) {
	case SANDBOX_ALLOW:
		return SCMP_ACT_ALLOW;
	case SANDBOX_REFUSE:
		return SCMP_ACT_ERRNO(EPERM);
	case SANDBOX_MISSING:
		return SCMP_ACT_ERRNO(ENOSYS);
	case SANDBOX_KILL:
	default:
		return SCMP_ACT_KILL_PROCESS;
	}
}

/* Rules as they are added. */
struct rules {
	scmp_filter_ctx context;
	bool relaxed; /* what kills is all that counts */
	GHashTable *settled; /* names of calls with a rule for whatever arguments: the first counts */
	unsigned allowed; /* enum sandbox_group */
	int ret; /* the first failure, negative */
};

static void add_call(struct rules *rules, const struct sandbox_entry *entry, const char *call)
{
	bool given_back = entry->group & rules->allowed;
	const struct sandbox_check *check = &entry->check;
	bool checked = check->mask != 0 && !given_back;
	int number = seccomp_syscall_resolve_name(call);

	if (rules->relaxed && (given_back || entry->verdict != SANDBOX_KILL)) {
		return;
	}
	/* What the library does not know is not in the kernel's list either: it is trapped. */
	if (number < 0 || rules->ret < 0 || g_hash_table_contains(rules->settled, call)) {
		return;
	}
	if (!checked) {
		g_hash_table_add(rules->settled, g_strdup(call));
	}
	const struct scmp_arg_cmp comparison = {
			.arg = check->argument,
			.op = SCMP_CMP_MASKED_EQ,
			.datum_a = check->mask,
			.datum_b = check->own_pid ? (scmp_datum_t)getpid() : check->value,
	};
	rules->ret = seccomp_rule_add_array(rules->context,
			given_back ? SCMP_ACT_ALLOW : action_of(entry->verdict), number, checked,
			&comparison);
}

/* Calls that no later entry of a table says anything of. */
static void settle(struct rules *rules, const struct sandbox_table *table)
{
	for (const struct sandbox_entry *entry = table->entries; entry->calls; entry++) {
		g_auto(GStrv) calls = g_strsplit(entry->calls, " ", 0);
		for (char **call = calls; *call; call++) {
			g_hash_table_add(rules->settled, g_strdup(*call));
		}
	}
}

static void add_table(struct rules *rules, const struct sandbox_table *table)
{
	for (const struct sandbox_entry *entry = table->entries; entry->calls; entry++) {
		g_auto(GStrv) calls = g_strsplit(entry->calls, " ", 0);
		for (char **call = calls; *call; call++) {
			add_call(rules, entry, *call);
		}
	}
}

static int add_rules(scmp_filter_ctx context, enum sandbox_part part, unsigned allowed)
{
	struct rules rules = {
			.context = context,
			.settled = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
			.relaxed = filter_with_sanitizer(),
			.allowed = part == SANDBOX_VCPU ? 0 : allowed,
	};

	if (rules.relaxed) {
		settle(&rules, &sandbox_sanitizer);
	}
	for (unsigned i = 0; sandbox_parts[part][i]; i++) {
		add_table(&rules, sandbox_parts[part][i]);
	}
	g_hash_table_unref(rules.settled);
	return rules.ret;
}

/* The library writes its program to a file only. */
static bool take_program(scmp_filter_ctx context, struct sock_fprog *ret_program, GError **error)
{
	auto_fd int fd = memfd_create("seccomp", MFD_CLOEXEC);
	struct stat info;

	if (fd < 0) {
		set_error_errno(error, "seccomp: memfd");
		return false;
	}
	int ret = seccomp_export_bpf(context, fd);
	if (ret < 0 || fstat(fd, &info) < 0) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "seccomp: %s",
				g_strerror(ret < 0 ? -ret : errno));
		return false;
	}
	size_t count = (size_t)info.st_size / sizeof(struct sock_filter);
	assert(count > 0 && count <= BPF_MAXINSNS);
	g_autofree struct sock_filter *filter = g_new(struct sock_filter, count);
	if (!fd_pread_all(fd, filter, count * sizeof(*filter), 0, error)) {
		return false;
	}
	*ret_program = (struct sock_fprog){
			.len = (unsigned short)count, .filter = g_steal_pointer(&filter)};
	return true;
}

bool filter_compile(enum sandbox_part part, unsigned allowed, struct sock_fprog *ret_program,
		GError **error)
{
	scmp_filter_ctx context = seccomp_init(
			filter_with_sanitizer() ? SCMP_ACT_ALLOW : SCMP_ACT_TRAP);

	if (!context) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOMEM, "seccomp: no memory");
		return false;
	}
	/* A tree instead of a list; both are only advice. Other architectures' calls have no list at all. */
	(void)seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	(void)seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	int ret = add_rules(context, part, allowed);
	bool ok = ret == 0 && take_program(context, ret_program, error);
	if (ret < 0) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "seccomp: rules: %s",
				g_strerror(-ret));
	}
	seccomp_release(context);
	return ok;
}

bool filter_possible(GError **error)
{
	/* No program at that address, which is noticed only where all else is in order. */
	long ret = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, NULL);

	if (ret == 0 || errno == EFAULT) {
		return true;
	}
	set_error_errno(error, "seccomp");
	return false;
}

bool filter_install(const struct sock_fprog *program, bool everyone, GError **error)
{
	unsigned flags = everyone ? SECCOMP_FILTER_FLAG_TSYNC : 0;
	/* Without this flag older kernels slow down whoever has a filter; the host's own choice stays in force. */
	long ret = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			flags | SECCOMP_FILTER_FLAG_SPEC_ALLOW, program);

	if (ret < 0 && errno == EINVAL) {
		ret = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
	}
	if (ret < 0) {
		set_error_errno(error, "seccomp");
		return false;
	}
	if (ret > 0) {
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
				"seccomp: thread %ld has a filter of its own", ret);
		return false;
	}
	return true;
}
