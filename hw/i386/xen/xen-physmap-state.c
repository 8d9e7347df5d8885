/*
 * Where device memory is in an HVM guest: the section of the saved state
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The section "xen-physmap" says where all frames of device memory are.  It has
 * the highest priority, so it is loaded before the sections of devices.  It is
 * written only if the next QEMU could not find the frames without it, because a
 * device model that does not know the section refuses the state.  That is so
 *
 *  - if probing could not tell where the frames are (xen-physmap-restore.c), or
 *  - if a block may have another ram_addr_t in the next QEMU, because memory
 *    was plugged in, or was unplugged below the block.
 *
 * With an old libxen the pieces are in xenstore, and the section is written
 * only if memory has no frames.
 *
 * The next QEMU has the same devices, but has made them in another order.  So a
 * record of the section has the name of a RAM block, which is that of
 * migration, and an offset in the block.  A record without a name has frames
 * that are not needed any more: of a device that was unplugged, or of a ROM
 * that is not whole any more.  The next QEMU gives them back to Xen.
 *
 * A section is accepted only if it is possible: it has all of a block or
 * nothing of it, each page is at one guest address, and each guest address has
 * one page and is not the guest's RAM.  Frames that are not needed must be
 * where device memory can be: for example, not at the pages that Xen and QEMU
 * share.  A section must not contradict what is known already: what xenstore
 * says (with an old libxen), another section, or a mapping.  Whether the frames
 * are present is found out when they are mapped.
 *
 * The section has a checksum, because a damaged address could be that of other
 * frames, and the saved state of a device model on Xen has no marks at the ends
 * of its sections.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/crc32c.h"
#include "qemu/error-report.h"
#include "qemu/rcu.h"
#include "qemu/rcu_queue.h"
#include "exec/ramlist.h"
#include "hw/qdev-core.h"
#include "hw/xen/xen_native.h"
#include "migration/vmstate.h"
#include "system/xen-mapcache.h"
#include "xen-physmap.h"
#include "xen-physmap-int.h"

/* A piece makes up to three records: itself, and what it cuts off. */
#define MAX_SAVED       (4 * XEN_PIECES_MAX)
#define GADDR_LIMIT     (1ULL << 52)
#define NAME_SIZE       sizeof_field(RAMBlock, idstr)

typedef struct Record {
    char name[NAME_SIZE];   /* of the block; empty: the frames are not needed */
    uint64_t offset;        /* in the block */
    uint64_t gaddr;         /* XEN_NO_FRAMES: the block has none */
    uint64_t size;
} Record;

typedef struct Saved {
    int32_t n;
    Record *r;
    uint32_t sum;
} Saved;

static Saved saved;

/* The checksum of the records as they are in the stream. */
static uint32_t sum_of_records(void)
{
    uint32_t sum = UINT32_MAX;
    int i;

    for (i = 0; i < saved.n; i++) {
        Record r = saved.r[i];

        r.offset = cpu_to_be64(r.offset);
        r.gaddr = cpu_to_be64(r.gaddr);
        r.size = cpu_to_be64(r.size);
        sum = crc32c(sum, (const uint8_t *)&r, sizeof(r));
    }
    return sum;
}

/* True if the device of @block was unplugged, but is not freed yet. */
static bool is_unplugged(const RAMBlock *block)
{
    return block->mr->dev && !block->mr->dev->realized;
}

/*
 * Saving
 */

/* What may let a block have another ram_addr_t in the next QEMU. */
static bool any_plugged;
static ram_addr_t first_unplugged = RAM_ADDR_MAX;

void xen_physmap_state_plugged(void)
{
    any_plugged = true;
}

void xen_physmap_state_unplugged(ram_addr_t ram)
{
    first_unplugged = MIN(first_unplugged, ram);
}

/* True if probing would tell where the frames of @block are. */
static bool is_plain(RAMBlock *block)
{
    XenPiece all = { .ram = block->offset, .size = block->max_length };
    const XenPiece *s;
    bool whole;

    if (xen_map_cache_is_dummy(block->offset)) {
        return false;
    }
    if (!xen_foreign_map_has_fixed()) {
        return true;
    }
    all.gaddr = xen_physmap_translate(block->offset, &all.size);
    s = xen_physmap_shown(block, &whole);
    return all.size == block->max_length &&
           (s ? whole && s->gaddr == all.gaddr &&
                !xen_physmap_is_over_initial(&all)
              : all.gaddr == all.ram);
}

static bool state_needed(void *opaque)
{
    bool fixed = xen_foreign_map_has_fixed(), needed = fixed && any_plugged;
    /* Memory above this may have another ram_addr_t in the next QEMU. */
    ram_addr_t unplugged = first_unplugged, highest = 0;
    RAMBlock *block;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(block) {
        if (!xen_physmap_has_frames(block)) {
            continue;
        }
        if (is_unplugged(block)) {
            unplugged = MIN(unplugged, block->offset);
            continue;
        }
        highest = MAX(highest, block->offset);
        needed |= xen_physmap_is_kept(block) ? !is_plain(block)
                  : fixed && !xen_pieces_are_initial(block->offset,
                                                     block->max_length);
    }
    return needed || (fixed && highest > unplugged);
}

static void add_record(const char *name, uint64_t offset, hwaddr gaddr,
                       uint64_t size)
{
    Record *last = saved.n ? &saved.r[saved.n - 1] : NULL;
    Record *r;

    if (last && last->gaddr + last->size == gaddr &&
        !strcmp(last->name, name) &&
        (!*name || last->offset + last->size == offset)) {
        last->size += size;
        return;
    }
    saved.r = g_renew(Record, saved.r, saved.n + 1);
    r = &saved.r[saved.n++];
    *r = (Record) { .offset = *name ? offset : 0, .gaddr = gaddr,
                    .size = size };
    g_strlcpy(r->name, name, sizeof(r->name));
}

/*
 * True if @block is a ROM of which frames are absent or belong to other memory.
 * They were overwritten, or the guest has ballooned them out.  QEMU still has
 * its mapping of the old frames.  The guest does not say which pages it gives
 * away, so the frames are probed: by one map call for each ROM, only when the
 * section is saved.
 */
static bool is_rom_in_part(const RAMBlock *block)
{
    uint64_t done, len;
    hwaddr gaddr;

    for (done = 0; memory_region_is_rom(block->mr) && done < block->max_length;
         done += len) {
        len = block->max_length - done;
        gaddr = xen_pieces_frames(block->offset + done, &len);
        if (gaddr == XEN_NO_FRAMES ||
            xen_map_cache_probe(gaddr, len, NULL) != XEN_FRAMES_ALL) {
            return true;
        }
    }
    return false;
}

/* Adds the frames of @block that are in the guest. */
static void add_block(const RAMBlock *block, const char *name)
{
    uint64_t done, len;

    for (done = 0; done < block->max_length; done += len) {
        hwaddr gaddr;

        len = block->max_length - done;
        gaddr = xen_pieces_frames(block->offset + done, &len);
        if (gaddr != XEN_NO_FRAMES) {
            add_record(name, done, gaddr, len);
        }
    }
}

static int state_pre_save(void *opaque)
{
    const XenPieces *now = xen_pieces();
    bool fixed = xen_foreign_map_has_fixed();
    RAMBlock *block;
    unsigned i;

    g_free(saved.r);
    saved = (Saved) { 0 };
    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(block) {
        const char *name = xen_physmap_name(block->offset);

        if (!xen_physmap_has_frames(block)) {
            continue;
        }
        if (!xen_map_cache_is_dummy(block->offset)) {
            if (fixed) {
                add_block(block, is_unplugged(block) || is_rom_in_part(block)
                                 ? "" : name);
            }
        } else if (xen_physmap_is_kept(block) && !is_unplugged(block)) {
            add_record(name, 0, XEN_NO_FRAMES, block->max_length);
        }
    }
    for (i = now->n; i < now->all && fixed; i++) {
        add_record("", 0, now->p[i].gaddr, now->p[i].size);
    }
    saved.sum = sum_of_records();
    return saved.n > MAX_SAVED ? -E2BIG : 0;
}

/*
 * Loading
 */

/* What the section says. */
static XenPieceList loaded;

/* @name may have no NUL at its end; no block's name is that long. */
static RAMBlock *block_with_name(const char *name)
{
    RAMBlock *block;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(block) {
        if (xen_physmap_has_frames(block) && !is_unplugged(block) &&
            !strncmp(xen_physmap_name(block->offset), name, NAME_SIZE)) {
            /* Not freed while the BQL is held. */
            return block;
        }
    }
    return NULL;
}

/* True if any of [@gaddr, @gaddr + @size) is the guest's RAM. */
static bool is_guest_ram(hwaddr gaddr, uint64_t size)
{
    uint64_t done, len;

    for (done = 0; done < size; done += len) {
        MemoryRegion *mr;

        len = size - done;
        mr = xen_physmap_region_at(gaddr + done, &len);
        if (mr && mr->foreign) {
            return true;
        }
    }
    return false;
}

/* Returns what is wrong with @r, or NULL.  Then @p is that piece. */
static const char *take_record(const Record *r, XenPiece *p)
{
    RAMBlock *block = *r->name ? block_with_name(r->name) : NULL;
    uint64_t all = block ? block->max_length : XEN_DEVICE_MEMORY_MAX;

    if (*r->name && !block) {
        return "belongs to a device that this machine does not have";
    }
    if (!r->size || r->offset >= all || r->size > all - r->offset ||
        !QEMU_IS_ALIGNED(r->offset | r->size, XEN_GUEST_PAGE_SIZE) ||
        (!block && r->offset)) {
        return "is not made of pages of the device's memory";
    }
    p->ram = block ? block->offset + r->offset : XEN_ABANDONED + r->gaddr;
    p->gaddr = r->gaddr;
    p->size = r->size;
    if (block && p->gaddr == XEN_NO_FRAMES) {
        return p->size == all ? NULL
               : "is a part of a device's memory, and has no frames";
    }
    if (!QEMU_IS_ALIGNED(p->gaddr, XEN_GUEST_PAGE_SIZE) ||
        p->gaddr >= GADDR_LIMIT || p->size > GADDR_LIMIT - p->gaddr) {
        return "has an invalid guest address";
    }
    /* A device's memory may be there: the vmclock's page is at 0xfeffb000. */
    if (!block && (p->gaddr < MiB ||
                   xen_physmap_is_firmware(p->gaddr, p->size))) {
        return "is where no device memory can be";
    }
    return is_guest_ram(p->gaddr, p->size) ? "is where the guest's RAM is"
                                           : NULL;
}

/* True if the pieces have all of the block of @piece. */
static bool has_whole_block(const XenPiece *piece)
{
    const RAMBlock *block = xen_physmap_block(piece->ram);
    uint64_t left = block ? block->max_length : 0;
    int i;

    for (i = 0; block && i < loaded.n; i++) {
        if (loaded.p[i].ram - block->offset < block->max_length) {
            left -= loaded.p[i].size;
        }
    }
    return !left;
}

/*
 * True if the frames of the memory of @piece, or those at its guest address,
 * are known otherwise: from xenstore, from a section before this one, or
 * because the memory is mapped already.
 */
static bool is_known_otherwise(const XenPiece *piece)
{
    const RAMBlock *block = xen_physmap_block(piece->ram);
    bool mapped = block && xen_physmap_is_mapped(block);
    uint64_t done, len;

    for (done = 0; done < piece->size; done += len) {
        ram_addr_t ram = piece->ram + done, other;
        hwaddr gaddr = piece->gaddr + done, now;

        len = piece->size - done;
        if (xen_pieces_at(gaddr, &len, &other) != XEN_AT_UNKNOWN &&
            other != ram) {
            return true;
        }
        now = xen_physmap_translate(ram, &len);
        if (now != gaddr && (mapped || now != ram)) {
            return true;
        }
    }
    return false;
}

/*
 * Returns NULL, or what is wrong with the section.  If NULL, the pieces are as
 * the section says.  @which: out: the number of the record that is wrong.
 */
static const char *take_pieces(int *which)
{
    uint64_t needless = 0;
    const char *wrong;
    XenPiece p;
    int i;

    *which = 0;
    if (saved.sum != sum_of_records()) {
        return "is damaged";
    }
    for (i = 0; i < saved.n; i++) {
        *which = i;
        wrong = take_record(&saved.r[i], &p);
        if (wrong) {
            return wrong;
        }
        if (xen_piece_clashes(loaded.p, loaded.n, &p)) {
            return "overlaps another piece";
        }
        if (p.gaddr != XEN_NO_FRAMES && is_known_otherwise(&p)) {
            return "is not where its frames are known to be";
        }
        needless += p.ram < XEN_ABANDONED ? 0 : p.size;
        if (needless > XEN_DEVICE_MEMORY_MAX) {
            return "has more frames than devices have";
        }
        xen_piece_add(&loaded, &p);
    }
    for (i = 0; i < saved.n; i++) {
        *which = i;
        if (!has_whole_block(&loaded.p[i])) {
            return "belongs to memory of which another piece is missing";
        }
    }
    if (!xen_physmap_is_restoring()) {
        return "cannot be located: the guest has run in this QEMU already";
    }
    for (i = 0; i < saved.n; i++) {
        p = loaded.p[i];
        if (p.ram >= XEN_ABANDONED) {
            xen_pieces_abandon(p.gaddr, p.size);
        } else if (p.gaddr != XEN_NO_FRAMES) {
            xen_pieces_put(p.ram, p.gaddr, p.size);
        }
    }
    return NULL;
}

static int state_post_load(void *opaque, int version_id)
{
    const char *wrong;
    int which;

    g_free(loaded.p);
    loaded = (XenPieceList) { 0 };
    wrong = take_pieces(&which);
    if (wrong) {
        g_autofree char *name = g_strndup(saved.n ? saved.r[which].name : "",
                                          NAME_SIZE);
        g_autofree char *printed = g_strescape(name, NULL);

        error_report("invalid section 'xen-physmap' in the saved state: a "
                     "piece of device memory ('%s') %s", printed, wrong);
        return -EINVAL;
    }
    xen_physmap_restore_known(&loaded);
    return 0;
}

static bool is_count_valid(void *opaque, int version_id)
{
    return saved.n >= 0 && saved.n <= MAX_SAVED;
}

static const VMStateDescription vmstate_record = {
    .name = "xen-physmap/piece",
    .version_id = 2,
    .minimum_version_id = 2,
    .fields = (const VMStateField[]) {
        VMSTATE_BUFFER_UNSAFE(name, Record, 0, NAME_SIZE),
        VMSTATE_UINT64(offset, Record),
        VMSTATE_UINT64(gaddr, Record),
        VMSTATE_UINT64(size, Record),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_physmap = {
    .name = "xen-physmap",
    .version_id = 2,
    .minimum_version_id = 2,
    .priority = MIG_PRI_MAX,
    .needed = state_needed,
    .pre_save = state_pre_save,
    .post_load = state_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_INT32(n, Saved),
        VMSTATE_VALIDATE("number of pieces", is_count_valid),
        VMSTATE_STRUCT_VARRAY_ALLOC(r, Saved, n, 2, vmstate_record, Record),
        VMSTATE_UINT32(sum, Saved),
        VMSTATE_END_OF_LIST()
    },
};

void xen_physmap_state_init(void)
{
    vmstate_register(NULL, 0, &vmstate_physmap, &saved);
}
