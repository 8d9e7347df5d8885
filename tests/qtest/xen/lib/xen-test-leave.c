/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every function of a case may call: to end the case, to keep a text, and
 * to know which libxen there is.  See xen-test-common.h.
 */
#include "qemu/osdep.h"
#include <setjmp.h>
#define XEN_TEST_HELPERS
#include "xen-test-common.h"
#include "xen-test-int.h"

static sigjmp_buf leave_buf;
static const char *leave_text;

bool xen_test_compat(void)
{
    return *(getenv("XEN_TEST_COMPAT") ?: "");
}

const char *xen_test_call(const char *name)
{
    return xen_test_compat() && g_str_equal(name, "xenforeignmemory_map2")
           ? "xenforeignmemory_map" : name;
}

const char *xen_test_keep(XenTest *t, char *text)
{
    g_ptr_array_add(t->texts, text);
    return text;
}

void xen_test_leave(XenTest *t, const char *text)
{
    xen_test_place_show();
    leave_text = text;
    siglongjmp(leave_buf, 1);
}

const char *xen_test_catch(XenTest *t, XenScenario *scenario)
{
    if (sigsetjmp(leave_buf, 1)) {
        return leave_text;
    }
    return scenario(t);
}
