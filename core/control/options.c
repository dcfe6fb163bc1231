/* SPDX-License-Identifier: MIT */
#include "core/control/options.h"

#include "core/base/log.h"
#include "core/base/nearest.h"
#include "core/control/options_internal.h"

#include <string.h>

#define MIN_MEMORY MiB
#define MAX_MEMORY (4096 * GiB)
#define MAX_NAME 64 /* bytes */

struct option {
	const char *name; /* without its dash; NULL: help is the title of a group */
	const char *argument; /* for help; NULL: takes none */
	const char *help;
	/* argument is NULL where none is taken. */
	bool (*handle)(struct parse *parse, const char *argument, GError **error);
};

bool option_set_bad(GError **error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_autofree char *text = g_strdup_vprintf(format, args);
	va_end(args);
	g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s", text);
	return false;
}

void option_replace(char **target, const char *value)
{
	g_free(*target);
	*target = g_strdup(value);
}

bool option_set_unknown(
		GError **error, const char *what, const char *name, const char *const *candidates)
{
	const char *near = nearest_name(name, candidates);

	if (near) {
		return option_set_bad(error, "no %s '%s'; did you mean '%s'?", what, name, near);
	}
	g_autofree char *list = g_strjoinv(", ", (char **)(uintptr_t)candidates);
	return option_set_bad(error, "no %s '%s' (there is: %s)", what, name, list);
}

bool option_is_help(const char *text)
{
	return strcmp(text, "help") == 0 || strcmp(text, "?") == 0;
}

/* One name a line. */
static char *list_text(const char *title, const char *const *names)
{
	GString *text = g_string_new(title);

	for (; *names; names++) {
		g_string_append_printf(text, "  %s\n", *names);
	}
	return g_string_free(text, FALSE);
}

bool option_set_properties(void *object, const struct property *table, const struct keyval *keyval,
		GError **error)
{
	if (keyval->head) {
		return property_set(object, table, keyval->head, "on", error);
	}
	for (unsigned i = 0; i < keyval->count; i++) {
		const struct keyval_pair *pair = &keyval->pairs[i];
		if (!property_set(object, table, pair->key, pair->value, error)) {
			return false;
		}
	}
	return true;
}

bool option_parse_object(void *object, const struct property *table, const char *argument,
		const char *head_key, GError **error)
{
	struct keyval keyval;

	if (!keyval_parse(argument, &keyval, error)) {
		return false;
	}
	g_autofree char *head = head_key ? g_steal_pointer(&keyval.head) : NULL;
	bool ok = (!head || property_set(object, table, head_key, head, error)) &&
		  option_set_properties(object, table, &keyval, error);
	keyval_clear(&keyval);
	return ok;
}

/* As in the initial values of options_parse(). */
/* For a processor, and for all of them at most. */
#define DEFAULT_TB_SIZE (32 * MiB)
#define DEFAULT_TB_SIZE_ALL (128 * MiB)

/*
 * The machine: -accel -machine -m -cpu -smp -name.
 */
static bool set_accel(struct parse *parse, const char *name, GError **error)
{
	const char *const *accels = parse->context->accels;

	if (option_is_help(name)) {
		parse->text = list_text("Accelerators, best first:\n", accels);
		return true;
	}
	if (!g_strv_contains(accels, name)) {
		return option_set_unknown(error, "accelerator", name, accels);
	}
	option_replace(&parse->options->accel, name);
	return true;
}

static bool handle_accel(struct parse *parse, const char *argument, GError **error)
{
	static const char *const translates[] = {
			[OPTION_TRANSLATE_OFF] = "off",
			[OPTION_TRANSLATE_ON] = "on",
			[OPTION_TRANSLATE_CHECK] = "check",
			NULL,
	};
	struct accel_argument {
		char *accel;
		unsigned translate;
		uint64_t tb_size;
		bool host_fsgsbase;
	} object;
	static const struct property table[] = {
			{"accel", PROPERTY_STRING, offsetof(struct accel_argument, accel)},
			{"translate", PROPERTY_ENUM, offsetof(struct accel_argument, translate),
					"on", .values = translates},
			{"tb-size", PROPERTY_SIZE, offsetof(struct accel_argument, tb_size),
					.min = MiB, .max = GiB},
			{"host-fsgsbase", PROPERTY_BOOL,
					offsetof(struct accel_argument, host_fsgsbase), "on"},
			{NULL},
	};

	properties_set_defaults(&object, table);
	bool ok = option_parse_object(&object, table, argument, "accel", error) &&
		  (object.accel ? set_accel(parse, object.accel, error)
				: option_set_bad(error, "'%s' names no accelerator", argument));
	if (ok && g_strcmp0(object.accel, "soft") != 0 && strchr(argument, ',')) {
		ok = option_set_bad(error, "'%s': translate, tb-size and host-fsgsbase are of soft",
				argument);
	}
	parse->options->translate = (enum option_translate)object.translate;
	parse->options->tb_size = object.tb_size;
	parse->options->no_fsgsbase = !object.host_fsgsbase;
	properties_clear(&object, table);
	return ok;
}

static bool handle_enable_kvm(struct parse *parse, const char *argument, GError **error)
{
	(void)argument;
	return set_accel(parse, "kvm", error);
}

static bool handle_machine(struct parse *parse, const char *argument, GError **error)
{
	static const char *const machines[] = {"q35", NULL};
	struct machine_argument {
		char *type, *accel;
	} object = {NULL, NULL};
	static const struct property table[] = {
			{"type", PROPERTY_STRING, offsetof(struct machine_argument, type)},
			{"accel", PROPERTY_STRING, offsetof(struct machine_argument, accel)},
			{NULL},
	};
	bool ok = option_parse_object(&object, table, argument, "type", error);

	if (ok && object.type && option_is_help(object.type)) {
		parse->text = list_text("Machines:\n", machines);
	} else if (ok && object.type && !g_strv_contains(machines, object.type)) {
		ok = option_set_unknown(error, "machine", object.type, machines);
	}
	ok = ok && (!object.accel || set_accel(parse, object.accel, error));
	properties_clear(&object, table);
	return ok;
}

static bool handle_memory(struct parse *parse, const char *argument, GError **error)
{
	struct {
		char *size;
	} object = {NULL};
	static const struct property table[] = {{"size", PROPERTY_STRING, 0}, {NULL}};
	uint64_t memory = 0;
	bool ok = option_parse_object(&object, table, argument, "size", error) &&
		  (object.size ? parse_size(object.size, MiB, &memory, error)
			       : option_set_bad(error, "'%s' names no size", argument));

	if (ok && (memory < MIN_MEMORY || memory > MAX_MEMORY)) {
		ok = option_set_bad(error, "'%s' is not a size from 1M to 4096G", object.size);
	} else if (ok && memory % GUEST_PAGE_SIZE != 0) {
		ok = option_set_bad(error, "'%s' is not a multiple of 4K", object.size);
	}
	if (ok) {
		parse->options->memory = memory;
	}
	properties_clear(&object, table);
	return ok;
}

static bool handle_smp(struct parse *parse, const char *argument, GError **error)
{
	struct smp_argument {
		uint32_t cpus;
	} object = {0};
	const struct property table[] = {
			{"cpus", PROPERTY_UINT32, offsetof(struct smp_argument, cpus), .min = 1,
					.max = parse->context->max_cpus},
			{NULL},
	};

	if (!option_parse_object(&object, table, argument, "cpus", error)) {
		return false;
	}
	parse->options->cpus = object.cpus;
	return true;
}

static bool handle_cpu(struct parse *parse, const char *argument, GError **error)
{
	if (option_is_help(argument)) {
		parse->text = cpu_model_help();
		return true;
	}
	return cpu_model_parse(argument, &parse->options->cpu, error);
}

static bool handle_name(struct parse *parse, const char *argument, GError **error)
{
	if (argument[0] == '\0' || strlen(argument) > MAX_NAME) {
		return option_set_bad(error, "a name has 1 to %d bytes", MAX_NAME);
	}
	option_replace(&parse->options->name, argument);
	return true;
}

/*
 * What to boot: -kernel -initrd -append.
 */
static bool handle_kernel(struct parse *parse, const char *argument, GError **error)
{
	(void)error;
	option_replace(&parse->options->kernel, argument);
	return true;
}

static bool handle_initrd(struct parse *parse, const char *argument, GError **error)
{
	(void)error;
	option_replace(&parse->options->initrd, argument);
	return true;
}

static bool handle_append(struct parse *parse, const char *argument, GError **error)
{
	(void)error;
	option_replace(&parse->options->append, argument);
	return true;
}

/*
 * Serial ports, debugging, how the program runs.
 */
static bool handle_serial(struct parse *parse, const char *argument, GError **error)
{
	if (parse->options->serials->len == OPTIONS_MAX_SERIALS) {
		return option_set_bad(error, "'%s' is one too many: there are %d serial ports",
				argument, OPTIONS_MAX_SERIALS);
	}
	g_ptr_array_add(parse->options->serials, g_strdup(argument));
	return true;
}

static bool handle_nographic(struct parse *parse, const char *argument, GError **error)
{
	(void)argument, (void)error;
	parse->options->no_graphic = true;
	return true;
}

static bool handle_nodefaults(struct parse *parse, const char *argument, GError **error)
{
	(void)argument, (void)error;
	parse->options->no_defaults = true;
	return true;
}

static bool handle_no_reboot(struct parse *parse, const char *argument, GError **error)
{
	(void)argument, (void)error;
	parse->options->no_reboot = true;
	return true;
}

static bool handle_start_paused(struct parse *parse, const char *argument, GError **error)
{
	(void)argument, (void)error;
	parse->options->start_paused = true;
	return true;
}

static bool handle_gdb(struct parse *parse, const char *argument, GError **error)
{
	const char *port = strrchr(argument, ':');
	guint64 number;

	if (!g_str_has_prefix(argument, "tcp:") || port == argument + 3 ||
			!g_ascii_string_to_unsigned(port + 1, 10, 1, 65535, &number, NULL)) {
		return option_set_bad(error,
				"'%s' is not tcp:[HOST]:PORT, with a port from 1 to 65535",
				argument);
	}
	option_replace(&parse->options->gdb, argument);
	return true;
}

static bool handle_gdb_default(struct parse *parse, const char *argument, GError **error)
{
	(void)argument;
	return handle_gdb(parse, "tcp::1234", error);
}

static bool handle_qmp(struct parse *parse, const char *argument, GError **error)
{
	if (!g_str_has_prefix(argument, "unix:") && !g_str_has_prefix(argument, "tcp:")) {
		return option_set_bad(error,
				"'%s' is no socket (unix:PATH or tcp:HOST:PORT, with "
				",server=on,wait=off)",
				argument);
	}
	option_replace(&parse->options->qmp, argument);
	return true;
}

static char *log_items_text(void)
{
	GString *text = g_string_new("Things to log, with commas between them:\n");

	for (const struct log_item_info *item = log_items; item->name; item++) {
		g_string_append_printf(text, "  %-14s %s\n", item->name, item->help);
	}
	return g_string_free(text, FALSE);
}

static bool set_unknown_log_item(const char *name, GError **error)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();

	for (const struct log_item_info *item = log_items; item->name; item++) {
		g_ptr_array_add(names, (char *)(uintptr_t)item->name);
	}
	g_ptr_array_add(names, NULL);
	return option_set_unknown(error, "log item", name, (const char *const *)names->pdata);
}

static bool handle_log_items(struct parse *parse, const char *argument, GError **error)
{
	g_autofree char *unknown = NULL;
	uint32_t items;

	if (option_is_help(argument)) {
		parse->text = log_items_text();
		return true;
	}
	if (!log_parse_items(argument, &items, &unknown)) {
		return set_unknown_log_item(unknown, error);
	}
	parse->options->log_items |= items;
	return true;
}

static bool handle_log_file(struct parse *parse, const char *argument, GError **error)
{
	(void)error;
	option_replace(&parse->options->log_file, argument);
	return true;
}

static bool handle_perf_map(struct parse *parse, const char *argument, GError **error)
{
	(void)argument, (void)error;
	parse->options->perf_map = true;
	return true;
}

/* What QEMU's users switch off out of habit is off already. */
static bool handle_only_none(struct parse *parse, const char *argument, GError **error)
{
	(void)parse;
	return strcmp(argument, "none") == 0 ||
	       option_set_bad(error, "'%s' is not none, all there is", argument);
}

static bool handle_version(struct parse *parse, const char *argument, GError **error)
{
	(void)argument, (void)error;
	parse->text = g_strdup_printf("%s\n", parse->context->version);
	return true;
}

static bool handle_help(struct parse *parse, const char *argument, GError **error);

static const struct option options_table[] = {
		{NULL, NULL, "The machine", NULL},
		{"accel", "NAME[,translate=on|off|check][,tb-size=SIZE][,host-fsgsbase=on|off]",
				"who executes the guest's code; 'help' lists them (default: the best that works)",
				handle_accel},
		{"enable-kvm", NULL, "the same as -accel kvm", handle_enable_kvm},
		{"machine", "q35[,accel=NAME]", "the board (default: q35, the only one)",
				handle_machine},
		{"M", "q35[,accel=NAME]", "the same as -machine", handle_machine},
		{"m", "SIZE", "RAM, in MiB or with suffix K, M, G, T (default: 512M)",
				handle_memory},
		{"cpu", "MODEL[,+FLAG][,-FLAG][,FLAG=on|off][,check|enforce]",
				"the processor that the guest sees; 'help' lists models and flags (default: max)",
				handle_cpu},
		{"smp", "[cpus=]N", "processors (default: 1)", handle_smp},
		{"name", "NAME", "the machine's name, for titles and messages (default: Oriel)",
				handle_name},
		{NULL, NULL, "What to boot", NULL},
		{"kernel", "FILE",
				"a Linux bzImage, an ELF kernel with a PVH entry, or a multiboot image",
				handle_kernel},
		{"initrd", "FILE[,FILE...]",
				"its initial RAM disk, or modules ('FILE ARGUMENTS') for multiboot",
				handle_initrd},
		{"append", "TEXT", "its command line", handle_append},
		{NULL, NULL, "Devices", NULL},
		{"drive",
				"file=PATH[,if=virtio|none][,format=raw][,id=ID][,snapshot=on][,readonly=on]"
				"[,discard=ignore|unmap][,aio=auto|threads|io_uring]",
				"a disk; if=none leaves it to a -device with drive=ID (defaults: the first of each, "
				"snapshot and readonly off)",
				option_handle_drive},
		{"device", "NAME[,PROPERTY=VALUE...]",
				"a device; 'help' lists them, 'NAME,help' the properties of one",
				option_handle_device},
		{"nodefaults", NULL, "only the devices that are named", handle_nodefaults},
		{NULL, NULL, "What is seen", NULL},
		{"display", "none|sdl[,gl=on|off]|egl-headless[,rendernode=PATH]",
				"where the picture goes (default: sdl if a window opens, else none)",
				option_handle_display},
		{"nographic", NULL, "no display; the first serial port is the terminal's",
				handle_nographic},
		{"serial", "none|null|stdio|file:PATH|pty|unix:PATH|tcp:HOST:PORT[,server=on][,wait=off]",
				"where a serial port leads; up to four (default: the first: stdio)",
				handle_serial},
		{"screendump", "file=PATH[,head=N][,when=exit|serial:TEXT|time:SECONDS|frame:N]",
				"writes the picture to a PNG file; may be repeated (default: head 0, at exit)",
				option_handle_screendump},
		{NULL, NULL, "How it runs", NULL},
		{"no-reboot", NULL, "a reset by the guest ends the program", handle_no_reboot},
		{"S", NULL, "do not start the processors until told to", handle_start_paused},
		{"gdb", "tcp:[HOST]:PORT", "wait for a debugger there", handle_gdb},
		{"s", NULL, "the same as -gdb tcp::1234", handle_gdb_default},
		{"qmp", "unix:PATH|tcp:HOST:PORT[,server=on][,wait=off]",
				"the QEMU machine protocol on a socket", handle_qmp},
		{"sandbox",
				"on|off[,obsolete=allow|deny][,elevateprivileges=allow|deny|children]"
				"[,spawn=allow|deny][,resourcecontrol=allow|deny]",
				"what the program may ask of the host's kernel (default: on, if it can be; all deny)",
				option_handle_sandbox},
		{"d", "ITEM[,ITEM...]", "what to log; 'help' lists the items (default: nothing)",
				handle_log_items},
		{"D", "FILE", "where the log goes (default: standard error)", handle_log_file},
		{"perfmap", NULL, "soft: names translated code for perf, in /tmp/perf-PID.map",
				handle_perf_map},
		{NULL, NULL, "Accepted because there is nothing to choose", NULL},
		{"monitor", "none", "there is none", handle_only_none},
		{"net", "none", "there is none", handle_only_none},
		{"nic", "none", "there is none", handle_only_none},
		{"parallel", "none", "there is none", handle_only_none},
		{"vga", "none", "there is none", handle_only_none},
		{NULL, NULL, "About the program", NULL},
		{"help", NULL, "this text", handle_help},
		{"h", NULL, "this text", handle_help},
		{"version", NULL, "the program's version", handle_version},
};

static bool handle_help(struct parse *parse, const char *argument, GError **error)
{
	GString *text = g_string_new(NULL);

	(void)argument, (void)error;
	g_string_append_printf(
			text, "usage: %s [-OPTION [ARGUMENT]]...\n", parse->context->program);
	for (unsigned i = 0; i < G_N_ELEMENTS(options_table); i++) {
		const struct option *option = &options_table[i];
		if (!option->name) {
			g_string_append_printf(text, "\n%s:\n", option->help);
			continue;
		}
		g_autofree char *left = g_strdup_printf("-%s%s%s", option->name,
				option->argument ? " " : "",
				option->argument ? option->argument : "");
		if (strlen(left) > 30 && option->help[0] != '\0') {
			g_string_append_printf(text, "  %s\n  %-30s %s\n", left, "", option->help);
		} else {
			g_string_append_printf(text, "  %-30s %s\n", left, option->help);
		}
	}
	parse->text = g_string_free(text, FALSE);
	return true;
}

static bool set_unknown_option(const char *argument, const char *name, GError **error)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();

	for (unsigned i = 0; i < G_N_ELEMENTS(options_table); i++) {
		if (options_table[i].name) {
			g_ptr_array_add(names, (char *)(uintptr_t)options_table[i].name);
		}
	}
	g_ptr_array_add(names, NULL);
	const char *near = nearest_name(name, (const char *const *)names->pdata);
	if (near) {
		return option_set_bad(
				error, "%s: no such option; did you mean -%s?", argument, near);
	}
	return option_set_bad(error, "%s: no such option; -help lists them", argument);
}

/* The option that argument names, with one dash or two. */
static const struct option *find_option(const char *argument, GError **error)
{
	const char *name = argument + (g_str_has_prefix(argument, "--") ? 2 : 1);

	if (argument[0] != '-') {
		option_set_bad(error,
				"'%s': not an option; a disk is given as -drive file=%s, a kernel as -kernel %s",
				argument, argument, argument);
		return NULL;
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(options_table); i++) {
		if (options_table[i].name && strcmp(options_table[i].name, name) == 0) {
			return &options_table[i];
		}
	}
	set_unknown_option(argument, name, error);
	return NULL;
}

/* What only all the options together tell. */
static bool finish(struct options *options, GError **error)
{
	if (!options->kernel && options->initrd) {
		return option_set_bad(error, "-initrd: only a -kernel can use it");
	}
	if (!options->kernel && options->append) {
		return option_set_bad(error, "-append: only a -kernel can use it");
	}
	if (options->no_graphic && options->display.kind == OPTION_DISPLAY_DEFAULT) {
		options->display.kind = OPTION_DISPLAY_NONE;
	}
	if (options->no_graphic && options->serials->len == 0) {
		g_ptr_array_add(options->serials, g_strdup("stdio"));
	}
	if (options->translate == OPTION_TRANSLATE_CHECK && options->cpus > 1) {
		return option_set_bad(error, "-accel: translate=check is for one processor, not %u",
				options->cpus);
	}
	if (options->tb_size == 0) {
		options->tb_size = MIN(options->cpus * DEFAULT_TB_SIZE, DEFAULT_TB_SIZE_ALL);
	}
	return true;
}

static bool parse_all(struct parse *parse, int argc, char **argv, GError **error)
{
	for (int i = 1; i < argc && !parse->text; i++) {
		const char *name = argv[i], *argument = NULL;
		const struct option *option = find_option(name, error);
		if (!option) {
			return false;
		}
		if (option->argument) {
			argument = argv[++i];
			if (!argument) {
				return option_set_bad(error, "%s: needs an argument: %s", name,
						option->argument);
			}
		}
		if (!option->handle(parse, argument, error)) {
			g_prefix_error(error, "%s: ", name);
			return false;
		}
	}
	return parse->text || finish(parse->options, error);
}

enum options_result options_parse(const struct options_context *context, int argc, char **argv,
		struct options *ret_options, char **ret_text, GError **error)
{
	struct parse parse = {.context = context, .options = ret_options};

	assert(context->classes && context->accels && context->max_cpus > 0);
	*ret_options = (struct options){
			.memory = OPTIONS_DEFAULT_MEMORY,
			.translate = OPTION_TRANSLATE_ON,
			.cpus = 1,
			.sandbox.on = true,
			.drives = g_array_new(FALSE, TRUE, sizeof(struct option_drive)),
			.devices = g_array_new(FALSE, TRUE, sizeof(struct option_device)),
			.serials = g_ptr_array_new_with_free_func(g_free),
			.screendumps = g_array_new(FALSE, TRUE, sizeof(struct option_screendump)),
	};
	g_array_set_clear_func(ret_options->drives, (GDestroyNotify)option_drive_clear);
	g_array_set_clear_func(ret_options->devices, (GDestroyNotify)option_device_clear);
	g_array_set_clear_func(ret_options->screendumps, (GDestroyNotify)option_screendump_clear);
	if (!parse_all(&parse, argc, argv, error)) {
		g_free(parse.text);
		return OPTIONS_ERROR;
	}
	if (parse.text) {
		*ret_text = parse.text;
		return OPTIONS_TEXT;
	}
	return OPTIONS_RUN;
}

void options_clear(struct options *options)
{
	g_clear_pointer(&options->drives, g_array_unref);
	g_clear_pointer(&options->devices, g_array_unref);
	g_clear_pointer(&options->serials, g_ptr_array_unref);
	g_clear_pointer(&options->screendumps, g_array_unref);
	g_free(options->display.render_node);
	g_free(options->name);
	g_free(options->accel);
	g_free(options->kernel);
	g_free(options->initrd);
	g_free(options->append);
	g_free(options->gdb);
	g_free(options->qmp);
	g_free(options->log_file);
	*options = (struct options){NULL};
}
