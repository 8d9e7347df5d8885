/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of the simulated Xen in shared memory.
 *
 * There are two memfds.  One has machine memory (byte offset = mfn * 4096), the
 * other the structures below.  Both are huge and sparse.  A process maps the
 * second in segments of 16 MiB, each when it is first accessed.  So a device
 * model under RLIMIT_AS needs address space only for the segments that it uses.
 * The structures contain no pointers.
 *
 *   region   a segment or more per  contents
 *   HEADER   simulation             XsimHeader
 *   DOM      domain slot            XsimDom
 *   P2M      domain slot            one word for each 512 gfns
 *   TABLE    -                      pages of 512 p2m words, for split ones
 *   CHUNK    -                      XsimChunk for each 512 mfns
 *   FRAME    -                      XsimFrame for each mfn
 *   PROC     process slot           mapping records (mapping.h)
 *
 * Locks, all process-shared and robust, in the order in which they may be
 * taken:  dir_lock -> XsimDom.lock -> XsimProc.lock, and XsimDom.lock ->
 * alloc_lock, evtchn_lock, fault_lock (leaves).  No system call that can block
 * for long is made under any of them.
 */
#ifndef XENSIM_SHM_H
#define XENSIM_SHM_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "calls.h"
#include "xensim.h"

/*
 * The two libraries of a simulation must be of the same build.  When a
 * structure changes without changing its size, increment VERSION.
 */
#define XSIM_VERSION          4ull
#define XSIM_MAGIC            (0x58454e53494d0000ull + (XSIM_VERSION << 48) + \
                               sizeof(XsimHeader) + sizeof(XsimDom))
#define XSIM_MAX_DOMS         64u
#define XSIM_MAX_PROCS        64u
#define XSIM_MAX_SERVERS      8u
#define XSIM_MAX_RANGES       256u
#define XSIM_MAX_PORTS        1024u
#define XSIM_MAX_LOCAL_PORTS  4096u
#define XSIM_MAX_HANDLES      256u
#define XSIM_MAX_GRANTS       8192u
#define XSIM_FIRST_GRANT      8u      /* lower ones are reserved, as in Xen */
#define XSIM_MAX_FAULTS       64u
#define XSIM_LOG_LEN          65536u
#define XSIM_HVM_PARAMS       64u
#define XSIM_MAX_VRAM_PAGES   (1u << 15) /* the limit of a dm_op in Linux */
#define XSIM_MAX_PINS         64u

#define XSIM_CHUNK_SHIFT      9
#define XSIM_CHUNK_FRAMES     (1u << XSIM_CHUNK_SHIFT)
#define XSIM_MAX_CHUNKS       (1u << 23) /* 16 TiB of machine memory */
#define XSIM_MAX_MFN          ((uint64_t)XSIM_MAX_CHUNKS << XSIM_CHUNK_SHIFT)
/* The first chunk in use: no mfn equals a gfn that a small guest has. */
#define XSIM_FIRST_CHUNK      (1u << 14)
#define XSIM_MAX_TABLES       (1u << 18)

#define XSIM_SEG_SHIFT        24
#define XSIM_SEG_BYTES        (1ull << XSIM_SEG_SHIFT)
#define XSIM_SEGS(bytes) (((uint64_t)(bytes) + XSIM_SEG_BYTES - 1) / \
                          XSIM_SEG_BYTES)

/*
 * For the items of an array that spans segments: xsim_at() returns one address
 * for an item, so an item must not cross the end of a segment.
 */
#define XSIM_DIVIDES_SEG(bytes) \
    static_assert(XSIM_SEG_BYTES % (bytes) == 0, #bytes " and segments")

/* ---- p2m ---- */

/*
 * First level: a word for 512 gfns.  0: none present.  SUPER: all present, in
 * one chunk whose first mfn is word >> 12.  TABLE: see table word >> 32;
 * bits 2-12 count its present entries.
 */
#define XSIM_L1_SUPER   1ull
#define XSIM_L1_TABLE   2ull
#define XSIM_L1_KIND    3ull
#define XSIM_L1_COUNT_ONE   (1ull << 2)
#define XSIM_L1_COUNT(w)    (((w) >> 2) & 0x7ff)
#define XSIM_L1_TABLE_OF(w) ((uint32_t)((w) >> 32))
#define XSIM_L1_WORDS   (XENSIM_MAX_GFN >> XSIM_CHUNK_SHIFT)

/*
 * Second level, and what lookups give: mfn << 12 | type << 1 | present.  An
 * entry that is populated on demand has only the type, and no frame yet.
 */
#define XSIM_P2M_PRESENT 1ull
#define XSIM_P2M_TYPE(e) (((e) >> 1) & 7)
#define XSIM_P2M_MFN(e)  ((e) >> 12)
#define XSIM_P2M_ENTRY(mfn, type) \
    ((uint64_t)(mfn) << 12 | (uint64_t)(type) << 1 | XSIM_P2M_PRESENT)

/* ---- frames ---- */

/* XsimFrame.m2p; any other value is a gfn + 1. */
#define XSIM_M2P_FREE  0u
#define XSIM_M2P_HELD  0xfffffff0u  /* out of the p2m, mapped somewhere */
#define XSIM_M2P_LOST  0xfffffff1u  /* overwritten by a populate */
#define XSIM_M2P_XEN   0xfffffff2u  /* Xen's own: an ioreq page */

/* Types of pages, as Xen numbers them. */
#define XSIM_TYPE_MMIO_DIRECT 5
#define XSIM_TYPE_ON_DEMAND   6

typedef struct XsimFrame {
    uint32_t refs;     /* pages of live mappings that show the frame, without
                        * the mappings that half_refs counts */
    uint32_t m2p;      /* not valid while the chunk is SUPER */
} XsimFrame;

static_assert(XENSIM_MAX_GFN < XSIM_M2P_HELD, "a gfn + 1 fits into m2p");

enum { XSIM_CHUNK_FREE, XSIM_CHUNK_SUPER, XSIM_CHUNK_SPLIT };

/*
 * 512 machine frames.  Guarded by the owner's lock, or by alloc_lock while
 * it is free.
 *
 * A device model usually maps a half of a chunk at a time.  A half that is
 * mapped as a whole is counted once, so the counting costs little compared with
 * the real mmap().
 */
#define XSIM_HALF_FRAMES      (XSIM_CHUNK_FRAMES / 2)

typedef struct XsimChunk {
    uint8_t state;
    uint8_t owner;         /* domain slot */
    uint16_t used;         /* frames that are not free */
    uint16_t held;         /* how many of @used are XSIM_M2P_HELD */
    uint32_t refs;         /* sum over its frames */
    uint32_t half_refs[2]; /* mappings that show all frames of a half */
    uint32_t gfn;          /* SUPER: first gfn */
    uint32_t next;         /* free list */
    uint32_t unused;       /* so that no item crosses a segment's end */
} XsimChunk;

/* ---- domains ---- */

typedef struct XsimRange {
    uint64_t start, end;   /* both inclusive */
} XsimRange;

enum { XSIM_RANGE_PORT, XSIM_RANGE_MMIO, XSIM_RANGE_PCI, XSIM_RANGE_KINDS };

enum { XSIM_SERVER_FREE, XSIM_SERVER_DISABLED, XSIM_SERVER_ENABLED };

typedef struct XsimServer {
    uint8_t state;
    uint8_t bufioreq;      /* HVM_IOREQSRV_BUFIOREQ_* */
    uint8_t proc;          /* who created it */
    uint64_t mfn[2];       /* 0: buffered page, 1: synchronous page; 0 none */
    uint64_t gfn[2];       /* where the p2m shows them; XENSIM_NO_GFN */
    uint32_t buf_port;
    uint32_t vcpu_port[XENSIM_MAX_VCPUS];
    uint32_t nr[XSIM_RANGE_KINDS];
    XsimRange range[XSIM_RANGE_KINDS][XSIM_MAX_RANGES];
} XsimServer;

enum { XSIM_PORT_FREE, XSIM_PORT_UNBOUND, XSIM_PORT_BOUND };

/* A guest's end of an event channel.  Guarded by evtchn_lock. */
typedef struct XsimPort {
    uint8_t state;
    bool xen;              /* Xen's own consumer: an ioreq port */
    uint32_t remote_dom;
    uint32_t remote_port;  /* local port of the device model's domain */
    _Atomic uint32_t pending;
    _Atomic uint32_t seq;  /* futex: counts events */
} XsimPort;

typedef struct XsimGrant {
    bool in_use, readonly;
    uint32_t to;
    uint64_t gfn;
    uint32_t maps;         /* live mappings made through it */
} XsimGrant;

/* Guest frames whose cache attribute a device model has pinned. */
typedef struct XsimPin {
    bool in_use;
    uint64_t start, end;   /* gfns, the last one included */
    uint32_t type;
} XsimPin;

typedef struct XsimLog {
    uint64_t count;
    XensimLogEntry entry[XSIM_LOG_LEN];
} XsimLog;

typedef struct XsimDom {
    pthread_mutex_t lock;  /* guards all but the ports */
    uint32_t domid;
    unsigned vcpus;
    unsigned flags;
    uint64_t ram_bytes;

    uint64_t max_pages;
    uint64_t p2m_pages, held_pages, lost_pages;
    uint64_t xen_pages;    /* not accounted */
    uint64_t pod_entries;  /* gfns that are populated on demand */
    uint64_t pod_cache;    /* frames that are kept for them */
    uint64_t mappings, mapped_pages;
    uint64_t l1_end;       /* first-level words beyond are 0 */
    uint32_t cur_chunk;    /* frames are handed out from it; 0: none */
    uint32_t cur_index;    /* how many of its frames were handed out: 0-512 */

    uint64_t hvm_param[XSIM_HVM_PARAMS];
    uint32_t cf8;
    int shutdown_reason;

    uint64_t vram_gfn, vram_pages;
    uint8_t vram_dirty[XSIM_MAX_VRAM_PAGES / 8];

    XsimPin pin[XSIM_MAX_PINS];
    uint64_t cache_flushes;

    uint8_t isa_level[16];
    uint32_t isa_edges[16];
    uint8_t intx_level[32][4];
    uint32_t intx_edges[32][4];
    uint8_t gsi_level[256];
    uint8_t link_route[4];

    XsimServer server[XSIM_MAX_SERVERS];
    XsimGrant grant[XSIM_MAX_GRANTS];
    XsimPort port[XSIM_MAX_PORTS];
    XsimLog log[XENSIM_LOG_KINDS];
} XsimDom;

static_assert(sizeof(XsimDom) <= XSIM_SEG_BYTES, "a domain fills a segment");

enum {
    XSIM_DOM_FREE,
    XSIM_DOM_ALIVE,
    XSIM_DOM_DYING,        /* destroyed, but frames are still mapped */
};

/* What is read for all domains at once; XsimDom has the rest of a domain. */
typedef struct XsimDirEntry {
    _Atomic uint32_t state;
    _Atomic uint32_t domid;
} XsimDirEntry;

/* ---- device model processes ---- */

typedef struct XsimProc {
    _Atomic int pid;          /* 0: slot is free */
    uint64_t start_time;      /* of the process: differs if a pid is reused */
    _Atomic uint32_t restricted;  /* 1 + domid, 0: no */
    pthread_mutex_t lock;     /* guards the mapping records */
    uint32_t root;            /* tree of mappings by address */
    uint32_t free_map, free_run;     /* lists; 0 ends */
    uint32_t map_end, run_end;       /* records ever used */
    _Atomic uint32_t live;    /* mappings in the tree */
} XsimProc;

/* ---- event channels of the device models' domain ---- */

typedef struct XsimHandle {
    bool in_use;
    uint8_t proc;
    uint32_t generation;
    int restricted;           /* 1 + domid, 0: no */
} XsimHandle;

#define XSIM_SLOT_LOCAL 0xffu /* the other end is a local port too */

typedef struct XsimLocalPort {
    uint8_t state;
    bool pending, masked;
    int16_t virq;             /* -1: interdomain */
    uint16_t handle;
    uint8_t slot;             /* the remote domain's, or XSIM_SLOT_LOCAL */
    uint32_t remote_dom;
    uint32_t remote_port;
} XsimLocalPort;

/* ---- faults and record ---- */

typedef struct XsimFaultRule {
    bool in_use, per_page;
    uint8_t proc;             /* 0xff: any, else only this process slot */
    uint32_t call;
    uint64_t first, count, gfn, pages, hits;
    int error;
    unsigned delay_us;
} XsimFaultRule;

typedef struct XsimCounter {
    _Atomic uint64_t calls, failures, pages, mmaps;
} XsimCounter;

typedef struct XsimHeader {
    uint64_t magic;
    int host_pid;

    pthread_mutex_t alloc_lock;
    uint32_t chunk_end;       /* chunks from here on were never used */
    uint32_t chunk_free_head, chunk_free_tail, chunk_free_count;
    uint32_t table_end, table_free;

    pthread_mutex_t dir_lock; /* domains and processes come and go */
    XsimDirEntry dom[XSIM_MAX_DOMS];
    XsimProc proc[XSIM_MAX_PROCS];

    pthread_mutex_t evtchn_lock;
    XsimHandle handle[XSIM_MAX_HANDLES];
    XsimLocalPort local[XSIM_MAX_LOCAL_PORTS];

    pthread_mutex_t fault_lock;
    _Atomic uint32_t fault_armed[XSIM_CALL_COUNT];
    XsimFaultRule fault[XSIM_MAX_FAULTS];

    XsimCounter counter[XSIM_CALL_COUNT];
} XsimHeader;

static_assert(sizeof(XsimHeader) <= XSIM_SEG_BYTES, "header in a segment");

/* ---- mapping records, see mapping.h ---- */

#define XSIM_MAX_MAPS  (1u << 19)
#define XSIM_MAX_RUNS  (1u << 21)
#define XSIM_MAP_BYTES 128u
#define XSIM_RUN_BYTES 32u

XSIM_DIVIDES_SEG(sizeof(uint64_t));
XSIM_DIVIDES_SEG(XENSIM_PAGE_SIZE);
XSIM_DIVIDES_SEG(sizeof(XsimChunk));
XSIM_DIVIDES_SEG(sizeof(XsimFrame));
XSIM_DIVIDES_SEG(XSIM_MAP_BYTES);
XSIM_DIVIDES_SEG(XSIM_RUN_BYTES);

/* ---- regions, in segments ---- */

enum {
    XSIM_REGION_HEADER = 0,
    XSIM_REGION_DOM = 1,
    XSIM_REGION_P2M = XSIM_REGION_DOM + XSIM_MAX_DOMS,
    XSIM_P2M_SEGS = XSIM_SEGS(XSIM_L1_WORDS * 8),
    XSIM_REGION_TABLE = XSIM_REGION_P2M + XSIM_MAX_DOMS * XSIM_P2M_SEGS,
    XSIM_REGION_CHUNK = XSIM_REGION_TABLE +
                        XSIM_SEGS((uint64_t)XSIM_MAX_TABLES * 4096),
    XSIM_REGION_FRAME = XSIM_REGION_CHUNK +
                        XSIM_SEGS((uint64_t)XSIM_MAX_CHUNKS *
                                  sizeof(XsimChunk)),
    XSIM_REGION_PROC = XSIM_REGION_FRAME +
                       XSIM_SEGS(XSIM_MAX_MFN * sizeof(XsimFrame)),
    XSIM_PROC_RUN_SEG = XSIM_SEGS((uint64_t)XSIM_MAX_MAPS * XSIM_MAP_BYTES),
    XSIM_PROC_SEGS = XSIM_PROC_RUN_SEG +
                     XSIM_SEGS((uint64_t)XSIM_MAX_RUNS * XSIM_RUN_BYTES),
    XSIM_TOTAL_SEGS = XSIM_REGION_PROC + XSIM_MAX_PROCS * XSIM_PROC_SEGS,
};

#endif
