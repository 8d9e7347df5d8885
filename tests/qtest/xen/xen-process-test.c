/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device models that are not the process that was started, or may not do what
 * they did at their start: daemons, in a chroot, as another user, in a sandbox,
 * restricted to their domain.  Each does, after that, all that needs Xen, the
 * kernel or a thread of the mapcache's own.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "drivers/virtio.h"
#include "xen-test-common.h"

enum {
    SEED = 71,
    DISK_PAGES = 256,
    IO = 0xc200,
    DRIVER_GPA = 0x100000,
    HOLE_GFN = 0x1234,
};

/* What libxl gives a device model that it does not trust. */
#define SANDBOX "-sandbox on,obsolete=deny,elevateprivileges=allow," \
                "spawn=deny,resourcecontrol=deny "

/* ---- start ---- */

/* With @how; the disk, a second one behind an iothread, and a display. */
static void boot(XenTest *t, const char *how)
{
    g_autofree char *args = g_strdup_printf(
        "%s %s -object iothread,id=io -drive file='%s/disk',format=raw,"
        "if=none,id=drive,read-only=on,file.locking=off "
        "-device virtio-blk-pci,drive=drive,iothread=io,addr=7,"
        "disable-legacy=off,disable-modern=on " XEN_TEST_VGA XEN_TEST_STATS,
        how, xen_test_disk(t, DISK_PAGES, SEED), t->dir);

    xen_test_start(t, args);
    xen_test_ide(t);
    xen_test_vga(t);
}
#define boot(...) XEN_AT(boot(__VA_ARGS__))

static void boot_daemon(XenTest *t, const char *how)
{
    g_autofree char *args = NULL;
    pid_t first;

    t->pidfile = g_strdup_printf("%s/pid", t->dir);
    args = g_strdup_printf("-daemonize -pidfile '%s' %s", t->pidfile, how);
    boot(t, args);
    first = t->pid;
    for (unsigned i = 0; t->pidfile && i < 5000; i++) {
        xen_test_alive(t);
        g_usleep(2000);
    }
    if (t->pidfile || t->pid == first || !xensim_pid_alive(t->pid)) {
        xen_test_leave(t, "did not become a daemon");
    }
}
#define boot_daemon(...) XEN_AT(boot_daemon(__VA_ARGS__))

/* The line "@name: ..." of /proc/PID/status (g_free). */
static char *proc_status(XenTest *t, const char *name)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", t->pid);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        xen_test_leave(t, "has no status in /proc");
    }
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        if (g_str_has_prefix(*line, name) && (*line)[strlen(name)] == ':') {
            return g_strstrip(g_strdup(*line + strlen(name) + 1));
        }
    }
    return g_strdup("");
}
#define proc_status(...) XEN_AT(proc_status(__VA_ARGS__))

/* Another user, a chroot: only root may set that up. */
static bool may_be_root(void)
{
    if (geteuid() == 0) {
        return true;
    }
    g_test_skip("needs root");
    return false;
}

static const char *is_nobody(XenTest *t)
{
    g_autofree char *uid = proc_status(t, "Uid");
    g_autofree char *gid = proc_status(t, "Gid");

    XEN_REQUIRE(!strcmp(uid, "65534\t65534\t65534\t65534") &&
                !strcmp(gid, "65534\t65534\t65534\t65534"),
                "runs as user %s, group %s", uid, gid);
    return NULL;
}
#define is_nobody(...) XEN_AT(is_nobody(__VA_ARGS__))

static const char *is_in(XenTest *t, const char *dir)
{
    g_autofree char *link = g_strdup_printf("/proc/%d/root", t->pid);
    g_autofree char *root = g_file_read_link(link, NULL);

    XEN_REQUIRE(root && !strcmp(root, dir), "has %s as its root", root);
    return NULL;
}
#define is_in(...) XEN_AT(is_in(__VA_ARGS__))

static const char *is_filtered(XenTest *t)
{
    g_autofree char *mode = proc_status(t, "Seccomp");

    XEN_REQUIRE(!strcmp(mode, "2"), "runs without a filter");
    return NULL;
}
#define is_filtered(...) XEN_AT(is_filtered(__VA_ARGS__))

/* ---- work ---- */

/* Both disks to cold and warm memory, and the first to the display's. */
static const char *transfers(XenTest *t, GuestVblk *blk, uint64_t gpa)
{
    const GuestSg sg = { gpa + 16 * XEN_TEST_PAGE, 16 * XEN_TEST_PAGE };

    for (unsigned i = 0; i < 2; i++) {
        xen_test_dma_read(t, 3 + i, gpa, 16);
        xen_test_ok(t, guest_vblk_rw(blk, false, (30 + i) * 8, &sg, 1));
        XEN_TRY(xen_test_disk_at(t, gpa, 3 + i, 16, SEED,
                                 "read other bytes"));
        XEN_TRY(xen_test_disk_at(t, sg.gpa, 30 + i, 16, SEED,
                                 "read other bytes in the iothread"));
    }
    xen_test_dma_read(t, 60, XEN_TEST_LFB + 0x12000, 16);
    return xen_test_disk_at(t, XEN_TEST_LFB + 0x12000, 60, 16, SEED,
                            "read other bytes into the video memory");
}
#define transfers(...) XEN_AT(transfers(__VA_ARGS__))

/*
 * What the iothread has used goes to the mapcache's own thread, which begins
 * at its first need: well after the process was changed.
 */
static const char *gives_back(XenTest *t, GuestVblk *blk)
{
    for (unsigned i = 0; i < 3; i++) {
        const GuestSg sg = { (0x30 + i) * XEN_TEST_BUCKET, XEN_TEST_PAGE };
        uint64_t gfn = sg.gpa / XEN_TEST_PAGE;
        uint64_t old = xensim_gfn_to_mfn(t->dom, gfn);

        xen_test_ok(t, guest_vblk_rw(blk, false, i * 8, &sg, 1));
        XEN_TRY(xen_test_disk_at(t, sg.gpa, i, 1, SEED, "read other bytes"));
        XEN_REQUIRE(xensim_mfn_mappings(t->sim, old),
                    "does not keep what it has mapped");
        xensim_balloon_out(t->dom, gfn, 1);
        XEN_REQUIRE(xen_test_let_go(t, old), "does not give memory back");
        xensim_balloon_in(t->dom, gfn, 1);
        xen_test_ok(t, guest_vblk_rw(blk, false, (9 + i) * 8, &sg, 1));
        XEN_TRY(xen_test_disk_at(t, sg.gpa, 9 + i, 1, SEED,
                                 "read into a stale page"));
    }
    return NULL;
}

/* A page that is not there, and its neighbours. */
static const char *hole(XenTest *t)
{
    const uint64_t gpa = HOLE_GFN * XEN_TEST_PAGE;

    xensim_balloon_out(t->dom, HOLE_GFN, 1);
    XEN_REQUIRE(qtest_readl(t->qts, gpa) == 0, "reads a hole as something");
    qtest_writel(t->qts, gpa, 1);
    xen_test_dma_read(t, 100, gpa - XEN_TEST_PAGE, 3);
    XEN_TRY(xen_test_disk_at(t, gpa - XEN_TEST_PAGE, 100, 1, SEED,
                             "read other bytes before a hole"));
    XEN_TRY(xen_test_disk_at(t, gpa + XEN_TEST_PAGE, 102, 1, SEED,
                             "read other bytes behind a hole"));
    xensim_balloon_in(t->dom, HOLE_GFN, 1);
    xen_test_dma_read(t, 110, gpa - XEN_TEST_PAGE, 3);
    return xen_test_disk_at(t, gpa - XEN_TEST_PAGE, 110, 3, SEED,
                            "read other bytes where a hole was");
}

/* An event tells of an outstanding transfer, also in such a process. */
static const char *sends_event(XenTest *t)
{
    enum { RING = 0x700000, BUFFER = 0x640000, BYTES = 1234 };
    QDict *event, *oldest;

    xen_test_stats_hold(t, RING, BUFFER, BYTES);
    xensim_invalidate(t->dom);
    event = qtest_qmp_eventwait_ref(t->qts, "XEN_MAPCACHE_DMA_OUTSTANDING");
    oldest = qdict_get_qdict(qdict_get_qdict(event, "data"), "oldest");
    XEN_REQUIRE(qdict_get_int(oldest, "address") == BUFFER &&
                qdict_get_int(oldest, "size") == BYTES &&
                strstr(qdict_get_str(oldest, "device"), "virtio-balloon"),
                "does not know the transfer of which it tells");
    qobject_unref(event);
    xen_test_stats_release(t);
    return NULL;
}
#define sends_event(...) XEN_AT(sends_event(__VA_ARGS__))

/* The monitor's commands answer, too. */
static const char *answers(XenTest *t)
{
    static const char *const commands[][2] = {
        { "query-xen-mapcache", "{}" },
        { "x-query-xen-mapcache-dma", "{}" },
        { "x-query-xen-physmap", "{}" },
        { "query-stats", "{'target': 'vm', 'providers': "
                         "[{'provider': 'xen-mapcache'}]}" },
    };
    static const char *const lines[][2] = {
        { "info xen-mapcache", "lookups: " },
        { "info xen-mapcache dma", "virtio-blk-device (/machine/" },
        { "info xen-physmap", "-00000000f2ffffff (shown, pinned): " },
        { "info stats vm", "provider: xen-mapcache" },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
        QDict *rsp = qtest_qmp(t->qts, "{'execute': %s, 'arguments': %p}",
                               commands[i][0],
                               qobject_from_json(commands[i][1],
                                                 &error_abort));

        XEN_REQUIRE(qdict_haskey(rsp, "return"), "does not answer %s",
                    commands[i][0]);
        qobject_unref(rsp);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
        const char *text = xen_test_hmp(t, lines[i][0]);

        XEN_REQUIRE(strstr(text, lines[i][1]), "answers \"%s\" by \"%s\"",
                    lines[i][0], text);
    }
    return NULL;
}
#define answers(...) XEN_AT(answers(__VA_ARGS__))

static const char *work(XenTest *t)
{
    GuestVblk blk;

    xen_test_ok(t, guest_vblk_init(t->pc, &blk, 0, IO, DRIVER_GPA));
    XEN_TRY(transfers(t, &blk, 0x400000));
    XEN_TRY(gives_back(t, &blk));
    XEN_TRY(hole(t));
    XEN_TRY(transfers(t, &blk, 0x4f8000));
    /* The display's memory moves: relocating is for Xen to do. */
    xen_test_ok(t, guest_vga_place(&t->vga, 0xf2000000, 0));
    XEN_TRY(xen_test_disk_at(t, 0xf2012000, 60, 16, SEED,
                             "lost the video memory"));
    xen_test_dma_read(t, 70, 0xf2012000, 16);
    XEN_TRY(xen_test_disk_at(t, 0xf2012000, 70, 16, SEED,
                             "read other bytes into moved video memory"));
    XEN_TRY(answers(t));
    XEN_TRY(sends_event(t));
    xen_test_ok(t, guest_virtio_reset(&blk.dev));
    return NULL;
}
#define work(...) XEN_AT(work(__VA_ARGS__))

/* ---- cases ---- */

static const char *daemonized(XenTest *t)
{
    boot_daemon(t, "");
    return work(t);
}

static const char *sandboxed(XenTest *t)
{
    boot(t, "-sandbox on ");
    XEN_TRY(is_filtered(t));
    return work(t);
}

static const char *sandboxed_as_libxl(XenTest *t)
{
    boot(t, SANDBOX);
    XEN_TRY(is_filtered(t));
    return work(t);
}

static const char *other_user(XenTest *t)
{
    if (!may_be_root()) {
        return NULL;
    }
    boot(t, "-run-with user=65534:65534 ");
    XEN_TRY(is_nobody(t));
    return work(t);
}

static const char *chrooted(XenTest *t)
{
    g_autofree char *how = g_strdup_printf("-run-with chroot='%s' ", t->dir);

    if (!may_be_root()) {
        return NULL;
    }
    boot(t, how);
    XEN_TRY(is_in(t, t->dir));
    return work(t);
}

static const char *restricted(XenTest *t)
{
    boot(t, "-xen-domid-restrict ");
    XEN_REQUIRE(xensim_is_restricted(t->sim, t->pid, NULL),
                "is not restricted");
    return work(t);
}

static const char *is_all(XenTest *t)
{
    XEN_TRY(is_nobody(t));
    XEN_TRY(is_in(t, t->dir));
    XEN_TRY(is_filtered(t));
    XEN_REQUIRE(xensim_is_restricted(t->sim, t->pid, NULL),
                "is not restricted");
    return NULL;
}
#define is_all(...) XEN_AT(is_all(__VA_ARGS__))

/* All of it, as libxl does for a device model that it does not trust. */
static const char *distrusted(XenTest *t)
{
    g_autofree char *how = g_strdup_printf("-xen-domid-restrict " SANDBOX
                                           "-run-with chroot='%s',"
                                           "user=65534:65534 ", t->dir);

    if (!may_be_root()) {
        return NULL;
    }
    boot(t, how);
    XEN_TRY(is_all(t));
    return work(t);
}

/* And as a daemon, which has to fork. */
static const char *distrusted_daemon(XenTest *t)
{
    g_autofree char *how = g_strdup_printf("-xen-domid-restrict -sandbox on "
                                           "-run-with chroot='%s',"
                                           "user=65534:65534 ", t->dir);

    if (!may_be_root()) {
        return NULL;
    }
    boot_daemon(t, how);
    XEN_TRY(is_all(t));
    return work(t);
}

/* The stock device model does none of the work: see xen-iothread-test. */
static void no_daemon(void)
{
    g_test_skip("a lock of ASan's may be held while QEMU forks, and is for "
                "good then");
}

static void add_daemon(const char *path, XenScenario *scenario)
{
    if (getenv("XEN_TEST_ASAN")) {
        g_autofree char *name = g_strdup_printf("xen/%s", path);

        qtest_add_func(name, no_daemon);
    } else {
        xen_test_add(path, scenario, NULL);
    }
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    add_daemon("process/daemon", daemonized);
    xen_test_add("process/sandbox", sandboxed, NULL);
    xen_test_add("process/sandbox-libxl", sandboxed_as_libxl, NULL);
    xen_test_add("process/user", other_user, NULL);
    xen_test_add("process/chroot", chrooted, NULL);
    xen_test_add("process/restrict", restricted, NULL);
    xen_test_add("process/distrusted", distrusted, NULL);
    add_daemon("process/distrusted-daemon", distrusted_daemon);
    return g_test_run();
}
