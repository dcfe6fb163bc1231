/* SPDX-License-Identifier: MIT */
/*
 * The connection to gdb: a listening socket, one client at a time, packets with checksums and
 * acknowledgements ("Packet acknowledgment" in gdb's manual). Main thread.
 */
#ifndef CORE_CONTROL_GDB_LINK_H
#define CORE_CONTROL_GDB_LINK_H

#include "core/base/base.h"

#define GDB_PACKET_SIZE 0x4000 /* bytes of content, either way */

struct gdb_link;

/* All required. None may destroy the link. */
struct gdb_link_user {
	void (*connected)(struct gdb_link_user *user);
	/* Content of one packet; a zero byte follows it. */
	void (*packet)(struct gdb_link_user *user, char *packet);
	void (*interrupt)(struct gdb_link_user *user); /* ^C */
	void (*disconnected)(struct gdb_link_user *user);
};

struct gdb_link *gdb_link_create(const char *address, struct gdb_link_user *user, GError **error);
void gdb_link_destroy(struct gdb_link *link); /* may be NULL; says nothing to its user */

unsigned gdb_link_port(const struct gdb_link *link);

/* Sends a packet; text has none of the characters that need escapes. */
void gdb_link_send(struct gdb_link *link, const char *text);

/* From the next packet on nobody acknowledges. */
void gdb_link_stop_acks(struct gdb_link *link);

/* Ends the connection as soon as the packet being handled is done with. */
void gdb_link_hang_up(struct gdb_link *link);

#endif
