/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libxensim.so: libxentoolcore, that is, giving up rights.
 *
 * After xentoolcore_restrict_all() a process may do the following, as with the
 * real library.  It may make foreign memory and device model calls for that
 * domain only (EPERM for other domains).  It may use the event channels that it
 * has, and bind to ports that the domain offers (EACCES for ports of other
 * domains, and for offering a port).  The file descriptors of xenctrl, gnttab
 * and xenstore are /dev/null (ENOTTY for an ioctl).  Opening a new handle of
 * any kind fails, as it does for a process that gave up root, which a device
 * model does next.
 */
#include "xen-abi.h"

#include <errno.h>

#include <xentoolcore.h>

#include "lib.h"

XSIM_EXPORT int xentoolcore_restrict_all(domid_t domid)
{
    unsigned call = XSIM_CALL_xentoolcore_restrict_all;
    int e = xsim_lib_begin(call, NULL, NULL);

    if (!e && xensim_restricted()) {
        /* An event channel handle cannot be restricted twice. */
        e = xensim_may_control(domid) ? EACCES : EINVAL;
    }
    if (!e) {
        xsim_lib_restrict(domid);
    }
    return xsim_lib_result(call, -e, "dom=%u", domid);
}
