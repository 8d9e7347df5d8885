/*
 * Xen mapcache: walk everything and check that it agrees
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Only in a build with XEN_MAPCACHE_CHECK, such as that of the unit tests.
 * There a miss, an invalidate and a query of the statistics end with a walk.
 * If a rule does not hold, the rule and the slot are written to standard error,
 * then the sums and the other slots, and abort() is called.
 */

#include "qemu/osdep.h"

#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"

#ifdef XEN_MAPCACHE_CHECK

#define NO_SLOT     UINT32_MAX
#define SHOWN_MOST  64u         /* slots in a dump, beside the wrong one */

/* What a walk has counted. */
typedef struct Sums {
    uint32_t used, pending, queued, published;
} Sums;

/* --- the dump ----------------------------------------------------------- */

static const char *phase_name(MapCachePhase phase)
{
    static const char *const names[] = {
        [MCACHE_FREE] = "FREE", [MCACHE_FILLING] = "FILLING",
        [MCACHE_LIVE] = "LIVE", [MCACHE_STALE] = "STALE",
        [MCACHE_RETIRED] = "RETIRED", [MCACHE_GOING] = "GOING",
        [MCACHE_LOST] = "LOST",
    };

    return phase < ARRAY_SIZE(names) ? names[phase] : "no phase";
}

static void show_slot_locked(uint32_t nr)
{
    MapCacheSlot *s = &mapcache.slot[nr];
    uint64_t state;
    uint32_t *fwd;

    if (!mcache_slot_known(nr)) {
        fprintf(stderr, "  slot %u: its part of the table was never made%s\n",
                nr, test_bit(nr, mapcache.used_map) ? ", used" : "");
        return;
    }
    state = qatomic_read(&s->state);
    fwd = mcache_forward(s->bucket);
    fprintf(stderr, "  slot %u: %s, bucket 0x%x, generation %u, %u locks",
            nr, phase_name(mcache_phase(state)), s->bucket, s->gen,
            mcache_locks(state));
    if (state & MCACHE_RECORD) {
        fprintf(stderr, ", record of 0x%" PRIx64 " bytes at 0x%" PRIx64,
                mcache_record_len(state), mcache_record_offset(state));
    }
    fprintf(stderr, "%s%s%s%s",
            test_bit(nr, mapcache.used_map) ? ", used" : "",
            test_bit(nr, mapcache.reap_map) ? ", to reap" : "",
            test_bit(nr, mapcache.grace_map) ? ", in grace" : "",
            test_bit(nr, mapcache.flush_map) ? ", to flush" : "");
    if (fwd && *fwd) {
        fprintf(stderr, "; its bucket is in slot %u\n", *fwd - 1);
    } else {
        fprintf(stderr, "; its bucket is in no slot\n");
    }
}

static void show_all_locked(uint32_t wrong)
{
    uint32_t shown = 0;

    fprintf(stderr, "  generation %u, %u of %u slots used, %u pending\n",
            mapcache.gen, mapcache.nr_used, mapcache.nr_slots,
            mapcache.nr_pending);
    if (wrong != NO_SLOT) {
        show_slot_locked(wrong);
    }
    for (uint32_t nr = 0; nr < mapcache.nr_slots; nr++) {
        bool used = test_bit(nr, mapcache.used_map) ||
            (mcache_slot_known(nr) &&
             mcache_phase(qatomic_read(&mapcache.slot[nr].state)));

        if (!used || nr == wrong) {
            continue;
        }
        if (++shown > SHOWN_MOST) {
            fprintf(stderr, "  and more\n");
            return;
        }
        show_slot_locked(nr);
    }
}

/* Ends the process unless @what; @why says what is wrong with slot @nr. */
static void require_locked(bool what, uint32_t nr, const char *why)
{
    if (likely(what)) {
        return;
    }
    if (nr == NO_SLOT) {
        fprintf(stderr, "xen-mapcache: check: %s\n", why);
    } else {
        fprintf(stderr, "xen-mapcache: check: slot %u: %s\n", nr, why);
    }
    show_all_locked(nr);
    abort();
}

/* --- the walk ----------------------------------------------------------- */

static void check_slot_locked(uint32_t nr, Sums *sums)
{
    MapCacheSlot *s = &mapcache.slot[nr];
    MapCachePhase phase;
    uint64_t state;
    uint32_t *fwd;

    if (!mcache_slot_known(nr)) {
        /* A thread that took the slot would write to read-only memory. */
        require_locked(!test_bit(nr, mapcache.used_map), nr,
                       "used, and its part of the table was never made");
        return;
    }
    state = qatomic_read(&s->state);
    phase = mcache_phase(state);
    sums->used += phase != MCACHE_FREE;
    sums->pending += phase == MCACHE_STALE || phase == MCACHE_RETIRED ||
                     phase == MCACHE_GOING;

    /* Otherwise the slot could be taken for a second bucket. */
    require_locked(test_bit(nr, mapcache.used_map) == (phase != MCACHE_FREE),
                   nr, "used_map and the phase disagree on whether it is free");
    /* Otherwise a report would name a mapping that has ended. */
    require_locked(mcache_locks(state) || !(state & MCACHE_RECORD), nr,
                   "has the record of a DMA mapping, but mcache_locks() is 0");
    /* A slot in another phase may be unmapped while DMA uses it. */
    require_locked(phase == MCACHE_LIVE || phase == MCACHE_STALE ||
                   mcache_locks(state) == 0, nr,
                   "is locked, in a phase in which it may be unmapped");

    fwd = mcache_forward(s->bucket);
    if (phase == MCACHE_LIVE) {
        /* Otherwise a lookup would map the bucket a second time. */
        require_locked(fwd && *fwd == nr + 1, nr,
                       "is LIVE, and the forward table does not name it");
        /* Otherwise it may show frames that the guest has given back. */
        require_locked(s->gen == mapcache.gen, nr,
                       "is LIVE, and of an older generation");
    } else {
        /* Otherwise a lookup would use a mapping that is being removed. */
        require_locked(!fwd || *fwd != nr + 1, nr,
                       "is not LIVE, and the forward table names it");
    }
}

/* Each cell of the forward table names a slot that has the cell's bucket. */
static void check_forward_locked(Sums *sums)
{
    for (size_t root = 0; root < MCACHE_ROOT_ENTRIES; root++) {
        const uint32_t *leaf = mapcache.root[root];

        for (size_t i = 0; leaf && i < MCACHE_LEAF_BUCKETS; i++) {
            uint32_t nr = leaf[i] - 1;

            if (!leaf[i]) {
                continue;
            }
            sums->published++;
            require_locked(mapcache.slot[nr].bucket ==
                           (root << MCACHE_LEAF_SHIFT) + i, nr,
                           "another bucket's cell of the forward table names "
                           "it");
        }
    }
}

/* A slot that waits to be unmapped is RETIRED: not found, and not held. */
static void check_queues_locked(Sums *sums)
{
    for (uint32_t nr = 0; nr < mapcache.nr_slots; nr++) {
        if (!test_bit(nr, mapcache.reap_map) &&
            !test_bit(nr, mapcache.grace_map) &&
            !test_bit(nr, mapcache.flush_map)) {
            continue;
        }
        sums->queued++;
        require_locked(mcache_phase(qatomic_read(&mapcache.slot[nr].state)) ==
                       MCACHE_RETIRED, nr,
                       "waits to be unmapped, and is not RETIRED");
    }
}

void mcache_check_locked(void)
{
    Sums sums = { 0 };

    for (uint32_t nr = 0; nr < mapcache.nr_slots; nr++) {
        check_slot_locked(nr, &sums);
    }
    check_forward_locked(&sums);
    check_queues_locked(&sums);

    /* Eviction keeps the cap by this number. */
    require_locked(sums.used == mapcache.nr_used, NO_SLOT,
                   "nr_used is not the number of slots that are used");
    /* Eviction subtracts these slots from those that are used. */
    require_locked(sums.pending == mapcache.nr_pending, NO_SLOT,
                   "nr_pending is not the number of slots to be unmapped");
    /* Every queued slot is RETIRED, and RETIRED slots are pending. */
    require_locked(sums.queued <= sums.pending, NO_SLOT,
                   "more slots wait to be unmapped than are pending");
    /* The forward table names no pending slot. */
    require_locked(sums.published + sums.pending <= sums.used, NO_SLOT,
                   "the forward table names slots that are pending");
}

#endif /* XEN_MAPCACHE_CHECK */
