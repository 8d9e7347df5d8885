/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One process's view of the shared memory, and the operations on it that the
 * preload library and the host library share.  Each of the two libraries has
 * its own copy of this code and of XsimView; they have only the shared memory
 * in common.
 */
#ifndef XENSIM_SIM_H
#define XENSIM_SIM_H

#include <stddef.h>
#include <stdio.h>

#include "shm.h"

typedef struct XsimView {
    char dir[256];           /* run directory */
    int shm_fd, mem_fd;
    XsimHeader *h;
    void *_Atomic seg[XSIM_TOTAL_SEGS];
    /* Machine memory, in windows of 1 GiB, for those who use xsim_frame(). */
    void *_Atomic window[XSIM_MAX_MFN >> 18];
} XsimView;

/* ---- attach.c ---- */

/* Makes shared memory, and lets others open it in @dir.  0 or -errno. */
int xsim_view_create(XsimView *v, const char *dir);
/* Opens the shared memory that can be found in @dir.  0 or -errno. */
int xsim_view_open(XsimView *v, const char *dir);
void xsim_view_close(XsimView *v);

/* Maps a segment; aborts with a message if the kernel refuses. */
void *xsim_map_seg(XsimView *v, unsigned seg);

static inline void *xsim_seg(XsimView *v, unsigned seg)
{
    /* Pairs with the release store in xsim_map_seg(). */
    void *p = atomic_load_explicit(&v->seg[seg], memory_order_acquire);

    return p ? p : xsim_map_seg(v, seg);
}

/* Address of byte @off of the region that starts at segment @region. */
static inline void *xsim_at(XsimView *v, unsigned region, uint64_t off)
{
    return (char *)xsim_seg(v, region + (off >> XSIM_SEG_SHIFT)) +
           (off & (XSIM_SEG_BYTES - 1));
}

static inline XsimDom *xsim_dom(XsimView *v, unsigned slot)
{
    return xsim_seg(v, XSIM_REGION_DOM + slot);
}

static inline XsimChunk *xsim_chunk(XsimView *v, uint32_t chunk)
{
    return xsim_at(v, XSIM_REGION_CHUNK, chunk * sizeof(XsimChunk));
}

/* The frames of one chunk are neighbours in memory. */
static inline XsimFrame *xsim_frame_info(XsimView *v, uint64_t mfn)
{
    return xsim_at(v, XSIM_REGION_FRAME, mfn * sizeof(XsimFrame));
}

/* Bytes of a frame; windows are mapped at first use and stay. */
void *xsim_frame(XsimView *v, uint64_t mfn);

/* The system calls themselves, not the preload library's functions. */
void *xsim_raw_mmap(void *addr, size_t len, int prot, int flags, int fd,
                    off_t off);
int xsim_raw_munmap(void *addr, size_t len);

/*
 * Process-shared robust mutexes.  If the owner has died, xsim_lock() succeeds
 * as if the owner had released the mutex.
 */
void xsim_mutex_init(pthread_mutex_t *m);
void xsim_lock(pthread_mutex_t *m);
void xsim_unlock(pthread_mutex_t *m);

/*
 * The first waits until the second is called for @word, for @ms at most.  It
 * returns at once if *@word is not @val, and may return early.  The second
 * wakes all that wait.
 */
void xsim_futex_wait(_Atomic uint32_t *word, uint32_t val, unsigned ms);
void xsim_futex_wake(_Atomic uint32_t *word);

/* Milliseconds of the monotonic clock. */
uint64_t xsim_now_ms(void);

/* Slot of a living domain, -1 if there is none. */
int xsim_find_dom(XsimView *v, uint32_t domid);

/* Print "xensim: ..." and abort: a bug of the simulator or of its user. */
_Noreturn void xsim_die(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

/* ---- frames.c: with the domain's lock held ---- */

/*
 * Frames that are being freed: one run of adjacent frames, and the chunks that
 * have become empty.  They can be used again after xsim_punch_flush(), which
 * zeroes them.  A function that has an XsimPunch must flush it before the
 * domain's lock is released.
 */
typedef struct XsimPunch {
    uint64_t mfn, n;
    uint32_t chunks;          /* list by XsimChunk.next */
} XsimPunch;

/* A new chunk, in @state; 0 when machine memory is used up. */
uint32_t xsim_chunk_alloc(XsimView *v, unsigned slot, unsigned state);
/* A zeroed frame, or XENSIM_NO_MFN.  The caller sets m2p. */
uint64_t xsim_frame_alloc(XsimView *v, unsigned slot);
/* Frees a frame without references.  The caller updates the domain's counts. */
void xsim_frame_free(XsimView *v, uint64_t mfn, XsimPunch *punch);
void xsim_punch_flush(XsimView *v, XsimPunch *punch);
void xsim_punch_add(XsimView *v, XsimPunch *punch, uint64_t mfn, uint64_t n);
/* Frees all frames of a SUPER chunk without references. */
void xsim_chunk_free(XsimView *v, uint32_t chunk, XsimPunch *punch);
/* Make a SUPER chunk SPLIT: writes the m2p of each frame. */
void xsim_chunk_split(XsimView *v, uint32_t chunk);
/* How many pages of live mappings show @mfn. */
uint32_t xsim_frame_refs(XsimView *v, uint64_t mfn);
/* Adds a reference to each of @n frames from @mfn, in any number of chunks. */
void xsim_frames_ref(XsimView *v, uint64_t mfn, uint64_t n);
/* Extends the reference to [@mfn, @mfn + @n) by @more frames after it. */
void xsim_frames_ref_longer(XsimView *v, uint64_t mfn, uint64_t n,
                            uint64_t more);
/*
 * Removes a reference, and frees the frames that are then neither mapped nor in
 * the p2m.  The range must be exactly one that got a reference.
 */
void xsim_frames_unref(XsimView *v, unsigned slot, uint64_t mfn, uint64_t n,
                       XsimPunch *punch);
/*
 * To be called when a frame leaves the p2m.  If it is mapped, makes it held.
 * Otherwise returns false.
 */
bool xsim_frame_hold(XsimView *v, unsigned slot, uint64_t mfn);
/*
 * To be called when a frame has left the p2m.  Decrements p2m_pages.  If the
 * frame is mapped, makes it held; otherwise frees it.
 */
void xsim_frame_release(XsimView *v, unsigned slot, uint64_t mfn,
                        XsimPunch *punch);
/* Pages that count against max_pages. */
static inline uint64_t xsim_tot_pages(const XsimDom *d)
{
    return d->p2m_pages + d->held_pages + d->lost_pages + d->pod_cache;
}
/* Frees the slot of a destroyed domain of which no frame is mapped any more. */
void xsim_dom_maybe_gone(XsimView *v, unsigned slot);

/* ---- p2m.c: with the domain's lock held ---- */

/*
 * Both return the second-level entry of @gfn (XSIM_P2M_*), 0 if @gfn is absent.
 * They differ if @gfn is to be populated on demand.  xsim_p2m_query() returns
 * the entry as it is, without a frame.  xsim_p2m_get() first gives it a frame,
 * as most of Xen's calls do.  If no frame is left, the domain crashes, and
 * xsim_p2m_get() returns 0.
 */
uint64_t xsim_p2m_query(XsimView *v, unsigned slot, uint64_t gfn);
uint64_t xsim_p2m_get(XsimView *v, unsigned slot, uint64_t gfn);
/*
 * Lets @n gfns be populated on demand, and keeps @cache frames for that.  Stops
 * at the first gfn that is not absent.  Returns the number of gfns before it.
 */
uint64_t xsim_p2m_on_demand(XsimView *v, unsigned slot, uint64_t gfn,
                            uint64_t n, uint64_t cache);
/*
 * How many gfns from @gfn, at most @max, have frames that are neighbours; the
 * first frame is *@mfn.  May return less than there are, but 0 only if @gfn is
 * absent or of type mmio_direct.  Populates @gfn if it is to be populated on
 * demand.
 */
uint64_t xsim_p2m_run(XsimView *v, unsigned slot, uint64_t gfn, uint64_t max,
                      uint64_t *mfn);
/*
 * xsim_p2m_set() sets the frame and the type of an absent @gfn; the caller
 * updates p2m_pages.  xsim_p2m_set_type() sets the type of a present @gfn;
 * -EINVAL if @gfn is absent.  Both return 0, or -ENOMEM if the tables are used
 * up.
 */
int xsim_p2m_set(XsimView *v, unsigned slot, uint64_t gfn, uint64_t mfn,
                 unsigned type);
int xsim_p2m_set_type(XsimView *v, unsigned slot, uint64_t gfn,
                      unsigned type);
/*
 * Makes @gfn absent, and returns the entry that it had.  The caller updates
 * p2m_pages.
 */
uint64_t xsim_p2m_clear(XsimView *v, unsigned slot, uint64_t gfn);
/*
 * xsim_p2m_populate() puts new frames at @n gfns, and returns how many got one.
 * As on Xen, populating a page of type mmio_direct crashes the domain, and the
 * frame is lost.  xsim_p2m_depopulate() takes the frames at @n gfns out, and
 * returns how many had one.  Both update the domain's counts.
 */
uint64_t xsim_p2m_populate(XsimView *v, unsigned slot, uint64_t gfn,
                           uint64_t n);
uint64_t xsim_p2m_depopulate(XsimView *v, unsigned slot, uint64_t gfn,
                             uint64_t n);
/*
 * Relocates one frame, as XENMAPSPACE_gmfn does.  0; -EINVAL if @src is absent
 * or @dst is too high; -EPERM if one of them is mmio_direct; -ENOMEM.
 */
int xsim_p2m_move(XsimView *v, unsigned slot, uint64_t src, uint64_t dst,
                  XsimPunch *punch);
/* Calls @fn for each run of present frames with adjacent gfns and mfns. */
void xsim_p2m_walk(XsimView *v, unsigned slot, XensimRunFn *fn,
                   void *opaque);
/* Marks @gfn as written by the guest's CPU, if its VRAM is tracked. */
void xsim_vram_mark(XsimDom *d, uint64_t gfn);

/* ---- ioreq.c: with the domain's lock held ---- */

/*
 * The ranges of one kind (XSIM_RANGE_*) of a server; @end is the last element.
 * The first is true if all of [@start, @end] is in one range.  The others
 * return 0 or -errno: -EEXIST if a part is registered already, -ENOENT if a
 * part is not, -ENOSPC, -EINVAL.
 */
bool xsim_range_has(const XsimServer *s, unsigned kind, uint64_t start,
                    uint64_t end);
int xsim_range_add(XsimServer *s, unsigned kind, uint64_t start,
                   uint64_t end);
int xsim_range_remove(XsimServer *s, unsigned kind, uint64_t start,
                      uint64_t end);
/* Id of a new server, or -errno. */
int xsim_server_create(XsimView *v, unsigned slot, unsigned bufioreq,
                       unsigned proc);
void xsim_server_destroy(XsimView *v, unsigned slot, unsigned id);
/* Frame 0 (buffered) or 1 of a server, allocated at first use. */
uint64_t xsim_server_frame(XsimView *v, unsigned slot, unsigned id,
                           unsigned frame);
/*
 * Show a server page in the p2m, for device models that do not map it by
 * xenforeignmemory_map_resource().
 */
int xsim_server_show(XsimView *v, unsigned slot, unsigned id,
                     unsigned frame, uint64_t *gfn);
void xsim_server_enable(XsimView *v, unsigned slot, unsigned id, bool on);

/* ---- evtchn.c: takes evtchn_lock itself ---- */

/* Guest's ends.  They return the port, or 0; -errno on failure. */
int xsim_port_alloc(XsimView *v, unsigned slot, uint32_t remote, bool xen);
int xsim_port_bind(XsimView *v, unsigned slot, uint32_t local);
int xsim_port_close(XsimView *v, unsigned slot, uint32_t port);
int xsim_port_notify(XsimView *v, unsigned slot, uint32_t port);
/* Process slot of the device model at the other end, -1 if none. */
int xsim_port_peer(XsimView *v, unsigned slot, uint32_t port);

/*
 * Device models' ends; @handle is an index.  They return the handle, the local
 * port, or 0; -errno on failure.
 */
int xsim_handle_open(XsimView *v, unsigned proc);
void xsim_handle_close(XsimView *v, unsigned handle);
int xsim_local_alloc(XsimView *v, unsigned handle, uint32_t remote_dom);
int xsim_local_bind(XsimView *v, unsigned handle, uint32_t domid,
                    uint32_t port);
int xsim_local_virq(XsimView *v, unsigned handle, unsigned virq);
int xsim_local_unbind(XsimView *v, unsigned handle, uint32_t local);
int xsim_local_notify(XsimView *v, unsigned handle, uint32_t local);
int xsim_local_unmask(XsimView *v, unsigned handle, uint32_t local);
unsigned xsim_virq_raise(XsimView *v, unsigned virq);
/* Path of the FIFO that tells @handle of pending ports. */
void xsim_handle_path(XsimView *v, unsigned handle, char *buf, size_t len);
/*
 * Sets this process's own end of a handle's FIFO, which is then used instead of
 * opening the path: a device model that has changed its root directory cannot
 * open the path.  -1 forgets it.
 */
void xsim_handle_set_fd(unsigned handle, int fd);
/* Closes all FIFOs that this process has opened to send events. */
void xsim_handle_forget_all(void);

/* ---- fault.c ---- */

#define XSIM_ANY_PROC 0xffu

typedef struct XsimGfnSet {
    const uint64_t *gfn;   /* @n of them, or NULL: a range from first */
    uint64_t first, n;
} XsimGfnSet;

/* -EINVAL with a message for text that cannot be read. */
int xsim_fault_parse(const char *text, XensimFault *f, char *name,
                     size_t name_len);
int xsim_fault_add(XsimView *v, const XensimFault *f, unsigned proc);
void xsim_fault_remove(XsimView *v, int id);
/* Disarms the faults that process @proc has armed for itself. */
void xsim_fault_remove_proc(XsimView *v, unsigned proc);
/*
 * To be called before a call.  Sleeps if an armed fault delays the call, and
 * returns the errno with which the call is to fail, or 0.  @set: the gfns that
 * the call names, or NULL.  If @pages is not NULL, pages[i] is set to -errno
 * for each gfn that a per-page fault hits; otherwise such faults have no
 * effect.
 */
int xsim_fault_check(XsimView *v, unsigned call, unsigned proc,
                     const XsimGfnSet *set, int *pages);

/* ---- call-log.c ---- */

static inline void xsim_count(XsimView *v, unsigned call, uint64_t pages,
                              uint64_t mmaps, bool failed)
{
    XsimCounter *c = &v->h->counter[call];

    /* Statistics: no order with anything else is needed. */
    atomic_fetch_add_explicit(&c->calls, 1, memory_order_relaxed);
    if (pages) {
        atomic_fetch_add_explicit(&c->pages, pages, memory_order_relaxed);
    }
    if (mmaps) {
        atomic_fetch_add_explicit(&c->mmaps, mmaps, memory_order_relaxed);
    }
    if (failed) {
        atomic_fetch_add_explicit(&c->failures, 1, memory_order_relaxed);
    }
}

void xsim_log_add(XsimDom *d, XensimLogKind kind, uint64_t a, uint64_t b,
                  uint64_t c, int error);

/* ---- proc.c ---- */

bool xsim_pid_alive(pid_t pid, uint64_t start_time);
uint64_t xsim_pid_start_time(pid_t pid);
/* Takes a process slot for this process.  Returns it, or -errno. */
int xsim_proc_register(XsimView *v);
/* Releases everything that the process in @proc holds, and its slot. */
void xsim_proc_release(XsimView *v, unsigned proc);
/* Releases all processes that have died; returns how many there were. */
unsigned xsim_proc_reap(XsimView *v);

#endif
