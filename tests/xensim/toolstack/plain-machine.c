/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A QEMU with ordinary RAM: its process, and the qtest protocol. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plain-machine.h"

#define START_MS    30000
#define LINES       24u
#define LINE_BYTES  256         /* of the longest command but for data */
#define CHUNK       0x8000u     /* bytes of device memory in one command */

struct PlainMachine {
    uint64_t ram_bytes;
    uint8_t *ram;
    int ram_fd;                 /* -1: none */
    pid_t pid;                  /* 0: reaped */
    int wstatus;
    FILE *to_cpu, *from_cpu;    /* the qtest protocol */
    GuestPc *pc;
    TsQmp *qmp;
    char *cpu_path, *qmp_path, *log_path;
    bool line[LINES];
    char *answer;               /* the last line read, for getline() */
    size_t answer_size;
};

/* ---- the protocol ---- */

/* "IRQ raise 14": comes in between whenever a line changes. */
static bool took_interrupt(PlainMachine *m, const char *answer)
{
    unsigned line;
    char what[8];

    if (sscanf(answer, "IRQ %7s %u", what, &line) != 2) {
        return false;
    }
    if (line < LINES) {
        m->line[line] = strcmp(what, "raise") == 0;
    }
    return true;
}

/* The answer to the command that was written: "OK", and what follows it. */
static int answer(PlainMachine *m, char **rest)
{
    if (fflush(m->to_cpu)) {
        return -ENODEV;
    }
    do {
        if (getline(&m->answer, &m->answer_size, m->from_cpu) < 0) {
            return -ENODEV;
        }
    } while (took_interrupt(m, m->answer));
    if (strncmp(m->answer, "OK", 2) != 0) {
        return -EIO;
    }
    *rest = m->answer + 2;
    return 0;
}

/* The same for an answer that is "OK", or "OK" and a number. */
static int answer_number(PlainMachine *m, uint64_t *val)
{
    char *rest;
    int rc = answer(m, &rest);

    if (!rc && val) {
        *val = g_ascii_strtoull(rest, NULL, 0);
    }
    return rc;
}

/* One command, and its answer. */
static int G_GNUC_PRINTF(3, 4)
ask(PlainMachine *m, uint64_t *val, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(m->to_cpu, fmt, ap);
    va_end(ap);
    return answer_number(m, val);
}

/* What of a write's datum counts. */
static uint64_t datum(const XensimIoreq *req)
{
    return req->size < 8 ? req->data & ((1ull << 8 * req->size) - 1)
                         : req->data;
}

static void put_port_access(PlainMachine *m, const XensimIoreq *req)
{
    const char size = " bw l"[req->size];

    if (req->read) {
        fprintf(m->to_cpu, "in%c 0x%" PRIx64 "\n", size, req->addr);
    } else {
        fprintf(m->to_cpu, "out%c 0x%" PRIx64 " 0x%" PRIx64 "\n", size,
                req->addr, datum(req));
    }
}

static int port_access(PlainMachine *m, XensimIoreq *req)
{
    put_port_access(m, req);
    return answer_number(m, req->read ? &req->data : NULL);
}

static int mmio_access(PlainMachine *m, XensimIoreq *req)
{
    const char size = " bw l   q"[req->size];

    return req->read ?
        ask(m, &req->data, "read%c 0x%" PRIx64 "\n", size, req->addr) :
        ask(m, NULL, "write%c 0x%" PRIx64 " 0x%" PRIx64 "\n", size,
            req->addr, datum(req));
}

#define CONFIG_ADDRESS  0x80000000u

/* By the ports 0xcf8 and 0xcfc. */
static int config_access(PlainMachine *m, XensimIoreq *req)
{
    uint32_t devfn = req->addr >> 32, reg = req->addr;
    XensimIoreq data = *req;
    char *rest;
    int rc, rc_data;

    /* Two commands at once, and then their answers. */
    fprintf(m->to_cpu, "outl 0xcf8 0x%x\n",
            CONFIG_ADDRESS | devfn << 8 | (reg & 0xfc));
    data.addr = 0xcfc | (reg & 3);
    put_port_access(m, &data);
    rc = answer(m, &rest);
    rc_data = answer_number(m, req->read ? &data.data : NULL);
    req->data = data.data;
    return rc ?: rc_data;
}

int plain_machine_pci_config(PlainMachine *m, unsigned devfn, uint32_t *words,
                             unsigned n)
{
    unsigned i;
    int rc = 0;

    for (i = 0; i < n; i++) {
        fprintf(m->to_cpu, "outl 0xcf8 0x%x\ninl 0xcfc\n",
                CONFIG_ADDRESS | devfn << 8 | i * 4);
    }
    for (i = 0; !rc && i < n; i++) {
        uint64_t val = 0;

        rc = answer_number(m, NULL);
        rc = rc ?: answer_number(m, &val);
        words[i] = val;
    }
    return rc;
}

static int bus_access(void *opaque, XensimIoreq *req)
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

/* ---- memory: RAM directly, what is not RAM by the CPU ---- */

static bool in_ram(const PlainMachine *m, uint64_t gpa, size_t len)
{
    return gpa <= m->ram_bytes && len <= m->ram_bytes - gpa;
}

static int far_read(PlainMachine *m, uint64_t gpa, uint8_t *buf, size_t len)
{
    g_autofree guchar *data = NULL;
    gsize got;
    char *rest;
    int rc;

    fprintf(m->to_cpu, "b64read 0x%" PRIx64 " 0x%zx\n", gpa, len);
    rc = answer(m, &rest);
    if (rc) {
        return rc;
    }
    data = g_base64_decode(g_strstrip(rest), &got);
    if (got != len) {
        return -EIO;
    }
    memcpy(buf, data, len);
    return 0;
}

static int far_write(PlainMachine *m, uint64_t gpa, const uint8_t *buf,
                     size_t len)
{
    g_autofree char *text = g_base64_encode(buf, len);
    char *rest;

    fprintf(m->to_cpu, "b64write 0x%" PRIx64 " 0x%zx %s\n", gpa, len, text);
    return answer(m, &rest);
}

static int bus_read(void *opaque, uint64_t gpa, void *buf, size_t len)
{
    PlainMachine *m = opaque;
    size_t done;
    int rc = 0;

    if (in_ram(m, gpa, len)) {
        memcpy(buf, m->ram + gpa, len);
        return 0;
    }
    for (done = 0; !rc && done < len; done += CHUNK) {
        rc = far_read(m, gpa + done, (uint8_t *)buf + done,
                      MIN(len - done, CHUNK));
    }
    return rc;
}

static int bus_write(void *opaque, uint64_t gpa, const void *buf, size_t len)
{
    PlainMachine *m = opaque;
    size_t done;
    int rc = 0;

    if (in_ram(m, gpa, len)) {
        memcpy(m->ram + gpa, buf, len);
        return 0;
    }
    for (done = 0; !rc && done < len; done += CHUNK) {
        rc = far_write(m, gpa + done, (const uint8_t *)buf + done,
                       MIN(len - done, CHUNK));
    }
    return rc;
}

static const GuestBus plain_bus = {
    .access = bus_access,
    .read = bus_read,
    .write = bus_write,
};

/* ---- its process ---- */

static bool fail_errno(GError **err, const char *what)
{
    g_set_error(err, G_IO_ERROR, g_io_error_from_errno(errno), "%s: %s",
                what, g_strerror(errno));
    return false;
}

static bool make_ram(PlainMachine *m, const char *path, GError **err)
{
    m->ram_fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (m->ram_fd < 0 || ftruncate(m->ram_fd, m->ram_bytes) < 0) {
        return fail_errno(err, path);
    }
    m->ram = mmap(NULL, m->ram_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                  m->ram_fd, 0);
    if (m->ram == MAP_FAILED) {
        m->ram = NULL;
        return fail_errno(err, path);
    }
    return true;
}

static void G_GNUC_PRINTF(2, 3)
add(GPtrArray *argv, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_ptr_array_add(argv, g_strdup_vprintf(fmt, ap));
    va_end(ap);
}

static GPtrArray *make_argv(PlainMachine *m, const PlainConfig *c,
                            const char *ram)
{
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
    const char *const *arg;

    add(argv, "%s", c->qemu);
    add(argv, "-nodefaults");
    add(argv, "-no-user-config");
    add(argv, "-display");
    add(argv, "none");
    add(argv, "-machine");
    add(argv, "%s,accel=qtest,memory-backend=ram", c->machine ?: "pc");
    add(argv, "-m");
    add(argv, "%" PRIu64, c->ram_bytes >> 20);
    add(argv, "-object");
    add(argv, "memory-backend-file,id=ram,size=%" PRIu64 "M,share=on,"
        "mem-path=%s", c->ram_bytes >> 20, ram);
    add(argv, "-qtest");
    add(argv, "unix:%s", m->cpu_path);
    add(argv, "-qtest-log");
    add(argv, "/dev/null");
    add(argv, "-qmp");
    add(argv, "unix:%s,server=on,wait=off", m->qmp_path);
    add(argv, "-global");
    add(argv, "apic-common.vapic=off");
    if (c->rom_dir) {
        add(argv, "-L");
        add(argv, "%s", c->rom_dir);
    }
    for (arg = c->args; arg && *arg; arg++) {
        add(argv, "%s", *arg);
    }
    g_ptr_array_add(argv, NULL);
    return argv;
}

/* In the child: the log for its output, and an end with us. */
static void become(GPtrArray *argv, int log_fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(log_fd, 1);
    dup2(log_fd, 2);
    execvp(argv->pdata[0], (char **)argv->pdata);
    dprintf(2, "%s: %s\n", (char *)argv->pdata[0], strerror(errno));
    _exit(127);
}

static bool spawn(PlainMachine *m, GPtrArray *argv, GError **err)
{
    int log_fd = open(m->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                      0600);

    if (log_fd < 0) {
        return fail_errno(err, m->log_path);
    }
    m->pid = fork();
    if (m->pid == 0) {
        become(argv, log_fd);
    }
    close(log_fd);
    if (m->pid < 0) {
        m->pid = 0;
        return fail_errno(err, argv->pdata[0]);
    }
    return true;
}

static bool not_started(PlainMachine *m, const char *qemu, GError **err)
{
    g_autofree char *said = plain_machine_output(m);

    g_set_error(err, G_IO_ERROR, G_IO_ERROR_FAILED,
                "%s did not start as a plain machine: %s", qemu,
                *g_strstrip(said) ? said : "it wrote nothing");
    return false;
}

/* It connects to us, or ends. */
static bool take_cpu(PlainMachine *m, int listener, const char *qemu,
                     GError **err)
{
    unsigned ms;
    int fd;

    for (ms = 0; ; ms += 20) {
        struct pollfd waiting = { .fd = listener, .events = POLLIN };
        int wstatus;

        if (poll(&waiting, 1, 20) > 0) {
            break;
        }
        if (ms >= START_MS || plain_machine_ended(m, 0, &wstatus)) {
            return not_started(m, qemu, err);
        }
    }
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        return fail_errno(err, m->cpu_path);
    }
    m->to_cpu = fdopen(fcntl(fd, F_DUPFD_CLOEXEC, 0), "w");
    m->from_cpu = fdopen(fd, "r");
    return m->to_cpu && m->from_cpu ? true : fail_errno(err, m->cpu_path);
}

static int listen_at(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    unlink(path);
    g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
    if (fd >= 0 && (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
                    listen(fd, 1) < 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static bool start(PlainMachine *m, const PlainConfig *config, GError **err)
{
    g_autofree char *ram = g_build_filename(config->dir, "ram", NULL);
    g_autoptr(GPtrArray) argv = make_argv(m, config, ram);
    int listener = listen_at(m->cpu_path);
    bool ok;

    if (listener < 0) {
        return fail_errno(err, m->cpu_path);
    }
    ok = make_ram(m, ram, err) && spawn(m, argv, err) &&
         take_cpu(m, listener, config->qemu, err);
    close(listener);
    return ok;
}

PlainMachine *plain_machine_start(const PlainConfig *config, GError **err)
{
    PlainMachine *m = g_new0(PlainMachine, 1);

    m->ram_bytes = config->ram_bytes;
    m->ram_fd = -1;
    m->cpu_path = g_build_filename(config->dir, "cpu", NULL);
    m->qmp_path = g_build_filename(config->dir, "qmp", NULL);
    m->log_path = g_build_filename(config->dir, "log", NULL);
    if (!start(m, config, err)) {
        plain_machine_stop(m);
        return NULL;
    }
    m->pc = guest_pc_new_on(&plain_bus, m);
    return m;
}

void plain_machine_stop(PlainMachine *m)
{
    if (!m) {
        return;
    }
    if (m->pid) {
        kill(m->pid, SIGKILL);
        waitpid(m->pid, NULL, 0);
    }
    ts_qmp_free(m->qmp);
    if (m->to_cpu) {
        fclose(m->to_cpu);
    }
    if (m->from_cpu) {
        fclose(m->from_cpu);
    }
    if (m->pc) {
        guest_pc_free(m->pc);
    }
    if (m->ram) {
        munmap(m->ram, m->ram_bytes);
    }
    if (m->ram_fd >= 0) {
        close(m->ram_fd);
    }
    g_free(m->answer);
    g_free(m->cpu_path);
    g_free(m->qmp_path);
    g_free(m->log_path);
    g_free(m);
}

/* ---- what is asked of it ---- */

GuestPc *plain_machine_pc(PlainMachine *m)
{
    return m->pc;
}

pid_t plain_machine_pid(PlainMachine *m)
{
    return m->pid;
}

uint8_t *plain_machine_ram(PlainMachine *m)
{
    return m->ram;
}

void plain_machine_data_foreach(PlainMachine *m, XensimRunFn *fn,
                                void *opaque)
{
    off_t end = m->ram_bytes, data, hole;

    for (data = lseek(m->ram_fd, 0, SEEK_DATA); data >= 0 && data < end;
         data = lseek(m->ram_fd, hole, SEEK_DATA)) {
        uint64_t gfn = data / XENSIM_PAGE_SIZE;

        hole = lseek(m->ram_fd, data, SEEK_HOLE);
        fn(opaque, gfn, gfn, (hole - data) / XENSIM_PAGE_SIZE);
    }
}

TsQmp *plain_machine_qmp(PlainMachine *m, GError **err)
{
    if (!m->qmp) {
        m->qmp = ts_qmp_open(m->qmp_path, START_MS, NULL, NULL, err);
    }
    return m->qmp;
}

int plain_machine_pass_time(PlainMachine *m, uint64_t ns)
{
    return ask(m, NULL, "clock_step %" PRIu64 "\n", ns);
}

int plain_machine_watch_lines(PlainMachine *m)
{
    return ask(m, NULL, "irq_intercept_in ioapic\n");
}

bool plain_machine_line(PlainMachine *m, unsigned line)
{
    return line < LINES && m->line[line];
}

bool plain_machine_ended(PlainMachine *m, unsigned wait_ms, int *wstatus)
{
    unsigned ms;

    for (ms = 0; m->pid; ms++) {
        if (waitpid(m->pid, &m->wstatus, WNOHANG) == m->pid) {
            m->pid = 0;
            break;
        }
        if (ms >= wait_ms) {
            return false;
        }
        g_usleep(1000);
    }
    *wstatus = m->wstatus;
    return true;
}

char *plain_machine_output(PlainMachine *m)
{
    char *text = NULL;

    if (!g_file_get_contents(m->log_path, &text, NULL, NULL)) {
        text = g_strdup("");
    }
    return text;
}
