/* SPDX-License-Identifier: MIT */
#include "tests/harness/options_fixture.h"

static void test_displays(void **state)
{
	static const struct {
		const char *line;
		struct option_display display;
	} rows[] = {
			{"-display|none", {OPTION_DISPLAY_NONE, false, NULL}},
			{"-display|sdl", {OPTION_DISPLAY_SDL, true, NULL}},
			{"-display|sdl,gl=off", {OPTION_DISPLAY_SDL, false, NULL}},
			{"-display|sdl,gl=es", {OPTION_DISPLAY_SDL, true, NULL}},
			{"-display|egl-headless", {OPTION_DISPLAY_EGL_HEADLESS, false, NULL}},
			{"-display|egl-headless,rendernode=/dev/dri/renderD128",
					{OPTION_DISPLAY_EGL_HEADLESS, false,
							(char *)(uintptr_t) "/dev/dri/renderD128"}},
			{"-display|egl-headless,rendernode=x|-display|none",
					{OPTION_DISPLAY_NONE, false, NULL}},
	};

	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct options options;
		const struct option_display *expected = &rows[i].display;
		parse_good(rows[i].line, &options);
		if (options.display.kind != expected->kind || options.display.gl != expected->gl ||
				g_strcmp0(options.display.render_node, expected->render_node) !=
						0) {
			fail_msg("%s", rows[i].line);
		}
		options_clear(&options);
	}
	expect_printed("-display|help", "  egl-headless\n");
}

static void test_screendumps(void **state)
{
	static const struct {
		const char *line;
		struct option_screendump dump;
	} rows[] = {
			{"file=a.png", {(char *)(uintptr_t) "a.png", 0, OPTION_SCREENDUMP_EXIT,
						       NULL, 0, 0}},
			{"a.png", {(char *)(uintptr_t) "a.png", 0, OPTION_SCREENDUMP_EXIT, NULL, 0,
						  0}},
			{"file=a,head=2,when=exit",
					{(char *)(uintptr_t) "a", 2, OPTION_SCREENDUMP_EXIT, NULL,
							0, 0}},
			{"file=a,when=serial:ready:,, go",
					{(char *)(uintptr_t) "a", 0, OPTION_SCREENDUMP_SERIAL,
							(char *)(uintptr_t) "ready:, go", 0, 0}},
			{"file=a,when=time:1.5",
					{(char *)(uintptr_t) "a", 0, OPTION_SCREENDUMP_TIME, NULL,
							1500000000, 0}},
			{"file=a,when=time:0", {(char *)(uintptr_t) "a", 0, OPTION_SCREENDUMP_TIME,
							       NULL, 0, 0}},
			{"file=a,when=frame:100",
					{(char *)(uintptr_t) "a", 0, OPTION_SCREENDUMP_FRAME, NULL,
							0, 100}},
	};
	struct options options;
	g_autoptr(GString) line = g_string_new(NULL);

	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_string_append_printf(line, "%s-screendump|%s", i ? "|" : "", rows[i].line);
	}
	parse_good(line->str, &options);
	assert_int_equal(options.screendumps->len, G_N_ELEMENTS(rows));
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		const struct option_screendump *dump = &g_array_index(
				options.screendumps, struct option_screendump, i);
		const struct option_screendump *expected = &rows[i].dump;
		if (strcmp(dump->file, expected->file) != 0 || dump->head != expected->head ||
				dump->when != expected->when ||
				g_strcmp0(dump->text, expected->text) != 0 ||
				dump->time_ns != expected->time_ns ||
				dump->frame != expected->frame) {
			fail_msg("%s", rows[i].line);
		}
	}
	options_clear(&options);
}

#define WHEN " is not exit, serial:TEXT, time:SECONDS or frame:N (N from 1 on)"

static void test_bad(void **state)
{
	static const struct bad_line rows[] = {
			{"-display|gtk",
					"-display: no display 'gtk' (there is: none, sdl, egl-headless)"},
			{"-display|sld", "-display: no display 'sld'; did you mean 'sdl'?"},
			{"-display|gl=on",
					"-display: no display '' (there is: none, sdl, egl-headless)"},
			{"-display|none,gl=on", "-display: no property 'gl' (there is: none)"},
			{"-display|sdl,gl=maybe",
					"-display: gl: 'maybe' is not one of off, on, core, es"},
			{"-display|sdl,rendernode=x",
					"-display: no property 'rendernode' (there is: gl)"},
			{"-display|egl-headless,rendernod=x",
					"-display: no property 'rendernod'; did you mean 'rendernode'?"},
			{"-screendump|when=exit",
					"-screendump: 'when=exit' names no file (file=PATH)"},
			{"-screendump|file=a,head=16",
					"-screendump: head: '16' is not a number from 0 to 15"},
			{"-screendump|file=a,when=", "-screendump: when: ''" WHEN},
			{"-screendump|file=a,when=later", "-screendump: when: 'later'" WHEN},
			{"-screendump|file=a,when=exit:1", "-screendump: when: 'exit:1'" WHEN},
			{"-screendump|file=a,when=serial:", "-screendump: when: 'serial:'" WHEN},
			{"-screendump|file=a,when=time:", "-screendump: when: 'time:'" WHEN},
			{"-screendump|file=a,when=time:-1", "-screendump: when: 'time:-1'" WHEN},
			{"-screendump|file=a,when=time:1s", "-screendump: when: 'time:1s'" WHEN},
			{"-screendump|file=a,when=time:1e9", "-screendump: when: 'time:1e9'" WHEN},
			{"-screendump|file=a,when=time:nan", "-screendump: when: 'time:nan'" WHEN},
			{"-screendump|file=a,when=frame:0", "-screendump: when: 'frame:0'" WHEN},
			{"-screendump|file=a,when=frame:x", "-screendump: when: 'frame:x'" WHEN},
	};

	(void)state;
	expect_bad(rows, G_N_ELEMENTS(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
			cmocka_unit_test(test_displays),
			cmocka_unit_test(test_screendumps),
			cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
