/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each call to Xen that a running device model makes for its guest's memory,
 * its devices or its interrupts fails, at its first occurrence, its second, …
 * until the guest makes it do no more of them; once, and from there on.
 * Meanwhile the guest goes on: disk, display, its video memory moved, balloon;
 * or lines, messages, routes and sleep.  The device model lives, and once the
 * fault has gone all is served in full, byte by byte, and nothing is left
 * mapped.
 *
 * Two calls are left out, since after them there is nothing to serve: a
 * response whose xenevtchn_notify() fails, and a port whose
 * xenevtchn_unmask() does, leave the vCPU waiting for good, on any device
 * model.  Nor is anything asked of xenstore while a guest runs.
 */
#include "qemu/osdep.h"
#include "qobject/qdict.h"
#include "xen-test-common.h"

enum {
    SEED = 61,
    DISK_PAGES = 256,
    MOST = 120,

    /* Devices for lessons: one has a line, the other sends messages. */
    EDU_LINE = 8,
    EDU_MSI = 9,
    EDU_RAISE = 0x60,
    EDU_LOWER = 0x64,
    MESSAGE = 0x4051,

    IDE_CONTROL = 0x3f6,
    IDE_STATUS = 0x1f7,
    IDE_IRQ = 14,

    PIIX3 = 1 << 3,         /* the bridge, and its power management */
    ROUTE_REG = 0x60,
    PIIX3_PM = 1 << 3 | 3,
    PM_BASE_REG = 0x40,
    PM_ENABLE_REG = 0x80,
    PM_PORT = 0xb000,
    PM_S3 = 1 << 13 | 1 << 10,
    ACPI_S_STATE = 14,      /* the index of Xen's parameter */

    PLUG = 7,               /* the slot of a device that comes and goes */
    EJECT = 0xae08,         /* a bit for each slot: it may go */
};

#define EDU_BAR(slot)   (0xf5000000u + (slot) * 0x100000u)

#define BUFFER  (20 * XEN_TEST_BUCKET - 0x4000)
#define AWAY    (XEN_TEST_LFB + 2 * XEN_TEST_VRAM_BYTES)
#define BALLOON 0x900   /* gfn */

/* One thing that guests do, the calls that come of it, and what to expect. */
typedef struct Part {
    void (*boot)(XenTest *t);
    void (*works)(XenTest *t);
    const char *(*service)(XenTest *t, unsigned round);
    unsigned least;     /* kinds of call that it must make */
    const char *calls[8];
} Part;

/* ---- memory and devices ---- */

static void boot(XenTest *t)
{
    xen_test_start_disk(t, DISK_PAGES, SEED, XEN_TEST_VGA);
    xen_test_vga(t);
}

/* A transfer that may fail, but must come to its end. */
static void dma(XenTest *t, unsigned page, uint64_t gpa, unsigned n)
{
    GuestSg sg = { .gpa = gpa, .len = n * XEN_TEST_PAGE };
    int err = guest_ide_dma(&t->ide, false, page * 8, n * 8, &sg, 1);

    xen_test_ok(t, err == -EIO ? 0 : err);
    if (err) {
        xen_test_ide(t);
    }
}
#define dma(...) XEN_AT(dma(__VA_ARGS__))

static void place(XenTest *t, uint64_t addr)
{
    xen_test_ok(t, guest_pci_place_bar(t->pc, t->vga.devfn, 0, addr));
}
#define place(...) XEN_AT(place(__VA_ARGS__))

/* What a guest does, cold.  What comes of it is not looked at. */
static void guest_works(XenTest *t)
{
    uint8_t bytes[64] = { 0x5c };

    xensim_invalidate(t->dom);
    dma(t, 3, BUFFER, 8);
    qtest_memwrite(t->qts, 0x310000, bytes, sizeof(bytes));
    qtest_memread(t->qts, 0x410000, bytes, sizeof(bytes));
    dma(t, 9, XEN_TEST_LFB + 0x3000, 4);
    g_bytes_unref(xen_test_screendump(t));
    place(t, AWAY);
    dma(t, 5, AWAY + 0x5000, 2);
    qtest_memwrite(t->qts, AWAY + 0x100, bytes, sizeof(bytes));
    g_bytes_unref(xen_test_screendump(t));
    place(t, XEN_TEST_LFB);
    xensim_balloon_out(t->dom, BALLOON, 4);
    qtest_readq(t->qts, (BALLOON + 1) * XEN_TEST_PAGE);
    xensim_balloon_in(t->dom, BALLOON, 4);
    dma(t, 6, BALLOON * XEN_TEST_PAGE, 4);
}

/* All that a guest may ask for, and the right bytes. */
static const char *full_service(XenTest *t, unsigned round)
{
    uint64_t at = XEN_TEST_LFB + 0x40000;
    uint32_t word = 0x01010101 * (round & 0x7f), seen = 0;

    xen_test_dma_read(t, 77, BUFFER, 8);
    XEN_TRY(xen_test_disk_at(t, BUFFER, 77, 8, SEED,
                             "read other bytes after a failure"));
    xen_test_dma_read(t, 40, BALLOON * XEN_TEST_PAGE, 4);
    XEN_TRY(xen_test_disk_at(t, BALLOON * XEN_TEST_PAGE, 40, 4, SEED,
                             "read other bytes after a failure"));

    /* The video memory: moved, written to by QEMU and by the disk. */
    place(t, AWAY);
    place(t, XEN_TEST_LFB);
    xen_test_dma_read(t, 100 + round % 50, at, 2);
    XEN_TRY(xen_test_disk_at(t, at, 100 + round % 50, 2, SEED,
                             "lost its video memory by a failure"));
    qtest_writel(t->qts, at + 0x8000, word);
    xensim_read(t->dom, at + 0x8000, &seen, sizeof(seen));
    XEN_REQUIRE(seen == word && qtest_readl(t->qts, at + 0x8000) == word,
                "lost its video memory by a failure");
    g_bytes_unref(xen_test_screendump(t));
    return NULL;
}

static const char *no_leak(XenTest *t, uint64_t mapped)
{
    unsigned i;

    for (i = 0; i < 100; i++) {
        xensim_invalidate(t->dom);
        if (xen_test_ram_mapped(t) <= mapped) {
            return NULL;
        }
        g_usleep(10000);
    }
    return xen_test_text(__FILE__, __LINE__, "keeps %" PRIu64 " pages of RAM "
                         "mapped, before it was %" PRIu64,
                         xen_test_ram_mapped(t), mapped);
}

static const Part memory = {
    boot, guest_works, full_service, 5, {
        "xenforeignmemory_map2",
        "xendevicemodel_relocate_memory",
        "xc_domain_add_to_physmap",
        "xendevicemodel_pin_memory_cacheattr",
        "xendevicemodel_track_dirty_vram",
        "xendevicemodel_modified_memory",
        "xendevicemodel_map_io_range_to_ioreq_server",
        "xendevicemodel_unmap_io_range_from_ioreq_server",
    },
};

/* ---- interrupts and sleep ---- */

static void edu(XenTest *t, unsigned slot, unsigned reg)
{
    xen_test_ok(t, guest_mmio_out(t->pc, EDU_BAR(slot) + reg, 4, 1));
}
#define edu(...) XEN_AT(edu(__VA_ARGS__))

/* What the firmware sets up, again after each sleep: waking is a reset. */
static void set_up(XenTest *t)
{
    static const unsigned slot[] = { EDU_LINE, EDU_MSI };
    unsigned i;

    xen_test_ide(t);
    xensim_outb(t->dom, IDE_CONTROL, 0);    /* interrupts on */
    xensim_inb(t->dom, IDE_STATUS);
    for (i = 0; i < G_N_ELEMENTS(slot); i++) {
        xen_test_ok(t, guest_pci_place_bar(t->pc, slot[i] << 3, 0,
                                           EDU_BAR(slot[i])));
        xen_test_ok(t, guest_pci_command(t->pc, slot[i] << 3,
                                         GUEST_PCI_MEMORY | GUEST_PCI_MASTER,
                                         0));
    }
    xen_test_ok(t, guest_msi_enable(t->pc, EDU_MSI << 3, 0xfee03000,
                                    MESSAGE));
    xensim_pci_write(t->dom, 0, PIIX3_PM, PM_BASE_REG, 4, PM_PORT | 1);
    xensim_pci_write(t->dom, 0, PIIX3_PM, PM_ENABLE_REG, 1, 1);
}
#define set_up(...) XEN_AT(set_up(__VA_ARGS__))

static void irq_boot(XenTest *t)
{
    g_autofree char *args = g_strconcat(xen_test_disk(t, DISK_PAGES, SEED),
                                        "-device edu,addr=8 "
                                        "-device edu,addr=9 ", NULL);

    xen_test_start(t, args);
    set_up(t);
}

static void go_to_sleep(XenTest *t)
{
    xensim_outw(t->dom, PM_PORT + 4, PM_S3);
    qtest_qmp_eventwait(t->qts, "SUSPEND");
}
#define go_to_sleep(...) XEN_AT(go_to_sleep(__VA_ARGS__))

static void wake_up(XenTest *t)
{
    qtest_qmp_assert_success(t->qts, "{'execute': 'system_wakeup'}");
    qtest_qmp_eventwait(t->qts, "WAKEUP");
}
#define wake_up(...) XEN_AT(wake_up(__VA_ARGS__))

static void irq_works(XenTest *t)
{
    unsigned i;

    xensim_invalidate(t->dom);
    dma(t, 3, BUFFER, 8);
    xensim_inb(t->dom, IDE_STATUS);
    edu(t, EDU_LINE, EDU_RAISE);
    edu(t, EDU_LINE, EDU_LOWER);
    edu(t, EDU_MSI, EDU_RAISE);
    edu(t, EDU_MSI, EDU_LOWER);
    for (i = 0; i < 4; i++) {
        xensim_pci_write(t->dom, 0, PIIX3, ROUTE_REG + i, 1, 3 + i);
    }
    go_to_sleep(t);
    wake_up(t);
    set_up(t);
}

/* Xen was not told of some edges, but what the lines are it is told again. */
static const char *irq_service(XenTest *t, unsigned round)
{
    static const uint8_t irq[] = { 5, 9, 10, 11 };
    unsigned before, i;
    XensimLogEntry last;
    uint64_t messages;

    edu(t, EDU_LINE, EDU_RAISE);
    XEN_REQUIRE(xensim_pci_intx(t->dom, 0, EDU_LINE, 0) == 1,
                "cannot raise a line after a failure");
    edu(t, EDU_LINE, EDU_LOWER);
    XEN_REQUIRE(xensim_pci_intx(t->dom, 0, EDU_LINE, 0) == 0,
                "cannot lower a line after a failure");

    messages = xensim_log_count(t->dom, XENSIM_LOG_MSI);
    edu(t, EDU_MSI, EDU_RAISE);
    XEN_REQUIRE(xensim_log_count(t->dom, XENSIM_LOG_MSI) == messages + 1 &&
                xensim_log_get(t->dom, XENSIM_LOG_MSI, messages, &last) &&
                last.b == MESSAGE, "sends no message after a failure");
    edu(t, EDU_MSI, EDU_LOWER);

    xensim_inb(t->dom, IDE_STATUS);
    before = xensim_isa_irq_edges(t->dom, IDE_IRQ);
    xen_test_dma_read(t, 77, BUFFER, 8);
    XEN_TRY(xen_test_disk_at(t, BUFFER, 77, 8, SEED,
                             "read other bytes after a failure"));
    XEN_REQUIRE(xensim_isa_irq_edges(t->dom, IDE_IRQ) == before + 1,
                "raised the disk's line %u times after a failure",
                xensim_isa_irq_edges(t->dom, IDE_IRQ) - before);
    xensim_inb(t->dom, IDE_STATUS);
    XEN_REQUIRE(xensim_isa_irq(t->dom, IDE_IRQ) == 0,
                "left the disk's line raised after a failure");

    for (i = 0; i < 4; i++) {
        uint8_t to = irq[(i + round) % G_N_ELEMENTS(irq)];

        xensim_pci_write(t->dom, 0, PIIX3, ROUTE_REG + i, 1, to);
        XEN_REQUIRE(xensim_pci_link_route(t->dom, i) == to,
                    "routed a link to %u, not %u, after a failure",
                    xensim_pci_link_route(t->dom, i), to);
    }

    go_to_sleep(t);
    XEN_REQUIRE(xensim_hvm_param_get(t->dom, ACPI_S_STATE) == 3,
                "did not tell Xen that the guest sleeps after a failure");
    wake_up(t);
    XEN_REQUIRE(xensim_hvm_param_get(t->dom, ACPI_S_STATE) == 0,
                "did not tell Xen that the guest is awake after a failure");
    set_up(t);
    return NULL;
}

static const Part interrupts = {
    irq_boot, irq_works, irq_service, 5, {
        "xendevicemodel_set_isa_irq_level",
        "xendevicemodel_set_pci_intx_level",
        "xendevicemodel_inject_msi",
        "xendevicemodel_set_pci_link_route",
        "xc_set_hvm_param",
    },
};

/* ---- devices that come and go, and a migration that is given up ---- */

#define PLUG_BAR    0xf8000000u

/* False if the device would not come. */
static bool plug(XenTest *t)
{
    QDict *answer = qtest_qmp(t->qts, "{'execute': 'device_add', 'arguments':"
                              " {'driver': 'secondary-vga', 'id': 'dev',"
                              " 'vgamem_mb': 1, 'addr': '7'}}");
    bool came = qdict_haskey(answer, "return");

    qobject_unref(answer);
    return came;
}
#define plug(...) XEN_AT(plug(__VA_ARGS__))

static void unplug(XenTest *t)
{
    qtest_qmp_assert_success(t->qts, "{'execute': 'device_del',"
                             " 'arguments': {'id': 'dev'}}");
    xensim_outl(t->dom, EJECT, 1u << PLUG);
    qtest_qmp_eventwait(t->qts, "DEVICE_DELETED");
}
#define unplug(...) XEN_AT(unplug(__VA_ARGS__))

static void log_writes(XenTest *t, bool enable)
{
    qtest_qmp_assert_success(t->qts, "{'execute': 'xen-set-global-dirty-log',"
                             " 'arguments': {'enable': %i}}", enable);
    xensim_log_clear(t->dom, XENSIM_LOG_MODIFIED);
}
#define log_writes(...) XEN_AT(log_writes(__VA_ARGS__))

static void plug_boot(XenTest *t)
{
    xen_test_start_disk(t, DISK_PAGES, SEED, "");
}

static void plug_works(XenTest *t)
{
    xensim_invalidate(t->dom);
    log_writes(t, true);
    dma(t, 3, BUFFER, 8);
    qtest_writel(t->qts, 0x310000, 1);
    log_writes(t, false);
    if (plug(t)) {
        unplug(t);
    }
}

static bool modified(XenTest *t, uint64_t gfn)
{
    XensimLogEntry e;
    uint64_t i;

    for (i = 0; xensim_log_get(t->dom, XENSIM_LOG_MODIFIED, i, &e); i++) {
        if (gfn - e.a < e.b) {
            return true;
        }
    }
    return false;
}

static const char *plug_service(XenTest *t, unsigned round)
{
    uint32_t word = 0x01010101 * (round & 0x7f), seen = 0;
    unsigned i;

    log_writes(t, true);
    xen_test_dma_read(t, 77, BUFFER, 8);
    XEN_TRY(xen_test_disk_at(t, BUFFER, 77, 8, SEED,
                             "read other bytes after a failure"));
    for (i = 0; i < 8; i++) {
        XEN_REQUIRE(modified(t, BUFFER / XEN_TEST_PAGE + i),
                    "does not report a write after a failure");
    }
    log_writes(t, false);

    XEN_REQUIRE(plug(t), "plugs no device after a failure");
    xen_test_ok(t, guest_pci_place_bar(t->pc, PLUG << 3, 0, PLUG_BAR));
    xen_test_ok(t, guest_pci_command(t->pc, PLUG << 3, GUEST_PCI_MEMORY, 0));
    qtest_writel(t->qts, PLUG_BAR + 0x2004, word);
    xensim_read(t->dom, PLUG_BAR + 0x2004, &seen, sizeof(seen));
    XEN_REQUIRE(seen == word, "has lost a device's memory by a failure");
    xen_test_dma_read(t, 40, PLUG_BAR + 0x8000, 4);
    XEN_TRY(xen_test_disk_at(t, PLUG_BAR + 0x8000, 40, 4, SEED,
                             "read other bytes after a failure"));
    unplug(t);
    return NULL;
}

static const Part plugging = {
    plug_boot, plug_works, plug_service, 4, {
        "xenforeignmemory_map2",
        "xc_domain_populate_physmap_exact",
        "xc_domain_decrease_reservation_exact",
        "xendevicemodel_map_pcidev_to_ioreq_server",
        "xendevicemodel_unmap_pcidev_from_ioreq_server",
        "xendevicemodel_modified_memory",
    },
};

/* ---- the sweep ---- */

static const char *sweep(XenTest *t, const Part *part, const char *call,
                         bool for_ever)
{
    XensimFault fault = { .call = call, .count = !for_ever };
    uint64_t mapped;

    xensim_invalidate(t->dom);
    mapped = xen_test_ram_mapped(t);
    for (fault.first = 1; fault.first < MOST;
         fault.first += for_ever ? 3 : 1) {
        bool fired;
        int id;

        fault.error = fault.first % 2 ? ENOMEM : EINVAL;
        id = xensim_fault_arm(t->sim, &fault);
        g_assert_cmpint(id, >=, 0);
        part->works(t);
        fired = xensim_fault_hits(t->sim, id) >= (int64_t)fault.first;
        xensim_fault_disarm(t->sim, id);
        xen_test_alive(t);
        XEN_TRY(part->service(t, fault.first));
        XEN_TRY(no_leak(t, mapped));
        if (!fired) {
            break;
        }
    }
    XEN_REQUIRE(fault.first < MOST, "makes no end of calls");
    g_test_message("%s: fails %s: %u runs", call,
                   for_ever ? "for ever" : "once", (unsigned)fault.first - 1);
    return NULL;
}

static const char *all_calls(XenTest *t, const Part *part, bool for_ever)
{
    unsigned i, swept = 0;

    part->boot(t);
    for (i = 0; i < G_N_ELEMENTS(part->calls) && part->calls[i]; i++) {
        const char *call = xen_test_call(part->calls[i]);
        uint64_t before = xensim_count(t->sim, call).calls;

        part->works(t);
        if (xensim_count(t->sim, call).calls > before) {
            XEN_TRY(sweep(t, part, call, for_ever));
            swept++;
        }
    }
    /* A sweep of what is never called would say nothing. */
    XEN_REQUIRE(swept >= part->least, "makes only %u kinds of call", swept);
    return NULL;
}
#define all_calls(...) XEN_AT(all_calls(__VA_ARGS__))

static const char *memory_once(XenTest *t)
{
    return all_calls(t, &memory, false);
}

static const char *memory_for_ever(XenTest *t)
{
    return all_calls(t, &memory, true);
}

static const char *interrupts_once(XenTest *t)
{
    return all_calls(t, &interrupts, false);
}

static const char *interrupts_for_ever(XenTest *t)
{
    return all_calls(t, &interrupts, true);
}

static const char *plugging_once(XenTest *t)
{
    return all_calls(t, &plugging, false);
}

static const char *plugging_for_ever(XenTest *t)
{
    return all_calls(t, &plugging, true);
}

/*
 * Asking which event came fails, some times in a row: the event is not lost,
 * and the guest's request is served when the device model asks again.  If it
 * failed for ever, the guest's very access would last as long.
 */
static const char *events(XenTest *t)
{
    XensimFault fault = {
        .call = "xenevtchn_pending", .count = 3, .error = EIO,
    };
    bool fired = true;

    irq_boot(t);
    for (fault.first = 1; fired; fault.first += 13) {
        int id = xensim_fault_arm(t->sim, &fault);

        g_assert_cmpint(id, >=, 0);
        irq_works(t);
        fired = xensim_fault_hits(t->sim, id) >= (int64_t)fault.first;
        xensim_fault_disarm(t->sim, id);
        xen_test_alive(t);
        XEN_TRY(irq_service(t, fault.first));
    }
    XEN_REQUIRE(fault.first > 100, "asked for few events");
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("fault-sweep/once", memory_once, NULL);
    xen_test_add("fault-sweep/for-ever", memory_for_ever, NULL);
    xen_test_add("fault-sweep/interrupts-once", interrupts_once, NULL);
    xen_test_add("fault-sweep/interrupts-for-ever", interrupts_for_ever, NULL);
    xen_test_add("fault-sweep/plugging-once", plugging_once, NULL);
    xen_test_add("fault-sweep/plugging-for-ever", plugging_for_ever, NULL);
    xen_test_add("fault-sweep/events", events, NULL);
    return g_test_run();
}
