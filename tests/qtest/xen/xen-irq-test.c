/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the HVM machine tells Xen besides memory: interrupt lines, routes and
 * messages, sleep states.  And the VMware port, which Xen may not have.
 */
#include "qemu/osdep.h"
#include "qobject/qdict.h"
#include "drivers/virtio.h"
#include "xen-test-common.h"

enum {
    SEED = 23,
    DISK_PAGES = 64,
    BAR = 0xf5000000,

    /* The bridge that routes the links, and its power management. */
    PIIX3 = 1 << 3,
    ROUTE_REG = 0x60,       /* of link A; B, C and D behind it */
    ROUTE_OFF = 0x80,
    PIIX3_PM = 1 << 3 | 3,
    PM_BASE_REG = 0x40,
    PM_ENABLE_REG = 0x80,
    PM_PORT = 0xb000,
    PM_CONTROL = PM_PORT + 4,
    PM_SLEEP = 1 << 13,
    PM_S3 = 1 << 10,

    IDE_CONTROL = 0x3f6,
    IDE_STATUS = 0x1f7,
    IDE_IRQ = 14,

    /* QEMU's device for lessons raises its interrupt when it is told to. */
    EDU_RAISE = 0x60,
    EDU_LOWER = 0x64,

    EHCI_STATUS = 0x24,     /* of an EHCI whose registers begin at 0x20 */
    EHCI_INTERRUPTS = 0x28,
    EHCI_PORT_CHANGE = 4,

    VIRTIO_NET = 7 << 3,
    VIRTIO_NET_STATUS = 1 << 16,
    VIRTIO_IO = 0xc200,
    VIRTIO_CONFIG_VECTOR = VIRTIO_IO + 20,  /* with MSI-X */

    VMPORT = 0x5658,
    ACPI_S_STATE = 14,      /* the index of Xen's parameter */
};

/* Where messages for CPUs go; Xen is given what comes behind the address. */
#define MSI_ADDRESS 0xfee00000u

static void out(XenTest *t, uint64_t gpa, uint32_t val)
{
    xen_test_ok(t, guest_mmio_out(t->pc, gpa, 4, val));
}
#define out(...) XEN_AT(out(__VA_ARGS__))

static void place(XenTest *t, unsigned devfn, uint64_t bar)
{
    xen_test_ok(t, guest_pci_place_bar(t->pc, devfn, 0, bar));
    xen_test_ok(t, guest_pci_command(t->pc, devfn, GUEST_PCI_MEMORY |
                                     GUEST_PCI_MASTER, 0));
}
#define place(...) XEN_AT(place(__VA_ARGS__))

/* ---- lines ---- */

/* The disk raises its line at the end of a transfer, and lowers it. */
static const char *isa_line(XenTest *t)
{
    unsigned before;

    xen_test_start(t, xen_test_disk(t, DISK_PAGES, SEED));
    xen_test_ide(t);
    xensim_outb(t->dom, IDE_CONTROL, 0);    /* interrupts on */
    xensim_inb(t->dom, IDE_STATUS);
    before = xensim_isa_irq_edges(t->dom, IDE_IRQ);
    for (unsigned i = 1; i <= 3; i++) {
        xen_test_dma_read(t, 0, 0x200000, 4);
        XEN_REQUIRE(xensim_isa_irq_edges(t->dom, IDE_IRQ) == before + i,
                    "raised its line %u times for %u transfers",
                    xensim_isa_irq_edges(t->dom, IDE_IRQ) - before, i);
        xensim_inb(t->dom, IDE_STATUS);     /* acknowledges it */
        XEN_REQUIRE(xensim_isa_irq(t->dom, IDE_IRQ) == 0,
                    "left the line raised");
    }
    for (unsigned i = 0; i < 16; i++) {
        XEN_REQUIRE(i == IDE_IRQ || !xensim_isa_irq(t->dom, i),
                    "raised line %u", i);
    }
    return NULL;
}

/* NULL if of all PCI lines just that of @dev is up, or, for 0, none. */
static const char *only_up(XenTest *t, unsigned dev, unsigned pin)
{
    for (unsigned i = 0; i < 32 * 4; i++) {
        unsigned level = xensim_pci_intx(t->dom, 0, i / 4, i % 4);

        XEN_REQUIRE(level == (dev && i == dev * 4 + pin), "has line %c of "
                    "device %u %s", 'A' + i % 4, i / 4, level ? "up" : "down");
    }
    return NULL;
}
#define only_up(...) XEN_AT(only_up(__VA_ARGS__))

/* Each device has lines of its own, in the first slot and in the last. */
static const char *intx(XenTest *t)
{
    static const unsigned slot[] = { 3, 8, 31 };

    xen_test_start(t, "-device edu,addr=3 -device edu,addr=8 "
                   "-device edu,addr=1f ");
    for (unsigned i = 0; i < G_N_ELEMENTS(slot); i++) {
        place(t, slot[i] << 3, BAR + i * 0x100000);
    }
    XEN_TRY(only_up(t, 0, 0));
    for (unsigned i = 0; i < G_N_ELEMENTS(slot); i++) {
        uint64_t bar = BAR + i * 0x100000;

        out(t, bar + EDU_RAISE, 1);
        XEN_TRY(only_up(t, slot[i], 0));
        out(t, bar + EDU_LOWER, 1);
        XEN_TRY(only_up(t, 0, 0));
        XEN_REQUIRE(xensim_pci_intx_edges(t->dom, 0, slot[i], 0) == 1,
                    "raised a line more than once");
    }
    return NULL;
}

/* A controller on the fourth pin; its line goes up when a port changes. */
static const char *intx_pin_d(XenTest *t)
{
    uint64_t status;

    xen_test_start(t, "-device ich9-usb-ehci1,id=usb,addr=9 ");
    place(t, 9 << 3, BAR);
    out(t, BAR + EHCI_INTERRUPTS, EHCI_PORT_CHANGE);
    XEN_TRY(only_up(t, 0, 0));
    qtest_qmp_assert_success(t->qts, "{'execute': 'device_add',"
                             " 'arguments': {'driver': 'usb-tablet',"
                             " 'bus': 'usb.0'}}");
    XEN_TRY(only_up(t, 9, 3));
    xen_test_ok(t, guest_mmio_in(t->pc, BAR + EHCI_STATUS, 4, &status));
    out(t, BAR + EHCI_STATUS, status & EHCI_PORT_CHANGE);
    return only_up(t, 0, 0);
}

/* ---- routes ---- */

/* The bridge's registers say which interrupt a PCI link goes to. */
static const char *link_route(XenTest *t)
{
    static const uint8_t irq[] = { 5, 10, 11, 9 };

    xen_test_start(t, "");
    for (unsigned i = 0; i < G_N_ELEMENTS(irq); i++) {
        xensim_pci_write(t->dom, 0, PIIX3, ROUTE_REG + i, 1, irq[i]);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(irq); i++) {
        XEN_REQUIRE(xensim_pci_link_route(t->dom, i) == irq[i],
                    "routed link %c to %u", 'A' + i,
                    xensim_pci_link_route(t->dom, i));
    }
    /* All at once, two of them to no interrupt. */
    xensim_pci_write(t->dom, 0, PIIX3, ROUTE_REG, 4,
                     7 | ROUTE_OFF << 8 | 15 << 16 | (ROUTE_OFF | 9u) << 24);
    for (unsigned i = 0; i < 4; i++) {
        static const uint8_t want[] = { 7, 0, 15, 0 };

        XEN_REQUIRE(xensim_pci_link_route(t->dom, i) == want[i],
                    "routed link %c to %u", 'A' + i,
                    xensim_pci_link_route(t->dom, i));
    }
    /* Registers beside them are none of Xen's business. */
    xensim_pci_write(t->dom, 0, PIIX3, ROUTE_REG + 4, 4, 0x03030303);
    XEN_REQUIRE(xensim_pci_link_route(t->dom, 0) == 7 &&
                xensim_pci_link_route(t->dom, 1) == 0,
                "routed a link for a write elsewhere");
    return NULL;
}

/* ---- messages ---- */

/* NULL if, of all messages so far, the last is this, and there are @n. */
static const char *messages(XenTest *t, unsigned n, uint64_t addr,
                            uint32_t data)
{
    XensimLogEntry last;

    XEN_REQUIRE(xensim_log_count(t->dom, XENSIM_LOG_MSI) == n,
                "sent %" PRIu64 " messages, not %u",
                xensim_log_count(t->dom, XENSIM_LOG_MSI), n);
    if (!n) {
        return NULL;
    }
    g_assert_true(xensim_log_get(t->dom, XENSIM_LOG_MSI, n - 1, &last));
    XEN_REQUIRE((last.a & 0xfffff) == (addr & 0xfffff) && last.b == data,
                "sent 0x%" PRIx64 " to 0x%" PRIx64, last.b, last.a);
    return NULL;
}
#define messages(...) XEN_AT(messages(__VA_ARGS__))

static const char *msi(XenTest *t)
{
    xen_test_start(t, "-device edu,addr=5 ");
    place(t, 5 << 3, BAR);
    xen_test_ok(t, guest_msi_enable(t->pc, 5 << 3, MSI_ADDRESS | 3 << 12,
                                    0x4051));
    out(t, BAR + EDU_RAISE, 1);
    XEN_TRY(messages(t, 1, 3 << 12, 0x4051));
    XEN_TRY(only_up(t, 0, 0));
    out(t, BAR + EDU_LOWER, 1);

    /* A vector of 0 is a pirq's, whose number is where the CPU would be. */
    xen_test_ok(t, guest_msi_enable(t->pc, 5 << 3, MSI_ADDRESS | 0x17 << 12,
                                    0x4300));
    out(t, BAR + EDU_RAISE, 1);
    return messages(t, 2, 0x17 << 12, 0x4300);
}

/* A change of its configuration, of which the device sends a message. */
static void change(XenTest *t, bool up)
{
    qtest_qmp_assert_success(t->qts, "{'execute': 'set_link', 'arguments':"
                             " {'name': 'net', 'up': %i}}", up);
}
#define change(...) XEN_AT(change(__VA_ARGS__))

/*
 * A message that is masked is kept back.  Not that of a pirq: Xen's guests
 * mask it by an event channel.
 */
static const char *msix(XenTest *t)
{
    GuestVirtio net;

    xen_test_start(t, "-device virtio-net-pci,id=net,addr=7,romfile=,"
                   "disable-legacy=off,disable-modern=on,vectors=4 ");
    xen_test_ok(t, guest_virtio_init(t->pc, &net, GUEST_VIRTIO_NET, 0,
                                     VIRTIO_IO, VIRTIO_NET_STATUS));
    xen_test_ok(t, guest_msix_enable(t->pc, VIRTIO_NET, 1, BAR));
    xen_test_ok(t, guest_msix_vector(t->pc, BAR, 2, MSI_ADDRESS | 1 << 12,
                                     0x41, false));
    xensim_outw(t->dom, VIRTIO_CONFIG_VECTOR, 2);
    xen_test_ok(t, guest_virtio_start(&net));
    change(t, false);
    XEN_TRY(messages(t, 1, 1 << 12, 0x41));

    xen_test_ok(t, guest_msix_vector(t->pc, BAR, 2, MSI_ADDRESS | 1 << 12,
                                     0x42, true));
    change(t, true);
    XEN_TRY(messages(t, 1, 1 << 12, 0x41));
    xen_test_ok(t, guest_msix_vector(t->pc, BAR, 2, MSI_ADDRESS | 1 << 12,
                                     0x42, false));
    XEN_TRY(messages(t, 2, 1 << 12, 0x42));

    xen_test_ok(t, guest_msix_vector(t->pc, BAR, 2, MSI_ADDRESS | 0x21 << 12,
                                     0x4300, true));
    change(t, false);
    XEN_TRY(messages(t, 3, 0x21 << 12, 0x4300));
    xen_test_ok(t, guest_virtio_reset(&net));
    return only_up(t, 0, 0);
}

/* ---- sleep ---- */

static const char *sleep_states(XenTest *t)
{
    xen_test_start(t, XEN_TEST_VGA);
    xensim_pci_write(t->dom, 0, PIIX3_PM, PM_BASE_REG, 4, PM_PORT | 1);
    xensim_pci_write(t->dom, 0, PIIX3_PM, PM_ENABLE_REG, 1, 1);
    for (unsigned i = 0; i < 2; i++) {
        xensim_outw(t->dom, PM_CONTROL, PM_S3 | PM_SLEEP);
        qtest_qmp_eventwait(t->qts, "SUSPEND");
        XEN_REQUIRE(xensim_hvm_param_get(t->dom, ACPI_S_STATE) == 3,
                    "did not tell Xen that the guest sleeps");
        qtest_qmp_assert_success(t->qts, "{'execute': 'system_wakeup'}");
        qtest_qmp_eventwait(t->qts, "WAKEUP");
        XEN_REQUIRE(xensim_hvm_param_get(t->dom, ACPI_S_STATE) == 0,
                    "did not tell Xen that the guest is awake");
        /* Waking resets the devices: the firmware sets them up again. */
        xensim_pci_write(t->dom, 0, PIIX3_PM, PM_BASE_REG, 4, PM_PORT | 1);
        xensim_pci_write(t->dom, 0, PIIX3_PM, PM_ENABLE_REG, 1, 1);
    }
    /* Memory was asleep, not lost, and the display works. */
    xen_test_vga(t);
    xensim_mmio_write(t->dom, XEN_TEST_LFB, 4, 0x12345678);
    XEN_REQUIRE(xensim_mmio_read(t->dom, XEN_TEST_LFB, 4) == 0x12345678,
                "has lost the video memory");
    return NULL;
}

/* Xen refuses: the guest sleeps and wakes all the same, and it is told. */
static const char *sleep_refused(XenTest *t)
{
    g_auto(GStrv) told = NULL;

    xen_test_start(t, "");
    g_assert_cmpint(xensim_fault_arm_text(t->sim, "xc_set_hvm_param:"
                                          "errno=EPERM"), >=, 0);
    xensim_pci_write(t->dom, 0, PIIX3_PM, PM_BASE_REG, 4, PM_PORT | 1);
    xensim_pci_write(t->dom, 0, PIIX3_PM, PM_ENABLE_REG, 1, 1);
    xensim_outw(t->dom, PM_CONTROL, PM_S3 | PM_SLEEP);
    qtest_qmp_eventwait(t->qts, "SUSPEND");
    qtest_qmp_assert_success(t->qts, "{'execute': 'system_wakeup'}");
    qtest_qmp_eventwait(t->qts, "WAKEUP");
    told = xen_test_log_lines(t, "cannot tell Xen");
    XEN_REQUIRE(told[0] && strstr(told[0], "S3"), "did not say so");
    return NULL;
}

/* ---- the VMware port ---- */

/*
 * No Xen that there are headers of has it.  A machine that is told to have
 * one all the same gives the guest what a port without a device gives.
 */
static const char *vmport(XenTest *t)
{
    g_auto(GStrv) told = NULL;
    XensimIoreq req = {
        .type = XENSIM_IOREQ_VMPORT, .addr = VMPORT, .size = 4, .read = true,
        .data = 0x564d5868,
    };

    xen_test_start(t, "-machine vmport=on ");
    XEN_REQUIRE(xensim_claimed(t->dom, XENSIM_IOREQ_PIO, VMPORT, 1),
                "has no VMware port");
    /* It is one port wide; Xen sends only what does not go beyond. */
    XEN_REQUIRE(xensim_inb(t->dom, VMPORT) == 0xff,
                "answers without a CPU's registers");
    xensim_outb(t->dom, VMPORT, 0x68);
    for (unsigned i = 0; i < 3; i++) {
        req.data = 0x564d5868;
        req.read = i < 2;
        if (xensim_ioreq(t->dom, &req) != XENSIM_OK) {
            xen_test_no_answer(t, "a request for the VMware port");
        }
        XEN_REQUIRE(!req.read || req.data == 0xffffffff,
                    "answers 0x%" PRIx64, req.data);
    }
    told = xen_test_log_lines(t, "unknown type");
    XEN_REQUIRE(told[0], "did not say that the type is unknown");
    XEN_REQUIRE(!told[1], "says it each time");
    return NULL;
}

/* As a machine is made without being told: there is no such port. */
static const char *vmport_default(XenTest *t)
{
    xen_test_start(t, "");
    XEN_REQUIRE(!xensim_claimed(t->dom, XENSIM_IOREQ_PIO, VMPORT, 4),
                "has a VMware port");
    XEN_REQUIRE(xensim_inl(t->dom, VMPORT) == 0xffffffff,
                "answers at the VMware port");
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("irq/isa-line", isa_line, "ok");
    xen_test_add("irq/intx", intx, "ok");
    xen_test_add("irq/intx-pin-d", intx_pin_d, "ok");
    xen_test_add("irq/link-route", link_route, "routed link A to 0");
    xen_test_add("irq/msi", msi, "ok");
    xen_test_add("irq/msix", msix, "ok");
    xen_test_add("irq/sleep", sleep_states, "ok");
    xen_test_add("irq/sleep-refused", sleep_refused, "did not say so");
    xen_test_add("irq/vmport", vmport, "ended by SIGSEGV");
    xen_test_add("irq/vmport-default", vmport_default, "ok");
    return g_test_run();
}
