/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The demo's story; see demo.h. */

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "cmd-program.h"
#include "demo.h"

#define DEFAULT_ROM_DIR "/usr/share/seabios"

void demo_say(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
}

static char *out_path(Demo *demo, const char *name)
{
    return g_build_filename(demo->out, name, NULL);
}

/* ---- when it is told to end ---- */

/* Of the simulation; set once, before there is anything to remove. */
static char *run_dir;

static void remove_run_dir(void)
{
    g_autoptr(GDir) dir = run_dir ? g_dir_open(run_dir, 0, NULL) : NULL;
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(run_dir, name, NULL);

        g_unlink(path);
    }
    if (dir) {
        g_rmdir(run_dir);
    }
}

/* The device model goes with this process: it asked for that. */
static gpointer signal_thread(gpointer opaque)
{
    int number = 0;

    sigwait(opaque, &number);
    remove_run_dir();
    fprintf(stderr, "xensim-demo: ended by signal %d (%s)\n", number,
            strsignal(number));
    _exit(128 + number);
}

/* Before any other thread, so that all of them leave the signals to it. */
static void catch_signals(void)
{
    static sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    g_thread_unref(g_thread_new("signals", signal_thread, &signals));
}

/* ---- what the demo needs ---- */

static gboolean make_disk(Demo *demo, GError **err)
{
    g_autofree uint8_t *image = g_malloc0(DEMO_DISK_BYTES);

    picture_draw(&demo->picture);
    memcpy(image + DEMO_PICTURE_LBA * GUEST_SECTOR_SIZE,
           demo->picture.pixels, PICTURE_BYTES);
    demo->disk = out_path(demo, "disk.img");
    return g_file_set_contents(demo->disk, (char *)image, DEMO_DISK_BYTES,
                               err);
}

static gboolean prepare(Demo *demo, GError **err)
{
    g_autofree char *program = cmd_find_program(demo->qemu, err);
    g_autofree char *save = NULL;
    const char *lib = xensim_lib_path();

    if (!program || !cmd_check_program(program, err)) {
        return FALSE;
    }
    if (!lib || access(lib, R_OK) < 0) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "%s: no such file; build it, or say where it is by "
                    "XENSIM_LIB", lib ? lib : "libxensim.so");
        return FALSE;
    }
    save = out_path(demo, "save");
    if (g_mkdir_with_parents(save, 0755) < 0) {
        g_set_error(err, G_IO_ERROR, g_io_error_from_errno(errno),
                    "%s: cannot make this directory: %s", save,
                    g_strerror(errno));
        return FALSE;
    }
    return make_disk(demo, err);
}

static TsConfig config(Demo *demo)
{
    return (TsConfig) {
        .qemu = demo->qemu,
        .name = "demo",
        .ram_bytes = DEMO_RAM_BYTES,
        .disk = demo->disk,
        .rom_dir = demo->rom_dir,
        .restricted = demo->restricted,
        .dom_flags = XENSIM_DOM_SCATTERED,
    };
}

/* Keep what the device model said beside the pictures. */
static void keep_output(Demo *demo, const char *name)
{
    g_autofree char *path = out_path(demo, name);
    g_autofree char *text = ts_output(demo->guest);

    g_file_set_contents(path, text, -1, NULL);
}

/* ---- steps ---- */

/* A picture of the display, which must be the one from the disk. */
static gboolean screendump(Demo *demo, const char *name, Picture *shown,
                           GError **err)
{
    g_autofree char *path = out_path(demo, name);
    g_autofree char *ppm = out_path(demo, "screen.ppm");
    g_autoptr(GError) local = NULL;
    unsigned int n, first = 0;

    if (!ts_screendump(demo->guest, path, "png", &local)) {
        /* Built without PNG, say: take what every QEMU can write. */
        if (local->domain != TS_QMP_ERROR) {
            g_propagate_error(err, g_steal_pointer(&local));
            return FALSE;
        }
        if (!ts_screendump(demo->guest, ppm, "ppm", err) ||
            !picture_ppm_to_png(ppm, path, err)) {
            return FALSE;
        }
        g_unlink(ppm);
    }
    if (!picture_load_png(shown, path, err)) {
        return FALSE;
    }
    n = picture_differences(shown, &demo->picture, &first);
    if (n) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "%s: %u of %u pixels differ from the picture on the "
                    "disk, the first at column %u, row %u", path, n,
                    PICTURE_WIDTH * PICTURE_HEIGHT, first % PICTURE_WIDTH,
                    first / PICTURE_WIDTH);
        return FALSE;
    }
    return TRUE;
}

static gboolean start(Demo *demo, GError **err)
{
    TsConfig c = config(demo);
    g_autoptr(TsJson) version = NULL;
    const TsJson *number;

    demo->ts = ts_new(NULL, err);
    if (!demo->ts) {
        return FALSE;
    }
    run_dir = g_strdup(xensim_dir(ts_sim(demo->ts)));
    demo->guest = ts_create(demo->ts, &c, err);
    if (!demo->guest) {
        return FALSE;
    }
    version = ts_qmp_command(ts_qmp(demo->guest), "query-version", NULL, err);
    if (!version) {
        return FALSE;
    }
    number = ts_json_get(version, "qemu");
    demo_say("QEMU %" PRId64 ".%" PRId64 ".%" PRId64 " runs as device model "
             "of domain %u on the simulated Xen%s: %s",
             ts_json_get_int(number, "major", 0),
             ts_json_get_int(number, "minor", 0),
             ts_json_get_int(number, "micro", 0),
             xensim_domid(ts_domain(demo->guest)),
             demo->restricted ? ", restricted to it" : "", demo->qemu);
    return demo_guest_boot(demo, err);
}

static gboolean paint(Demo *demo, Picture *before, GError **err)
{
    demo_stage(demo, "start, display and disk set up");
    if (!demo_guest_paint(demo, err)) {
        return FALSE;
    }
    demo_stage(demo, demo->via_ram ? "picture read from disk into RAM"
                                   : "picture read from disk by DMA");
    demo_say("A picture of %u x %u was read from disk %s; the guest reads "
             "the same %u bytes there.", PICTURE_WIDTH, PICTURE_HEIGHT,
             demo->via_ram ? "into RAM and copied to video memory"
                           : "by DMA into video memory", PICTURE_BYTES);
    if (!screendump(demo, "before.png", before, err)) {
        return FALSE;
    }
    demo_stage(demo, "screendump before.png");
    demo_say("before.png shows it.");
    return TRUE;
}

static gboolean balloon(Demo *demo, GError **err)
{
    XensimMemInfo info;

    if (!demo_guest_balloon(demo, err)) {
        return FALSE;
    }
    xensim_mem_info(ts_domain(demo->guest), &info);
    demo_stage(demo, "pages ballooned out and in, used for DMA");
    demo_say("%u times, %u pages used for DMA were given back to Xen and "
             "replaced by others: no stale byte; %" PRIu64 " old frames are "
             "still mapped.", DEMO_BALLOON_ROUNDS, DEMO_BALLOON_PAGES,
             info.held_pages);
    return TRUE;
}

static gboolean save_restore(Demo *demo, GError **err)
{
    const uint64_t gfn = DEMO_VRAM >> XENSIM_PAGE_SHIFT;
    const uint64_t pages = PICTURE_BYTES / XENSIM_PAGE_SIZE;
    g_autofree char *save = out_path(demo, "save");
    g_autofree uint64_t *mfns = g_new(uint64_t, pages);
    TsConfig c = config(demo);
    uint64_t i, same = 0;

    if (!ts_save(demo->guest, save, err)) {
        return FALSE;
    }
    demo_stage(demo, "save");
    for (i = 0; i < pages; i++) {
        mfns[i] = xensim_gfn_to_mfn(ts_domain(demo->guest), gfn + i);
    }
    keep_output(demo, "qemu-before.log");
    ts_destroy(demo->guest);
    demo->live_maps = 0;
    demo->hits = 0;
    demo->guest = ts_restore(demo->ts, &c, save, err);
    if (!demo->guest) {
        return FALSE;
    }
    for (i = 0; i < pages; i++) {
        same += mfns[i] == xensim_gfn_to_mfn(ts_domain(demo->guest), gfn + i);
    }
    demo_say("Saved, and restored by a new process into domain %u: of %"
             PRIu64 " pages of the picture, %" PRIu64 " lie in a new machine "
             "frame.", xensim_domid(ts_domain(demo->guest)), pages,
             pages - same);
    if (same == pages) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "the restore took the old machine frames, so this run "
                    "shows nothing");
        return FALSE;
    }
    demo_guest_resume(demo);
    return TRUE;
}

static gboolean compare(Demo *demo, const Picture *before, GError **err)
{
    g_autofree Picture *after = g_new(Picture, 1);
    unsigned int n;

    if (!screendump(demo, "after.png", after, err) ||
        !demo_guest_verify(demo, err)) {
        return FALSE;
    }
    n = picture_differences(before, after, NULL);
    if (n) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "before.png and after.png differ in %u pixels", n);
        return FALSE;
    }
    demo_stage(demo, "restore, screendump after.png");
    demo_say("after.png is the same picture, pixel for pixel, and so is the "
             "video memory that the guest reads.");
    if (!demo_guest_repaint(demo, err)) {
        return FALSE;
    }
    demo_stage(demo, "a strip read from disk again");
    demo_say("A strip that the guest blacked out was read from disk again "
             "after the restore.");
    return TRUE;
}

/* Keys that only a restore by xenstore would need. */
static void tell_xenstore(Demo *demo)
{
    unsigned int domid, n = 0;

    for (domid = 1; domid <= 2; domid++) {
        g_autofree char *path =
            g_strdup_printf("/local/domain/0/device-model/%u/physmap", domid);

        n += xensim_xs_log(ts_xs(demo->ts), XENSIM_XS_ANY, path, NULL, NULL);
    }
    demo_say("Accesses to xenstore's physmap keys: %u.", n);
}

static gboolean tell(Demo *demo, GError **err)
{
    g_autofree Picture *before = g_new(Picture, 1);

    if (!prepare(demo, err) || !start(demo, err) ||
        !paint(demo, before, err) || !balloon(demo, err) ||
        !save_restore(demo, err) || !compare(demo, before, err)) {
        return FALSE;
    }
    tell_xenstore(demo);
    demo_report(demo);
    keep_output(demo, "qemu-after.log");
    if (!ts_quit(demo->guest, err)) {
        return FALSE;
    }
    demo_say("Files in %s: before.png, after.png, disk.img, "
             "save/device-model, save/memory, qemu-before.log, "
             "qemu-after.log", demo->out);
    return TRUE;
}

/* ---- the program ---- */

static gboolean parse(Demo *demo, int argc, char **argv, GError **err)
{
    const GOptionEntry entries[] = {
        { "qemu", 0, 0, G_OPTION_ARG_FILENAME, &demo->qemu,
          "the device model to run", "PROGRAM" },
        { "out", 0, 0, G_OPTION_ARG_FILENAME, &demo->out,
          "where pictures, disk and logs go", "DIR" },
        { "rom-dir", 0, 0, G_OPTION_ARG_FILENAME, &demo->rom_dir,
          "QEMU's -L (" DEFAULT_ROM_DIR " if it exists)", "DIR" },
        { "via-ram", 0, 0, G_OPTION_ARG_NONE, &demo->via_ram,
          "no DMA into video memory: read into RAM, let the guest copy",
          NULL },
        { "restricted", 0, 0, G_OPTION_ARG_NONE, &demo->restricted,
          "restrict the device model to its domain", NULL },
        { NULL, 0, 0, 0, NULL, NULL, NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);

    g_set_prgname("xensim-demo");
    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_set_summary(context,
        "A picture goes from a disk into a guest's video memory, and through "
        "a save and\nrestore, on the simulated Xen.  Exit status 0 if it "
        "arrives unharmed.");
    if (!g_option_context_parse(context, &argc, &argv, err)) {
        return FALSE;
    }
    if (argc > 1 || !demo->qemu || !demo->out) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                    argc > 1 ? "%s: not an option"
                             : "%sboth --qemu PROGRAM and --out DIR are "
                               "needed", argc > 1 ? argv[1] : "");
        return FALSE;
    }
    if (!demo->rom_dir &&
        g_file_test(DEFAULT_ROM_DIR, G_FILE_TEST_IS_DIR)) {
        demo->rom_dir = g_strdup(DEFAULT_ROM_DIR);
    }
    return TRUE;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    Demo *demo = g_new0(Demo, 1);
    gboolean ok;

    catch_signals();
    ok = parse(demo, argc, argv, &err) && tell(demo, &err);

    if (!ok) {
        fprintf(stderr, "xensim-demo: %s\n", err->message);
        if (demo->guest) {
            keep_output(demo, "qemu-failed.log");
        }
    }
    guest_pc_free(demo->pc);
    ts_free(demo->ts);
    g_free(demo->disk);
    g_free(demo->qemu);
    g_free(demo->out);
    g_free(demo->rom_dir);
    g_free(demo);
    return ok ? 0 : 1;
}
