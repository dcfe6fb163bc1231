/* SPDX-License-Identifier: MIT */
/*
 * The QEMU Machine Protocol (QEMU's docs/interop/qmp-spec.rst): JSON commands and replies over a character
 * device. What the commands do is the program's; here are greeting, negotiation, framing, ids and errors. Main
 * thread.
 */
#ifndef CORE_CONTROL_QMP_H
#define CORE_CONTROL_QMP_H

#include "core/base/base.h"

#include <json-glib/json-glib.h>

#define QMP_MAX_MESSAGE \
	(64 * KiB) /* bytes of one command; a longer one ends the connection's trust in its framing */
#define QMP_MAX_DEPTH 32

struct chardev;
struct qmp;
struct qmp_call;

struct qmp_command {
	const char *name; /* NULL ends a table */
	/*
	 * arguments is never NULL. Answers with qmp_return() or qmp_fail(), once, now or later.
	 */
	void (*run)(void *opaque, struct qmp_call *call, JsonObject *arguments);
};

/* chardev and table are borrowed; opaque goes to every command. version: "1.2.3". */
struct qmp *qmp_create(struct chardev *chardev, const char *version,
		const struct qmp_command *table, void *opaque);
/* Calls that are not answered yet may still be answered, to nobody. May be NULL. */
void qmp_destroy(struct qmp *qmp);

/* Takes value; NULL: an empty object. Ends the call. */
void qmp_return(struct qmp_call *take_call, JsonNode *take_value);
/* Error class GenericError. Ends the call. */
void qmp_fail(struct qmp_call *take_call, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Tells a client that negotiated; data may be NULL, and is taken. qmp may be NULL. */
void qmp_event(struct qmp *qmp, const char *name, JsonObject *take_data);

#endif
