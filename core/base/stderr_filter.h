/* SPDX-License-Identifier: MIT */
/*
 * Libraries write to standard error as they like, and a guest can make them do it: a renderer complains of every shader that
 * it cannot parse. While the filter runs, descriptor 2 is a pipe; a thread passes its lines to the log, thins out floods and
 * takes control characters out. The log's own lines go past it to the real standard error, in their order. One a process.
 */
#ifndef CORE_BASE_STDERR_FILTER_H
#define CORE_BASE_STDERR_FILTER_H

#include "core/base/base.h"

/* So many lines at once, then one a second and a count of the rest. */
#define STDERR_FILTER_BURST 20
#define STDERR_FILTER_LINE 1024 /* bytes of one line that are shown */

/*
 * Starts the filter. A process that dies by a fault or abort() still shows what was on its way and the last line that was held
 * back. Does nothing in a program built with a sanitizer, whose reports are long. Main thread, before others write.
 */
bool stderr_filter_start(GError **error);

/* Everything written before is shown; descriptor 2 is what it was. Nothing happens if no filter runs. */
void stderr_filter_stop(void);

#endif
