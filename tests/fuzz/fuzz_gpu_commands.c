/* SPDX-License-Identifier: MIT */
/*
 * Sequences of GPU commands from a guest that means no good, on the 2d back end and the fake one. An input is a
 * list of commands: a byte that selects it, flags, and its words, in which small numbers take one byte, so that mutations
 * hit resources and contexts that exist.
 */
#include "core/base/log.h"
#include "tests/fuzz/fuzz.h"
#include "tests/harness/gpu_guest.h"

#define MAX_COMMANDS 64
#define MAX_WORDS 48
#define WORD_RAW 0xf8 /* from here on four bytes follow */

static uint32_t take_word(struct fuzz_input *in)
{
	uint32_t word = fuzz_take8(in);

	if (word >= WORD_RAW) {
		fuzz_take(in, &word, sizeof(word));
	}
	return word;
}

/* Words of the fixed part; what follows it is a byte more. */
static const struct {
	uint32_t type;
	uint8_t words;
} commands[] = {
		{VIRTIO_GPU_CMD_GET_DISPLAY_INFO, 6},
		{VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, 10},
		{VIRTIO_GPU_CMD_RESOURCE_UNREF, 8},
		{VIRTIO_GPU_CMD_SET_SCANOUT, 12},
		{VIRTIO_GPU_CMD_RESOURCE_FLUSH, 12},
		{VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, 14},
		{VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, 8},
		{VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, 8},
		{VIRTIO_GPU_CMD_GET_CAPSET_INFO, 8},
		{VIRTIO_GPU_CMD_GET_CAPSET, 8},
		{VIRTIO_GPU_CMD_GET_EDID, 8},
		{VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID, 8},
		{VIRTIO_GPU_CMD_CTX_CREATE, 24},
		{VIRTIO_GPU_CMD_CTX_DESTROY, 6},
		{VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 8},
		{VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, 8},
		{VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, 18},
		{VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, 18},
		{VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, 18},
		{VIRTIO_GPU_CMD_SUBMIT_3D, 8},
		{VIRTIO_GPU_CMD_UPDATE_CURSOR, 14},
		{VIRTIO_GPU_CMD_MOVE_CURSOR, 14},
};

enum {
	EVENT_RESET = G_N_ELEMENTS(commands),
	EVENT_MODE,
	EVENT_HOLD_FENCES,
	EVENT_HOLD_FRAMES,
	EVENT_SIGNAL,
	EVENT_TEXTURES,
	EVENT_FAIL,
	EVENT_COUNT,
};

static struct guest_request *send_command(
		struct gpu_guest *guest, struct fuzz_input *in, unsigned index)
{
	uint8_t flags = fuzz_take8(in);
	unsigned count = commands[index].words + ((flags & 4) != 0 ? fuzz_take8(in) % 16 : 0);
	unsigned queue = commands[index].type >= VIRTIO_GPU_CMD_UPDATE_CURSOR;
	uint32_t words[MAX_WORDS];

	words[0] = commands[index].type;
	words[1] = flags & 3;
	for (unsigned i = 2; i < count; i++) {
		words[i] = take_word(in);
		/* RAM is far from zero, and entries are rarely found by chance. */
		if (commands[index].type == VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING && i >= 8 &&
				i % 4 == 0) {
			words[i] += GUEST_RAM_BASE;
		}
	}
	if (commands[index].type == VIRTIO_GPU_CMD_SUBMIT_3D && words[8] == FAKE_STREAM_BLOCK) {
		words[8] = 0; /* nobody would end it */
	}
	size_t len = count * sizeof(words[0]);
	size_t cut = (flags & 8) != 0 ? fuzz_take8(in) : 0;
	size_t room = (flags & 16) != 0 ? fuzz_take8(in) : 1056;
	guest->chunk = (flags & 32) != 0 ? 5 : 0;
	return gpu_guest_send(guest, queue ^ (flags >> 7), words, len - MIN(len, cut), room);
}

static void do_event(struct gpu_guest *guest, struct fuzz_input *in, unsigned event)
{
	static const char *const calls[] = {"read_pixels", "fence", "resource_create",
			"backing_attach", "transfer_to_host", "ctx_create", "capset"};
	uint8_t arg = fuzz_take8(in);

	switch (event) {
	case EVENT_RESET:
		gpu_guest_reset(guest);
		break;
	case EVENT_MODE:
		gpu_set_mode(guest->gpu, arg % 20, arg * 3u, arg * 2u);
		break;
	case EVENT_HOLD_FRAMES:
		recording_display_hold(guest->display, arg & 1);
		break;
	default:
		break;
	}
	if (!guest->fake) {
		return;
	}
	switch (event) {
	case EVENT_HOLD_FENCES:
		fake_renderer_hold_fences(guest->fake, arg & 1);
		break;
	case EVENT_SIGNAL:
		fake_renderer_signal_seq(guest->fake,
				(struct gpu_timeline_id){.global = arg & 1,
						.ctx_id = arg >> 1 & 3,
						.ring = arg >> 3},
				fuzz_take8(in));
		break;
	case EVENT_TEXTURES:
		fake_renderer_textures(guest->fake, arg & 1);
		break;
	case EVENT_FAIL:
		fake_renderer_fail(guest->fake, calls[arg % G_N_ELEMENTS(calls)],
				VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
		break;
	default:
		break;
	}
}

/* What the GPU says about bad guests is of no interest here. */
static void silence_once(void)
{
	static bool done;

	if (!done) {
		done = log_set_file("/dev/null", true, NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct gpu_config config = guest_default_config;
	struct guest_request *sent[MAX_COMMANDS];
	unsigned count = 0;
	uint8_t kind = fuzz_take8(&in);

	silence_once();
	config.scanouts = 1 + kind / 3 % 16;
	config.limits.host_bytes = 4 * MiB;
	struct gpu_guest *guest = gpu_guest_create((enum guest_kind)(kind % 3), &config);
	if (kind >= 128) {
		guest->display->base.accepts |= DISPLAY_IMAGE_TEXTURE;
	}
	while (in.left > 0 && count < MAX_COMMANDS) {
		unsigned index = fuzz_take8(&in) % EVENT_COUNT;

		if (index < G_N_ELEMENTS(commands)) {
			sent[count++] = send_command(guest, &in, index);
		} else {
			do_event(guest, &in, index);
		}
	}
	gpu_guest_destroy(guest);
	for (unsigned i = 0; i < count; i++) {
		guest_request_free(sent[i]);
	}
	return 0;
}
