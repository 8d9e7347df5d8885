/*
 * Xen mapcache: filling, retiring and unmapping slots
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_XEN_MAPCACHE_SLOTS_H
#define HW_XEN_MAPCACHE_SLOTS_H

#include "xen-mapcache-calls.h"

/* --- xen-mapcache-slots.c: with the lock, unless said otherwise ---------- */

/*
 * Returns the default of the cap, in bytes.  @guest_type: what Linux calls the
 * domain in which QEMU runs, or NULL.  @ram: that domain's memory in bytes.  If
 * the domain is not PV, the default is less: there each mapped page costs a
 * frame of that domain.  Needs no lock.
 */
uint64_t mcache_default_size(const char *guest_type, uint64_t ram);

/*
 * Reserves the arena and its tables, or ends QEMU with a message.  Called at
 * init, without the lock.
 */
void mcache_arena_init(void);

/* Sets the phase of a slot that has no DMA lock, and traces that. */
void mcache_slot_set_phase_locked(MapCacheSlot *s, MapCachePhase phase);

/* Traces that slot @nr, which has @bucket, is in @phase now. */
void mcache_slot_trace(uint32_t nr, uint64_t bucket, MapCachePhase phase);

/*
 * Makes the slot's part of the table writable.  False, with errno, if there is
 * no memory for it.
 */
bool mcache_slot_make_locked(uint32_t nr);

/*
 * These change the slot's phase.  The first takes a FREE slot: it is FILLING
 * then, and the call @by maps @bucket into it.  The second makes it FREE again.
 * The third makes a FILLING slot LOST.
 */
void mcache_slot_take_locked(uint32_t nr, uint64_t bucket,
                             const MapCacheCall *by);
void mcache_slot_give_back_locked(uint32_t nr);
void mcache_slot_lose_locked(uint32_t nr);

/*
 * Reserves the slot's addresses again after a failed map call.  False if
 * another mapping may be there: then the caller makes the slot LOST, and the
 * reaper finds out whether there is one.  Needs no lock.
 */
bool mcache_slot_reserve_again(uint32_t nr);

/*
 * Unmaps and frees the slots [@nr, @nr + @n).  They are RETIRED, and in none of
 * the bitmaps for the reaper or the invalidate.  The lock is released
 * meanwhile.  Slots that cannot be unmapped are left to the reaper.
 */
void mcache_slots_unmap_locked(uint32_t nr, uint32_t n);

/*
 * Does the same for all slots in @map, and clears @map.  One system call unmaps
 * at most @bite slots: nobody else can map while it lasts.
 */
void mcache_slots_unmap_all_locked(unsigned long *map, uint32_t bite);

/*
 * The first leaves a RETIRED slot to the reaper.  The second takes it back, so
 * that the caller can unmap it.
 */
void mcache_reap_later_locked(uint32_t nr);
void mcache_reap_cancel_locked(uint32_t nr);

/* Wakes the reaper. */
void mcache_reaper_wake_locked(void);

/*
 * Finds out which of the slots that are LOST still have their addresses, and
 * frees these slots.  That takes long, so the lock is released meanwhile.
 */
void mcache_slots_find_lost_locked(void);

/*
 * True if all of [@host, @host + @size) is mapped to the file @fd, by one
 * mapping or several; false also if the kernel does not say.  To be asked after
 * a map call that failed.  Takes longer the more memory areas there are.  Needs
 * no lock.
 */
bool mcache_range_is_of(const void *host, size_t size, int fd);

/*
 * Reports that something failed, at a limited rate.  @what: a phrase that ends
 * in the name of @addr, such as "mapping guest address"; @addr: a guest
 * address, a grant reference, or HWADDR_MAX for none; @pages: how many pages
 * the call was for; @err: a positive errno.  Needs no lock.
 */
void mcache_report_failure(const char *what, hwaddr addr, size_t pages,
                           int err);

/*
 * To be called when an access found no guest RAM at @addr.  For a running guest
 * that is no error.  In a restore all RAM is present before QEMU starts, so it
 * is an error; it is reported, at a limited rate, if the BQL is held.  Called
 * without the lock.
 */
void mcache_report_hole(hwaddr addr);

/* --- xen-mapcache-fill.c: with the lock --------------------------------- */

/*
 * Maps the buckets [@first, @first + @n) as far as they are not mapped; into
 * adjacent slots if @n > 1.  Returns the status of the page @page in the first
 * bucket, or XEN_MAP_UNAVAILABLE if there are no @n adjacent slots.  It may
 * leave some or all of the other buckets unmapped.  The lock is released
 * meanwhile.
 */
XenMapStatus mcache_fill_locked(uint64_t first, uint32_t n, unsigned page);

/* --- xen-mapcache-retire.c: with the lock, unless said otherwise -------- */

/*
 * Retires all slots, and unmaps those that nobody can be using.  Called with
 * the lock and the BQL, not in an RCU section.  The caller has stepped the
 * generation under the same lock.  The lock is released for the unmapping, when
 * no lookup can find an old mapping any more.
 */
void mcache_flush_locked(void);

/*
 * To be called when the last DMA lock of a STALE slot was released.  Unmaps the
 * slot, or leaves it to the reaper.  Without the lock.
 */
void mcache_stale_unlocked(uint32_t nr);

/* Releases one DMA lock of each slot in [@nr, @nr + @n).  Without the lock. */
void mcache_slots_unlock(uint32_t nr, uint32_t n);

/*
 * Retires a LIVE slot, and leaves it to the reaper, because the calling thread
 * itself may have transient pointers into it.
 */
void mcache_retire_later_locked(uint32_t nr);

/*
 * If more slots are live than the cap allows, retires that many of the slots
 * that were not used lately.  The reaper frees them.  So a spare slot is free
 * when the next thread needs one: that thread is in an RCU section and cannot
 * wait for a grace period.  One call checks a part of the slots only.  The
 * slots [@keep, @keep + @n) are not retired: the caller is about to use them.
 */
void mcache_evict_locked(uint32_t keep, uint32_t n);

/*
 * Makes one round over the slots.  The reaper makes MCACHE_IDLE_ROUNDS rounds
 * in the time for which an unused bucket is kept.  A slot that no DMA holds is
 * retired when it was not used for MCACHE_IDLE_ROUNDS rounds.  The lock is
 * released now and then.
 */
#define MCACHE_IDLE_ROUNDS  4
void mcache_idle_round_locked(void);

/*
 * To be called when a map call failed for lack of memory.  In a stub domain or
 * a PVH dom0, mapped frames cost memory too.  Retires some slots that were not
 * used lately, even below the cap, so that a later call may succeed.
 */
void mcache_evict_for_memory_locked(void);

/* --- xen-mapcache-reaper.c: without the lock ---------------------------- */

/*
 * Starts the thread, before the machine runs.  Later it might be impossible to
 * create a thread, and that must not end a running guest.
 */
void mcache_reaper_init(void);

/*
 * The time for the record of a DMA mapping: a result of mcache_seconds() that
 * is at most about a second old.  It comes from mapcache.seconds, which the
 * reaper updates while there is DMA: to ask the kernel would take longer than
 * all else that makes a DMA mapping.  If nobody updates it, this makes the
 * reaper do so.
 */
uint32_t mcache_clock(void);

#endif /* HW_XEN_MAPCACHE_SLOTS_H */
