/* SPDX-License-Identifier: MIT */
/*
 * Loaded before all libraries of a program under AddressSanitizer: nothing is unloaded. What a GL driver still
 * refers to from its variables would otherwise be a leak as soon as the driver is gone.
 */
#include <dlfcn.h>

__attribute__((visibility("default"))) int dlclose(void *handle)
{
	(void)handle;
	return 0;
}
