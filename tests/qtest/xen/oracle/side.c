/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One side: QEMU's process, on the simulated Xen or with plain RAM. */
#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/statvfs.h>
#include <time.h>
#include "engine.h"

#define ROM_DIR     "/usr/share/seabios"
#define XEN_MACHINE "xenfv,suppress-vmdesc=on"
#define PLAIN_MACHINE "pc-i440fx-3.1,hpet=off,suppress-vmdesc=on"
/*
 * Of a device that has something to do: longer than the two seconds in which
 * QEMU tries again to get memory that is unavailable.
 */
#define ANSWER_MS   5000
/* With scattered frames, the simulated Xen makes an mmap() for each page. */
#define SCATTERED_ANSWER_MS 30000
#define END_MS      1000        /* of a process whose monitor is closed */

static uint64_t now_ns(clockid_t clock)
{
    struct timespec ts;

    return clock_gettime(clock, &ts) ? 0 : ts.tv_sec * 1000000000ull +
                                           ts.tv_nsec;
}

/* ---- its end ---- */

void oracle_remove_dir(const char *dir)
{
    g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
    const char *name;

    while (d && (name = g_dir_read_name(d))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);

        g_unlink(path);
    }
    g_rmdir(dir);
}

void oracle_side_give_up(OracleSide *side, GError *err)
{
    if (side->lost) {
        g_error_free(err);
    } else {
        side->lost = err;
    }
}

/* The last line that the process wrote: an assertion, mostly (g_free). */
static char *last_line(const char *output)
{
    g_autofree char *text = g_strchomp(g_strdup(output));
    const char *line = strrchr(text, '\n');

    return g_strdup(line ? line + 1 : text);
}

static GError *plain_end(OracleSide *side, int wstatus)
{
    g_autofree char *output = plain_machine_output(side->plain);
    g_autofree char *line = last_line(output);

    return WIFSIGNALED(wstatus) ?
        g_error_new(G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED,
                    "was ended by signal %d (%s): %s", WTERMSIG(wstatus),
                    g_strsignal(WTERMSIG(wstatus)), line) :
        g_error_new(G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED,
                    "exited with status %d: %s", WEXITSTATUS(wstatus), line);
}

bool oracle_side_lost(OracleSide *side)
{
    GError *err = NULL;
    int wstatus;

    if (!side->lost) {
        if (side->plain && plain_machine_ended(side->plain, 0, &wstatus)) {
            side->lost = plain_end(side, wstatus);
        } else if (side->guest && !ts_alive(side->guest, NULL, &err)) {
            side->lost = err;
        }
    }
    return side->lost != NULL;
}

/* Its end comes a little later than that of the connection. */
static bool is_lost_soon(OracleSide *side)
{
    unsigned ms;

    for (ms = 0; ms < END_MS && !oracle_side_lost(side); ms++) {
        g_usleep(1000);
    }
    return side->lost;
}

/* ---- its start ---- */

static PlainMachine *plain_process(OracleSide *side, const char *dir,
                                   const char *const *args, GError **err)
{
    const PlainConfig config = {
        .qemu = side->qemu,
        .machine = PLAIN_MACHINE,
        .ram_bytes = oracle_ram_bytes(side),
        .dir = dir,
        .rom_dir = ROM_DIR,
        .args = args,
    };

    return plain_machine_start(&config, err);
}

static bool start_plain(OracleSide *side, const char *const *args,
                        GError **err)
{
    side->plain = plain_process(side, side->dir, args, err);
    if (side->plain && plain_machine_watch_lines(side->plain)) {
        /* It did not start: a device that it does not have, say. */
        is_lost_soon(side);
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_FAILED, "%s", side->lost ?
                    side->lost->message : "the plain machine does not answer");
        return false;
    }
    return side->plain;
}

PlainMachine *oracle_side_copy(OracleSide *side, const char *dir,
                               GError **err)
{
    g_auto(GStrv) args = oracle_shape_args(&side->shape, side->dir);
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    char **arg;

    for (arg = args; *arg; arg++) {
        g_ptr_array_add(all, *arg);
    }
    if (side->plugged) {
        g_ptr_array_add(all, (char *)"-device");
        g_ptr_array_add(all, side->plugged);
    }
    g_ptr_array_add(all, (char *)"-S");
    g_ptr_array_add(all, (char *)"-incoming");
    g_ptr_array_add(all, (char *)"defer");
    g_ptr_array_add(all, NULL);
    return plain_process(side, dir, (const char *const *)all->pdata, err);
}

static char *xen_machine(const OracleShape *shape)
{
    return shape->cache_mib ?
        g_strdup_printf(XEN_MACHINE ",mapcache-size=%uM,mapcache-idle=1",
                        shape->cache_mib) :
        g_strdup(XEN_MACHINE);
}

static bool start_xen(OracleSide *side, const char *const *args, GError **err)
{
    g_autofree char *machine = xen_machine(&side->shape);
    const TsConfig config = {
        .qemu = side->qemu,
        .name = "oracle",
        .ram_bytes = oracle_ram_bytes(side),
        .dom_flags = side->shape.scattered ? XENSIM_DOM_SCATTERED : 0,
        .machine = machine,
        .vga = "",
        .rom_dir = ROM_DIR,
        .vcpus = oracle_shape_vcpus(&side->shape),
        .args = args,
    };

    side->ts = ts_new(NULL, err);
    if (side->ts && xensim_clock_freeze(ts_sim(side->ts))) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "the simulation's clock cannot be stopped");
    } else if (side->ts) {
        side->guest = ts_create(side->ts, &config, err);
    }
    return side->guest != NULL;
}

static int set_up_one(OracleSide *side, const OracleDevice *device)
{
    return device->setup && oracle_place(side, device) ?
           device->setup(side, device) : 0;
}

static bool set_up(OracleSide *side, GError **err)
{
    unsigned i;

    for (i = 0; oracle_devices[i]; i++) {
        const OracleDevice *device = oracle_devices[i];

        side->state[i] = g_malloc0(device->state_bytes + 1);
        if (set_up_one(side, device)) {
            g_set_error(err, G_IO_ERROR, G_IO_ERROR_FAILED,
                        "%s: cannot set up %s: %s", side->name, device->name,
                        side->lost ? side->lost->message
                                   : guest_pc_error(side->pc));
            return false;
        }
    }
    return true;
}

void oracle_set_up(OracleSide *side)
{
    unsigned i;

    for (i = 0; oracle_devices[i]; i++) {
        oracle_saw_at(side, "set up again", i,
                      set_up_one(side, oracle_devices[i]));
    }
}

/*
 * Directories are called by the process that made them.  One that was killed
 * could not remove its own.
 */
#define DIR_NAME    "xen-oracle-"

static void remove_left_over(const char *parent)
{
    g_autoptr(GDir) d = g_dir_open(parent, 0, NULL);
    const char *name;

    while (d && (name = g_dir_read_name(d))) {
        g_autofree char *path = g_build_filename(parent, name, NULL);
        g_autofree char *state = g_build_filename(path, "state", NULL);
        g_autofree char *copy = g_build_filename(path, "copy", NULL);
        int pid;

        if (sscanf(name, DIR_NAME "%d-", &pid) == 1 && pid > 0 &&
            kill(pid, 0) && errno == ESRCH) {
            oracle_remove_dir(state);
            oracle_remove_dir(copy);
            oracle_remove_dir(path);
        }
    }
}

/* In memory: RAM, disks, a state that is saved, a copy of a machine. */
static char *make_dir(const OracleShape *shape, GError **err)
{
    const char *parent = getenv("XEN_ORACLE_DIR") ?: "/dev/shm";
    uint64_t need = (uint64_t)shape->ram_mib << 21;
    g_autofree char *path = g_strdup_printf("%s/" DIR_NAME "%d-XXXXXX",
                                            parent, getpid());
    struct statvfs room;

    remove_left_over(parent);
    if (statvfs(parent, &room) || room.f_bavail * room.f_frsize < need) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                    "%s has no room for %" PRIu64 " MiB", parent, need >> 20);
        return NULL;
    }
    if (!g_mkdtemp(path)) {
        g_set_error(err, G_IO_ERROR, g_io_error_from_errno(errno), "%s: %s",
                    parent, g_strerror(errno));
        return NULL;
    }
    return g_steal_pointer(&path);
}

OracleSide *oracle_side_start(const char *name, const char *qemu, bool xen,
                              const OracleShape *shape, GError **err)
{
    OracleSide *side = g_new0(OracleSide, 1);
    g_auto(GStrv) args = NULL;
    unsigned i;
    bool ok;

    side->name = name;
    side->qemu = qemu;
    side->shape = *shape;
    side->sights = g_array_new(false, false, sizeof(OracleSight));
    side->texts = g_ptr_array_new_with_free_func(g_free);
    side->absent = g_malloc0(oracle_ram_bytes(side) / ORACLE_PAGE);
    for (i = 0; oracle_devices[i]; i++) {
        oracle_shape_place(shape, i, &side->place[i]);
    }
    side->pc = guest_pc_new_on(&oracle_side_bus, side);
    guest_pc_set_timeout(side->pc, shape->scattered ? SCATTERED_ANSWER_MS
                                                    : ANSWER_MS);
    guest_pci_remember(side->pc);
    side->dir = make_dir(shape, err);
    ok = side->dir && oracle_shape_files(shape, side->dir, err);
    if (ok) {
        args = oracle_shape_args(shape, side->dir);
        ok = (xen ? start_xen : start_plain)(side, (const char *const *)args,
                                             err);
    }
    if (!ok || !set_up(side, err)) {
        oracle_side_stop(side);
        return NULL;
    }
    return side;
}

void oracle_side_stop(OracleSide *side)
{
    unsigned i;

    if (!side) {
        return;
    }
    oracle_dirty_drop(side);
    plain_machine_stop(side->plain);
    ts_destroy(side->guest);
    if (side->ts) {
        ts_free(side->ts);
    }
    if (side->dir) {
        oracle_remove_dir(side->dir);
    }
    for (i = 0; i < ORACLE_MAX_DEVICES; i++) {
        g_free(side->state[i]);
        g_clear_pointer(&side->picture[i], g_bytes_unref);
    }
    guest_pc_free(side->pc);
    g_array_free(side->sights, true);
    g_ptr_array_free(side->texts, true);
    g_clear_error(&side->lost);
    g_free(side->plugged);
    g_free(side->absent);
    g_free(side->dir);
    g_free(side);
}

/* ---- what devices and the engine ask of it ---- */

GuestPc *oracle_pc(OracleSide *side)
{
    return side->pc;
}

uint64_t oracle_ram_bytes(const OracleSide *side)
{
    return (uint64_t)side->shape.ram_mib << 20;
}

bool oracle_is_tight(const OracleSide *side)
{
    return side->shape.cache_mib;
}

bool oracle_is_ram(uint64_t page)
{
    return page < 0xa0 || page >= 0x100;
}

static unsigned index_of(const OracleDevice *device)
{
    unsigned i;

    for (i = 0; oracle_devices[i] != device; i++) {
        g_assert(oracle_devices[i]);
    }
    return i;
}

const OraclePlace *oracle_place(const OracleSide *side,
                                const OracleDevice *device)
{
    unsigned i = index_of(device);

    return side->shape.devices >> i & 1 ? &side->place[i] : NULL;
}

void *oracle_state(OracleSide *side, const OracleDevice *device)
{
    return side->state[index_of(device)];
}

XensimDomain *oracle_domain(OracleSide *side)
{
    return side->guest ? ts_domain(side->guest) : NULL;
}

OracleSide *oracle_peer(OracleSide *side)
{
    return side->peer;
}

uint64_t oracle_side_cpu_ns(OracleSide *side)
{
    pid_t pid = side->plain ? plain_machine_pid(side->plain)
                            : side->guest ? ts_pid(side->guest) : 0;
    clockid_t clock;

    return pid && !clock_getcpuclockid(pid, &clock) ? now_ns(clock) : 0;
}

TsQmp *oracle_side_qmp(OracleSide *side)
{
    GError *err = NULL;
    TsQmp *qmp;

    if (oracle_side_lost(side)) {
        return NULL;
    }
    qmp = side->plain ? plain_machine_qmp(side->plain, &err)
                      : ts_qmp(side->guest);
    if (!qmp) {
        oracle_side_give_up(side, err);
    }
    return qmp;
}

bool oracle_qmp(OracleSide *side, const char *command, const char *args)
{
    TsQmp *qmp = oracle_side_qmp(side);
    GError *err = NULL;

    if (!qmp) {
        return false;
    }
    if (ts_qmp_run(qmp, command, args, &err)) {
        oracle_saw(side, command, 0);
        return true;
    }
    if (err->domain == TS_QMP_ERROR) {
        oracle_saw(side, command, g_str_hash(err->message));
        g_error_free(err);
    } else if (is_lost_soon(side)) {
        g_error_free(err);
    } else {
        oracle_side_give_up(side, err);
    }
    return false;
}

char *oracle_monitor(OracleSide *side, const char *line)
{
    g_autofree char *args = g_strdup_printf("{\"command-line\": \"%s\"}", line);
    TsQmp *qmp = oracle_side_qmp(side);
    g_autoptr(TsJson) told = qmp ?
        ts_qmp_command(qmp, "human-monitor-command", args, NULL) : NULL;

    return told ? g_strdup(told->string) : NULL;
}

void oracle_side_plugged(OracleSide *side, const char *device)
{
    g_free(side->plugged);
    side->plugged = g_strdup(device);
    if (side->guest) {
        ts_set_plugged(side->guest, device);
    }
}

void oracle_side_log_dirty(OracleSide *side)
{
    oracle_dirty_start(side);
}

void oracle_side_dirtied(OracleSide *side, uint64_t gpa, uint64_t len)
{
    oracle_dirty_known(side, gpa, len);
}

void oracle_side_fault(OracleSide *side)
{
    side->faulted = true;
}

bool oracle_side_faulted(OracleSide *side)
{
    return side->faulted;
}

void oracle_pass_time(OracleSide *side, uint64_t ns)
{
    XensimStatus status;

    if (side->lost) {
        return;
    }
    if (side->plain) {
        if (plain_machine_pass_time(side->plain, ns)) {
            oracle_side_lost(side);
        }
        return;
    }
    status = xensim_clock_pass(ts_domain(side->guest), ns);
    if (status != XENSIM_OK && !oracle_side_lost(side)) {
        g_set_error(&side->lost, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "virtual time does not pass: %s",
                    xensim_status_str(status));
    }
}
