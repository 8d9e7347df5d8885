/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conformance: libxendevicemodel, all but ioreq servers.
 */
#include "conformance.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <xen/hvm/params.h>

static int relocate(xen_pfn_t from, xen_pfn_t to, unsigned n)
{
    return xendevicemodel_relocate_memory(ctx.dmod, ctx.domid, n, from, to);
}

/* ---- moving ---- */

static void ask_move(void)
{
    char *p;

    say_rc("moved", relocate(ctx.work, ctx.empty, 4));
    say("source %s", is_present(ctx.work) ? "there" : "absent");
    p = map_good(ctx.empty, 4);
    say("%u of 4 pages", p ? stamps(p, ctx.work, 4) : 0);
    unmap(p, 4);
    say_rc("back", relocate(ctx.empty, ctx.work, 4));
}

static void ask_move_mapped(void)
{
    GuestWord *old = map_good(ctx.work, 1), *new;

    say_rc("moved", relocate(ctx.work, ctx.empty, 1));
    new = map_good(ctx.empty, 1);
    old[1] = 0x99;
    say("%s", new && new[1] == 0x99 ? "the same frame" : "another");
    unmap((void *)new, 1);
    unmap((void *)old, 1);
    relocate(ctx.empty, ctx.work, 1);
}

static void ask_move_absent(void)
{
    say_rc("moved", relocate(ctx.empty, ctx.work, 1));
    say("target %s", is_present(ctx.work) ? "there" : "absent");
}

static void ask_move_part(void)
{
    relocate(ctx.work + 2, ctx.empty + 0x80, 1);
    say_rc("moved", relocate(ctx.work, ctx.empty, 4));
    say("%d%d%d%d", is_present(ctx.work), is_present(ctx.work + 1),
        is_present(ctx.work + 2), is_present(ctx.work + 3));
    say("%d%d%d%d", is_present(ctx.empty), is_present(ctx.empty + 1),
        is_present(ctx.empty + 2), is_present(ctx.empty + 3));
    relocate(ctx.empty, ctx.work, 2);
    relocate(ctx.empty + 0x80, ctx.work + 2, 1);
}

/* The target's frame is lost, and its page is populated again. */
static void ask_move_over(void)
{
    xen_pfn_t gfn = ctx.work;
    char *p;

    say_rc("moved", relocate(ctx.work, ctx.work + 1, 1));
    p = map_good(ctx.work + 1, 1);
    say("%u page", p ? stamps(p, ctx.work, 1) : 0);
    unmap(p, 1);
    say("source %s", is_present(ctx.work) ? "there" : "absent");
    if (xc_domain_populate_physmap_exact(ctx.xc, ctx.domid, 1, 0, 0, &gfn)) {
        say("%s", error_name(errno));
    }
}

static void ask_move_overlap(void)
{
    char *p;

    say_rc("moved", relocate(ctx.work, ctx.empty, 8));
    say_rc("down", relocate(ctx.empty, ctx.empty - 2, 8));
    p = map_good(ctx.empty - 2, 8);
    say("%u of 8 pages", p ? stamps(p, ctx.work, 8) : 0);
    unmap(p, 8);
    relocate(ctx.empty - 2, ctx.work, 8);
}

static void ask_move_nodom(void)
{
    say_rc("moved", xendevicemodel_relocate_memory(ctx.dmod, ctx.nodom, 1,
                                                   ctx.work, ctx.empty));
}

/* ---- what was written ---- */

#define VRAM     64u
#define VRAM_MAX (8 * PAGE)    /* as many bits as a page has */

static unsigned long dirty[(VRAM_MAX + 64) / (8 * sizeof(long))];

static int track(xen_pfn_t gfn, unsigned n)
{
    return xendevicemodel_track_dirty_vram(ctx.dmod, ctx.domid, gfn, n,
                                           dirty);
}

static unsigned dirty_pages(void)
{
    unsigned n = 0, i;

    for (i = 0; i < VRAM / (8 * sizeof(long)); i++) {
        n += __builtin_popcountl(dirty[i]);
    }
    return n;
}

static void ask_track(void)
{
    memset(dirty, 0, sizeof(dirty));
    say_rc("tracked", track(ctx.work, VRAM));
    say("%u dirty", dirty_pages());
    memset(dirty, 0xff, sizeof(dirty));
    say_rc("again", track(ctx.work, VRAM));
    say("%u dirty", dirty_pages());
    say_rc("off", track(0, 0));
}

static void ask_track_other(void)
{
    track(ctx.work, VRAM);
    track(ctx.work, VRAM);
    memset(dirty, 0, sizeof(dirty));
    say_rc("tracked", track(ctx.work + VRAM, VRAM));
    say("%u dirty", dirty_pages());
    say_rc("off", track(0, 0));
    say_rc("off again", track(0, 0));
}

static void ask_track_own_write(void)
{
    GuestWord *p = map_good(ctx.work, 1);

    track(ctx.work, VRAM);
    track(ctx.work, VRAM);
    p[1] = 5;
    memset(dirty, 0, sizeof(dirty));
    say_rc("tracked", track(ctx.work, VRAM));
    say("%u dirty", dirty_pages());
    track(0, 0);
    unmap((void *)p, 1);
}

static void ask_track_absent(void)
{
    say_rc("tracked", track(ctx.empty, VRAM));
    track(0, 0);
}

static void ask_track_huge(void)
{
    say_rc("128 MiB", track(ctx.empty, VRAM_MAX));
    say_rc("more", track(ctx.empty, VRAM_MAX + 1));
    say_rc("off", track(0, 0));
}

static void ask_track_nodom(void)
{
    say_rc("tracked", xendevicemodel_track_dirty_vram(ctx.dmod, ctx.nodom,
                                                      ctx.work, VRAM, dirty));
}

static int modified(uint32_t domid, xen_pfn_t gfn, unsigned n)
{
    return xendevicemodel_modified_memory(ctx.dmod, domid, gfn, n);
}

static void ask_modified(void)
{
    say_rc("ram", modified(ctx.domid, ctx.work, 16));
    say_rc("nothing there", modified(ctx.domid, ctx.empty, 16));
    say_rc("none", modified(ctx.domid, ctx.work, 0));
}

static void ask_modified_beyond(void)
{
    say_rc("done", modified(ctx.domid, ctx.absent, 1));
}

static void ask_modified_nodom(void)
{
    say_rc("done", modified(ctx.nodom, ctx.work, 1));
}

/* ---- attributes ---- */

static int pin(xen_pfn_t first, xen_pfn_t last, uint32_t type)
{
    return xendevicemodel_pin_memory_cacheattr(ctx.dmod, ctx.domid, first,
                                               last, type);
}

static void ask_pin(void)
{
    say_rc("pinned", pin(ctx.work, ctx.work + 15,
                         XEN_DOMCTL_MEM_CACHEATTR_WB));
    say_rc("again", pin(ctx.work, ctx.work + 15,
                        XEN_DOMCTL_MEM_CACHEATTR_WB));
    say_rc("unpinned", pin(ctx.work, ctx.work + 15,
                           XEN_DOMCTL_DELETE_MEM_CACHEATTR));
}

static void ask_pin_overlap(void)
{
    pin(ctx.work, ctx.work + 15, XEN_DOMCTL_MEM_CACHEATTR_WB);
    say_rc("pinned", pin(ctx.work + 8, ctx.work + 23,
                         XEN_DOMCTL_MEM_CACHEATTR_WB));
    pin(ctx.work, ctx.work + 15, XEN_DOMCTL_DELETE_MEM_CACHEATTR);
}

static void ask_pin_bad(void)
{
    say_rc("never pinned", pin(ctx.work + 32, ctx.work + 47,
                               XEN_DOMCTL_DELETE_MEM_CACHEATTR));
    say_rc("upside down", pin(ctx.work + 1, ctx.work,
                              XEN_DOMCTL_MEM_CACHEATTR_WB));
    say_rc("type", pin(ctx.work, ctx.work + 15, 99));
}

static int set_type(hvmmem_type_t type, xen_pfn_t gfn, unsigned n)
{
    return xendevicemodel_set_mem_type(ctx.dmod, ctx.domid, type, gfn, n);
}

static void ask_read_only(void)
{
    char *p;

    say_rc("set", set_type(HVMMEM_ram_ro, ctx.work, 1));
    p = map_good(ctx.work, 1);
    say("%s", p ? "mapped" : "refused");
    if (p) {
        say("%s", poke(p));
    }
    unmap(p, 1);
    say_rc("reset", set_type(HVMMEM_ram_rw, ctx.work, 1));
}

static void ask_type_bad(void)
{
    say_rc("type", set_type(99, ctx.work, 1));
}

/* ---- interrupts ---- */

static void ask_isa(void)
{
    say_rc("0", xendevicemodel_set_isa_irq_level(ctx.dmod, ctx.domid, 11, 0));
    say_rc("irq 16", xendevicemodel_set_isa_irq_level(ctx.dmod, ctx.domid, 16,
                                                      0));
    say_rc("level 2", xendevicemodel_set_isa_irq_level(ctx.dmod, ctx.domid,
                                                       11, 2));
    say_rc("no domain", xendevicemodel_set_isa_irq_level(ctx.dmod, ctx.nodom,
                                                         11, 0));
}

static int intx(unsigned bus, unsigned device, unsigned pin, unsigned level)
{
    return xendevicemodel_set_pci_intx_level(ctx.dmod, ctx.domid, 0, bus,
                                             device, pin, level);
}

static void ask_intx(void)
{
    say_rc("0", intx(0, 31, 0, 0));
    say_rc("bus 1", intx(1, 31, 0, 0));
    say_rc("device 32", intx(0, 32, 0, 0));
    say_rc("pin 4", intx(0, 31, 4, 0));
    say_rc("level 2", intx(0, 31, 0, 2));
}

static int route(unsigned link, unsigned irq)
{
    return xendevicemodel_set_pci_link_route(ctx.dmod, ctx.domid, link, irq);
}

static void ask_route(void)
{
    say_rc("link 4", route(4, 5));
    say_rc("irq 16", route(0, 16));
}

/* ---- parameters ---- */

static void param(const char *ok, uint32_t domid, uint32_t index)
{
    uint64_t value = 0;

    say_rc(ok, xc_hvm_param_get(ctx.xc, domid, index, &value));
}

static void ask_param(void)
{
    uint64_t value = 0;

    say_rc("got", xc_hvm_param_get(ctx.xc, ctx.domid, HVM_PARAM_STORE_PFN,
                                   &value));
    say("%s", is_present(value) ? "a frame" : "absent");
    say_rc("set", xc_hvm_param_set(ctx.xc, ctx.domid,
                                   HVM_PARAM_ACPI_S_STATE, 0));
    param("index 1000", ctx.domid, 1000);
    param("no domain", ctx.nodom, HVM_PARAM_STORE_PFN);
}

static void ask_vcpus(void)
{
    unsigned n = 0;

    say_rc("got", xendevicemodel_nr_vcpus(ctx.dmod, ctx.domid, &n));
    say("%s", n ? "some" : "none");
}

const Question dm_questions[] = {
    { "move/there", ask_move, "moved, source absent, 4 of 4 pages, back", NULL,
      "video memory follows its BAR" },
    { "move/mapped", ask_move_mapped, "moved, the same frame", NULL,
      "the mapping of video memory stays good while it moves" },
    { "move/absent", ask_move_absent, "EINVAL, target there", NULL,
      "an absent source harms nothing", .newer = "EACCES, target there" },
    { "move/part", ask_move_part, "EINVAL, 0001, 1100", NULL,
      "frames move in rising order; the first absent one ends it",
      .newer = "EACCES, 0001, 1100" },
    { "move/over", ask_move_over, "moved, 1 page, source absent", NULL,
      "the frames at the target are replaced" },
    { "move/overlap", ask_move_overlap, "moved, down, 8 of 8 pages", NULL,
      "a move down within itself is safe, being in rising order" },
    { "move/no-domain", ask_move_nodom, "ESRCH", NULL, "errno is reported" },
    { "track/range", ask_track, "tracked, 64 dirty, again, 0 dirty, off",
      NULL, "a range that is new to Xen is drawn whole, then what changed" },
    { "track/another", ask_track_other,
      "tracked, 64 dirty, off, off again", NULL,
      "Xen tracks one range: another one takes its place" },
    { "track/own-write", ask_track_own_write, "tracked, 0 dirty", NULL,
      "what a device model writes is not seen by Xen" },
    { "track/absent", ask_track_absent, "tracked", NULL,
      "a BAR may be moved while it is tracked" },
    { "track/huge", ask_track_huge, "128 MiB, E2BIG, off", NULL,
      "more video memory is drawn whole each time: Linux takes no larger "
      "bitmap" },
    { "track/no-domain", ask_track_nodom, "ESRCH", NULL,
      "errno is looked at" },
    { "modified/range", ask_modified, "ram, nothing there, none", NULL,
      "a write is reported where it is, whatever is there" },
    { "modified/beyond", ask_modified_beyond, "done", NULL,
      "the same, where no memory can be" },
    { "modified/no-domain", ask_modified_nodom, "ESRCH", NULL,
      "errno is reported once" },
    { "pin/range", ask_pin, "pinned, again, unpinned", NULL,
      "video memory is pinned write-back at its BAR" },
    { "pin/overlap", ask_pin_overlap, "EBUSY", NULL,
      "a failing pin is not the end of anything" },
    { "pin/bad", ask_pin_bad, "ENOENT, EINVAL, EINVAL", NULL, "the same" },
    { "type/read-only", ask_read_only, "set, mapped, ok, reset", NULL,
      "the platform device locks and unlocks the BIOS area" },
    { "type/bad", ask_type_bad, "EINVAL", NULL, "errno is ignored" },
    { "irq/isa", ask_isa, "0, EINVAL, EINVAL, ESRCH", NULL,
      "ISA interrupts" },
    { "irq/intx", ask_intx, "0, EINVAL, EINVAL, EINVAL, EINVAL", NULL,
      "PCI interrupts" },
    { "irq/route", ask_route, "EINVAL, EINVAL", NULL,
      "the PIIX3's routing registers" },
    { "param/get-set", ask_param, "got, a frame, set, EINVAL, ESRCH", NULL,
      "HVM parameters name pages and the sleep state" },
    { "param/vcpus", ask_vcpus, "got, some", NULL, "one ioreq each" },
    { NULL },
};
