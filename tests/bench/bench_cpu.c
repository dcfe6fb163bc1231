/* SPDX-License-Identifier: MIT */
/*
 * How fast a processor and the kernel on it are, by small tests of one thing each. A static program
 * for any x86-64, so that the same bytes run on the host and in a guest. Prints a line a test,
 * "bench: NAME NANOSECONDS", for one turn of its loop, best of three runs of at least 0.3 s.
 *
 *     bench_cpu [-r ROOT] [TEST...]        ROOT: where openssl, gzip and python3 are
 */
#include <emmintrin.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUNS 3
#define LEAST_NS 300000000ull
#define COPY_SIZE 65536u
#define TEXT_SIZE (2u << 20)

/* The compiler takes the value to be used and changed. */
#define KEEP(value) __asm__ volatile("" : "+r"(value) : : "memory")
#define KEEP_MEMORY(pointer) __asm__ volatile("" : : "r"(pointer) : "memory")

struct test {
	const char *name;
	void (*turns)(uint64_t n); /* NULL: measure */
	double (*measure)(void); /* nanoseconds a turn, negative if it cannot */
};

static const char *root = "/";
static unsigned char buffer[2][COPY_SIZE];

static void die(const char *what)
{
	fprintf(stderr, "bench_cpu: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

/* Integers */

static void hash(uint64_t n)
{
	uint64_t x = n;

	while (n--) {
		x += 0x9e3779b97f4a7c15u;
		x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
		x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
		x ^= x >> 31;
	}
	KEEP(x);
}

#define FIB_N 20
#define FIB_CALLS 21891 /* that fib(FIB_N) makes, itself included */

__attribute__((noinline)) static unsigned fib(unsigned n)
{
	unsigned a, b;

	if (n < 2) {
		return n;
	}
	a = fib(n - 1);
	b = fib(n - 2);
	KEEP(b); /* or the compiler makes a loop of the second call */
	return a + b;
}

static void calls(uint64_t n)
{
	for (; n > FIB_CALLS; n -= FIB_CALLS) {
		fib(FIB_N);
	}
}

/* A virtual machine of eight operations, each ending in a jump to the next. */
static void goto_vm(uint64_t n)
{
	enum { ADD, SUB, XOR, SHIFT, LOAD, STORE, SWAP, LOOP, OPS };
	static const void *const target[OPS] = {
			&&add, &&sub, &&xor, &&shift, &&load, &&store, &&swap, &&loop};
	static uint8_t code[64];
	static uint32_t slots[16];
	uint32_t a = 1, b = 2, t;
	uint64_t seed = 1;
	const uint8_t *pc = code;

	for (size_t i = 0; i < sizeof(code); i++) {
		code[i] = (uint8_t)(next_random(&seed) % LOOP);
	}
	code[sizeof(code) - 1] = LOOP;
	KEEP_MEMORY(code);
#define NEXT goto *target[*pc++]
	NEXT;
add:
	a += b;
	NEXT;
sub:
	b -= a;
	NEXT;
	xor : a ^= b;
	NEXT;
shift:
	a = a << 3 | a >> 29;
	NEXT;
load:
	b += slots[a & 15];
	NEXT;
store:
	slots[b & 15] = a;
	NEXT;
swap:
	t = a;
	a = b;
	b = t;
	NEXT;
loop:
	if (n <= sizeof(code)) {
		KEEP(a);
		return;
	}
	n -= sizeof(code);
	pc = code;
	NEXT;
#undef NEXT
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

#define SORTED 4096

static void sort(uint64_t n)
{
	static uint32_t values[SORTED];
	uint64_t seed = 42;

	for (; n > SORTED; n -= SORTED) {
		for (size_t i = 0; i < SORTED; i++) {
			values[i] = (uint32_t)next_random(&seed);
		}
		qsort(values, SORTED, sizeof(values[0]), compare);
	}
}

static void copy(uint64_t n)
{
	for (; n > COPY_SIZE / 1024; n -= COPY_SIZE / 1024) {
		memcpy(buffer[0], buffer[1], COPY_SIZE);
		KEEP_MEMORY(buffer);
	}
}

static void set(uint64_t n)
{
	for (; n > COPY_SIZE / 1024; n -= COPY_SIZE / 1024) {
		memset(buffer[0], 1, COPY_SIZE);
		KEEP_MEMORY(buffer);
	}
}

static void length(uint64_t n)
{
	static char text[1024];

	memset(text, 'x', sizeof(text) - 1);
	while (n--) {
		size_t found = strlen(text);

		KEEP(found);
	}
}

#define CHASE_COUNT 16384u /* of 64 bytes: 1 MB */

static void chase(uint64_t n)
{
	static struct link {
		struct link *next;
		char rest[56];
	} links[CHASE_COUNT];
	static uint32_t order[CHASE_COUNT];
	struct link *at = links;
	uint64_t seed = 7;

	for (uint32_t i = 0; i < CHASE_COUNT; i++) {
		order[i] = i;
	}
	for (uint32_t i = CHASE_COUNT - 1; i > 0; i--) {
		uint32_t j = (uint32_t)(next_random(&seed) % (i + 1)), t = order[i];

		order[i] = order[j];
		order[j] = t;
	}
	for (uint32_t i = 0; i < CHASE_COUNT; i++) {
		links[order[i]].next = &links[order[(i + 1) % CHASE_COUNT]];
	}
	while (n--) {
		at = at->next;
	}
	KEEP(at);
}

static void bytes(uint64_t n)
{
	static uint8_t table[256];

	for (size_t i = 0; i < sizeof(table); i++) {
		table[i] = (uint8_t)(i * 7 + 3);
	}
	for (size_t i = 0; n--; i = (i + 1) % COPY_SIZE) {
		uint8_t c = table[buffer[0][i]];

		if (c == 'x') {
			c++;
		}
		buffer[1][i] = c;
	}
	KEEP_MEMORY(buffer);
}

/* Floating point and SIMD */

static void nbody(uint64_t n)
{
	static struct body {
		double x[3], v[3], mass;
	} bodies[5];

	for (int i = 0; i < 5; i++) {
		bodies[i] = (struct body){{i, 2 * i, -i}, {0.1 * i, 0.2, 0.3 - 0.1 * i}, 1 + i};
	}
	while (n--) {
		for (int i = 0; i < 5; i++) {
			for (int j = i + 1; j < 5; j++) {
				struct body *a = &bodies[i], *b = &bodies[j];
				double dx = a->x[0] - b->x[0], dy = a->x[1] - b->x[1],
				       dz = a->x[2] - b->x[2];
				double square = dx * dx + dy * dy + dz * dz + 0.01;
				double magnitude = 1e-6 / (square * __builtin_sqrt(square));

				a->v[0] -= dx * b->mass * magnitude;
				a->v[1] -= dy * b->mass * magnitude;
				a->v[2] -= dz * b->mass * magnitude;
				b->v[0] += dx * a->mass * magnitude;
				b->v[1] += dy * a->mass * magnitude;
				b->v[2] += dz * a->mass * magnitude;
			}
		}
		for (int i = 0; i < 5; i++) {
			for (int k = 0; k < 3; k++) {
				bodies[i].x[k] += 1e-6 * bodies[i].v[k];
			}
		}
	}
	KEEP_MEMORY(bodies);
}

static void mandelbrot(uint64_t n)
{
	unsigned point = 0, inside = 0;

	while (n) {
		double cr = (point % 64) / 32.0 - 1.5, ci = (point / 64 % 64) / 32.0 - 1;
		double zr = 0, zi = 0;

		for (int i = 0; i < 50 && n; i++, n--) {
			double r = zr * zr, im = zi * zi;

			if (r + im > 4) {
				inside++;
				break;
			}
			zi = 2 * zr * zi + ci;
			zr = r - im + cr;
		}
		point++;
	}
	KEEP(inside);
}

static void matrix(uint64_t n)
{
	static float m[4][4] __attribute__((aligned(16)));
	static float vectors[256][4] __attribute__((aligned(16)));

	for (int i = 0; i < 16; i++) {
		m[i / 4][i % 4] = i % 5 == 0 ? 0.999f : 0.001f;
	}
	for (int i = 0; i < 1024; i++) {
		vectors[i / 4][i % 4] = (float)i;
	}
	for (size_t i = 0; n--; i = (i + 1) % 256) {
		__m128 v = _mm_load_ps(vectors[i]), sum;

		sum = _mm_mul_ps(_mm_load_ps(m[0]), _mm_shuffle_ps(v, v, 0x00));
		sum = _mm_add_ps(sum, _mm_mul_ps(_mm_load_ps(m[1]), _mm_shuffle_ps(v, v, 0x55)));
		sum = _mm_add_ps(sum, _mm_mul_ps(_mm_load_ps(m[2]), _mm_shuffle_ps(v, v, 0xaa)));
		sum = _mm_add_ps(sum, _mm_mul_ps(_mm_load_ps(m[3]), _mm_shuffle_ps(v, v, 0xff)));
		_mm_store_ps(vectors[i], sum);
		KEEP_MEMORY(m);
	}
}

/* Blends two rows of pixels, as a software renderer does: 16 bytes a turn. */
static void simd_integer(uint64_t n)
{
	const __m128i zero = _mm_setzero_si128(), alpha = _mm_set1_epi16(77);

	for (size_t i = 0; n--; i = (i + 16) % 16384) {
		__m128i *to = (__m128i *)(buffer[0] + i);
		__m128i a = _mm_loadu_si128(to), b = _mm_loadu_si128((__m128i *)(buffer[1] + i));
		__m128i low = _mm_sub_epi16(_mm_unpacklo_epi8(b, zero), _mm_unpacklo_epi8(a, zero));
		__m128i high = _mm_sub_epi16(
				_mm_unpackhi_epi8(b, zero), _mm_unpackhi_epi8(a, zero));

		low = _mm_srli_epi16(_mm_mullo_epi16(low, alpha), 8);
		high = _mm_srli_epi16(_mm_mullo_epi16(high, alpha), 8);
		_mm_storeu_si128(to, _mm_add_epi8(a, _mm_packus_epi16(low, high)));
	}
	KEEP_MEMORY(buffer);
}

static void x87(uint64_t n)
{
	long double x = 1;

	while (n--) {
		x = x * 0.999L + 1 / (x + 2);
		x = x - 0.001L * x * x;
	}
	__asm__ volatile("" : "+t"(x));
}

/* The system */

static void system_call(uint64_t n)
{
	while (n--) {
		syscall(SYS_getppid);
	}
}

#define TOUCHED 16

static void page_fault(uint64_t n)
{
	for (; n > TOUCHED; n -= TOUCHED) {
		char *pages = mmap(NULL, TOUCHED * 4096, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (pages == MAP_FAILED) {
			die("mmap");
		}
		for (size_t i = 0; i < TOUCHED; i++) {
			pages[i * 4096] = 1;
		}
		munmap(pages, TOUCHED * 4096);
	}
}

static pid_t start_process(void)
{
	pid_t child = fork();

	if (child < 0) {
		die("fork");
	}
	return child;
}

static int end_of(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) < 0) {
		die("waitpid");
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void ping_pong(uint64_t n)
{
	int there[2], back[2];
	char byte = 0;
	pid_t child;

	if (pipe(there) || pipe(back)) {
		die("pipe");
	}
	child = start_process();
	if (!child) {
		close(there[1]);
		while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1) {
		}
		_exit(0);
	}
	close(there[0]);
	close(back[1]);
	while (n-- && write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1) {
	}
	close(there[1]);
	close(back[0]);
	end_of(child);
}

static void fork_exit(uint64_t n)
{
	while (n--) {
		pid_t child = start_process();

		if (!child) {
			_exit(0);
		}
		end_of(child);
	}
}

static void fork_exec(uint64_t n)
{
	while (n--) {
		pid_t child = start_process();

		if (!child) {
			execl("/proc/self/exe", "bench_cpu", "-q", (char *)NULL);
			_exit(127);
		}
		if (end_of(child)) {
			die("exec");
		}
	}
}

/* Programs */

/* Runs a program below the root; its input and output are given. True if it ended well. */
static bool run_program(const char *const *words, int input, int output)
{
	pid_t child = start_process();

	if (!child) {
		int nowhere = open("/dev/null", O_RDWR);

		dup2(input >= 0 ? input : nowhere, STDIN_FILENO);
		dup2(output >= 0 ? output : nowhere, STDOUT_FILENO);
		dup2(nowhere, STDERR_FILENO);
		if (strcmp(root, "/") != 0 && (chroot(root) || chdir("/"))) {
			_exit(126);
		}
		execv(words[0], (char *const *)words);
		_exit(127);
	}
	return !end_of(child);
}

static bool has_program(const char *path)
{
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s/%s", root, path);
	return !access(full, X_OK);
}

/* Nanoseconds a KB by openssl's own measure of one second. */
static double openssl_speed(const char *algorithm)
{
	const char *words[] = {"/usr/bin/openssl", "speed", "-elapsed", "-mr", "-seconds", "1",
			"-bytes", "16384", "-evp", algorithm, NULL};
	int output = memfd_create("output", 0);
	char text[4096] = "";
	const char *rate;
	double value = -1;

	if (has_program(words[0]) && run_program(words, -1, output) &&
			pread(output, text, sizeof(text) - 1, 0) > 0) {
		/* "+F:NUMBER:ALGORITHM:BYTES A SECOND" */
		rate = strstr(text, "+F:");
		rate = rate ? strrchr(rate, ':') : NULL;
		value = rate ? 1024e9 / strtod(rate + 1, NULL) : -1;
	}
	close(output);
	return value;
}

static double best_speed(const char *algorithm)
{
	double best = openssl_speed(algorithm);

	for (int i = 1; i < RUNS && best > 0; i++) {
		double value = openssl_speed(algorithm);

		best = value > 0 && value < best ? value : best;
	}
	return best;
}

static double sha256(void)
{
	return best_speed("sha256");
}

static double aes(void)
{
	return best_speed("aes-128-cbc");
}

/* Text of words that come again, in memory. */
static int make_text(void)
{
	int file = memfd_create("text", 0);
	char *text = malloc(TEXT_SIZE);
	uint64_t seed = 3;

	if (file < 0 || !text) {
		die("text");
	}
	for (size_t i = 0; i < TEXT_SIZE; i++) {
		if (i < 4096 || next_random(&seed) % 8 == 0) {
			text[i] = (char)('a' + next_random(&seed) % 26);
		} else {
			text[i] = text[i - 4000 + next_random(&seed) % 2];
		}
	}
	if (write(file, text, TEXT_SIZE) != TEXT_SIZE) {
		die("text");
	}
	free(text);
	return file;
}

/* Nanoseconds of one run of a program, best of as many as take long enough. */
static double best_run(const char *const *words, int input)
{
	uint64_t sum = 0, best = UINT64_MAX;

	if (!has_program(words[0])) {
		return -1;
	}
	for (int runs = 0; runs < RUNS || sum < RUNS * LEAST_NS; runs++) {
		uint64_t start = now_ns(), took;

		if (input >= 0) {
			lseek(input, 0, SEEK_SET);
		}
		if (!run_program(words, input, -1)) {
			return -1;
		}
		took = now_ns() - start;
		sum += took;
		best = took < best ? took : best;
	}
	return (double)best;
}

static double gzip(void)
{
	int text = make_text();
	double best = best_run((const char *[]){"/usr/bin/gzip", "-c", NULL}, text);

	close(text);
	return best;
}

static double python(void)
{
	return best_run((const char *[]){"/usr/bin/python3", "-c", "pass", NULL}, -1);
}

static const struct test tests[] = {
		{"hash", hash, NULL},
		{"calls", calls, NULL},
		{"goto-vm", goto_vm, NULL},
		{"qsort", sort, NULL},
		{"memcpy", copy, NULL},
		{"memset", set, NULL},
		{"strlen", length, NULL},
		{"chase", chase, NULL},
		{"bytes", bytes, NULL},
		{"nbody", nbody, NULL},
		{"mandelbrot", mandelbrot, NULL},
		{"matrix", matrix, NULL},
		{"simd-integer", simd_integer, NULL},
		{"x87", x87, NULL},
		{"syscall", system_call, NULL},
		{"page-fault", page_fault, NULL},
		{"pipe", ping_pong, NULL},
		{"fork", fork_exit, NULL},
		{"exec", fork_exec, NULL},
		{"sha256", NULL, sha256},
		{"aes", NULL, aes},
		{"gzip", NULL, gzip},
		{"python", NULL, python},
};

static uint64_t time_turns(const struct test *test, uint64_t n)
{
	uint64_t start = now_ns();

	test->turns(n);
	return now_ns() - start;
}

static double best_turn(const struct test *test)
{
	uint64_t n = 1, took, best = UINT64_MAX;

	while ((took = time_turns(test, n)) < LEAST_NS) {
		/* Towards what takes long enough, at most tenfold at once: the first turns are slow. */
		uint64_t wanted = took ? n * (LEAST_NS + LEAST_NS / 8) / took + 1 : 10 * n;

		n = wanted > 10 * n ? 10 * n : wanted;
	}
	for (int i = 0; i < RUNS; i++) {
		took = time_turns(test, n);
		best = took < best ? took : best;
	}
	return (double)best / (double)n;
}

/* Processes that wait for each other stay on one processor, as in a guest that has one. */
static void stay_here(void)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	if (sched_setaffinity(0, sizeof(here), &here)) {
		die("sched_setaffinity");
	}
}

static bool is_wanted(const char *name, char **wanted)
{
	if (!*wanted) {
		return true;
	}
	for (; *wanted; wanted++) {
		if (!strcmp(*wanted, name)) {
			return true;
		}
	}
	return false;
}

int main(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "r:q")) != -1) {
		if (option == 'r') {
			root = optarg;
		} else {
			return option == 'q' ? 0 : 2; /* -q: end at once; fork_exec() starts it */
		}
	}
	stay_here();
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		const struct test *test = &tests[i];

		if (is_wanted(test->name, argv + optind)) {
			double value = test->turns ? best_turn(test) : test->measure();

			if (value > 0) {
				printf("bench: %s %.4g\n", test->name, value);
			} else {
				printf("bench: %s missing\n", test->name);
			}
			fflush(stdout);
		}
	}
	return 0;
}
