/* SPDX-License-Identifier: MIT */
/*
 * Reports what a program draws, loaded in front of its libdrm and GL libraries (LD_PRELOAD).
 *
 * Writes milestone lines to the console, "oriel: SECONDS NAME DETAIL" with the uptime:
 *   gl-renderer NAME (VERSION)  the GL context is there
 *   first-frame                 the first page flip has completed: the picture is on the screen
 *   fps-now FPS                 mean rate of the last five seconds
 *   fps FPS FRAMES              mean rate from the first to the last flip, at exit
 *   last-frame                  the picture stays for ORIEL_HOLD seconds, then the program ends
 *
 * The functions wrapped are declared here rather than included: a signature that only passes
 * pointers on needs no headers of DRM or GL on the building machine.
 */

#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GLES "libGLESv2.so.2"
#define DRM "libdrm.so.2"
#define GL_RENDERER 0x1f01
#define GL_VERSION 0x1f02
#define PAGE_FLIP_EVENT 0x001 /* DRM_MODE_PAGE_FLIP_EVENT */
#define ATOMIC_TEST_ONLY 0x100 /* DRM_MODE_ATOMIC_TEST_ONLY */
#define ATOMIC_NONBLOCK 0x200 /* DRM_MODE_ATOMIC_NONBLOCK */
#define REPORT_INTERVAL_NS 5000000000ull

const unsigned char *glGetString(unsigned int name);
int drmModePageFlip(int fd, uint32_t crtc, uint32_t fb, uint32_t flags, void *data);
int drmModeAtomicCommit(int fd, void *request, uint32_t flags, void *data);
int drmHandleEvent(int fd, void *context);

/* One process draws on one device; a lock would buy nothing: flips and events share a thread. */
static struct {
	atomic_flag renderer_said;
	unsigned int pending; /* flips whose event has not come */
	unsigned int silent; /* flips without an event, not known to be complete: 0 or 1 */
	uint64_t frames; /* flips completed */
	uint64_t first_ns;
	uint64_t last_ns;
	uint64_t interval_ns; /* start of the interval that fps-now covers */
	uint64_t interval_frames;
} state = {.renderer_said = ATOMIC_FLAG_INIT};

static uint64_t uptime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	uint64_t ms = uptime_ns() / 1000000;
	char line[512];
	va_list args;
	int head, tail, fd;

	head = snprintf(line, sizeof line, "oriel: %llu.%03u ", (unsigned long long)(ms / 1000),
			(unsigned int)(ms % 1000));
	va_start(args, format);
	tail = vsnprintf(line + head, sizeof line - (size_t)head - 1, format, args);
	va_end(args);
	if (tail < 0) {
		return;
	}
	memcpy(line + strlen(line), "\n", 2);
	fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0) {
		(void)!write(fd, line, strlen(line)); /* nowhere to complain to */
		close(fd);
	}
}

/*
 * The function behind our wrapper. When the program linked its library, it is the next one in
 * order; when a plugin of the program brought it, only the library itself still finds it.
 */
static void *wrapped(const char *library, const char *name)
{
	void *symbol = dlsym(RTLD_NEXT, name);
	void *handle = symbol ? NULL : dlopen(library, RTLD_LAZY | RTLD_NOLOAD);

	if (handle) {
		symbol = dlsym(handle, name);
	}
	if (!symbol) {
		fprintf(stderr, "frames: no %s behind the wrapper\n", name);
		abort();
	}
	return symbol;
}

typedef const unsigned char *(*get_string_fn)(unsigned int name);

static void say_renderer(get_string_fn get_string)
{
	const unsigned char *renderer = get_string(GL_RENDERER);

	if (renderer && !atomic_flag_test_and_set(&state.renderer_said)) {
		say("gl-renderer %s (%s)", (const char *)renderer,
				(const char *)get_string(GL_VERSION));
	}
}

const unsigned char *glGetString(unsigned int name)
{
	get_string_fn real = (get_string_fn)wrapped(GLES, "glGetString");

	say_renderer(real);
	return real(name);
}

/* For programs that load GL themselves: by the first flip its library is there, and current. */
static void find_renderer(void)
{
	void *gles = dlopen(GLES, RTLD_LAZY | RTLD_NOLOAD);
	get_string_fn get_string = gles ? (get_string_fn)dlsym(gles, "glGetString") : NULL;

	if (get_string) {
		say_renderer(get_string);
	}
}

static void flip_asked(void)
{
	if (state.frames == 0) {
		find_renderer();
	}
	state.pending++;
}

static double rate(uint64_t frames, uint64_t ns)
{
	return ns ? (double)frames * 1e9 / (double)ns : 0.0;
}

/* Leaves a file behind by which the init knows that the program has shown something. */
static void leave_mark(void)
{
	const char *path = getenv("ORIEL_FRAMES");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) : -1;

	if (fd >= 0) {
		close(fd);
	}
}

static void flips_completed(unsigned int count)
{
	uint64_t now = uptime_ns();

	if (count == 0) {
		return;
	}
	if (state.frames == 0) {
		say("first-frame");
		leave_mark();
		state.first_ns = now;
		state.interval_ns = now;
		state.interval_frames = count;
	}
	state.frames += count;
	state.last_ns = now;
	if (now - state.interval_ns >= REPORT_INTERVAL_NS) {
		say("fps-now %.1f", rate(state.frames - state.interval_frames,
						    now - state.interval_ns));
		state.interval_ns = now;
		state.interval_frames = state.frames;
	}
}

/* No event tells of these, but the kernel accepts one only when the one before is complete. */
static void silent_flip_asked(bool complete)
{
	if (state.frames == 0) {
		find_renderer();
	}
	flips_completed(state.silent);
	state.silent = complete ? 0 : 1;
	if (complete) {
		flips_completed(1);
	}
}

int drmModePageFlip(int fd, uint32_t crtc, uint32_t fb, uint32_t flags, void *data)
{
	int (*real)(int, uint32_t, uint32_t, uint32_t, void *) = wrapped(DRM, "drmModePageFlip");
	int ret = real(fd, crtc, fb, flags, data);

	if (ret == 0 && (flags & PAGE_FLIP_EVENT)) {
		flip_asked();
	}
	return ret;
}

int drmModeAtomicCommit(int fd, void *request, uint32_t flags, void *data)
{
	int (*real)(int, void *, uint32_t, void *) = wrapped(DRM, "drmModeAtomicCommit");
	int ret = real(fd, request, flags, data);

	if (ret != 0 || (flags & ATOMIC_TEST_ONLY)) {
		return ret;
	}
	if (flags & PAGE_FLIP_EVENT) {
		flip_asked();
	} else {
		silent_flip_asked(!(flags & ATOMIC_NONBLOCK));
	}
	return ret;
}

/* Counts before the call: the program may ask for its next flip from inside the handler. */
int drmHandleEvent(int fd, void *context)
{
	int (*real)(int, void *) = wrapped(DRM, "drmHandleEvent");
	unsigned int count = state.pending;
	int ret;

	state.pending = 0;
	ret = real(fd, context);
	flips_completed(count);
	return ret;
}

__attribute__((destructor)) static void report_at_exit(void)
{
	const char *hold = getenv("ORIEL_HOLD");
	unsigned int seconds = hold ? (unsigned int)strtoul(hold, NULL, 10) : 0;

	if (state.frames == 0) {
		return;
	}
	say("fps %.1f %llu frames", rate(state.frames - 1, state.last_ns - state.first_ns),
			(unsigned long long)state.frames);
	say("last-frame held %u seconds", seconds);
	if (seconds > 0) {
		sleep(seconds);
	}
}
