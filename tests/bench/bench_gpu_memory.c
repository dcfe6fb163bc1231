/* SPDX-License-Identifier: MIT */
/*
 * How much memory oriel-gpu keeps resident beyond guest RAM: by itself, with a screen, drawing.
 * Prints a table. /
 */
#include "tests/harness/triangle.h"

#include <stdio.h>
#include <stdlib.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define WIDTH 1280u
#define HEIGHT 800u
#define SCREEN 10 /* resource */
#define FRAMES 300

static void check(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "bench_gpu_memory: %s failed\n", what);
		exit(EXIT_FAILURE);
	}
}

static struct picture_client *start(const char *backend)
{
	g_autofree char *option = g_strdup_printf("--backend=%s", backend);
	const char *arguments[] = {option, NULL};
	g_autoptr(GError) error = NULL;
	struct picture_client *client = picture_client_start(arguments, &error);

	if (!client) {
		fprintf(stderr, "bench_gpu_memory: %s\n", error->message);
		exit(EXIT_FAILURE);
	}
	return client;
}

/* A line of /proc/PID/status, kB. */
static unsigned long status_line(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoul(at + strlen(name), NULL, 10) : 0;
}

static void print(struct picture_client *client, const char *what, const char *target)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/status", client->pid);
	g_autofree char *text = NULL;

	check(g_file_get_contents(path, &text, NULL, NULL), path);
	unsigned long anon = status_line(text, "RssAnon:"), file = status_line(text, "RssFile:");
	unsigned long shared = status_line(text, "RssShmem:");
	printf("  %-32s %8.1f %8.1f %8.1f %8.1f  %s\n", what, (double)(anon + file) / 1024,
			(double)anon / 1024, (double)file / 1024, (double)shared / 1024, target);
}

/* As a desktop without 3D does: writes to the screen, then flushes. */
static void measure_2d(void)
{
	struct picture_client *client = start("2d");

	print(client, "2d, nothing yet", "");
	check(picture_client_create_2d(client, SCREEN, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, WIDTH,
			      HEIGHT) == OK &&
					picture_client_attach_backing(client, SCREEN, PICTURE_DATA,
							WIDTH * HEIGHT * 4) == OK &&
					picture_client_set_scanout(
							client, 0, SCREEN, WIDTH, HEIGHT) == OK,
			"the screen");
	for (unsigned i = 0; i < FRAMES; i++) {
		check(picture_client_transfer_2d(client, SCREEN, WIDTH, HEIGHT) == OK &&
						picture_client_flush(client, SCREEN, WIDTH,
								HEIGHT) == OK,
				"a frame");
	}
	print(client, "2d, a screen of 1280x800", "<= 25 with oriel");
	check(picture_client_stop(client) == 0, "the end");
}

static void measure_3d(void)
{
	struct picture_client *client = start("virgl");

	print(client, "virgl, nothing yet", "");
	check(triangle_setup(client, 1), "a context");
	print(client, "virgl, a context", "");
	check(triangle_draw(client, 1), "a stream");
	check(picture_client_set_scanout(
			      client, 0, TRIANGLE_TARGET, TRIANGLE_SIZE, TRIANGLE_SIZE) == OK,
			"the screen");
	print(client, "virgl, one draw", "");
	for (unsigned i = 0; i < FRAMES; i++) {
		uint32_t words[16];
		struct gallium g;
		gallium_init(&g, words, G_N_ELEMENTS(words));
		gallium_draw(&g, GALLIUM_TRIANGLES, 0, 3);
		check(picture_client_submit(client, 1, words, g.count) == OK &&
						picture_client_flush(client, TRIANGLE_TARGET,
								TRIANGLE_SIZE, TRIANGLE_SIZE) == OK,
				"a frame");
	}
	print(client, "virgl, 300 frames", "<= 110");
	check(picture_client_stop(client) == 0, "the end");
}

int main(void)
{
	printf("oriel-gpu, MB resident\n  %-32s %8s %8s %8s %8s  %s\n", "", "total", "own", "files",
			"(guest)", "target");
	measure_2d();
	measure_3d();
	return EXIT_SUCCESS;
}
