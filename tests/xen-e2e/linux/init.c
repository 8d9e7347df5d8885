/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The only program of the Linux guest: it loads the modules that its initramfs
 * brings, and takes commands over the serial line as the bare-metal guest does
 * (guest/guest.h): a line of words, answered by "ok ..." or "bad ...".
 *
 *   echo N                  N again
 *   memory                  what the kernel has, and has free, in KiB
 *   fill REGION MIB SEED    memory of its own, stamped
 *   check REGION SEED
 *   drop REGION
 *   dwrite LBA MIB SEED     a pattern to the disk, past the page cache
 *   dread REGION LBA        the disk into a region, which is as long as read
 *   load LBA MIB SEED       a process that reads that and compares, for ever
 *   unload                  end it: how often it read, what differed
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define MIB (1u << 20)
#define SECTOR 512u
#define REGIONS 8
#define CHUNK MIB               /* of one read or write */
#define MAX_ARGS 4

typedef struct Region {
    uint32_t *start;
    size_t bytes;
} Region;

typedef struct Load {
    uint32_t rounds, differ, errors;
} Load;

static Region regions[REGIONS];
static FILE *line_out;
static volatile Load *load;
static pid_t loader;

static uint32_t stamp(uint32_t seed, uint32_t offset)
{
    return (offset / 4 + 1) * 0x9e3779b1u ^ seed * 0x85ebca6bu;
}

static void stamp_fill(uint32_t *p, size_t bytes, uint32_t seed)
{
    for (size_t i = 0; i < bytes; i += 4) {
        *p++ = stamp(seed, i);
    }
}

static size_t stamp_differs(const uint32_t *p, size_t bytes, uint32_t seed)
{
    size_t differ = 0;

    for (size_t i = 0; i < bytes; i += 4) {
        differ += *p++ != stamp(seed, i);
    }
    return differ;
}

static uint32_t *allot(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static void drop(Region *r)
{
    if (r->start) {
        munmap(r->start, r->bytes);
        *r = (Region) { 0 };
    }
}

static int disk_open(int how)
{
    return open("/dev/sda", how | O_DIRECT | O_CLOEXEC);
}

/* All of it, CHUNK by CHUNK; 0 or -errno. */
static int disk_move(int fd, int write, uint32_t *p, size_t bytes,
                     uint32_t lba)
{
    for (size_t done = 0; done < bytes; done += CHUNK) {
        off_t at = (off_t)lba * SECTOR + done;
        char *part = (char *)p + done;
        ssize_t n = write ? pwrite(fd, part, CHUNK, at)
                          : pread(fd, part, CHUNK, at);

        if (n != CHUNK) {
            return n < 0 ? -errno : -EIO;
        }
    }
    return 0;
}

static void say_disk(int rc)
{
    if (rc) {
        fprintf(line_out, "bad disk: %s\n", strerror(-rc));
    } else {
        fprintf(line_out, "ok\n");
    }
}

static void do_echo(uint32_t *arg)
{
    fprintf(line_out, "ok echo=%u\n", arg[0]);
}

static void do_memory(uint32_t *arg)
{
    FILE *src = fopen("/proc/meminfo", "r");
    unsigned total = 0, avail = 0;
    char text[256];

    while (src && fgets(text, sizeof(text), src)) {
        sscanf(text, "MemTotal: %u", &total);
        sscanf(text, "MemAvailable: %u", &avail);
    }
    if (src) {
        fclose(src);
    }
    fprintf(line_out, "ok total=%u available=%u\n", total, avail);
}

static void do_fill(uint32_t *arg)
{
    Region *r = &regions[arg[0] % REGIONS];

    drop(r);
    r->bytes = (size_t)arg[1] * MIB;
    r->start = allot(r->bytes);
    if (!r->start) {
        r->bytes = 0;
        fprintf(line_out, "bad memory: %s\n", strerror(errno));
        return;
    }
    stamp_fill(r->start, r->bytes, arg[2]);
    fprintf(line_out, "ok\n");
}

static void do_check(uint32_t *arg)
{
    Region *r = &regions[arg[0] % REGIONS];
    size_t differ = stamp_differs(r->start, r->bytes, arg[1]);

    fprintf(line_out, "%s differ=%zu of=%zu\n",
            differ || !r->bytes ? "bad" : "ok", differ, r->bytes / 4);
}

static void do_drop(uint32_t *arg)
{
    drop(&regions[arg[0] % REGIONS]);
    fprintf(line_out, "ok\n");
}

static void do_dwrite(uint32_t *arg)
{
    size_t bytes = (size_t)arg[1] * MIB;
    uint32_t *p = allot(bytes);
    int fd = disk_open(O_WRONLY), rc = -ENOMEM;

    if (fd < 0) {
        rc = -errno;
    } else if (p) {
        stamp_fill(p, bytes, arg[2]);
        rc = disk_move(fd, 1, p, bytes, arg[0]);
    }
    if (fd >= 0) {
        close(fd);
    }
    if (p) {
        munmap(p, bytes);
    }
    say_disk(rc);
}

static void do_dread(uint32_t *arg)
{
    Region *r = &regions[arg[0] % REGIONS];
    int fd = disk_open(O_RDONLY);
    int rc = fd < 0 ? -errno : disk_move(fd, 0, r->start, r->bytes, arg[1]);

    if (fd >= 0) {
        close(fd);
    }
    say_disk(rc);
}

static void load_for_ever(uint32_t *arg)
{
    size_t bytes = (size_t)arg[1] * MIB;
    int fd = disk_open(O_RDONLY);

    for (;;) {
        /* new memory each time: it may be some that the balloon gave back */
        uint32_t *p = allot(bytes);
        int rc = p && fd >= 0 ? disk_move(fd, 0, p, bytes, arg[0]) : -ENOMEM;

        load->errors += rc != 0;
        load->differ += rc ? 0 : stamp_differs(p, bytes, arg[2]);
        load->rounds++;
        if (p) {
            munmap(p, bytes);
        }
    }
}

static void do_load(uint32_t *arg)
{
    load->rounds = load->differ = load->errors = 0;
    loader = fork();
    if (loader == 0) {
        load_for_ever(arg);
    }
    fprintf(line_out, "%s\n", loader > 0 ? "ok" : "bad no process");
}

static void do_unload(uint32_t *arg)
{
    kill(loader, SIGKILL);
    waitpid(loader, NULL, 0);
    fprintf(line_out, "%s rounds=%u differ=%u errors=%u\n",
            load->rounds && !load->differ && !load->errors ? "ok" : "bad",
            load->rounds, load->differ, load->errors);
}

static const struct {
    const char *name;
    void (*run)(uint32_t *arg);
} commands[] = {
    { "echo", do_echo }, { "memory", do_memory }, { "fill", do_fill },
    { "check", do_check }, { "drop", do_drop }, { "dwrite", do_dwrite },
    { "dread", do_dread }, { "load", do_load }, { "unload", do_unload },
};

static void run(char *text)
{
    uint32_t arg[MAX_ARGS] = { 0 };
    char *word, *save, *name = strtok_r(text, " \r\n", &save);
    unsigned n = 0, i;

    if (!name) {
        return;
    }
    while (n < MAX_ARGS && (word = strtok_r(NULL, " \r\n", &save))) {
        arg[n++] = strtoul(word, NULL, 0);
    }
    for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(name, commands[i].name) == 0) {
            commands[i].run(arg);
            fflush(line_out);
            return;
        }
    }
    fprintf(line_out, "bad no command %s\n", name);
    fflush(line_out);
}

/* /modules/list has a module a line, what others need before them. */
static void load_modules(void)
{
    FILE *list = fopen("/modules/list", "r");
    char name[128], path[160];

    while (list && fscanf(list, "%127s", name) == 1) {
        int fd;

        snprintf(path, sizeof(path), "/modules/%s.ko", name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || syscall(SYS_finit_module, fd, "", 0)) {
            fprintf(line_out, "panic module %s: %s\n", name,
                    strerror(errno));
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    if (list) {
        fclose(list);
    }
}

int main(void)
{
    struct termios raw;
    char text[256];
    FILE *line_in;
    int fd, i;

    mount("proc", "/proc", "proc", 0, NULL);
    mount("sys", "/sys", "sysfs", 0, NULL);
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    fd = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
    tcgetattr(fd, &raw);
    cfmakeraw(&raw);
    tcsetattr(fd, TCSANOW, &raw);
    line_in = fdopen(fd, "r");
    line_out = fdopen(dup(fd), "w");
    load = mmap(NULL, sizeof(*load), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    load_modules();
    for (i = 0; i < 100 && access("/dev/sda", F_OK); i++) {
        usleep(100000);
    }
    while (line_in && fgets(text, sizeof(text), line_in)) {
        run(text);
    }
    fprintf(line_out, "panic the serial line ended\n");
    fflush(line_out);
    for (;;) {
        pause();
    }
}
