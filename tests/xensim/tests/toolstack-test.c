/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The toolstack of the simulated Xen.  Tests that need a QEMU use the one that
 * XENSIM_QEMU names; if there is none, they are skipped with a message.
 */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "cmd-program.h"
#include "drivers/pc.h"
#include "toolstack.h"

#define ROM_DIR "/usr/share/seabios"
#define VRAM 0xf0000000u

/* ---- without QEMU ---- */

static void test_json(void)
{
    static const char text[] =
        " {\"a\": [1, -2, 18446744073709551615, 2.9, true, null, {}],\n"
        "  \"s\": \"x\\\"\\\\\\n\\u00e9\\ud83d\\ude00\", \"e\": \"\" } ";
    static const char *const bad[] = {
        "", "{", "[1,]", "{\"a\" 1}", "\"x", "{\"a\":1} x", "\"\\q\"",
        "\"\\ud800\"", "nul", "{1:2}",
    };
    g_autoptr(TsJson) json = ts_json_parse(text, strlen(text));
    const TsJson *a;
    g_autofree char *quoted = NULL;
    g_autofree char *deep = g_strnfill(100000, '[');
    unsigned int i;

    g_assert_nonnull(json);
    a = ts_json_get(json, "a");
    g_assert_cmpint(a->type, ==, TS_JSON_ARRAY);
    g_assert_cmpuint(a->items->len, ==, 7);
    g_assert_cmpint(((TsJson *)a->items->pdata[1])->number, ==, -2);
    g_assert_cmpint(((TsJson *)a->items->pdata[2])->number, ==, -1);
    g_assert_cmpint(((TsJson *)a->items->pdata[3])->number, ==, 2);
    g_assert_cmpint(((TsJson *)a->items->pdata[4])->number, ==, 1);
    g_assert_cmpstr(ts_json_get_string(json, "s"), ==,
                    "x\"\\\n\xc3\xa9\xf0\x9f\x98\x80");
    g_assert_cmpstr(ts_json_get_string(json, "e"), ==, "");
    g_assert_null(ts_json_get(json, "none"));
    g_assert_cmpint(ts_json_get_int(json, "none", 7), ==, 7);
    for (i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_null(ts_json_parse(bad[i], strlen(bad[i])));
    }
    g_assert_null(ts_json_parse(deep, strlen(deep)));
    quoted = ts_json_quote("a\"b\\c\nd");
    g_assert_cmpstr(quoted, ==, "\"a\\\"b\\\\c\\u000ad\"");
}

static void test_argv(void)
{
    const char *const more[] = { "-trace", "xen*", NULL };
    TsConfig c = {
        .qemu = "/q", .vcpus = 2, .ram_bytes = 256 << 20, .disk = "/a,b",
        .restricted = true, .args = more,
    };
    g_auto(GStrv) argv = ts_qemu_argv(&c, 7, "/run/s", "fd:9");
    g_autofree char *line = g_strjoinv(" ", argv);

    g_assert_cmpstr(line, ==,
        "/q -xen-domid 7 -no-shutdown "
        "-chardev socket,id=libxl-cmd,path=/run/s,server=on,wait=off "
        "-mon chardev=libxl-cmd,mode=control -nodefaults -no-user-config "
        "-name guest -display none -device VGA,vgamem_mb=16 -boot order=cd "
        "-smp 2,maxcpus=2 -net none -machine xenfv,suppress-vmdesc=on -m 256 "
        "-drive file=/a,,b,if=ide,index=0,media=disk,format=raw,"
        "cache=writeback -xen-domid-restrict -incoming fd:9 -trace xen*");
}

static void expect_memory(const char *text, uint64_t bytes)
{
    g_autoptr(GError) err = NULL;
    uint64_t got = 0;

    if (bytes) {
        g_assert_true(cmd_parse_memory("-m", text, &got, &err));
        g_assert_cmpuint(got, ==, bytes);
    } else {
        g_assert_false(cmd_parse_memory("-m", text, &got, &err));
        g_assert_nonnull(strstr(err->message, "not a memory size"));
    }
}

static void test_memory_sizes(void)
{
    expect_memory("128", 128 << 20);
    expect_memory("128M", 128 << 20);
    expect_memory("2g", 2ull << 30);
    expect_memory("2048K", 2 << 20);
    expect_memory("4T", 4ull << 40);
    expect_memory("64MiB", 64 << 20);
    expect_memory("", 0);
    expect_memory("0", 0);
    expect_memory("-1", 0);
    expect_memory("12Q", 0);
    expect_memory("1000K", 0);
    expect_memory("5T", 0);
    expect_memory("99999999999999999999999M", 0);
    expect_memory("1Mx", 0);
}

static void test_programs(void)
{
    const char *const args[] = { "q", "-m", "1", "--smp", "2", "-M", NULL };
    const char *const m[] = { "m", NULL };
    const char *const smp[] = { "smp", NULL };
    const char *const machine[] = { "machine", "M", NULL };
    const char *const none[] = { "name", NULL };
    g_autoptr(GError) err = NULL;

    g_assert_null(cmd_find_program("no-such-program-here", &err));
    g_assert_nonnull(strstr(err->message, "no such program in PATH"));
    g_clear_error(&err);
    g_assert_null(cmd_find_program("/no/such", &err));
    g_clear_error(&err);
    g_assert_null(cmd_find_program("/etc/passwd", &err));
    g_assert_nonnull(strstr(err->message, "not a program"));
    g_clear_error(&err);
    g_assert_false(cmd_check_program("/bin/ls", &err));
    g_assert_cmpstr(err->message, ==, "ls: this QEMU was built without Xen "
                    "(no libxenforeignmemory); build it with --enable-xen");

    g_assert_cmpstr(cmd_option(args, m), ==, "1");
    g_assert_cmpstr(cmd_option(args, smp), ==, "2");
    g_assert_cmpstr(cmd_option(args, machine), ==, "");
    g_assert_null(cmd_option(args, none));
}

/* ---- with QEMU ---- */

typedef struct Fixture {
    Toolstack *ts;
    char *dir, *disk;
    TsConfig config;
} Fixture;

static void setup(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) err = NULL;
    g_autofree uint8_t *image = g_malloc0(1 << 20);
    unsigned int i;

    if (!g_getenv("XENSIM_QEMU")) {
        return;
    }
    f->dir = g_dir_make_tmp("toolstack-XXXXXX", NULL);
    f->disk = g_build_filename(f->dir, "disk", NULL);
    for (i = 0; i < (1 << 20) / XENSIM_PAGE_SIZE; i++) {
        xensim_stamp_page(image + i * XENSIM_PAGE_SIZE, i, 1);
    }
    g_assert_true(g_file_set_contents(f->disk, (char *)image, 1 << 20, NULL));
    f->ts = ts_new(NULL, &err);
    g_assert_no_error(err);
    f->config = (TsConfig) {
        .qemu = g_getenv("XENSIM_QEMU"),
        .ram_bytes = 64 << 20,
        .disk = f->disk,
        .rom_dir = g_file_test(ROM_DIR, G_FILE_TEST_IS_DIR) ? ROM_DIR : NULL,
    };
}

static void teardown(Fixture *f, gconstpointer data)
{
    static const char *const files[] = {
        "disk", "device-model", "memory", "screen",
    };
    g_autofree char *run_dir = NULL;
    unsigned int i;

    if (!f->ts) {
        return;
    }
    run_dir = g_strdup(xensim_dir(ts_sim(f->ts)));
    g_assert_cmpuint(xensim_check(ts_sim(f->ts)), ==, 0);
    ts_free(f->ts);
    g_assert_false(g_file_test(run_dir, G_FILE_TEST_EXISTS));
    for (i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(f->dir, files[i], NULL);

        g_unlink(path);
    }
    g_assert_cmpint(g_rmdir(f->dir), ==, 0);
    g_free(f->dir);
    g_free(f->disk);
}

static bool without_qemu(Fixture *f)
{
    if (!f->ts) {
        g_test_skip("XENSIM_QEMU does not name a QEMU with Xen support");
    }
    return !f->ts;
}

static TsGuest *create(Fixture *f)
{
    g_autoptr(GError) err = NULL;
    TsGuest *guest = ts_create(f->ts, &f->config, &err);

    g_assert_no_error(err);
    g_assert_nonnull(guest);
    return guest;
}

static char *dm_key(TsGuest *guest, const char *key)
{
    return g_strdup_printf("/local/domain/0/device-model/%u/%s",
                           xensim_domid(ts_domain(guest)), key);
}

/* Devices work: the disk's 64 pages arrive in RAM at 16 MiB. */
static void use_disk(TsGuest *guest, GuestPc *pc, GuestIde *ide)
{
    const GuestSg sg = { 16 << 20, 64 * XENSIM_PAGE_SIZE };
    uint8_t page[XENSIM_PAGE_SIZE];
    unsigned int i;

    g_assert_cmpint(xensim_fill(ts_domain(guest), sg.gpa, 0, sg.len), ==, 0);
    g_assert_cmpint(guest_ide_dma(ide, false, 0, sg.len / 512, &sg, 1), ==,
                    0);
    for (i = 0; i < 64; i++) {
        xensim_read(ts_domain(guest), sg.gpa + i * XENSIM_PAGE_SIZE, page,
                    XENSIM_PAGE_SIZE);
        g_assert_true(xensim_stamp_page_ok(page, i, 1));
    }
}

static void use_ide(TsGuest *guest, GuestPc *pc)
{
    uint8_t sectors[2][512], page[XENSIM_PAGE_SIZE];
    GuestIde ide;
    uint16_t words[256];

    g_assert_cmpint(guest_ide_init(pc, &ide, 0, 0, 0x1000), ==, 0);
    g_assert_cmpint(guest_ide_identify(&ide, words), ==, 0);
    g_assert_cmpuint(words[60] | words[61] << 16, ==, (1 << 20) / 512);
    use_disk(guest, pc, &ide);

    /* Programmed I/O sees the same bytes, and so do string instructions. */
    xensim_stamp_page(page, 3, 1);
    g_assert_cmpint(guest_ide_pio(&ide, false, 24, 2, sectors), ==, 0);
    g_assert_cmpmem(sectors, 1024, page, 1024);
    g_assert_cmpint(guest_ide_pio_string(&ide, false, 24, 2, 0x8e00), ==, 0);
    memset(sectors, 0, sizeof(sectors));
    xensim_read(ts_domain(guest), 0x8e00, sectors, 1024);
    g_assert_cmpmem(sectors, 1024, page, 1024);

    /* What the hardware cannot do is a result, not an end. */
    g_assert_cmpint(guest_ide_init(pc, &ide, 0, 1, 0x1000), ==, -ENOENT);
    g_assert_cmpint(guest_ide_init(pc, &ide, 0, 0, 0x1001), ==, -EINVAL);
    g_assert_cmpint(guest_ide_init(pc, &ide, 0, 0, 0x1000), ==, 0);
    g_assert_cmpint(guest_ide_dma(&ide, false, 1 << 20, 1,
                                  &(GuestSg) { 0x2000, 512 }, 1), ==, -EIO);
    use_disk(guest, pc, &ide);
}

static void use_vga(TsGuest *guest, GuestPc *pc)
{
    GuestVga vga;

    g_assert_cmpint(guest_vga_init(pc, &vga, 1), ==, -ENOENT);
    g_assert_cmpint(guest_vga_init(pc, &vga, 0), ==, 0);
    g_assert_cmpuint(vga.vram_bytes, ==, 16 << 20);
    g_assert_cmpint(guest_vga_place(&vga, VRAM + 0x1000, 0), ==, -EINVAL);
    g_assert_cmpint(guest_vga_place(&vga, VRAM, 0), ==, 0);
    g_assert_cmpuint(xensim_gfn_to_mfn(ts_domain(guest), VRAM >> 12), !=,
                     XENSIM_NO_MFN);
}

static void test_create(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *state = NULL, *state_key = NULL;
    g_autofree char *name_key = NULL, *name = NULL;
    TsGuest *guest;
    GuestPc *pc;

    if (without_qemu(f)) {
        return;
    }
    f->config.name = "first";
    guest = create(f);
    state_key = dm_key(guest, "state");
    state = xensim_xs_read(ts_xs(f->ts), state_key);
    g_assert_cmpstr(state, ==, "running");
    name_key = g_strdup_printf("/local/domain/%u/name",
                               xensim_domid(ts_domain(guest)));
    name = xensim_xs_read(ts_xs(f->ts), name_key);
    g_assert_cmpstr(name, ==, "first");

    pc = guest_pc_new(ts_domain(guest));
    use_ide(guest, pc);
    use_vga(guest, pc);

    g_assert_true(ts_quit(guest, &err));
    g_assert_no_error(err);
    g_assert_false(ts_alive(guest, NULL, NULL));
    guest_pc_free(pc);
    ts_destroy(guest);
    g_assert_null(xensim_xs_read(ts_xs(f->ts), state_key));
}

static void test_balloon(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) err = NULL;
    TsGuest *guest;

    if (without_qemu(f)) {
        return;
    }
    guest = create(f);
    g_assert_true(ts_balloon_out(guest, 0x1000, 16, &err));
    g_assert_no_error(err);
    g_assert_cmpuint(xensim_gfn_to_mfn(ts_domain(guest), 0x100f), ==,
                     XENSIM_NO_MFN);
    g_assert_false(ts_balloon_out(guest, 0x1000, 17, &err));
    g_assert_nonnull(strstr(err->message, "only 1 could be had"));
    g_clear_error(&err);
    g_assert_true(ts_balloon_in(guest, 0x1000, 17, &err));
    g_assert_no_error(err);
    ts_destroy(guest);
}

/* Video memory that went to its BAR, RAM, and the disk, after a restore. */
static void test_save_restore(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) err = NULL;
    uint64_t mfn;
    TsGuest *guest;
    GuestPc *pc;
    GuestIde ide;
    GuestVga vga;
    int round;

    if (without_qemu(f)) {
        return;
    }
    guest = create(f);
    pc = guest_pc_new(ts_domain(guest));
    g_assert_cmpint(guest_vga_init(pc, &vga, 0), ==, 0);
    g_assert_cmpint(guest_vga_place(&vga, VRAM, 0), ==, 0);
    g_assert_cmpint(guest_vga_mode(&vga, 640, 480, 32), ==, 0);
    g_assert_cmpint(guest_ide_init(pc, &ide, 0, 0, 0x1000), ==, 0);
    g_assert_cmpint(xensim_stamp(ts_domain(guest), VRAM >> 12, 4096, 5), ==,
                    0);
    g_assert_cmpint(xensim_stamp(ts_domain(guest), 0x800, 100, 6), ==, 0);

    for (round = 0; round < 2; round++) {
        mfn = xensim_gfn_to_mfn(ts_domain(guest), VRAM >> 12);
        if (round == 0) {
            g_assert_true(ts_save(guest, f->dir, &err));
            g_assert_no_error(err);
            ts_destroy(guest);
            guest = ts_restore(f->ts, &f->config, f->dir, &err);
        } else {
            guest = ts_migrate(guest, &err);
        }
        g_assert_no_error(err);
        g_assert_nonnull(guest);
        g_assert_cmpuint(xensim_gfn_to_mfn(ts_domain(guest), VRAM >> 12), !=,
                         mfn);
        g_assert_cmpuint(xensim_stamp_check(ts_domain(guest), VRAM >> 12,
                                            4096, 5), ==, XENSIM_NO_GFN);
        g_assert_cmpuint(xensim_stamp_check(ts_domain(guest), 0x800, 100, 6),
                         ==, XENSIM_NO_GFN);
        guest_pc_free(pc);
        pc = guest_pc_new(ts_domain(guest));
        ide.pc = pc;
        use_disk(guest, pc, &ide);
    }

    /* A checkpoint: saved, and it goes on itself. */
    g_assert_true(ts_save(guest, f->dir, &err));
    g_assert_true(ts_resume(guest, &err));
    g_assert_no_error(err);
    use_disk(guest, pc, &ide);
    guest_pc_free(pc);
    ts_destroy(guest);
}

static void test_restricted(Fixture *f, gconstpointer data)
{
    g_autofree char *key = NULL;
    uint32_t domid = 0;
    TsGuest *guest;

    if (without_qemu(f)) {
        return;
    }
    f->config.restricted = true;
    xensim_xs_refuse_changes(ts_xs(f->ts), "/");
    guest = create(f);
    g_assert_true(xensim_is_restricted(ts_sim(f->ts), ts_pid(guest), &domid));
    g_assert_cmpuint(domid, ==, xensim_domid(ts_domain(guest)));
    key = dm_key(guest, "state");
    g_assert_null(xensim_xs_read(ts_xs(f->ts), key));
    ts_destroy(guest);
}

static void test_death(Fixture *f, gconstpointer data)
{
    const char *const bad[] = { "-no-such-option-at-all", NULL };
    g_autoptr(GError) err = NULL;
    TsGuest *guest;
    int wstatus = 0;

    if (without_qemu(f)) {
        return;
    }
    /* Before it runs. */
    f->config.args = bad;
    g_assert_null(ts_create(f->ts, &f->config, &err));
    g_assert_nonnull(strstr(err->message, "exited with status 1"));
    g_assert_nonnull(strstr(err->message, "no-such-option-at-all"));
    g_clear_error(&err);
    f->config.args = NULL;

    /* While it runs. */
    guest = create(f);
    g_assert_true(ts_alive(guest, NULL, NULL));
    kill(ts_pid(guest), SIGKILL);
    g_assert_false(ts_save(guest, f->dir, &err));
    g_assert_nonnull(strstr(err->message, "signal 9"));
    g_clear_error(&err);
    g_assert_false(ts_alive(guest, &wstatus, NULL));
    g_assert_true(WIFSIGNALED(wstatus));
    ts_destroy(guest);

    /* A program that is not there. */
    f->config.qemu = "/no/such/qemu";
    g_assert_null(ts_create(f->ts, &f->config, &err));
    g_assert_nonnull(strstr(err->message, "/no/such/qemu"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/toolstack/json", test_json);
    g_test_add_func("/toolstack/argv", test_argv);
    g_test_add_func("/command/memory-sizes", test_memory_sizes);
    g_test_add_func("/command/programs", test_programs);
#define ADD(name, function) \
    g_test_add("/toolstack/" name, Fixture, NULL, setup, function, teardown)
    ADD("create", test_create);
    ADD("balloon", test_balloon);
    ADD("save-restore", test_save_restore);
    ADD("restricted", test_restricted);
    ADD("death", test_death);
    return g_test_run();
}
