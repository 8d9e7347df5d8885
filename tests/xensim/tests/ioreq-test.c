/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioreqs, from the guest's instruction to the device model and back.
 */
#include "xen-abi.h"

#include "dm.h"

#include <signal.h>
#include <xendevicemodel.h>
#include <xenforeignmemory.h>

typedef struct Fixture {
    XensimDomain *dom;
    DmShared *s;
    pid_t pid;
} Fixture;

static void setup(Fixture *f, gconstpointer unused)
{
    (void)unused;
    f->dom = new_domain(16, 0);
    f->pid = dm_start(f->dom, &f->s);
}

static void teardown(Fixture *f, gconstpointer unused)
{
    (void)unused;
    dm_stop(f->pid, f->s);
    g_assert_cmpuint(mem_info(f->dom).mappings, ==, 0);
    end_domain(f->dom);
}

static void test_ports(Fixture *f, gconstpointer unused)
{
    DmEvent e;

    (void)unused;
    xensim_outl(f->dom, DM_PORT, 0x44332211);
    e = dm_event(f->s, 0);
    g_assert_cmpuint(e.type, ==, XENSIM_IOREQ_PIO);
    g_assert_cmphex(e.addr, ==, DM_PORT);
    g_assert_cmphex(e.data, ==, 0x44332211);
    g_assert(e.size == 4 && e.count == 1 && !e.read && !e.ptr && !e.df);
    g_assert_cmphex(xensim_inb(f->dom, DM_PORT + 1), ==, 0x22);
    g_assert_cmphex(xensim_inw(f->dom, DM_PORT + 2), ==, 0x4433);
    g_assert_cmphex(xensim_inl(f->dom, DM_PORT), ==, 0x44332211);
    e = dm_event(f->s, 0);
    g_assert(e.read && e.size == 4);
    xensim_outw(f->dom, DM_PORT, 0x5566);
    xensim_outb(f->dom, DM_PORT + 3, 0x99);
    g_assert_cmphex(xensim_inl(f->dom, DM_PORT), ==, 0x99335566);
}

static void test_unclaimed(Fixture *f, gconstpointer unused)
{
    XensimIoreq req = {
        .type = XENSIM_IOREQ_PIO, .addr = 0x10f, .size = 2, .read = true,
    };

    (void)unused;
    g_assert_cmphex(xensim_inb(f->dom, 0x200), ==, 0xff);
    g_assert_cmphex(xensim_inl(f->dom, 0x200), ==, 0xffffffff);
    g_assert_cmphex(xensim_mmio_read(f->dom, 0xf0001000, 8), ==, UINT64_MAX);
    g_assert_cmphex(xensim_mmio_read(f->dom, 0xf0001000, 2), ==, 0xffff);
    xensim_outb(f->dom, 0x200, 1);
    /* The last byte of the range and one beyond: not claimed. */
    g_assert_cmpint(xensim_ioreq(f->dom, &req), ==, XENSIM_UNCLAIMED);
    g_assert_cmpuint(f->s->events, ==, 0);
    g_assert(xensim_claimed(f->dom, XENSIM_IOREQ_PIO, DM_PORT, 1));
    g_assert(!xensim_claimed(f->dom, XENSIM_IOREQ_PIO, DM_PORT + 16, 1));
    g_assert(xensim_claimed(f->dom, XENSIM_IOREQ_COPY, DM_MMIO + 4088, 8));
    g_assert(!xensim_claimed(f->dom, XENSIM_IOREQ_COPY, DM_MMIO + 4092, 8));
    g_assert(xensim_claimed(f->dom, XENSIM_IOREQ_PCI_CONFIG,
                            (uint64_t)DM_DEVFN << 32, 4));
}

static void test_bad_sizes(Fixture *f, gconstpointer unused)
{
    XensimIoreq req = {
        .type = XENSIM_IOREQ_PIO, .addr = DM_PORT, .size = 8, .read = true,
    };

    (void)unused;
    g_assert_cmpint(xensim_ioreq(f->dom, &req), ==, XENSIM_BAD);
    req.size = 3;
    g_assert_cmpint(xensim_ioreq(f->dom, &req), ==, XENSIM_BAD);
    req.size = 1;
    xensim_vcpu_select(2);
    g_assert_cmpint(xensim_ioreq(f->dom, &req), ==, XENSIM_BAD);
    xensim_vcpu_select(0);
    g_assert_cmpuint(f->s->events, ==, 0);
}

/* 24 words, the first 8 of them at the end of a page. */
static void test_rep(Fixture *f, gconstpointer unused)
{
    uint64_t gpa = 0x301000 - 16;
    uint16_t item[24];
    uint64_t sum = 0;
    DmEvent e;
    int i;

    (void)unused;
    xensim_rep_ins(f->dom, DM_PORT, gpa, 2, 24, false);
    g_assert_cmpuint(f->s->events, ==, 2);
    e = dm_event(f->s, 1);
    g_assert(e.ptr && e.read && !e.df && e.count == 8 && e.size == 2);
    g_assert_cmphex(e.data, ==, gpa);
    e = dm_event(f->s, 0);
    g_assert(e.count == 16 && e.data == 0x301000);
    g_assert_cmpint(xensim_read(f->dom, gpa, item, sizeof(item)), ==, 0);
    for (i = 0; i < 24; i++) {
        g_assert_cmphex(item[i], ==, 0xa0 + (i < 8 ? i : i - 8));
        sum += item[i];
    }
    xensim_rep_outs(f->dom, DM_PORT, gpa, 2, 24, false);
    g_assert_cmpuint(f->s->sum, ==, sum);
    /* Downwards: the first item at the highest address. */
    xensim_rep_ins(f->dom, DM_PORT, 0x301006, 2, 8, true);
    e = dm_event(f->s, 1);
    g_assert(e.df && e.count == 4 && e.data == 0x301006);
    e = dm_event(f->s, 0);
    g_assert(e.df && e.count == 4 && e.data == 0x300ffe);
    g_assert_cmpint(xensim_read(f->dom, 0x300ff8, item, 16), ==, 0);
    g_assert_cmphex(item[7], ==, 0xa0);
    g_assert_cmphex(item[4], ==, 0xa3);
    g_assert_cmphex(item[3], ==, 0xa0);
    g_assert_cmphex(item[0], ==, 0xa3);
}

static void test_mmio(Fixture *f, gconstpointer unused)
{
    uint32_t before;
    DmEvent e;

    (void)unused;
    xensim_mmio_write(f->dom, DM_MMIO + 0x10, 8, 0x8877665544332211ull);
    e = dm_event(f->s, 0);
    g_assert(e.type == XENSIM_IOREQ_COPY && e.size == 8 && !e.read);
    g_assert_cmphex(xensim_mmio_read(f->dom, DM_MMIO + 0x12, 1), ==, 0x33);
    g_assert_cmphex(xensim_mmio_read(f->dom, DM_MMIO + 0x14, 4), ==,
                    0x88776655);
    g_assert_cmphex(xensim_mmio_read(f->dom, DM_MMIO + 0x10, 8), ==,
                    0x8877665544332211ull);
    /* RAM is RAM: no ioreq. */
    before = f->s->events;
    xensim_mmio_write(f->dom, 0x345678, 4, 0xcafe1234);
    g_assert_cmphex(xensim_mmio_read(f->dom, 0x34567a, 2), ==, 0xcafe);
    g_assert_cmpuint(f->s->events, ==, before);
    /* With a frame moved over it, the MMIO address is RAM as well. */
    g_assert_cmpint(xensim_move(f->dom, 0x345, 0xf0000, 1), ==, 0);
    g_assert_cmphex(xensim_mmio_read(f->dom, DM_MMIO + 0x678, 4), ==,
                    0xcafe1234);
    g_assert_cmpuint(f->s->events, ==, before);
}

/* Is each of the @len bytes at @gpa @byte? */
static bool all_are(XensimDomain *dom, uint64_t gpa, size_t len, uint8_t byte)
{
    g_autofree uint8_t *found = g_malloc(len);
    size_t i;

    g_assert_cmpint(xensim_read(dom, gpa, found, len), ==, 0);
    for (i = 0; i < len && found[i] == byte; i++) {
        continue;
    }
    return i == len;
}

/* Xen itself answers string instructions that no server claims. */
static void test_rep_unclaimed(Fixture *f, gconstpointer unused)
{
    (void)unused;
    g_assert_cmpint(xensim_fill(f->dom, 0x300000, 0x5a, 0x3000), ==, 0);
    xensim_mmio_copy(f->dom, 0xf0001000, 0x300ff0, 4, 16, true, false);
    g_assert(all_are(f->dom, 0x300fe0, 16, 0x5a));
    g_assert(all_are(f->dom, 0x300ff0, 64, 0xff));
    g_assert(all_are(f->dom, 0x301030, 16, 0x5a));
    /* Downwards: the first item is at the highest address. */
    xensim_rep_ins(f->dom, 0x200, 0x302006, 2, 8, true);
    g_assert(all_are(f->dom, 0x301fe8, 16, 0x5a));
    g_assert(all_are(f->dom, 0x301ff8, 16, 0xff));
    g_assert(all_are(f->dom, 0x302008, 16, 0x5a));
    /* What is written to nobody is dropped. */
    xensim_mmio_copy(f->dom, 0xf0001000, 0x302100, 8, 8, false, false);
    g_assert(all_are(f->dom, 0x302008, 0x200, 0x5a));
    /* An absent page in the middle is passed over. */
    g_assert_cmpuint(xensim_depopulate(f->dom, 0x301, 1), ==, 1);
    xensim_mmio_copy(f->dom, 0xf0001000, 0x301ff0, 4, 8, true, false);
    g_assert(all_are(f->dom, 0x302000, 16, 0xff));
    g_assert_cmphex(xensim_gfn_to_mfn(f->dom, 0x301), ==, XENSIM_NO_MFN);
    g_assert_cmpuint(f->s->events, ==, 0);
}

static void test_mmio_copy(Fixture *f, gconstpointer unused)
{
    uint8_t in[64], out[64];
    int i;

    (void)unused;
    for (i = 0; i < 64; i++) {
        in[i] = i * 5 + 1;
    }
    g_assert_cmpint(xensim_write(f->dom, 0x2ff0, in, 64), ==, 0);
    xensim_mmio_copy(f->dom, DM_MMIO + 0x100, 0x2ff0, 4, 16, false, false);
    /* The RAM side crosses a page after 4 items. */
    g_assert_cmpuint(f->s->events, ==, 2);
    g_assert_cmpuint(dm_event(f->s, 1).count, ==, 4);
    g_assert_cmpuint(dm_event(f->s, 0).count, ==, 12);
    g_assert_cmpmem(&f->s->mmio[0x100], 64, in, 64);
    xensim_mmio_copy(f->dom, DM_MMIO + 0x100, 0x5000, 8, 8, true, false);
    g_assert_cmpint(xensim_read(f->dom, 0x5000, out, 64), ==, 0);
    g_assert_cmpmem(out, 64, in, 64);
}

static void test_pci(Fixture *f, gconstpointer unused)
{
    DmEvent e;
    uint32_t n;

    (void)unused;
    xensim_pci_write(f->dom, 0, DM_DEVFN, 0x40, 4, 0xa1b2c3d4);
    e = dm_event(f->s, 0);
    g_assert_cmpuint(e.type, ==, XENSIM_IOREQ_PCI_CONFIG);
    g_assert_cmphex(e.addr, ==, (uint64_t)DM_DEVFN << 32 | 0x40);
    g_assert_cmphex(xensim_pci_read(f->dom, 0, DM_DEVFN, 0x42, 2), ==,
                    0xa1b2);
    g_assert_cmphex(dm_event(f->s, 0).addr, ==,
                    (uint64_t)DM_DEVFN << 32 | 0x42);
    n = f->s->events;
    g_assert_cmphex(xensim_pci_read(f->dom, 0, 6 << 3, 0, 4), ==, 0xffffffff);
    g_assert_cmphex(xensim_pci_read(f->dom, 1, DM_DEVFN, 0, 2), ==, 0xffff);
    /* 0xcf8's enable bit off: 0xcfc is a port like any other. */
    xensim_outl(f->dom, 0xcf8, DM_DEVFN << 8 | 0x40);
    g_assert_cmphex(xensim_inl(f->dom, 0xcfc), ==, 0xffffffff);
    g_assert_cmpuint(f->s->events, ==, n);
}

/* What was buffered comes before the next request; 8 bytes take two slots. */
static void test_buffered(Fixture *f, gconstpointer unused)
{
    unsigned i;

    (void)unused;
    kill(f->pid, SIGSTOP);
    for (i = 0; i < 5; i++) {
        g_assert_cmpint(xensim_buffered_write(f->dom, false, DM_VGA + i, 1,
                                              0x30 + i), ==, XENSIM_OK);
    }
    g_assert_cmpint(xensim_buffered_write(f->dom, false, DM_VGA + 8, 8,
                                          0x1122334455667788ull), ==,
                    XENSIM_OK);
    g_assert_cmpint(xensim_buffered_write(f->dom, true, DM_PORT + 4, 2,
                                          0xbeef), ==, XENSIM_OK);
    kill(f->pid, SIGCONT);
    g_assert_cmphex(xensim_inw(f->dom, DM_PORT + 4), ==, 0xbeef);
    g_assert_cmpuint(f->s->events, ==, 8);
    for (i = 0; i < 5; i++) {
        DmEvent e = dm_event(f->s, 7 - i);

        g_assert(e.buffered && e.size == 1 && e.addr == DM_VGA + i);
        g_assert_cmphex(e.data, ==, 0x30 + i);
    }
    g_assert_cmphex(dm_event(f->s, 2).data, ==, 0x1122334455667788ull);
    g_assert(!dm_event(f->s, 0).buffered);
    /* Not buffered by Xen: above 1 MiB, and where nobody is. */
    g_assert_cmpint(xensim_buffered_write(f->dom, false, DM_MMIO, 4, 0), ==,
                    XENSIM_BAD);
    g_assert_cmpint(xensim_buffered_write(f->dom, true, 0x300, 1, 0), ==,
                    XENSIM_UNCLAIMED);
}

static void test_buffer_full(Fixture *f, gconstpointer unused)
{
    unsigned i;

    (void)unused;
    kill(f->pid, SIGSTOP);
    for (i = 0; i < 510; i++) {
        g_assert_cmpint(xensim_buffered_write(f->dom, false, DM_VGA, 1, i),
                        ==, XENSIM_OK);
    }
    g_assert_cmpint(xensim_buffered_write(f->dom, false, DM_VGA, 8, 0), ==,
                    XENSIM_FULL);
    g_assert_cmpint(xensim_buffered_write(f->dom, false, DM_VGA, 1, 0), ==,
                    XENSIM_OK);
    g_assert_cmpint(xensim_buffered_write(f->dom, false, DM_VGA, 1, 0), ==,
                    XENSIM_FULL);
    kill(f->pid, SIGCONT);
    xensim_inb(f->dom, DM_PORT);
    g_assert_cmpuint(f->s->events, ==, 512);
    /* Round and round: order and content survive the wrap. */
    for (i = 0; i < 3000; i++) {
        while (xensim_buffered_write(f->dom, false, DM_VGA, 4, i) ==
               XENSIM_FULL) {
            xensim_inb(f->dom, DM_PORT);
        }
        if (i % 300 == 299) {
            unsigned k, at = i;

            xensim_inb(f->dom, DM_PORT);
            for (k = 1; k < 100; k++) {
                if (dm_event(f->s, k).buffered) {
                    g_assert_cmpuint(dm_event(f->s, k).data, ==, at);
                    at--;
                }
            }
        }
    }
}

static void test_timeoffset(Fixture *f, gconstpointer unused)
{
    (void)unused;
    xensim_timeoffset(f->dom, -3600);
    xensim_inb(f->dom, DM_PORT);
    g_assert_cmpuint(dm_event(f->s, 1).type, ==, XENSIM_IOREQ_TIMEOFFSET);
    g_assert_cmpint((int64_t)dm_event(f->s, 1).data, ==, -3600);
}

static gpointer vcpu_thread(gpointer opaque)
{
    Fixture *f = opaque;
    unsigned i;

    xensim_vcpu_select(1);
    for (i = 0; i < 500; i++) {
        xensim_outb(f->dom, DM_PORT + 8, i);
        g_assert_cmphex(xensim_inb(f->dom, DM_PORT + 8), ==, i & 0xff);
    }
    return NULL;
}

static void test_vcpus(Fixture *f, gconstpointer unused)
{
    GThread *t = g_thread_new("vcpu1", vcpu_thread, f);
    unsigned i, seen[2] = { 0, 0 };

    (void)unused;
    for (i = 0; i < 500; i++) {
        xensim_outb(f->dom, DM_PORT, ~i);
        g_assert_cmphex(xensim_inb(f->dom, DM_PORT), ==, ~i & 0xff);
    }
    g_thread_join(t);
    g_assert_cmpuint(f->s->events, ==, 2000);
    for (i = 0; i < 2000; i++) {
        seen[dm_event(f->s, i).vcpu]++;
    }
    g_assert_cmpuint(seen[0], ==, 1000);
    g_assert_cmpuint(seen[1], ==, 1000);
}

/* The frame has gone already when the device model hears of it. */
static void test_invalidate(Fixture *f, gconstpointer unused)
{
    (void)unused;
    f->s->watch_gfn = 0x500;
    xensim_invalidate(f->dom);
    g_assert_cmpuint(dm_event(f->s, 0).type, ==, XENSIM_IOREQ_INVALIDATE);
    g_assert_cmphex(dm_event(f->s, 0).data, ==, UINT64_MAX);
    g_assert_cmpint(dm_event(f->s, 0).absent, ==, 0);
    g_assert_cmpuint(xensim_balloon_out(f->dom, 0x500, 4), ==, 4);
    g_assert_cmpint(dm_event(f->s, 0).absent, ==, -EINVAL);
    g_assert_cmpuint(xensim_balloon_in(f->dom, 0x500, 4), ==, 4);
    g_assert_cmpint(dm_event(f->s, 0).absent, ==, 0);
    g_assert_cmpuint(f->s->events, ==, 3);
    g_assert_cmpuint(xensim_depopulate(f->dom, 0x500, 4), ==, 4);
    g_assert_cmpuint(f->s->events, ==, 3);
    g_assert_cmpuint(xensim_count_invalidates(f->dom), ==, 3);
}

static void test_timeout(Fixture *f, gconstpointer unused)
{
    XensimIoreq req = {
        .type = XENSIM_IOREQ_PIO, .addr = DM_PORT, .size = 1, .read = true,
    };
    gint64 start = g_get_monotonic_time();

    (void)unused;
    f->s->ports[0] = 0x61;
    kill(f->pid, SIGSTOP);
    g_assert_cmpint(xensim_ioreq_post(f->dom, &req), ==, XENSIM_OK);
    g_assert_cmpint(xensim_ioreq_wait(f->dom, &req, 150), ==, XENSIM_TIMEOUT);
    g_assert_cmpint(g_get_monotonic_time() - start, >=, 140000);
    /* One at a time for each vCPU. */
    g_assert_cmpint(xensim_ioreq(f->dom, &req), ==, XENSIM_BUSY);
    kill(f->pid, SIGCONT);
    g_assert_cmpint(xensim_ioreq_wait(f->dom, &req, 20000), ==, XENSIM_OK);
    g_assert_cmphex(req.data, ==, 0x61);
}

static gpointer killer(gpointer opaque)
{
    Fixture *f = opaque;

    g_usleep(100000);
    kill(f->pid, SIGKILL);
    return NULL;
}

static void test_died(Fixture *f, gconstpointer unused)
{
    XensimIoreq req = {
        .type = XENSIM_IOREQ_PIO, .addr = DM_PORT, .size = 1, .read = true,
    };
    gint64 start = g_get_monotonic_time();
    GThread *t;

    (void)unused;
    f->s->hang = true;
    t = g_thread_new("killer", killer, f);
    g_assert_cmpint(xensim_ioreq(f->dom, &req), ==, XENSIM_DM_DIED);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 5 * G_USEC_PER_SEC);
    g_thread_join(t);
    g_assert_cmpuint(xensim_reap(sim), ==, 1);
    /* Its server has gone with it. */
    g_assert_cmpuint(xensim_servers(f->dom, NULL, 0), ==, 0);
    g_assert_cmpint(xensim_ioreq(f->dom, &req), ==, XENSIM_UNCLAIMED);
    g_assert_cmpint(xensim_wait_ready(f->dom, 10), ==, XENSIM_TIMEOUT);
}

static void keep_message(void *opaque, const char *msg)
{
    g_free(*(char **)opaque);
    *(char **)opaque = g_strdup(msg);
}

static void test_fail_handler(Fixture *f, gconstpointer unused)
{
    char *msg = NULL;

    (void)unused;
    xensim_set_fail_handler(sim, keep_message, &msg);
    xensim_set_timeout(sim, 50);
    kill(f->pid, SIGSTOP);
    g_assert_cmphex(xensim_inb(f->dom, DM_PORT + 2), ==, 0xff);
    g_assert_nonnull(msg);
    g_assert_nonnull(strstr(msg, "port read at 0x102, 1 bytes"));
    g_assert_nonnull(strstr(msg, "did not answer"));
    xensim_set_fail_handler(sim, NULL, NULL);
    xensim_set_timeout(sim, 30000);
    kill(f->pid, SIGCONT);
    g_free(msg);
}

/* ---- servers and ranges, in this process ---- */

static int map_ports(xendevicemodel_handle *h, uint32_t d, ioservid_t id,
                     uint64_t first, uint64_t last)
{
    return xendevicemodel_map_io_range_to_ioreq_server(h, d, id, 0, first,
                                                       last);
}

static int unmap_ports(xendevicemodel_handle *h, uint32_t d, ioservid_t id,
                       uint64_t first, uint64_t last)
{
    return xendevicemodel_unmap_io_range_from_ioreq_server(h, d, id, 0, first,
                                                           last);
}

static void test_ranges(void)
{
    XensimDomain *dom = new_domain(16, 0);
    xendevicemodel_handle *h = xendevicemodel_open(NULL, 0);
    uint32_t d = xensim_domid(dom);
    ioservid_t id, id2;
    XensimServerInfo info[2];

    g_assert(!xendevicemodel_create_ioreq_server(h, d, 0, &id));
    g_assert(!map_ports(h, d, id, 0x10, 0x1f));
    g_assert_cmpint(map_ports(h, d, id, 0x1f, 0x2f), ==, -1);
    g_assert_cmpint(errno, ==, EEXIST);
    g_assert(!map_ports(h, d, id, 0x20, 0x2f));
    g_assert(!map_ports(h, d, id, 0x40, 0x4f));
    /* Neighbours have become one. */
    g_assert_cmpuint(xensim_servers(dom, info, 2), ==, 1);
    g_assert_cmpuint(info[0].ports, ==, 2);
    g_assert(!info[0].enabled && !info[0].bufioreq && !info[0].pid);
    g_assert(!xensim_claimed(dom, XENSIM_IOREQ_PIO, 0x10, 1));
    g_assert(!xendevicemodel_set_ioreq_server_state(h, d, id, 1));
    g_assert(xensim_claimed(dom, XENSIM_IOREQ_PIO, 0x1e, 4));
    /* A piece out of the middle. */
    g_assert(!unmap_ports(h, d, id, 0x18, 0x27));
    g_assert(xensim_claimed(dom, XENSIM_IOREQ_PIO, 0x17, 1));
    g_assert(!xensim_claimed(dom, XENSIM_IOREQ_PIO, 0x18, 1));
    g_assert(xensim_claimed(dom, XENSIM_IOREQ_PIO, 0x28, 1));
    g_assert_cmpint(unmap_ports(h, d, id, 0x18, 0x28), ==, -1);
    g_assert_cmpint(errno, ==, ENOENT);
    g_assert_cmpint(map_ports(h, d, id, 9, 8), ==, -1);
    g_assert_cmpint(errno, ==, EINVAL);
    /* Nobody has bound the channel. */
    {
        XensimIoreq req = {
            .type = XENSIM_IOREQ_PIO, .addr = 0x40, .size = 1, .read = true,
        };

        g_assert_cmpint(xensim_ioreq(dom, &req), ==, XENSIM_NO_DM);
    }
    g_assert(!xendevicemodel_create_ioreq_server(h, d, 2, &id2));
    g_assert_cmpuint(id2, !=, id);
    g_assert_cmpint(xendevicemodel_create_ioreq_server(h, d, 3, &id2), ==,
                    -1);
    g_assert_cmpint(errno, ==, EINVAL);
    g_assert(!xendevicemodel_destroy_ioreq_server(h, d, id));
    g_assert_cmpint(xendevicemodel_destroy_ioreq_server(h, d, id), ==, -1);
    g_assert_cmpint(errno, ==, ENOENT);
    g_assert_cmpint(xendevicemodel_set_ioreq_server_state(h, d + 1, 0, 1), ==,
                    -1);
    g_assert_cmpint(errno, ==, ESRCH);
    xendevicemodel_close(h);
    end_domain(dom);
}

/* Without resources: pages in the p2m until the server is enabled. */
static void test_server_gfns(void)
{
    XensimDomain *dom = new_domain(16, 0);
    xendevicemodel_handle *h = xendevicemodel_open(NULL, 0);
    xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
    uint32_t d = xensim_domid(dom);
    xen_pfn_t gfn, bufgfn;
    evtchn_port_t port;
    ioservid_t id;
    shared_iopage_t *page;
    void *res, *addr = NULL;
    uint64_t tot = mem_info(dom).tot_pages;

    g_assert(!xendevicemodel_create_ioreq_server(h, d, 2, &id));
    g_assert(!xendevicemodel_get_ioreq_server_info(h, d, id, &gfn, &bufgfn,
                                                   &port));
    g_assert_cmpuint(gfn, !=, bufgfn);
    g_assert(xensim_gfn_to_mfn(dom, gfn) != XENSIM_NO_MFN);
    page = xenforeignmemory_map(fmem, d, PROT_READ | PROT_WRITE, 1, &gfn,
                                NULL);
    g_assert_nonnull(page);
    g_assert_cmpuint(page->vcpu_ioreq[0].vp_eport, ==, 0);
    g_assert(!xendevicemodel_set_ioreq_server_state(h, d, id, 1));
    g_assert_cmpuint(page->vcpu_ioreq[0].vp_eport, >, 0);
    g_assert_cmpuint(page->vcpu_ioreq[1].vp_eport, >, 0);
    g_assert_cmpuint(page->vcpu_ioreq[1].vp_eport, !=,
                     page->vcpu_ioreq[0].vp_eport);
    g_assert(xensim_gfn_to_mfn(dom, gfn) == XENSIM_NO_MFN);
    g_assert_cmpuint(mem_info(dom).tot_pages, ==, tot);
    /* The resource is the same page. */
    res = xenforeignmemory_map_resource(fmem, d, XENMEM_resource_ioreq_server,
                                        id, 1, 1, &addr,
                                        PROT_READ | PROT_WRITE, 0);
    g_assert_nonnull(res);
    page->vcpu_ioreq[0].addr = 0x1234567;
    g_assert_cmphex(((shared_iopage_t *)addr)->vcpu_ioreq[0].addr, ==,
                    0x1234567);
    g_assert_cmpuint(xensim_check(sim), ==, 0);
    g_assert(!xenforeignmemory_unmap_resource(fmem, res));
    addr = NULL;
    g_assert_null(xenforeignmemory_map_resource(
                      fmem, d, XENMEM_resource_ioreq_server, id, 2, 1, &addr,
                      PROT_READ, 0));
    g_assert_null(xenforeignmemory_map_resource(
                      fmem, d, XENMEM_resource_ioreq_server, id + 1, 0, 1,
                      &addr, PROT_READ, 0));
    g_assert_cmpint(errno, ==, ENOENT);
    munmap(page, PAGE);
    g_assert(!xendevicemodel_destroy_ioreq_server(h, d, id));
    xenforeignmemory_close(fmem);
    xendevicemodel_close(h);
    end_domain(dom);
}

static void add(const char *name, void (*fn)(Fixture *, gconstpointer))
{
    char *path = g_strdup_printf("/xensim/ioreq/%s", name);

    g_test_add(path, Fixture, NULL, setup, fn, teardown);
    g_free(path);
}

int main(int argc, char **argv)
{
    test_init(&argc, &argv);
    add("ports", test_ports);
    add("unclaimed", test_unclaimed);
    add("bad-sizes", test_bad_sizes);
    add("rep", test_rep);
    add("rep-unclaimed", test_rep_unclaimed);
    add("mmio", test_mmio);
    add("mmio-copy", test_mmio_copy);
    add("pci", test_pci);
    add("buffered", test_buffered);
    add("buffer-full", test_buffer_full);
    add("timeoffset", test_timeoffset);
    add("vcpus", test_vcpus);
    add("invalidate", test_invalidate);
    add("timeout", test_timeout);
    add("died", test_died);
    add("fail-handler", test_fail_handler);
    g_test_add_func("/xensim/ioreq/ranges", test_ranges);
    g_test_add_func("/xensim/ioreq/server-gfns", test_server_gfns);
    return test_run();
}
