/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The protocol of a slot of the Xen mapcache, for Spin.
 *
 * One slot, which holds bucket 0 or another, seen by all who touch it: readers
 * without the BQL that take a transient pointer in an RCU section, a thread
 * that maps and unmaps DMA, the reaper, and the main thread, which has the BQL
 * and invalidates, evicts and fills.  What each does in one step here is one
 * atomic access there (hw/xen/xen-mapcache*.c), in that order; memory is
 * sequentially consistent, as the barriers named there make it where it
 * matters.
 *
 * A life of the slot ends when it is unmapped.  Whoever uses a pointer asserts
 * that the life in which it got it goes on, and that the bucket is the one it
 * looked for.
 *
 * NO_SECOND_LOOK, NO_MARK_RULE, NO_GRACE_BIT: mistakes, which must be found.
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
bool other_bucket;

byte life;
bool in_section[READERS];

bool mutex;                 /* mapcache.lock */
bool reap, grace;           /* the slot's bits in reap_map and grace_map */
bool going;                 /* mapcache.nr_going */

inline lock_mutex()   { atomic { !mutex -> mutex = true } }
inline unlock_mutex() { mutex = false }

#define in_use_is_good(l) \
    assert(life == l && !other_bucket && phase != FREE && phase != FILLING)

inline end_life()
{
    d_step { life++; filled_gen = 0; phase = FREE }
}

/* mcache_mark(): a mark only gets newer. */
inline make_mark(g)
{
#ifdef NO_MARK_RULE
    mark = g
#else
    atomic { if :: g > mark -> mark = g :: else -> skip fi }
#endif
}

proctype reader(byte id)
{
    byte g, filled, seen, mine;

    in_section[id] = true;
    g = gen;
    if
    :: published ->
        /* Both generations by one load. */
        d_step { filled = filled_gen; seen = mark };
        if
        :: filled == g ->
            if
            :: seen != g -> make_mark(g)
            :: else -> skip
            fi;
            if
#ifdef NO_SECOND_LOOK
            :: true ->
#else
            :: gen == g ->
#endif
                if
                :: !other_bucket ->
                    mine = life;
                    in_use_is_good(mine);
                    in_use_is_good(mine)
                :: else -> skip
                fi
            :: else -> skip
            fi
        :: else -> skip
        fi
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
    byte i;
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
            d_step { grace = false; phase = GOING; going = true };
            unlock_mutex();
            /* Unmapped, without the lock. */
            life++;
            lock_mutex();
            d_step { filled_gen = 0; phase = FREE; going = false };
            unlock_mutex()
        :: else -> unlock_mutex()
        fi
    od
}

/* slot_retire(): nobody finds it any more; RETIRED unless DMA holds it. */
inline retire(held)
{
    if :: !other_bucket -> published = false :: else -> skip fi;
    atomic {
        held = (locks > 0);
        if :: held -> phase = STALE :: else -> phase = RETIRED fi
    }
}

inline invalidate()
{
    lock_mutex();
    do
    :: going -> unlock_mutex(); !going; lock_mutex()
    :: else -> break
    od;
    gen++;
    if
    :: phase == LIVE ->
        retire(held);
        if
        :: held -> skip
        :: !held && mark < filled_gen -> end_life()
        :: !held && mark >= filled_gen -> reap = true
        fi
    :: phase == RETIRED && mark < filled_gen ->
        d_step { reap = false; grace = false };
        end_life()
    :: else -> skip
    fi;
    unlock_mutex()
}

inline evict()
{
    lock_mutex();
    if
    :: phase == LIVE && locks == 0 ->
        retire(held);
        if :: !held -> reap = true :: else -> skip fi
    :: else -> skip
    fi;
    unlock_mutex()
}

inline fill()
{
    lock_mutex();
    if
    :: phase == FREE ->
        fills++;
        phase = FILLING;
        if :: other_bucket = false :: other_bucket = true fi;
        /* mcache_mark_unused(): unless a late reader has just made its mark. */
        atomic { if :: mark != gen -> mark = gen - 1 :: else -> skip fi };
        phase = LIVE;
        filled_gen = gen;
        if :: !other_bucket -> published = true :: else -> skip fi
    :: else -> skip
    fi;
    unlock_mutex()
}

proctype main_thread()
{
    byte operations, fills;
    bool held;

    do
    :: operations < OPERATIONS ->
        operations++;
        if
        :: gen < GENERATIONS -> invalidate()
        :: evict()
        :: fills < FILLS -> fill()
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
        run main_thread()
    }
}
