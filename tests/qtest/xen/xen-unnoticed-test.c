/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices that do not look whether they could access the guest's memory.  If
 * the memory is unavailable, they go on with zeros and never with QEMU's own
 * memory, no other memory of the guest changes, and the user is told: by a
 * counter, by an event and in the log.  The guest can see it in the status
 * register of the PCI device.  USB controllers, which do look, tell it, too.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qobject/qdict.h"
#include "drivers/e1000.h"
#include "xen-test-common.h"

/* Where the devices have lists, and the page that is unavailable. */
enum { LISTS = 0x700000, BUFFER = 0x2345000, SEED = 61 };

static void fail(XenTest *t)
{
    XensimFault fault = {
        .call = xen_test_call("xenforeignmemory_map2"), .first = 1,
        .error = ENOMEM, .gfn = BUFFER / XEN_TEST_PAGE, .pages = 1,
    };

    xensim_invalidate(t->dom);
    g_assert_cmpint(xensim_fault_arm(t->sim, &fault), >=, 0);
}

/* After an access has failed, @how ("read from", "written to"). */
static const char *told(XenTest *t, const char *how)
{
    g_autofree char *text = g_strdup_printf("bytes could not be %s guest "
                                            "memory at 0x", how);
    g_auto(GStrv) lines = xen_test_log_lines(t, text);
    QDict *event;
    int64_t n;

    xensim_fault_disarm_all(t->sim);
    XEN_REQUIRE(xen_test_stat(t, "failed-accesses") > 0,
                "does not count an access that failed");
    XEN_REQUIRE(g_strv_length(lines) == 1, "%u lines in the log",
                g_strv_length(lines));
    event = qtest_qmp_eventwait_ref(t->qts, "XEN_MAPCACHE_ACCESS_FAILED");
    n = qdict_get_int(qdict_get_qdict(event, "data"), "accesses");
    qobject_unref(event);
    XEN_REQUIRE(n > 0, "an event for %" PRId64 " accesses", n);
    return NULL;
}

/*
 * The PCI device has received a target abort, as its status register tells the
 * guest, until the guest clears that.  @is: whether it shall have.
 */
static const char *refused(XenTest *t, unsigned devfn, bool is)
{
    enum { STATUS = 6, TARGET_ABORT = 0x1000 };
    uint32_t status;

    xen_test_ok(t, guest_pci_in(t->pc, devfn, STATUS, 2, &status));
    XEN_REQUIRE(!(status & TARGET_ABORT) == !is, "status register 0x%x",
                status);
    xen_test_ok(t, guest_pci_out(t->pc, devfn, STATUS, 2, TARGET_ABORT));
    xen_test_ok(t, guest_pci_in(t->pc, devfn, STATUS, 2, &status));
    XEN_REQUIRE(!(status & TARGET_ABORT), "status register 0x%x after it was "
                "cleared", status);
    return NULL;
}
#define refused(...) XEN_AT(refused(__VA_ARGS__))

static bool all_zeros(const char *bytes, size_t n)
{
    return !n || (!bytes[0] && !memcmp(bytes, bytes + 1, n - 1));
}

/* --- a network card ------------------------------------------------------ */

enum { PACKET = 1000, PCAP_HEADER = 24, PCAP_RECORD = 16 };

/* The @n packets that the card has sent, in the file of a filter. */
static const char *packets(XenTest *t, unsigned n, char **bytes)
{
    g_autofree char *path = g_strconcat(t->dir, "/pcap", NULL);
    gsize len;

    g_assert_true(g_file_get_contents(path, bytes, &len, NULL));
    XEN_REQUIRE(len == PCAP_HEADER + n * (PCAP_RECORD + PACKET),
                "%zu bytes of packets", len);
    return NULL;
}

static const char *e1000(XenTest *t)
{
    const GuestSg sg = { BUFFER, PACKET };
    g_autofree char *sent = NULL, *all = NULL;
    const char *packet;
    GuestE1000 nic;

    xen_test_start(t, xen_test_keep(t, g_strdup_printf(
        "-netdev hubport,id=n,hubid=0 -device e1000,netdev=n,romfile= "
        "-object filter-dump,id=f,netdev=n,file='%s/pcap'", t->dir)));
    xen_test_ok(t, guest_e1000_init(t->pc, &nic, 0xf1000000, LISTS));
    xen_test_ok(t, guest_e1000_init_tx(&nic, LISTS + GUEST_E1000_BYTES));
    xensim_stamp(t->dom, BUFFER / XEN_TEST_PAGE, 1, SEED);
    XEN_TRY(refused(t, nic.devfn, false));
    fail(t);
    xen_test_ok(t, guest_e1000_send(&nic, &sg, 1));
    XEN_TRY(told(t, "read from"));
    XEN_TRY(refused(t, nic.devfn, true));
    XEN_TRY(packets(t, 1, &sent));
    XEN_REQUIRE(all_zeros(sent + PCAP_HEADER + PCAP_RECORD, PACKET),
                "sends bytes that are not the guest's");
    xen_test_ok(t, guest_e1000_send(&nic, &sg, 1));
    XEN_TRY(refused(t, nic.devfn, false));
    XEN_TRY(packets(t, 2, &all));
    packet = all + PCAP_HEADER + 2 * PCAP_RECORD + PACKET;
    for (unsigned i = 0; i < PACKET; i++) {
        uint8_t is;

        xensim_read(t->dom, BUFFER + i, &is, 1);
        XEN_REQUIRE((uint8_t)packet[i] == is, "byte %u of the packet is other",
                    i);
    }
    return NULL;
}

/* --- USB controllers ----------------------------------------------------- */

enum { UHCI_IO = 0xd000, UHCI_COMMAND = 0, UHCI_STATUS = 2, UHCI_FRAMES = 8,
       UHCI_PORT = 16, RUN = 0xc1, HOST_ERROR = 8, HALTED = 0x20,
       FRAMES = LISTS, QUEUE = LISTS + 0x1000, TDS = LISTS + 0x2000,
       SETUP = LISTS + 0x3000, ACTIVE = 1 << 23, ANSWER = 8,
       BEHIND_MS = 20 };

static void write_dwords(XenTest *t, uint64_t gpa, const uint32_t *val,
                         unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint32_t le = cpu_to_le32(val[i]);

        xensim_write(t->dom, gpa + 4 * i, &le, sizeof(le));
    }
}

/*
 * Asks the device for the beginning of its descriptor.  The status of the part
 * that has the answer, when it is done or the controller has stopped.  The
 * device model stands still before the request is there, so that it has several
 * frames to do at once then.
 */
static uint32_t usb_ask(XenTest *t)
{
    static const uint8_t setup[] = { 0x80, 6, 0, 1, 0, 0, ANSWER, 0 };
    const uint32_t queue[] = { 1, TDS };
    const uint32_t td[] = {
        TDS + 0x20, ACTIVE, 0x2d | (sizeof(setup) - 1) << 21, SETUP,
        0, 0, 0, 0,
        1, ACTIVE, 0x69 | 1 << 19 | (ANSWER - 1) << 21, BUFFER,
    };
    uint32_t status = ACTIVE, halted = 0;

    xen_test_ok(t, guest_out(t->pc, UHCI_IO + UHCI_COMMAND, 2, RUN));
    kill(t->pid, SIGSTOP);
    xensim_write(t->dom, SETUP, setup, sizeof(setup));
    write_dwords(t, TDS, td, ARRAY_SIZE(td));
    write_dwords(t, QUEUE, queue, ARRAY_SIZE(queue));
    g_usleep(BEHIND_MS * 1000);
    kill(t->pid, SIGCONT);
    for (unsigned i = 0; i < 5000 && (status & ACTIVE) &&
                         !(halted & HALTED); i++) {
        g_usleep(1000);
        xen_test_ok(t, guest_in(t->pc, UHCI_IO + UHCI_STATUS, 2, &halted));
        xensim_read(t->dom, TDS + 0x24, &status, sizeof(status));
        status = le32_to_cpu(status);
    }
    return status;
}

static const char *uhci(XenTest *t)
{
    static const uint8_t answer[] = { 18, 1 };
    uint32_t status, part;
    uint8_t is[ANSWER];
    unsigned devfn;

    xen_test_start(t, "-device piix3-usb-uhci,id=usb -device usb-tablet");
    xen_test_ok(t, guest_pci_find(t->pc, 0x8086, 0x7020, 0, &devfn));
    xen_test_ok(t, guest_pci_place_bar(t->pc, devfn, 4, UHCI_IO));
    xen_test_ok(t, guest_pci_command(t->pc, devfn, GUEST_PCI_MASTER, 0));
    for (unsigned i = 0; i < 1024; i++) {
        const uint32_t frame = QUEUE | 2;

        write_dwords(t, FRAMES + 4 * i, &frame, 1);
    }
    write_dwords(t, QUEUE, (const uint32_t[]){ 1, 1 }, 2);
    xen_test_ok(t, guest_out(t->pc, UHCI_IO + UHCI_PORT, 2, 0x200));
    xen_test_ok(t, guest_out(t->pc, UHCI_IO + UHCI_PORT, 2, 4));
    xen_test_ok(t, guest_out(t->pc, UHCI_IO + UHCI_FRAMES, 4, FRAMES));
    xensim_stamp(t->dom, BUFFER / XEN_TEST_PAGE, 1, SEED);
    fail(t);
    part = usb_ask(t);
    xen_test_ok(t, guest_in(t->pc, UHCI_IO + UHCI_STATUS, 2, &status));
    XEN_REQUIRE((status & HOST_ERROR) && (part & ACTIVE), "the controller has "
                "status 0x%x, its request 0x%x", status, part);
    XEN_TRY(told(t, "written to"));
    XEN_TRY(refused(t, devfn, true));
    XEN_REQUIRE(xensim_stamp_check(t->dom, BUFFER / XEN_TEST_PAGE, 1, SEED) ==
                XENSIM_NO_GFN, "wrote to memory that is unavailable");
    xen_test_ok(t, guest_out(t->pc, UHCI_IO + UHCI_STATUS, 2, HOST_ERROR));
    part = usb_ask(t);
    XEN_REQUIRE((part & 0xff07ff) == ANSWER - 1, "the request has status 0x%x",
                part);
    xensim_read(t->dom, BUFFER, is, sizeof(is));
    XEN_REQUIRE(!memcmp(is, answer, sizeof(answer)), "the answer begins with "
                "0x%x, 0x%x", is[0], is[1]);
    xen_test_ok(t, guest_out(t->pc, UHCI_IO + UHCI_COMMAND, 2, 0));
    return NULL;
}

enum { EHCI_REGS = 0xf2000000, EHCI_COMMAND = 0x20, EHCI_STATUS = 0x24,
       EHCI_LIST = 0x34, EHCI_RUN = 0x11, EHCI_HOST_ERROR = 0x10 };

/* The list of frames cannot be read. */
static const char *ehci(XenTest *t)
{
    uint64_t status = 0, command;
    unsigned devfn;

    xen_test_start(t, "-device usb-ehci");
    xen_test_ok(t, guest_pci_find(t->pc, 0x8086, 0x24cd, 0, &devfn));
    xen_test_ok(t, guest_pci_place_bar(t->pc, devfn, 0, EHCI_REGS));
    xen_test_ok(t, guest_pci_command(t->pc, devfn, GUEST_PCI_MASTER, 0));
    xen_test_ok(t, guest_mmio_out(t->pc, EHCI_REGS + EHCI_LIST, 4, BUFFER));
    fail(t);
    xen_test_ok(t, guest_mmio_out(t->pc, EHCI_REGS + EHCI_COMMAND, 4,
                                  EHCI_RUN));
    for (unsigned i = 0; i < 5000 && !(status & EHCI_HOST_ERROR); i++) {
        g_usleep(1000);
        xen_test_ok(t, guest_mmio_in(t->pc, EHCI_REGS + EHCI_STATUS, 4,
                                     &status));
    }
    xen_test_ok(t, guest_mmio_in(t->pc, EHCI_REGS + EHCI_COMMAND, 4,
                                 &command));
    XEN_REQUIRE((status & EHCI_HOST_ERROR) && !(command & 1), "the controller "
                "has status 0x%" PRIx64 ", command 0x%" PRIx64, status,
                command);
    return told(t, "read from");
}

/* --- a sound card ------------------------------------------------------- */

enum { MIXER_IO = 0xd400, AC97_IO = 0xd800, VOLUME = 2, PCM_VOLUME = 0x18,
       OUT_LIST = 0x10, OUT_LAST = 0x15, OUT_CONTROL = 0x1b, GLOBAL = 0x2c,
       SAMPLE = 0x2222, WAV_HEADER = 44 };

/* Plays the buffer until @n accesses have failed, or for @ms. */
static void play(XenTest *t, uint64_t n, unsigned ms)
{
    xen_test_ok(t, guest_out(t->pc, AC97_IO + OUT_CONTROL, 1, 2));
    xen_test_ok(t, guest_out(t->pc, AC97_IO + OUT_LIST, 4, LISTS));
    xen_test_ok(t, guest_out(t->pc, AC97_IO + OUT_LAST, 1, 31));
    xen_test_ok(t, guest_out(t->pc, AC97_IO + OUT_CONTROL, 1, 1));
    while (ms-- && !(n && xen_test_stat(t, "failed-accesses") >= n)) {
        g_usleep(1000);
    }
    xen_test_ok(t, guest_out(t->pc, AC97_IO + OUT_CONTROL, 1, 0));
}

static const char *ac97(XenTest *t)
{
    g_autofree char *path = g_strconcat(t->dir, "/wav", NULL);
    g_autofree char *wav = NULL;
    uint16_t played = 0;
    unsigned devfn;
    gsize len;

    xen_test_start(t, xen_test_keep(t, g_strdup_printf(
        "-audiodev wav,id=a,path='%s',out.frequency=48000 "
        "-device AC97,audiodev=a", path)));
    xen_test_ok(t, guest_pci_find(t->pc, 0x8086, 0x2415, 0, &devfn));
    xen_test_ok(t, guest_pci_place_bar(t->pc, devfn, 0, MIXER_IO));
    xen_test_ok(t, guest_pci_place_bar(t->pc, devfn, 1, AC97_IO));
    xen_test_ok(t, guest_pci_command(t->pc, devfn, GUEST_PCI_MASTER, 0));
    xen_test_ok(t, guest_out(t->pc, AC97_IO + GLOBAL, 4, 2));
    xen_test_ok(t, guest_out(t->pc, MIXER_IO + VOLUME, 2, 0));
    xen_test_ok(t, guest_out(t->pc, MIXER_IO + PCM_VOLUME, 2, 0));
    for (unsigned i = 0; i < 32; i++) {
        const uint32_t piece[] = { BUFFER, XEN_TEST_PAGE / 2 };

        write_dwords(t, LISTS + 8 * i, piece, 2);
    }
    xensim_fill(t->dom, BUFFER, SAMPLE & 0xff, XEN_TEST_PAGE);
    play(t, 0, 200);
    XEN_TRY(refused(t, devfn, false));
    fail(t);
    play(t, 3, 5000);
    XEN_TRY(told(t, "read from"));
    XEN_TRY(refused(t, devfn, true));
    xen_test_stop(t);
    g_assert_true(g_file_get_contents(path, &wav, &len, NULL));
    for (gsize i = WAV_HEADER; i + 1 < len; i += 2) {
        uint16_t is = lduw_le_p(wav + i);

        /* The mixer may make another value of the sample, always the same. */
        played = played ? played : is;
        XEN_REQUIRE(is == 0 || is == played, "plays 0x%x and 0x%x", played,
                    is);
    }
    XEN_REQUIRE(played, "plays nothing");
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("unnoticed/e1000", e1000, NULL);
    xen_test_add("unnoticed/uhci", uhci, NULL);
    xen_test_add("unnoticed/ehci", ehci, NULL);
    xen_test_add("unnoticed/ac97", ac97, NULL);
    return g_test_run();
}
