/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The protocol of a slot of the Xen mapcache, for Spin.
 *
 * The model has one slot, which holds bucket 0 or another bucket.  These
 * threads use it: readers without the BQL, which take a transient pointer in
 * an RCU section; a thread that maps and unmaps DMA; a thread that fills the
 * slot; the reaper; and the main thread, which has the BQL and invalidates,
 * evicts and fills.  A step of the model is one atomic access of the code
 * (hw/xen/xen-mapcache*.c), in the same order.  The model's memory is
 * sequentially consistent.  Where that matters, the code has barriers.
 *
 * A life of the slot ends when the slot is unmapped.  A thread that uses a
 * pointer asserts that the slot's life has not ended since it got the pointer,
 * and that the slot holds the bucket that it looked for.
 *
 * A call that maps or unmaps is made without the lock.  While it lasts, it is
 * counted in calls[], by the generation in which it began.  After an
 * invalidate, no lookup finds what was mapped in an older generation, and no
 * call that began in an older generation is under way.
 *
 * Each of NO_SECOND_LOOK, EARLY_USE, NO_MARK_RULE, NO_GRACE_BIT, NO_CALL_CHECK
 * and NO_CALL_WAIT makes a mistake, which Spin must find.
 */

#ifndef READERS
#define READERS 2
#endif
#ifndef OPERATIONS
#define OPERATIONS 4    /* of the main thread */
#endif
#define GENERATIONS 3
#define FILLS 3

mtype = { FREE, FILLING, LIVE, STALE, RETIRED, GOING };

byte gen = 1;               /* mapcache.gen */
bool published;             /* the forward table names the slot for bucket 0 */

mtype phase = FREE;         /* the slot's state word, with the next */
byte locks;
byte filled_gen;            /* MapCacheSlot.gen; 0: do not serve */
byte mark;                  /* MapCacheSlot.iothread_gen */
byte used;                  /* MapCacheSlot.used; 0: not used, or unmarked */
bool other_bucket;

byte life;
bool in_section[READERS];

bool mutex;                 /* mapcache.lock */
bool reap, grace, flush;    /* the slot's bits in reap_map, … */
byte calls[GENERATIONS + 1]; /* under way, by the generation they began in */
byte mapped_gen;            /* the generation in which the slot was mapped */
byte fills;

inline lock_mutex()   { atomic { !mutex -> mutex = true } }
inline unlock_mutex() { mutex = false }

#define in_use_is_good(l) \
    assert(life == l && !other_bucket && phase != FREE && phase != FILLING)

/*
 * mcache_slots_unmap_locked(): called with the lock, which is released during
 * the system call.
 */
inline unmap(g)
{
    d_step { phase = GOING; g = gen; calls[g]++ };
    unlock_mutex();
    life++;
    lock_mutex();
    d_step { filled_gen = 0; used = 0; mapped_gen = 0; phase = FREE; calls[g]-- }
}

/* mcache_mark(): a mark is only replaced by a newer one. */
inline make_mark(g)
{
#ifdef NO_MARK_RULE
    mark = g
#else
    atomic { if :: g > mark -> mark = g :: else -> skip fi }
#endif
}

inline take_pointer()
{
    if
    :: !other_bucket ->
        mine = life;
        in_use_is_good(mine);
        in_use_is_good(mine)
    :: else -> skip
    fi
}

/* mcache_hit(): any hit. */
inline hit()
{
    g = gen;
    if
    :: filled_gen == g ->
        if
        :: mark != g -> make_mark(g)
        :: else -> skip
        fi;
#ifdef EARLY_USE
        used = g;
#endif
        if
#ifdef NO_SECOND_LOOK
        :: true ->
#else
        :: gen == g ->
#endif
#ifndef NO_MARK_RULE
            used = g;
#endif
            take_pointer()
        :: else -> skip
        fi
    :: else -> skip
    fi
}

/* xen_map_cache() */
inline common_hit()
{
#ifdef EARLY_USE
    g = gen;        /* too early: or it would make up for the mistake */
    seen = used;
#else
    seen = used;
    g = gen;
#endif
    if
    :: seen == g -> take_pointer()
    :: else -> hit()
    fi
}

proctype reader(byte id)
{
    byte g, seen, mine;

    in_section[id] = true;
    if
    :: published ->
#ifdef NO_MARK_RULE
        hit()           /* no common hit: fewer states */
#else
        common_hit()
#endif
    :: else -> skip
    fi;
    in_section[id] = false
}

proctype dma()
{
    byte g, mine;
    bool locked, last;

    g = gen;
    if
    :: published ->
        atomic { locked = (phase == LIVE); if :: locked -> locks++ :: else fi };
        if
        :: locked ->
            if
            :: filled_gen == g && gen == g && !other_bucket ->
                mine = life;
                in_use_is_good(mine);
                in_use_is_good(mine)
            :: else -> skip
            fi;
            atomic {
                assert(locks > 0);
                locks--;
                last = (phase == STALE && locks == 0)
            };
            if
            :: last ->
                lock_mutex();
                atomic {
                    if
                    :: phase == STALE && locks == 0 ->
                        phase = RETIRED;
                        reap = true
                    :: else -> skip
                    fi
                };
                unlock_mutex()
            :: else -> skip
            fi
        :: else -> skip
        fi
    :: else -> skip
    fi
}

/* The BQL is no matter to it. */
proctype reaper()
{
    byte i, g;
    bool before[READERS];

end:
    do
    :: reap ->
        lock_mutex();
        d_step { grace = grace || reap; reap = false };
        unlock_mutex();
        /* synchronize_rcu(): those that are in a section now. */
        d_step {
            i = 0;
            do
            :: i < READERS -> before[i] = in_section[i]; i++
            :: else -> break
            od;
            i = 0
        };
        do
        :: i < READERS ->
            if
            :: before[i] -> !in_section[i]
            :: else -> skip
            fi;
            i++
        :: else -> break
        od;
        lock_mutex();
        if
#ifdef NO_GRACE_BIT
        :: grace || reap ->
            reap = false;
#else
        :: grace ->
#endif
            assert(phase == RETIRED);
            grace = false;
            unmap(g);
            unlock_mutex()
        :: else -> unlock_mutex()
        fi
    od
}

/*
 * slot_retire_locked(): lookups do not find it any more; RETIRED unless DMA
 * holds it.
 */
inline retire(held)
{
    if :: !other_bucket -> published = false :: else -> skip fi;
    atomic {
        held = (locks > 0);
        if :: held -> phase = STALE :: else -> phase = RETIRED fi
    }
}

/* Calls that began in a generation before this one. */
#define old_calls (calls[1] * (gen > 1) + calls[2] * (gen > 2))

inline invalidate()
{
    lock_mutex();
    gen++;
    if
    :: phase == LIVE ->
        retire(held);
        if
        :: held -> skip
        :: !held && mark < filled_gen -> flush = true
        :: !held && mark >= filled_gen -> reap = true
        fi
    :: phase == RETIRED && mark < filled_gen ->
        d_step { reap = false; grace = false; flush = true }
    :: else -> skip
    fi;
    if
    :: flush -> assert(phase == RETIRED); flush = false; unmap(g)
    :: else -> skip
    fi;
    unlock_mutex();
#ifndef NO_CALL_WAIT
    old_calls == 0;
#endif
    d_step {
        assert(old_calls == 0);
        assert(!published || mapped_gen == gen)
    }
}

/* It is not retired if it was used; in a round for idle buckets the same. */
inline evict()
{
    lock_mutex();
    if
    :: used != 0 -> used = 0
    :: phase == LIVE && locks == 0 ->
        retire(held);
        if :: !held -> reap = true :: else -> skip fi
    :: else -> skip
    fi;
    unlock_mutex()
}

inline fill(g)
{
    lock_mutex();
    if
    :: phase == FREE && fills < FILLS ->
        d_step { fills++; phase = FILLING; g = gen; calls[g]++ };
        unlock_mutex();
        mapped_gen = gen;   /* what Xen shows at this moment */
        lock_mutex();
        if :: other_bucket = false :: other_bucket = true fi;
        /* mcache_mark_unused_locked(): not if a late reader has just marked it. */
        atomic { if :: mark != gen -> mark = gen - 1 :: else -> skip fi };
        if
#ifdef NO_CALL_CHECK
        :: true ->
#else
        :: g == gen ->
#endif
            phase = LIVE;
            filled_gen = gen;
            used = 0;       /* in the code: used, and not marked */
            if :: !other_bucket -> published = true :: else -> skip fi;
            calls[g]--
#ifndef NO_CALL_CHECK
        :: g != gen ->
            /* The call is under way until all of it is unmapped. */
            unmap(g2);
            calls[g]--
#endif
        fi
    :: else -> skip
    fi;
    unlock_mutex()
}

/* A thread without the BQL that misses: with FILLER. */
proctype filler()
{
    byte g, g2;

    fill(g)
}

proctype main_thread()
{
    byte operations, g, g2;
    bool held;

    do
    :: operations < OPERATIONS ->
        operations++;
        if
        :: gen < GENERATIONS -> invalidate()
        :: evict()
        :: fills < FILLS -> fill(g)
        fi
    :: else -> break
    od
}

init
{
    byte i;

    atomic {
        do
        :: i < READERS -> run reader(i); i++
        :: else -> break
        od;
        run dma();
        run reaper();
#ifdef FILLER
        run filler();
#endif
        run main_thread()
    }
}
