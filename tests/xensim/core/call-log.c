/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names of the simulated calls, and the logs of what a device model told
 * Xen.
 */
#include <string.h>

#include "sim.h"

#define XSIM_CALL_NAME(name) #name,
static const char *const call_name[] = {
    XSIM_CALLS(XSIM_CALL_NAME)
};

int xsim_call_id(const char *name)
{
    int i;

    for (i = 0; i < XSIM_CALL_COUNT; i++) {
        if (!strcmp(call_name[i], name)) {
            return i;
        }
    }
    return -1;
}

const char *xsim_call_name(unsigned id)
{
    return id < XSIM_CALL_COUNT ? call_name[id] : "?";
}

void xsim_log_add(XsimDom *d, XensimLogKind kind, uint64_t a, uint64_t b,
                  uint64_t c, int error)
{
    XsimLog *log = &d->log[kind];
    XensimLogEntry *e = &log->entry[log->count % XSIM_LOG_LEN];

    e->a = a;
    e->b = b;
    e->c = c;
    e->error = error;
    log->count++;
}
