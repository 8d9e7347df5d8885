/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small QMP client over a unix socket.  One command at a time; events are
 * skipped, but the last one of each name is kept.  One thread per client.
 *
 * Errors are in G_IO_ERROR (no connection, no answer in time, the peer has
 * closed the connection) or in TS_QMP_ERROR (QEMU refused the command, with
 * this message).
 */

#ifndef XENSIM_TOOLSTACK_QMP_H
#define XENSIM_TOOLSTACK_QMP_H

#include "toolstack-json.h"

#define TS_QMP_ERROR (ts_qmp_error_quark())
GQuark ts_qmp_error_quark(void);

typedef enum TsQmpError {
    TS_QMP_ERROR_REFUSED,       /* an error of any other class */
    TS_QMP_ERROR_NO_COMMAND,    /* this QEMU does not have the command */
} TsQmpError;

typedef struct TsQmp TsQmp;

/*
 * Connect to PATH and negotiate.  While nothing listens there, tries again, for
 * at most TIMEOUT_MS; each later answer may take as long.  STILL_ALIVE (may be
 * NULL) is called now and then; if it returns false, the wait ends.  NULL on
 * failure.
 */
typedef gboolean TsQmpAliveFn(gpointer opaque);
TsQmp *ts_qmp_open(const char *path, unsigned int timeout_ms,
                   TsQmpAliveFn *still_alive, gpointer opaque, GError **err);
void ts_qmp_free(TsQmp *qmp);

/*
 * Send COMMAND with ARGUMENTS, an object in JSON (NULL: none).  Returns the
 * value that QEMU returns (ts_json_free), or NULL.
 */
TsJson *ts_qmp_command(TsQmp *qmp, const char *command, const char *arguments,
                       GError **err);

/* The same without the returned value. */
gboolean ts_qmp_run(TsQmp *qmp, const char *command, const char *arguments,
                    GError **err);

/* The data of the last event NAME seen so far, or NULL.  Not to be freed. */
const TsJson *ts_qmp_event(TsQmp *qmp, const char *name);

#endif
