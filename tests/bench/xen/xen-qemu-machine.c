/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU's process, and its guest's CPU; see xen-qemu-bench.h. */
#include "qemu/osdep.h"
#include <sys/mman.h>
#include <sys/prctl.h>
#include <glib/gstdio.h>
#include "qemu/bitops.h"
#include "xen-qemu-bench.h"

#define ROM_DIR "/usr/share/seabios"

typedef struct BenchMachinePriv {
    /* On the simulated Xen. */
    Toolstack *ts;
    TsGuest *guest;

    /* With plain RAM. */
    GSubprocess *process;
    FILE *to_cpu, *from_cpu;    /* the qtest protocol */
    uint8_t *ram;
} BenchMachinePriv;

/* ---- plain RAM: the CPU is a socket, RAM a file that both map ---- */

/* One command, one answer: "OK", or "OK" and a number. */
static int G_GNUC_PRINTF(3, 4)
ask(BenchMachinePriv *priv, uint64_t *val, const char *fmt, ...)
{
    char line[256];
    va_list ap;

    va_start(ap, fmt);
    vfprintf(priv->to_cpu, fmt, ap);
    va_end(ap);
    if (fflush(priv->to_cpu) ||
        !fgets(line, sizeof(line), priv->from_cpu)) {
        return -ENODEV;
    }
    if (!g_str_has_prefix(line, "OK")) {
        return -EIO;
    }
    if (val) {
        *val = g_ascii_strtoull(line + 2, NULL, 0);
    }
    return 0;
}

/* What of a write's datum counts. */
static uint64_t datum(const XensimIoreq *req)
{
    return extract64(req->data, 0, 8 * req->size);
}

static int port_access(BenchMachinePriv *priv, XensimIoreq *req)
{
    const char size = " bw l"[req->size];

    return req->read ?
        ask(priv, &req->data, "in%c 0x%" PRIx64 "\n", size, req->addr) :
        ask(priv, NULL, "out%c 0x%" PRIx64 " 0x%" PRIx64 "\n", size,
            req->addr, datum(req));
}

static int mmio_access(BenchMachinePriv *priv, XensimIoreq *req)
{
    const char size = " bw l   q"[req->size];

    return req->read ?
        ask(priv, &req->data, "read%c 0x%" PRIx64 "\n", size, req->addr) :
        ask(priv, NULL, "write%c 0x%" PRIx64 " 0x%" PRIx64 "\n", size,
            req->addr, datum(req));
}

/* By the ports 0xcf8 and 0xcfc. */
static int config_access(BenchMachinePriv *priv, XensimIoreq *req)
{
    uint32_t devfn = req->addr >> 32, reg = req->addr;
    XensimIoreq data = *req;
    int rc = ask(priv, NULL, "outl 0xcf8 0x%x\n",
                 0x80000000u | devfn << 8 | (reg & 0xfc));

    data.addr = 0xcfc | (reg & 3);
    if (!rc) {
        rc = port_access(priv, &data);
    }
    req->data = data.data;
    return rc;
}

static int plain_access(void *opaque, XensimIoreq *req)
{
    switch (req->type) {
    case XENSIM_IOREQ_PIO:
        return port_access(opaque, req);
    case XENSIM_IOREQ_PCI_CONFIG:
        return config_access(opaque, req);
    default:
        return mmio_access(opaque, req);
    }
}

static bool in_ram(uint64_t gpa, size_t len)
{
    return gpa <= BENCH_RAM_BYTES && len <= BENCH_RAM_BYTES - gpa;
}

static int plain_read(void *opaque, uint64_t gpa, void *buf, size_t len)
{
    BenchMachinePriv *priv = opaque;

    if (!in_ram(gpa, len)) {
        return -EFAULT;
    }
    memcpy(buf, priv->ram + gpa, len);
    return 0;
}

static int plain_write(void *opaque, uint64_t gpa, const void *buf,
                       size_t len)
{
    BenchMachinePriv *priv = opaque;

    if (!in_ram(gpa, len)) {
        return -EFAULT;
    }
    memcpy(priv->ram + gpa, buf, len);
    return 0;
}

static const GuestBus plain_bus = {
    .access = plain_access,
    .read = plain_read,
    .write = plain_write,
};

static bool fail_errno(GError **err, const char *what)
{
    g_set_error(err, G_IO_ERROR, g_io_error_from_errno(errno), "%s: %s",
                what, g_strerror(errno));
    return false;
}

static bool plain_ram(BenchMachinePriv *priv, const char *path, GError **err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0 || ftruncate(fd, BENCH_RAM_BYTES) < 0) {
        return fail_errno(err, path);
    }
    priv->ram = mmap(NULL, BENCH_RAM_BYTES, PROT_READ | PROT_WRITE,
                     MAP_SHARED, fd, 0);
    close(fd);
    if (priv->ram == MAP_FAILED) {
        priv->ram = NULL;
        return fail_errno(err, path);
    }
    return true;
}

static void end_with_us(gpointer opaque)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* QEMU connects to a socket that we listen on, so nothing is waited for. */
static bool plain_spawn(BenchMachinePriv *priv, const char *qemu,
                        const char *const *args, const char *dir,
                        GError **err)
{
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_NONE);
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *ram = g_build_filename(dir, "ram", NULL);
    g_autofree char *path = g_build_filename(dir, "cpu", NULL);
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd, listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unsigned i;

    g_unlink(path);
    g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
    if (listener < 0 || bind(listener, (struct sockaddr *)&addr,
                             sizeof(addr)) < 0 || listen(listener, 1) < 0) {
        return fail_errno(err, path);
    }
    if (!plain_ram(priv, ram, err)) {
        return false;
    }
    g_ptr_array_add(argv, g_strdup(qemu));
    g_ptr_array_add(argv, g_strdup("-nodefaults"));
    g_ptr_array_add(argv, g_strdup("-no-user-config"));
    g_ptr_array_add(argv, g_strdup("-display"));
    g_ptr_array_add(argv, g_strdup("none"));
    g_ptr_array_add(argv, g_strdup("-machine"));
    g_ptr_array_add(argv, g_strdup("pc,accel=qtest,memory-backend=ram"));
    g_ptr_array_add(argv, g_strdup("-m"));
    g_ptr_array_add(argv, g_strdup_printf("%llu", BENCH_RAM_BYTES >> 20));
    g_ptr_array_add(argv, g_strdup("-object"));
    g_ptr_array_add(argv, g_strdup_printf(
        "memory-backend-file,id=ram,size=%lluM,share=on,mem-path=%s",
        BENCH_RAM_BYTES >> 20, ram));
    g_ptr_array_add(argv, g_strdup("-qtest"));
    g_ptr_array_add(argv, g_strdup_printf("unix:%s", path));
    g_ptr_array_add(argv, g_strdup("-qtest-log"));
    g_ptr_array_add(argv, g_strdup("/dev/null"));
    /* A machine of its own wants a BIOS, which is not run. */
    g_ptr_array_add(argv, g_strdup("-L"));
    g_ptr_array_add(argv, g_strdup(ROM_DIR));
    g_ptr_array_add(argv, g_strdup("-global"));
    g_ptr_array_add(argv, g_strdup("apic-common.vapic=off"));
    for (i = 0; args[i]; i++) {
        g_ptr_array_add(argv, g_strdup(args[i]));
    }
    g_ptr_array_add(argv, NULL);
    g_subprocess_launcher_set_child_setup(launcher, end_with_us, NULL, NULL);
    priv->process = g_subprocess_launcher_spawnv(
        launcher, (const char *const *)argv->pdata, err);
    if (!priv->process) {
        return false;
    }
    /* It connects, or it ends; the second closes nothing here. */
    for (i = 0; ; i++) {
        GPollFD waiting = { .fd = listener, .events = G_IO_IN };

        if (g_poll(&waiting, 1, 100) > 0) {
            break;
        }
        if (i == 300 || !g_subprocess_get_identifier(priv->process)) {
            g_set_error(err, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                        "%s did not start as a plain machine", qemu);
            return false;
        }
    }
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(listener);
    if (fd < 0) {
        return fail_errno(err, path);
    }
    priv->to_cpu = fdopen(dup(fd), "w");
    priv->from_cpu = fdopen(fd, "r");
    return priv->to_cpu && priv->from_cpu ? true : fail_errno(err, path);
}

static bool plain_start(BenchMachine *m, const char *qemu,
                        const char *const *args, const char *dir,
                        GError **err)
{
    BenchMachinePriv *priv = m->priv;

    if (!plain_spawn(priv, qemu, args, dir, err)) {
        return false;
    }
    m->pid = g_ascii_strtoull(g_subprocess_get_identifier(priv->process),
                              NULL, 10);
    m->pc = guest_pc_new_on(&plain_bus, priv);
    return true;
}

static void plain_stop(BenchMachinePriv *priv)
{
    if (priv->to_cpu) {
        fclose(priv->to_cpu);
    }
    if (priv->from_cpu) {
        fclose(priv->from_cpu);
    }
    if (priv->process) {
        g_subprocess_force_exit(priv->process);
        g_subprocess_wait(priv->process, NULL, NULL);
        g_object_unref(priv->process);
    }
    if (priv->ram) {
        munmap(priv->ram, BENCH_RAM_BYTES);
    }
}

/* ---- on the simulated Xen ---- */

static bool xen_start(BenchMachine *m, const char *qemu,
                      const char *const *args, GError **err)
{
    BenchMachinePriv *priv = m->priv;
    const TsConfig config = {
        .qemu = qemu,
        .name = "bench",
        .ram_bytes = BENCH_RAM_BYTES,
        .vga = "",
        .args = args,
    };

    priv->ts = ts_new(NULL, err);
    if (!priv->ts) {
        return false;
    }
    m->sim = ts_sim(priv->ts);
    priv->guest = ts_create(priv->ts, &config, err);
    if (!priv->guest) {
        return false;
    }
    m->pid = ts_pid(priv->guest);
    m->pc = guest_pc_new(ts_domain(priv->guest));
    return true;
}

BenchMachine *bench_machine_start(const char *qemu, bool plain,
                                  const char *const *args, const char *dir,
                                  GError **err)
{
    BenchMachine *m = g_new0(BenchMachine, 1);

    m->priv = g_new0(BenchMachinePriv, 1);
    if (plain ? plain_start(m, qemu, args, dir, err)
              : xen_start(m, qemu, args, err)) {
        return m;
    }
    bench_machine_stop(m);
    return NULL;
}

bool bench_machine_pass_time(BenchMachine *m, unsigned ms)
{
    if (m->sim) {
        g_usleep(ms * 1000);
        return true;
    }
    return !ask(m->priv, NULL, "clock_step %u000000\n", ms);
}

void bench_machine_stop(BenchMachine *m)
{
    if (m->pc) {
        guest_pc_free(m->pc);
    }
    ts_destroy(m->priv->guest);
    if (m->priv->ts) {
        ts_free(m->priv->ts);
    }
    plain_stop(m->priv);
    g_free(m->priv);
    g_free(m);
}
