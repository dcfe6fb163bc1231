/* SPDX-License-Identifier: MIT */
/*
 * The front end against the GPU's back end, which runs on a thread of the same process, and against one that breaks off
 * after any number of messages.
 */
#include "hw/virtio/vhost_user_frontend.h"

#include "core/base/fd.h"
#include "core/base/thread.h"
#include "core/virtio/vhost_user.h"
#include "core/virtio/virtio_gpu.h"
#include "gpu/backends/backend.h"
#include "gpu/service/vhost_user.h"
#include "hw/virtio/virtio_pci.h"
#include "tests/harness/recording_display.h"
#include "tests/harness/test.h"
#include "tests/harness/virtio_driver.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RAM_SIZE (4 * MiB)
#define SLOT PCI_DEVFN(3, 0)
#define RINGS 0x10000u
#define RINGS_STEP 0x10000u
#define RING_SIZE 16
#define REQUEST 0x100000u
#define REPLY 0x200000u

/*
 * The back end.
 */

struct service {
	struct vhost_user_backend_events events;
	struct recording_display *display;
	struct vhost_user_backend *backend;
	struct gpu *gpu;
	int socket;
	GMainContext *context;
	GMainLoop *loop;
	pthread_t thread;
	GMutex lock;
	GCond changed;
	bool ready; /* guarded by lock */
};

static void handle_disconnected(struct vhost_user_backend_events *events, const GError *error)
{
	(void)events;
	(void)error;
}

static void handle_lost(struct vhost_user_backend_events *events, const char *reason)
{
	(void)events;
	fail_msg("lost: %s", reason);
}

static void service_main(void *opaque)
{
	static const struct gpu_config config = {
			.scanouts = 1,
			.width = 640,
			.height = 480,
			.limits = {.host_bytes = 64 * MiB,
					.contexts = 1,
					.resources = 64,
					.request_bytes = 64 * KiB,
					.shader_bytes = 64 * KiB,
					.hang_ms = 60000},
	};
	struct service *service = opaque;

	g_main_context_push_thread_default(service->context);
	service->backend = vhost_user_backend_create(service->socket, &service->events);
	service->gpu = gpu_create_with_backend(&config, &gpu_backend_2d, &service->display->base,
			vhost_user_backend_client(service->backend), NULL);
	assert_non_null(service->gpu);
	vhost_user_backend_attach(service->backend, service->gpu);
	g_mutex_lock(&service->lock);
	service->ready = true;
	g_cond_broadcast(&service->changed);
	g_mutex_unlock(&service->lock);
	g_main_loop_run(service->loop);
	gpu_destroy(service->gpu, 60000);
	vhost_user_backend_destroy(service->backend);
	g_main_context_pop_thread_default(service->context);
}

/* Starts one; the front end's end of its socket is returned. */
static struct service *service_start(int *ret_socket)
{
	struct service *service = g_new0(struct service, 1);
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	service->events.disconnected = handle_disconnected;
	service->events.lost = handle_lost;
	service->display = recording_display_create();
	service->socket = pair[1];
	service->context = g_main_context_new();
	service->loop = g_main_loop_new(service->context, FALSE);
	g_mutex_init(&service->lock);
	g_cond_init(&service->changed);
	assert_true(thread_create(&service->thread, "service", service_main, service, NULL));
	g_mutex_lock(&service->lock);
	while (!service->ready) {
		g_cond_wait(&service->changed, &service->lock);
	}
	g_mutex_unlock(&service->lock);
	*ret_socket = pair[0];
	return service;
}

static gboolean quit(gpointer opaque)
{
	g_main_loop_quit(opaque);
	return G_SOURCE_REMOVE;
}

static void service_stop(struct service *service)
{
	GSource *source = g_idle_source_new();

	g_source_set_callback(source, quit, service->loop, NULL);
	g_source_attach(source, service->context);
	g_source_unref(source);
	pthread_join(service->thread, NULL);
	recording_display_destroy(service->display);
	g_main_loop_unref(service->loop);
	g_main_context_unref(service->context);
	g_cond_clear(&service->changed);
	g_mutex_clear(&service->lock);
	g_free(service);
}

/*
 * A device whose queues are the back end's.
 */

struct remote {
	struct virtio_pci transport;
	struct virtio_device device;
	struct vhost_user_frontend *frontend;
	struct vhost_user_frontend_events events;
};

static struct remote *remote_of(struct virtio_device *device)
{
	return container_of(device, struct remote, device);
}

static uint64_t remote_features(struct virtio_device *device)
{
	return vhost_user_frontend_features(remote_of(device)->frontend);
}

static void remote_config_read(
		struct virtio_device *device, unsigned offset, void *buf, unsigned len)
{
	struct virtio_gpu_config config = {0};

	assert_true(vhost_user_frontend_get_config(
			remote_of(device)->frontend, 0, &config, sizeof(config), NULL));
	memset(buf, 0, len);
	if (offset < sizeof(config)) {
		memcpy(buf, (const char *)&config + offset, MIN(len, sizeof(config) - offset));
	}
}

static bool remote_start(struct virtio_device *device)
{
	return vhost_user_frontend_start(remote_of(device)->frontend, NULL);
}

static void remote_stop(struct virtio_device *device)
{
	(void)vhost_user_frontend_stop(remote_of(device)->frontend, NULL);
}

static const struct virtio_device_impl remote_impl = {
		.id = VIRTIO_ID_GPU,
		.queues = VIRTIO_GPU_QUEUE_COUNT,
		.queue_size = 64,
		.features = remote_features,
		.config_read = remote_config_read,
		.start = remote_start,
		.stop = remote_stop,
};

static void handle_config_changed(struct vhost_user_frontend_events *events)
{
	virtio_config_changed(&container_of(events, struct remote, events)->device);
}

static struct remote *remote_of_base(struct device *base)
{
	return container_of(base, struct remote, transport.pci.base);
}

static bool remote_realize(struct device *base, struct machine *machine, GError **error)
{
	struct remote *remote = remote_of_base(base);

	if (!virtio_device_init(&remote->device, &remote_impl, machine, error)) {
		return false;
	}
	remote->events.config_changed = handle_config_changed;
	remote->frontend = vhost_user_frontend_create(&remote->device, &remote->events);
	return virtio_pci_realize(&remote->transport, machine, &remote->device, 0x038000, error);
}

static void remote_unrealize(struct device *base)
{
	struct remote *remote = remote_of_base(base);

	virtio_pci_unrealize(&remote->transport);
	vhost_user_frontend_destroy(remote->frontend);
	virtio_device_finish(&remote->device);
}

static void remote_reset(struct device *base)
{
	virtio_pci_reset(&remote_of_base(base)->transport);
}

static const struct property remote_properties[] = {
		PCI_DEVICE_PROPERTIES(struct remote, transport.pci),
		{0},
};

static const struct device_class remote_class = {
		.name = "remote",
		.description = "for tests",
		.bus = "pci",
		.size = sizeof(struct remote),
		.properties = remote_properties,
		.realize = remote_realize,
		.unrealize = remote_unrealize,
		.reset = remote_reset,
};

struct fixture {
	struct fake_machine *fake;
	struct remote *remote;
	struct service *service;
	struct virtio_driver driver;
	struct driver_queue queues[VIRTIO_GPU_QUEUE_COUNT];
};

static struct fixture *fixture_create(void)
{
	struct fixture *f = g_new0(struct fixture, 1);
	struct device *device = fake_machine_device(&remote_class, "addr", "3", NULL);

	f->fake = fake_machine_create(RAM_SIZE);
	assert_true(device_realize(device, &f->fake->machine, NULL));
	f->remote = remote_of_base(device);
	fake_machine_assign(f->fake);
	virtio_driver_init(&f->driver, f->fake, SLOT);
	return f;
}

static void fixture_destroy(struct fixture *f)
{
	device_destroy(&f->remote->transport.pci.base);
	fake_machine_destroy(f->fake);
	g_free(f);
}

static void connect_service(struct fixture *f)
{
	int socket;

	f->service = service_start(&socket);
	assert_true(vhost_user_frontend_connect(f->remote->frontend, socket, NULL));
}

static int setup(void **state)
{
	struct fixture *f = fixture_create();

	connect_service(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct service *service = f->service;

	fixture_destroy(f);
	if (service) {
		service_stop(service);
	}
	return 0;
}

static void set_up(struct fixture *f, uint64_t features)
{
	assert_true(virtio_driver_negotiate(&f->driver, features));
	virtio_driver_enable_msix(&f->driver, VIRTIO_GPU_QUEUE_COUNT + 1);
	for (unsigned i = 0; i < VIRTIO_GPU_QUEUE_COUNT; i++) {
		driver_queue_init(&f->queues[i], f->fake->machine.ram, RINGS + i * RINGS_STEP,
				RING_SIZE);
		virtio_driver_setup_queue(&f->driver, i, &f->queues[i]);
	}
	virtio_driver_ok(&f->driver);
}

static void queue_display_info(struct fixture *f, uint64_t fence)
{
	const struct virtio_gpu_ctrl_hdr request = {.type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO,
			.flags = VIRTIO_GPU_FLAG_FENCE,
			.fence_id = fence};
	const struct driver_buffer buffers[] = {{REQUEST, sizeof(request), false},
			{REPLY, sizeof(struct virtio_gpu_resp_display_info), true}};

	fake_write(f->fake, REQUEST, &request, sizeof(request));
	driver_queue_add(&f->queues[0], buffers, 2);
}

/* Waits for the call, as KVM's irqfd would, and takes the answer. */
static void wait_answer(struct fixture *f)
{
	GPollFD poll_fd = {.fd = f->remote->device.queues[0].call_fd, .events = G_IO_IN};
	uint32_t head, len;

	while (!driver_queue_take_used(&f->queues[0], &head, &len)) {
		g_poll(&poll_fd, 1, -1);
		(void)fake_machine_run_routes(f->fake);
	}
	assert_int_equal(len, sizeof(struct virtio_gpu_resp_display_info));
}

static void expect_display_info(struct fixture *f, uint64_t fence)
{
	struct virtio_gpu_resp_display_info info;

	fake_read(f->fake, REPLY, &info, sizeof(info));
	assert_int_equal(info.hdr.type, VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	assert_int_equal(info.hdr.fence_id, fence);
	assert_int_equal(info.pmodes[0].r.width, 640);
}

static void ask(struct fixture *f, uint64_t fence)
{
	queue_display_info(f, fence);
	virtio_driver_kick(&f->driver, 0);
	wait_answer(f);
	expect_display_info(f, fence);
}

static void test_requests(void **state)
{
	struct fixture *f = *state;

	assert_true(virtio_driver_offered(&f->driver) & BIT(VIRTIO_F_VERSION_1));
	assert_false(virtio_driver_offered(&f->driver) & BIT(VHOST_USER_F_PROTOCOL_FEATURES));
	set_up(f, 0);
	ask(f, 1);
	ask(f, 2);
	struct fake_msi msi;
	assert_true(fake_machine_take_msi(f->fake, &msi));
	assert_int_equal(msi.data, DRIVER_MSI_DATA + 1);
}

static void test_reset(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 0; i < 5; i++) {
		set_up(f, i & 1 ? BIT(VIRTIO_F_RING_INDIRECT_DESC) : 0);
		ask(f, 100 + i);
		/* requests that the reset meets on their way */
		queue_display_info(f, 200);
		queue_display_info(f, 201);
		virtio_driver_kick(&f->driver, 0);
	}
}

static void test_config(void **state)
{
	struct fixture *f = *state;
	struct virtio_gpu_config config;
	struct fake_msi msi;

	set_up(f, 0);
	virtio_driver_config_read(&f->driver, 0, &config, sizeof(config));
	assert_int_equal(config.num_scanouts, 1);
	assert_int_equal(config.events_read, 0);
	gpu_set_mode(f->service->gpu, 0, 800, 600);
	while (!fake_machine_take_msi(f->fake, &msi)) {
		g_main_context_iteration(NULL, TRUE);
	}
	assert_int_equal(msi.data, DRIVER_MSI_DATA + DRIVER_CONFIG_VECTOR);
	virtio_driver_config_read(&f->driver, 0, &config, sizeof(config));
	assert_int_equal(config.events_read, VIRTIO_GPU_EVENT_DISPLAY);
	const uint32_t events = VIRTIO_GPU_EVENT_DISPLAY;
	g_mutex_lock(&f->remote->device.lock);
	assert_true(vhost_user_frontend_set_config(f->remote->frontend,
			offsetof(struct virtio_gpu_config, events_clear), &events, sizeof(events),
			NULL));
	assert_false(vhost_user_frontend_set_config(
			f->remote->frontend, 0, &events, sizeof(events), NULL));
	g_mutex_unlock(&f->remote->device.lock);
}

struct written {
	struct guest_write_hook hook;
	bool pages[RAM_SIZE / GUEST_PAGE_SIZE];
};

static void note_written(struct guest_write_hook *hook, uint64_t guest, uint64_t len)
{
	struct written *written = container_of(hook, struct written, hook);

	for (uint64_t at = guest; at < guest + len && at < RAM_SIZE; at++) {
		written->pages[at / GUEST_PAGE_SIZE] = true;
	}
}

/* What the other process wrote reaches our dirty hooks, page by page, once. */
static void test_dirty_log(void **state)
{
	struct fixture *f = *state;
	struct written written = {.hook.written = note_written};

	set_up(f, 0);
	guest_memory_set_write_hook(f->fake->machine.ram, &written.hook);
	queue_display_info(f, 1);
	memset(written.pages, 0, sizeof(written.pages));
	virtio_driver_kick(&f->driver, 0);
	wait_answer(f);
	assert_false(written.pages[REPLY / GUEST_PAGE_SIZE]);
	vhost_user_frontend_sync_log(f->remote->frontend);
	assert_true(written.pages[REPLY / GUEST_PAGE_SIZE]);
	assert_true(written.pages[f->queues[0].config.used / GUEST_PAGE_SIZE]);
	assert_false(written.pages[REQUEST / GUEST_PAGE_SIZE]);
	memset(written.pages, 0, sizeof(written.pages));
	vhost_user_frontend_sync_log(f->remote->frontend);
	for (unsigned i = 0; i < G_N_ELEMENTS(written.pages); i++) {
		assert_false(written.pages[i]);
	}
	guest_memory_set_write_hook(f->fake->machine.ram, NULL);
}

/* The back end goes; another takes over where it left, the driver notices nothing. */
static void test_replaced(void **state)
{
	struct fixture *f = *state;

	set_up(f, 0);
	for (uint64_t i = 0; i < 4; i++) {
		ask(f, 10 + i);
		service_stop(f->service);
		queue_display_info(f, 20 + i);
		virtio_driver_kick(&f->driver, 0);
		g_mutex_lock(&f->remote->device.lock);
		vhost_user_frontend_disconnect(f->remote->frontend);
		assert_false(vhost_user_frontend_connected(f->remote->frontend));
		connect_service(f);
		assert_true(vhost_user_frontend_start(f->remote->frontend, NULL));
		g_mutex_unlock(&f->remote->device.lock);
		wait_answer(f);
		expect_display_info(f, 20 + i);
	}
}

/* A reset while nobody is there: the next back end starts from nothing. */
static void test_reset_alone(void **state)
{
	struct fixture *f = *state;

	set_up(f, 0);
	ask(f, 1);
	service_stop(f->service);
	g_mutex_lock(&f->remote->device.lock);
	vhost_user_frontend_disconnect(f->remote->frontend);
	g_mutex_unlock(&f->remote->device.lock);
	virtio_driver_reset(&f->driver);
	g_mutex_lock(&f->remote->device.lock);
	connect_service(f);
	g_mutex_unlock(&f->remote->device.lock);
	set_up(f, 0);
	ask(f, 2);
}

/*
 * A back end that answers so many messages and then closes its socket, or answers nonsense.
 */

struct script {
	int socket;
	unsigned count; /* messages so far */
	unsigned limit; /* then the socket closes */
	unsigned nonsense_at; /* this message is answered with another's answer; 0: none is */
	pthread_t thread;
};

static bool script_answer(struct script *script, struct vhost_user_message *message)
{
	const uint32_t request = message->header.request;
	const uint64_t all = ~UINT64_C(0) & ~BIT(VIRTIO_F_ACCESS_PLATFORM);
	bool own = request == VHOST_USER_GET_FEATURES ||
		   request == VHOST_USER_GET_PROTOCOL_FEATURES ||
		   request == VHOST_USER_GET_CONFIG || request == VHOST_USER_GET_INFLIGHT_FD ||
		   request == VHOST_USER_SET_LOG_BASE;

	vhost_user_message_close_fds(message);
	if (!own && !(message->header.flags & VHOST_USER_FLAG_NEED_REPLY)) {
		return true;
	}
	struct vhost_user_message reply = {
			.header = {.request = request,
					.flags = VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY,
					.size = 8},
			.payload.u64 = request == VHOST_USER_GET_FEATURES ||
								       request == VHOST_USER_GET_PROTOCOL_FEATURES
						       ? all
						       : 0};
	auto_fd int fd = -1;
	if (request == VHOST_USER_GET_INFLIGHT_FD) {
		fd = memfd_create_sized("script", 4096, NULL);
		reply.header.size = sizeof(reply.payload.inflight);
		/* a region that is not there: nobody here may touch it */
		reply.payload.inflight = (struct vhost_user_inflight){.mmap_size = BIT(40)};
		reply.fds[0] = fd;
		reply.nfds = 1;
	}
	if (script->count == script->nonsense_at) {
		reply.header.request = VHOST_USER_GET_QUEUE_NUM;
	}
	return vhost_user_send(script->socket, &reply, NULL);
}

static void script_main(void *opaque)
{
	struct script *script = opaque;
	struct vhost_user_message message;

	while (script->count < script->limit &&
			vhost_user_receive(script->socket, &message, NULL)) {
		script->count++;
		if (!script_answer(script, &message)) {
			break;
		}
	}
	fd_close(&script->socket);
}

/* Connects and starts; whether that went well. Afterwards nothing is left of it. */
static bool run_script(struct fixture *f, unsigned limit, unsigned nonsense_at)
{
	struct script script = {.limit = limit, .nonsense_at = nonsense_at};
	g_autoptr(GError) error = NULL;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	script.socket = pair[1];
	assert_true(thread_create(&script.thread, "script", script_main, &script, NULL));
	g_mutex_lock(&f->remote->device.lock);
	bool ok = vhost_user_frontend_connect(f->remote->frontend, pair[0], &error) &&
		  vhost_user_frontend_start(f->remote->frontend, &error);
	assert_true(ok == !error);
	vhost_user_frontend_disconnect(f->remote->frontend);
	assert_true(vhost_user_frontend_stop(f->remote->frontend, NULL));
	g_mutex_unlock(&f->remote->device.lock);
	pthread_join(script.thread, NULL);
	return ok;
}

static void test_breaks_off(void **state)
{
	struct fixture *f = *state;

	/* queues that are set up, of a device that does not run */
	vhost_user_frontend_disconnect(f->remote->frontend);
	for (unsigned i = 0; i < VIRTIO_GPU_QUEUE_COUNT; i++) {
		driver_queue_init(&f->queues[i], f->fake->machine.ram, RINGS + i * RINGS_STEP,
				RING_SIZE);
		virtio_driver_setup_queue(&f->driver, i, &f->queues[i]);
	}
	unsigned needed = 0;
	while (!run_script(f, needed, 0)) {
		needed++;
		assert_true(needed < 100);
	}
	/* features twice, their choice, owner, channel, features, memory, log, region twice */
	assert_int_equal(needed, 10 + 6 * VIRTIO_GPU_QUEUE_COUNT);
	for (unsigned i = 1; i <= needed; i++) {
		/* before the third there is no agreement on answers */
		assert_int_equal(run_script(f, needed, i), i == 3);
	}
}

/* Rings that lie outside RAM are found here, before anything is sent. */
static void test_bad_rings(void **state)
{
	struct fixture *f = *state;

	assert_true(virtio_driver_negotiate(&f->driver, 0));
	driver_queue_init(&f->queues[0], f->fake->machine.ram, RINGS, RING_SIZE);
	f->queues[0].config.used = RAM_SIZE;
	virtio_driver_setup_queue(&f->driver, 0, &f->queues[0]);
	virtio_driver_ok(&f->driver);
	assert_true(virtio_driver_status(&f->driver) & 64);
	set_up(f, 0);
	ask(f, 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
			TEST(test_requests),
			TEST(test_reset),
			TEST(test_config),
			TEST(test_dirty_log),
			TEST(test_replaced),
			TEST(test_reset_alone),
			TEST(test_breaks_off),
			TEST(test_bad_rings),
	};

	thread_register();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	thread_unregister();
	return failed;
}
