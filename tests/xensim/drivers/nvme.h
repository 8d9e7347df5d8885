/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's driver for QEMU's NVMe controller: one queue pair, namespace 1,
 * no interrupts.  Errors and threads are as in drivers/pc.h.
 */

#ifndef XENSIM_GUEST_NVME_H
#define XENSIM_GUEST_NVME_H

#include "pc.h"

#define GUEST_NVME_DEPTH 32u    /* one less can be under way */

/* Guest memory that the driver needs: queues, and a list for each request. */
#define GUEST_NVME_BYTES ((4 + GUEST_NVME_DEPTH) * 0x1000u)

typedef struct GuestNvme {
    GuestPc *pc;
    unsigned devfn;
    uint64_t bar, mem;
    struct {
        unsigned tail, head;    /* of submissions; of completions */
        uint16_t phase;         /* that marks a new completion */
    } queue[2];                 /* 0: commands to the controller, 1: I/O */
    uint32_t busy;              /* bit for each request under way */
} GuestNvme;

/*
 * Set up the (INDEX + 1)th controller: registers at BAR, a multiple of their
 * size in the MMIO hole, and GUEST_NVME_BYTES at MEM, a multiple of 4096, for
 * the driver.
 */
int guest_nvme_init(GuestPc *pc, GuestNvme *nvme, unsigned index,
                    uint64_t bar, uint64_t mem);

/*
 * Start to move BYTES (a multiple of 512, up to 512 KiB) between guest memory
 * at GPA, a multiple of 4, and the disk at LBA (sectors of 512); to the disk
 * if WRITE.  *TAG names the request.  The device sees it after
 * guest_nvme_kick().  -EAGAIN if too many requests are under way.
 */
int guest_nvme_start(GuestNvme *nvme, bool write, uint64_t lba, uint64_t gpa,
                     uint32_t bytes, uint16_t *tag);

/*
 * The data pointer of a command: PRP 1 and PRP 2, or the two halves of an SGL
 * descriptor.
 */
typedef struct GuestNvmeData {
    bool sgl;
    uint64_t word[2];
} GuestNvmeData;

/*
 * As guest_nvme_start(), up to 32 MiB, with the data pointer DATA unchanged.
 * The caller has written the lists to the guest's memory, or the device uses
 * whatever is there.
 */
int guest_nvme_start_raw(GuestNvme *nvme, bool write, uint64_t lba,
                         uint32_t bytes, const GuestNvmeData *data,
                         uint16_t *tag);

/* The same for a request that flushes the disk's cache. */
int guest_nvme_start_flush(GuestNvme *nvme, uint16_t *tag);

int guest_nvme_kick(GuestNvme *nvme);

/* Wait for the end of any request; *TAG (may be NULL) says which. */
int guest_nvme_wait(GuestNvme *nvme, uint16_t *tag);

/*
 * Clears the queue of completions, so that its contents do not depend on the
 * order in which requests have ended.  -EBUSY if a request is under way.
 */
int guest_nvme_settle(GuestNvme *nvme);

/* Tells the device which completions were read; to be called now and then. */
int guest_nvme_seen(GuestNvme *nvme);

#endif
