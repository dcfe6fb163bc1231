/* SPDX-License-Identifier: MIT */
/*
 * The table of back ends. Each program has its own copy of this file, so that it links no more than it renders with:
 * HAVE_VIRGL says whether that is virglrenderer too.
 */
#include "gpu/backends/backend.h"

static const struct gpu_backend_impl *const backends[] = {
		&gpu_backend_2d,
#ifdef HAVE_VIRGL
		&gpu_backend_virgl,
#endif
};

static const struct gpu_backend_impl *backend_find(const char *name, GError **error)
{
	g_autoptr(GString) known = g_string_new(NULL);

	for (size_t i = 0; i < G_N_ELEMENTS(backends); i++) {
		if (g_strcmp0(backends[i]->name, name) == 0) {
			return backends[i];
		}
		g_string_append_printf(known, "%s'%s'", i > 0 ? ", " : "", backends[i]->name);
	}
	g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
			"GPU back end '%s' is not in this build, which has %s", name, known->str);
	return NULL;
}

struct gpu *gpu_create(const struct gpu_config *config, struct display *display,
		struct gpu_client *client, GError **error)
{
	const struct gpu_backend_impl *impl = backend_find(config->backend, error);

	return impl ? gpu_create_with_backend(config, impl, display, client, error) : NULL;
}
