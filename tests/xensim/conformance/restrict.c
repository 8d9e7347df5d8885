/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conformance: the rights of a process that has restricted itself to the
 * domain.  The other rights cannot be got back, so these are the last
 * questions.
 */
#include "conformance.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/hvm/hvm_op.h>
#include <xen/grant_table.h>
#include <xen/hvm/params.h>
#include <xentoolcore.h>

#define NOBODY 65534

static void ask_restrict(void)
{
    say_rc("done", xentoolcore_restrict_all(ctx.domid));
}

static void map_of(uint32_t domid)
{
    xen_pfn_t gfn = ctx.work;
    int err = 0;
    void *p;

    errno = 0;
    p = xenforeignmemory_map2(ctx.fmem, domid, NULL, RW, 0, 1, &gfn, &err);
    say("%s %s", p ? "mapped" : error_name(errno), error_name(err));
    unmap(p, 1);
}

static void ask_map(void)
{
    map_of(ctx.domid);
    map_of(0);
    map_of(ctx.nodom);
}

static void ask_dm(void)
{
    say_rc("its own", xendevicemodel_set_isa_irq_level(ctx.dmod, ctx.domid,
                                                       11, 0));
    say_rc("another's", xendevicemodel_set_isa_irq_level(ctx.dmod, 0, 11,
                                                         0));
    say_rc("nobody's", xendevicemodel_set_isa_irq_level(ctx.dmod, ctx.nodom,
                                                        11, 0));
}

static void ask_move(void)
{
    say_rc("moved", xendevicemodel_relocate_memory(ctx.dmod, ctx.domid, 1,
                                                   ctx.work, ctx.empty));
    say_rc("back", xendevicemodel_relocate_memory(ctx.dmod, ctx.domid, 1,
                                                  ctx.empty, ctx.work));
}

static void ask_xenctrl(void)
{
    xen_pfn_t gfn = ctx.work;
    uint64_t value;

    say_rc("param", xc_hvm_param_get(ctx.xc, ctx.domid, HVM_PARAM_STORE_PFN,
                                     &value));
    say_rc("populated", xc_domain_populate_physmap_exact(ctx.xc, ctx.domid, 1,
                                                         0, 0, &gfn));
}

static void ask_gnttab(void)
{
    uint32_t ref = GNTTAB_RESERVED_XENSTORE;
    void *p;

    errno = 0;
    p = xengnttab_map_domain_grant_refs(ctx.gnttab, 1, ctx.domid, &ref, RW);
    say("%s", p ? "mapped" : error_name(errno));
}

static void ask_evtchn(void)
{
    ioservid_t id;
    evtchn_port_t remote = 0;
    int port;

    say_rc("new", xenevtchn_bind_unbound_port(ctx.evtchn, ctx.domid));
    say_rc("another's", xenevtchn_bind_interdomain(ctx.evtchn, 0, 1));
    if (xendevicemodel_create_ioreq_server(ctx.dmod, ctx.domid,
                                           HVM_IOREQSRV_BUFIOREQ_ATOMIC,
                                           &id) ||
        xendevicemodel_get_ioreq_server_info(ctx.dmod, ctx.domid, id, NULL,
                                             NULL, &remote)) {
        say("server %s", error_name(errno));
        return;
    }
    port = xenevtchn_bind_interdomain(ctx.evtchn, ctx.domid, remote);
    say_rc("its own", port);
    say_rc("unbound", xenevtchn_unbind(ctx.evtchn, port));
    xendevicemodel_destroy_ioreq_server(ctx.dmod, ctx.domid, id);
}

static void ask_again(void)
{
    say_rc("the same", xentoolcore_restrict_all(ctx.domid));
    say_rc("another", xentoolcore_restrict_all(ctx.nodom));
}

/* As xl has it: not root any more. */
static void ask_open(void)
{
    if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY)) {
        skip("setresuid: %s", error_name(errno));
        return;
    }
    say("%s", xenforeignmemory_open(NULL, 0) ? "opened" : error_name(errno));
    say("%s", xendevicemodel_open(NULL, 0) ? "opened" : error_name(errno));
    say("%s", xengnttab_open(NULL, 0) ? "opened" : error_name(errno));
    say("%s", xenevtchn_open(NULL, 0) ? "opened" : error_name(errno));
}

const Question restrict_questions[] = {
    { "restrict/all", ask_restrict, "done", NULL,
      "-xen-domid-restrict, at the end of a device model's start" },
    { "restrict/map", ask_map, "mapped 0, EPERM 0, EPERM 0", NULL,
      "the guest's memory stays within reach, nobody else's is" },
    { "restrict/devicemodel", ask_dm, "its own, EPERM, EPERM", NULL,
      "the same for device model calls" },
    { "restrict/move", ask_move, "moved, back", NULL,
      "video memory is moved by a restricted device model" },
    { "restrict/xenctrl", ask_xenctrl, "ENOTTY, ENOTTY", NULL,
      "so nothing after the start may need libxenctrl" },
    { "restrict/grant", ask_gnttab, "ENOTTY", NULL,
      "nor grants" },
    { "restrict/evtchn", ask_evtchn, "EACCES, EACCES, its own, unbound", NULL,
      "ports that the guest offers can be bound, none can be offered to it" },
    { "restrict/again", ask_again, "EACCES, EINVAL", NULL,
      "-xen-domid-restrict is done once" },
    { "restrict/open", ask_open, "EACCES, EACCES, EACCES, EACCES", NULL,
      "nothing can be opened later: xl runs a restricted device model as a "
      "user without rights" },
    { NULL },
};
