/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transfers by copy (hw/xen/xen-ram-copy*.c).  The guest is an array, and other
 * threads do what a hook does: it is called while the guest is being read.
 */
#include "qemu/osdep.h"
#include "qemu/units.h"
#include "xen-ram.h"

enum { RAM = 64 * KiB, AT = 0x1234, LEN = 3 * XC_PAGE_SIZE,
       OLD = 0x11, OTHER = 0x22, MINE = 0x33 };

static uint8_t guest[RAM];
static RAMBlock block = { .offset = 0x100000 };
static void (*at_read)(void);   /* the hook; NULL: nothing comes in between */
static unsigned reads;

static void other_write(ram_addr_t addr, uint8_t byte, hwaddr len)
{
    memset(guest + addr, byte, len);
    xen_ram_copy_wrote(&block, addr, guest + addr, len);
}

/* As that of xen-ram-access.c, but that the guest's memory is always there. */
MemTxResult xen_ram_copy(RAMBlock *b, ram_addr_t addr, void *buf, hwaddr len,
                         bool is_write)
{
    g_assert_true(b == &block && addr + len <= RAM);
    if (is_write) {
        memcpy(guest + addr, buf, len);
        xen_ram_copy_wrote(b, addr, buf, len);
        return MEMTX_OK;
    }
    memcpy(buf, guest + addr, len);
    reads++;
    if (at_read) {
        at_read();
    }
    return MEMTX_OK;
}

MemTxResult xen_ram_copy_changes(RAMBlock *b, ram_addr_t addr, void *buf,
                                 void *old, hwaddr len)
{
    uint8_t *from = buf, *known = old;

    g_assert_true(b == &block && addr + len <= RAM);
    for (hwaddr i = 0; i < len; i++) {
        if (from[i] != known[i]) {
            guest[addr + i] = known[i] = from[i];
        }
    }
    return MEMTX_OK;
}

static uint8_t *map_at(ram_addr_t addr, hwaddr *len, bool is_write)
{
    return xen_ram_copy_map(&block, addr, len, is_write);
}

static void init(void (*hook)(void))
{
    memset(guest, OLD, sizeof(guest));
    reads = 0;
    at_read = hook;
}

static void assert_bytes(ram_addr_t addr, uint8_t byte, hwaddr len)
{
    for (hwaddr i = 0; i < len; i++) {
        if (guest[addr + i] != byte) {
            g_error("guest byte 0x" RAM_ADDR_FMT " is 0x%x instead of 0x%x",
                    addr + i, guest[addr + i], byte);
        }
    }
}

/* --- a write while the copy is filled ------------------------------- */

static void write_middle(void)
{
    at_read = NULL;
    other_write(AT + LEN / 2, OTHER, 100);
}

/* The device writes the first quarter; what was between is the other's. */
static void test_overtaken(void)
{
    hwaddr len = LEN;
    uint8_t *host;

    init(write_middle);
    host = map_at(AT, &len, true);
    g_assert_nonnull(host);
    g_assert_cmpuint(len, ==, LEN);
    memset(host, MINE, LEN / 4);
    g_assert_true(xen_ram_copy_unmap(host, LEN));
    assert_bytes(AT, MINE, LEN / 4);
    assert_bytes(AT + LEN / 4, OLD, LEN / 4);
    assert_bytes(AT + LEN / 2, OTHER, 100);
    assert_bytes(AT + LEN / 2 + 100, OLD, LEN - LEN / 2 - 100);
    g_assert_cmpuint(reads, ==, 1);
    g_assert_cmpuint(xen_ram_copies_size, ==, 0);
}

/* Beside the copy, it is written as often as one likes. */
static void write_beside(void)
{
    other_write(AT - 1, OTHER, 1);
    other_write(AT + LEN, OTHER, 1);
}

static void test_beside(void)
{
    hwaddr len = LEN;
    uint8_t *host;

    init(write_beside);
    host = map_at(AT, &len, true);
    g_assert_nonnull(host);
    g_assert_cmpuint(reads, ==, 1);
    g_assert_true(xen_ram_copy_unmap(host, LEN));
    assert_bytes(AT - 1, OTHER, 1);
    assert_bytes(AT, OLD, LEN);
    assert_bytes(AT + LEN, OTHER, 1);
}

/* What a device only reads is never written back, so it is read once. */
static void test_source(void)
{
    hwaddr len = LEN;
    uint8_t *host;

    init(write_middle);
    host = map_at(AT, &len, false);
    g_assert_nonnull(host);
    g_assert_cmpuint(reads, ==, 1);
    g_assert_true(xen_ram_copy_unmap(host, 0));
    assert_bytes(AT + LEN / 2, OTHER, 100);
}

/* --- a write that the copies are not told of ------------------------ */

static void write_directly(ram_addr_t addr, uint8_t byte, hwaddr len)
{
    memset(guest + addr, byte, len);
}

/*
 * Another transfer has the pages mapped, from before they became unavailable,
 * and writes there after the copy was filled; or the guest's CPU does.
 */
static void test_direct(void)
{
    hwaddr len = LEN;
    uint8_t *host;

    init(NULL);
    host = map_at(AT, &len, true);
    g_assert_nonnull(host);
    memset(host, MINE, LEN / 4);
    write_directly(AT + LEN / 2, OTHER, LEN / 4);
    g_assert_true(xen_ram_copy_unmap(host, LEN));
    assert_bytes(AT, MINE, LEN / 4);
    assert_bytes(AT + LEN / 4, OLD, LEN / 2 - LEN / 4);
    assert_bytes(AT + LEN / 2, OTHER, LEN / 4);
    g_assert_cmpuint(xen_ram_copies_size, ==, 0);
}

/* Two transfers share the copy: what the first wrote back is not, again. */
static void test_direct_between(void)
{
    hwaddr len = LEN, len2 = LEN;
    uint8_t *host, *host2;

    init(NULL);
    host = map_at(AT, &len, true);
    host2 = xen_ram_copy_share(&block, AT, &len2);
    g_assert_true(host && host == host2 && len2 == LEN);
    memset(host, MINE, LEN / 2);
    g_assert_true(xen_ram_copy_unmap(host, LEN));
    assert_bytes(AT, MINE, LEN / 2);
    write_directly(AT, OTHER, LEN / 4);
    host2[LEN - 1] = MINE;
    g_assert_true(xen_ram_copy_unmap(host2, LEN));
    assert_bytes(AT, OTHER, LEN / 4);
    assert_bytes(AT + LEN / 4, MINE, LEN / 2 - LEN / 4);
    assert_bytes(AT + LEN / 2, OLD, LEN - LEN / 2 - 1);
    assert_bytes(AT + LEN - 1, MINE, 1);
    g_assert_cmpuint(xen_ram_copies_size, ==, 0);
}

/*
 * Another device writes later, by an access, what the first has written.  The
 * later write stays.
 */
static void test_later(void)
{
    hwaddr len = LEN;
    uint8_t *host;

    init(NULL);
    host = map_at(AT, &len, true);
    memset(host, MINE, LEN);
    other_write(AT + 5, OTHER, 7);
    g_assert_true(xen_ram_copy_unmap(host, LEN));
    assert_bytes(AT, MINE, 5);
    assert_bytes(AT + 5, OTHER, 7);
    assert_bytes(AT + 12, MINE, LEN - 12);
}

/* --- another transfer while the copy is filled ----------------------- */

static uint8_t *others;     /* its address */
static hwaddr others_len;

static void map_other(void)
{
    at_read = NULL;
    others_len = LEN;
    others = map_at(AT, &others_len, true);
    g_assert_nonnull(others);
}

/* Both write through one copy. */
static void test_shared(void)
{
    hwaddr len = LEN;
    uint8_t *host;

    init(map_other);
    host = map_at(AT, &len, true);
    g_assert_true(host == others && len == LEN);
    memset(host, MINE, LEN / 2);
    memset(others + LEN / 2, OTHER, LEN - LEN / 2);
    g_assert_true(xen_ram_copy_unmap(host, LEN));
    g_assert_true(xen_ram_copy_unmap(others, LEN));
    assert_bytes(AT, MINE, LEN / 2);
    assert_bytes(AT + LEN / 2, OTHER, LEN - LEN / 2);
    g_assert_cmpuint(xen_ram_copies_size, ==, 0);
}

static void whole_other(void)
{
    map_other();
    memset(others, OTHER, others_len);
    g_assert_true(xen_ram_copy_unmap(others, others_len));
}

/* The other transfer has ended before the copy is found by others. */
static void test_ended(void)
{
    hwaddr len = LEN;
    uint8_t *host;

    init(whole_other);
    host = map_at(AT, &len, true);
    g_assert_nonnull(host);
    memset(host, MINE, 1);
    g_assert_true(xen_ram_copy_unmap(host, LEN));
    assert_bytes(AT, MINE, 1);
    assert_bytes(AT + 1, OTHER, LEN - 1);
    g_assert_cmpuint(xen_ram_copies_size, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/xen-ram-copy/overtaken", test_overtaken);
    g_test_add_func("/xen-ram-copy/beside", test_beside);
    g_test_add_func("/xen-ram-copy/source", test_source);
    g_test_add_func("/xen-ram-copy/direct", test_direct);
    g_test_add_func("/xen-ram-copy/direct-between", test_direct_between);
    g_test_add_func("/xen-ram-copy/later", test_later);
    g_test_add_func("/xen-ram-copy/shared", test_shared);
    g_test_add_func("/xen-ram-copy/ended", test_ended);
    return g_test_run();
}
