/* SPDX-License-Identifier: MIT */
/*
 * How fast requests go through oriel-gpu, without a CPU engine in the way: commands, fences,
 * transfers, screen updates. Prints a table; where a target exists it stands beside the figure.
 * Usage: bench_gpu_path [rounds]
 *
 * Figures are the best of the rounds, as others may use the machine; give more rounds where it is
 * busy. /
 */
#include "tests/harness/triangle.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONTROL VIRTIO_GPU_QUEUE_CONTROL
#define OK VIRTIO_GPU_RESP_OK_NODATA
#define CONTEXT 1
#define WINDOW 24 /* requests under way at once */
#define COMMANDS 4000 /* a round */
#define FENCES 500 /* a round */
#define COPIES 24 /* a round */
#define FRAMES 200 /* a round */
#define WIDTH 1920u
#define HEIGHT 1080u
#define FRAME_BYTES (WIDTH * HEIGHT * 4)
#define SCREEN 10 /* resource */

static unsigned rounds = 5;

static double now(void)
{
	return (double)g_get_monotonic_time() * 1e-6;
}

static void check(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "bench_gpu_path: %s failed\n", what);
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
		fprintf(stderr, "bench_gpu_path: %s\n", error->message);
		exit(EXIT_FAILURE);
	}
	return client;
}

static void print(const char *what, double value, const char *unit, const char *target)
{
	printf("  %-48s %9.3f %-6s %s\n", what, value, unit, target);
	fflush(stdout);
}

/* Commands. */

/* One request with what follows it. */
struct shot {
	const void *request;
	size_t len;
	const void *extra;
	size_t extra_len;
};

static void wait_slot(struct picture_client *client, unsigned slot)
{
	struct virtio_gpu_ctrl_hdr reply;

	check(picture_client_wait(client, CONTROL, slot, &reply, sizeof(reply), 30000) &&
					reply.type < VIRTIO_GPU_RESP_ERR_UNSPEC,
			"a command");
}

/* Keeps a window of requests under way; returns commands a second. */
static double fire(struct picture_client *client, const struct shot *shot, size_t reply_len)
{
	unsigned slots[WINDOW];
	double begin = now();

	for (unsigned i = 0; i < COMMANDS + WINDOW; i++) {
		if (i >= WINDOW) {
			wait_slot(client, slots[i % WINDOW]);
		}
		if (i < COMMANDS) {
			slots[i % WINDOW] = picture_client_post(client, CONTROL, shot->request,
					shot->len, shot->extra, shot->extra_len, reply_len);
		}
	}
	return COMMANDS / (now() - begin);
}

static void bench_commands(struct picture_client *client, const char *name, const struct shot *shot,
		size_t reply_len)
{
	double best = 0;

	for (unsigned i = 0; i < rounds; i++) {
		best = MAX(best, fire(client, shot, reply_len));
	}
	print(name, best / 1000, "k/s", "");
}

static struct virtio_gpu_cmd_submit submit_request(size_t words, bool fenced)
{
	return (struct virtio_gpu_cmd_submit){
			.hdr = {.type = VIRTIO_GPU_CMD_SUBMIT_3D,
					.flags = fenced ? VIRTIO_GPU_FLAG_FENCE : 0,
					.fence_id = 1,
					.ctx_id = CONTEXT},
			.size = (uint32_t)words * 4,
	};
}

static void bench_all_commands(struct picture_client *client)
{
	const struct virtio_gpu_ctrl_hdr info = {.type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO};
	const struct virtio_gpu_cmd_submit empty = submit_request(0, false);
	static const float color[4] = {0, 0, 0, 1};
	uint32_t words[64];
	struct gallium g;

	gallium_init(&g, words, G_N_ELEMENTS(words));
	gallium_clear(&g, VIRGL_CLEAR_COLOR0, color, 1.0);
	const struct virtio_gpu_cmd_submit clear = submit_request(g.count, false);
	const struct virtio_gpu_cmd_submit fenced = submit_request(0, true);
	printf("commands, %u at once\n", WINDOW);
	bench_commands(client, "GET_DISPLAY_INFO", &(struct shot){&info, sizeof(info), NULL, 0},
			sizeof(struct virtio_gpu_resp_display_info));
	bench_commands(client, "SUBMIT_3D of nothing",
			&(struct shot){&empty, sizeof(empty), NULL, 0},
			sizeof(struct virtio_gpu_ctrl_hdr));
	bench_commands(client, "SUBMIT_3D of nothing, fenced",
			&(struct shot){&fenced, sizeof(fenced), NULL, 0},
			sizeof(struct virtio_gpu_ctrl_hdr));
	bench_commands(client, "SUBMIT_3D of a clear (256x256)",
			&(struct shot){&clear, sizeof(clear), words, g.count * 4},
			sizeof(struct virtio_gpu_ctrl_hdr));
}

/* Fences. */

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return left < right ? -1 : left > right;
}

/* One at a time; ret_ms are sorted. */
static void time_fences(struct picture_client *client, double ret_ms[FENCES])
{
	for (unsigned i = 0; i < FENCES; i++) {
		double begin = now();
		check(picture_client_submit(client, CONTEXT, NULL, 0) == OK, "a fence");
		ret_ms[i] = (now() - begin) * 1000;
	}
	qsort(ret_ms, FENCES, sizeof(ret_ms[0]), compare);
}

static void bench_fences(struct picture_client *client, const char *name, const char *p50_target,
		const char *p99_target)
{
	double p50 = 1e9, p99 = 1e9, ms[FENCES];
	char label[64];

	for (unsigned i = 0; i < rounds; i++) {
		time_fences(client, ms);
		p50 = MIN(p50, ms[FENCES / 2]);
		p99 = MIN(p99, ms[FENCES * 99 / 100]);
	}
	snprintf(label, sizeof(label), "%s p50", name);
	print(label, p50, "ms", p50_target);
	snprintf(label, sizeof(label), "%s p99", name);
	print(label, p99, "ms", p99_target);
}

/* Keeps a core busy until the parent ends it or ends. */
static pid_t spin(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		volatile unsigned count = 0;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			count++;
		}
	}
	return pid;
}

static void bench_all_fences(struct picture_client *client)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	g_autofree pid_t *spinners = g_new(pid_t, cores);

	printf("fence round trip\n");
	bench_fences(client, "idle", "<= 0.2", "<= 0.5");
	for (long i = 0; i < cores; i++) {
		spinners[i] = spin();
	}
	bench_fences(client, "all cores busy", "", "<= 5");
	for (long i = 0; i < cores; i++) {
		kill(spinners[i], SIGKILL);
		waitpid(spinners[i], NULL, 0);
	}
}

/* Transfers. */

static double gigabytes(unsigned count, double seconds)
{
	return (double)FRAME_BYTES * count / seconds / 1e9;
}

static void bench_memcpy(struct picture_client *client)
{
	g_autofree uint8_t *to = g_malloc(FRAME_BYTES);
	double best = 0;

	for (unsigned i = 0; i < rounds; i++) {
		double begin = now();
		for (unsigned k = 0; k < COPIES; k++) {
			memcpy(to, client->ram + PICTURE_DATA, FRAME_BYTES);
			__asm__ volatile("" ::"r"(to) : "memory");
		}
		best = MAX(best, gigabytes(COPIES, now() - begin));
	}
	print("memcpy", best, "GB/s", "");
}

static uint32_t transfer_2d(struct picture_client *client)
{
	return picture_client_transfer_2d(client, SCREEN, WIDTH, HEIGHT);
}

static uint32_t transfer_to_host(struct picture_client *client)
{
	return picture_client_transfer_3d(client, true, CONTEXT, SCREEN, WIDTH, HEIGHT, WIDTH * 4);
}

static uint32_t transfer_from_host(struct picture_client *client)
{
	return picture_client_transfer_3d(client, false, CONTEXT, SCREEN, WIDTH, HEIGHT, WIDTH * 4);
}

static void bench_transfer(struct picture_client *client, const char *name,
		uint32_t (*transfer)(struct picture_client *client))
{
	double best = 0;

	for (unsigned i = 0; i < rounds; i++) {
		double begin = now();
		for (unsigned k = 0; k < COPIES; k++) {
			check(transfer(client) == OK, name);
		}
		best = MAX(best, gigabytes(COPIES, now() - begin));
	}
	print(name, best, "GB/s", "");
}

/* Screen updates: a flush is answered when its frame was shown. */
static void bench_flush(struct picture_client *client, const char *name)
{
	double best = 0;

	check(picture_client_set_scanout(client, 0, SCREEN, WIDTH, HEIGHT) == OK, "SET_SCANOUT");
	for (unsigned i = 0; i < rounds; i++) {
		double begin = now();
		for (unsigned k = 0; k < FRAMES; k++) {
			check(picture_client_flush(client, SCREEN, WIDTH, HEIGHT) == OK, name);
		}
		best = MAX(best, FRAMES / (now() - begin));
	}
	print(name, best, "/s", "");
}

static void bench_2d(void)
{
	struct picture_client *client = start("2d");

	printf("2d, %ux%u\n", WIDTH, HEIGHT);
	memset(client->ram + PICTURE_DATA, 0x5a, FRAME_BYTES);
	check(picture_client_create_2d(client, SCREEN, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, WIDTH,
			      HEIGHT) == OK &&
					picture_client_attach_backing(client, SCREEN, PICTURE_DATA,
							FRAME_BYTES) == OK,
			"a screen");
	bench_memcpy(client);
	bench_transfer(client, "TRANSFER_TO_HOST_2D", transfer_2d);
	bench_flush(client, "RESOURCE_FLUSH of the whole screen");
	check(picture_client_stop(client) == 0, "the end");
}

static void bench_3d(void)
{
	struct picture_client *client = start("virgl");

	printf("virgl on %s\n", client->hello.renderer);
	check(triangle_setup(client, CONTEXT) && triangle_draw(client, CONTEXT), "the triangle");
	bench_all_commands(client);
	bench_all_fences(client);
	printf("virgl, %ux%u\n", WIDTH, HEIGHT);
	check(picture_client_create_3d(client, CONTEXT, SCREEN, VIRGL_TARGET_2D,
			      VIRGL_FORMAT_B8G8R8X8_UNORM, VIRGL_BIND_RENDER_TARGET, WIDTH,
			      HEIGHT) == OK &&
					picture_client_ctx_attach(client, CONTEXT, SCREEN) == OK &&
					picture_client_attach_backing(client, SCREEN, PICTURE_DATA,
							FRAME_BYTES) == OK,
			"a screen");
	bench_memcpy(client);
	bench_transfer(client, "TRANSFER_TO_HOST_3D", transfer_to_host);
	bench_transfer(client, "TRANSFER_FROM_HOST_3D", transfer_from_host);
	bench_flush(client, "RESOURCE_FLUSH of the whole screen");
	check(picture_client_stop(client) == 0, "the end");
}

int main(int argc, char **argv)
{
	double load = 0;

	if (argc > 1) {
		rounds = (unsigned)MAX(atoi(argv[1]), 1);
	}
	(void)getloadavg(&load, 1);
	printf("best of %u rounds, load %.1f on %ld cores; the last column is the target\n", rounds,
			load, sysconf(_SC_NPROCESSORS_ONLN));
	bench_2d();
	bench_3d();
	return EXIT_SUCCESS;
}
