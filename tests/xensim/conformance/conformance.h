/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conformance: questions to Xen, through the libraries that a device model
 * uses, with the answers of Xen 4.17.
 *
 * The program needs libxen* and libc only.  The same binary runs in dom0 of the
 * real Xen and on the simulated Xen.  A question makes calls and describes the
 * results in words; main.c compares these words with the expected answer.
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xenctrl.h>
#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>

#define PAGE       4096u
#define SLOT_PAGES 256u       /* frames in a slot of the arena */
#define SLOTS      4u
#define WORK_PAGES (SLOTS * SLOT_PAGES)
#define RW         (PROT_READ | PROT_WRITE)

/* A word of a frame; volatile, because it also changes by other mappings. */
typedef volatile uint64_t GuestWord;

typedef struct Question {
    const char *name;         /* group/what */
    void (*ask)(void);        /* ends with one call or more of say() */
    const char *answer;       /* Xen 4.17's, with Linux 6.1 of dom0 */
    const char *sim;          /* the simulated Xen's where it differs */
    const char *why;          /* what relies on it */
    const char *reason;       /* why the simulated Xen differs */
    const char *newer;        /* Xen 4.20's, with Linux 6.12, if it differs */
} Question;

/* Each ends with an entry whose name is NULL. */
extern const Question arena_questions[];
extern const Question map_questions[];
extern const Question memory_questions[];
extern const Question dm_questions[];
extern const Question ioreq_questions[];
extern const Question evtchn_questions[];
extern const Question gnttab_questions[];
extern const Question restrict_questions[];

/* The domain that is asked about, and open handles. */
typedef struct Ctx {
    uint32_t domid;
    uint32_t nodom;           /* the id of no domain */
    /*
     * The first of WORK_PAGES gfns of RAM that the guest does not use.  Before
     * each question, each of these frames begins with stamp_of() its gfn.
     */
    xen_pfn_t work;
    xen_pfn_t empty;          /* the first of SLOT_PAGES absent gfns */
    xen_pfn_t absent;         /* an absent gfn far beyond all frames */
    xenforeignmemory_handle *fmem;
    xendevicemodel_handle *dmod;
    xenevtchn_handle *evtchn;
    xengnttab_handle *gnttab;
    xc_interface *xc;
} Ctx;

extern Ctx ctx;

/* ---- answers (answer.c) ---- */

/*
 * A question's answer is what is said between these calls.  answer_end()
 * returns it, or the reason for which the question was skipped; it lasts until
 * the next answer_begin().
 */
void answer_begin(void);
const char *answer_end(bool *was_skipped);

/* Adds a text to the answer, after ", " if the answer is not empty. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* To be called if the question cannot be asked here; reports the reason. */
void skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Adds the result of a call: @ok if @rc is not -1, else errno's name. */
void say_rc(const char *ok, int rc);

/* errno's name, "0" for none; a negative value keeps its sign. */
const char *error_name(int e);

/* ---- tools (tools.c) ---- */

/* Opens all handles; false, with a line on stderr, if that fails. */
bool open_handles(void);
/* True if a device model call for @domid succeeds. */
bool domain_exists(uint32_t domid);
/* Stamps the work frames; false if one of them is absent. */
bool stamp_work(void);

uint64_t stamp_of(xen_pfn_t gfn);

/*
 * Maps @n frames from @gfn by xenforeignmemory_map2(); errno is 0 before the
 * call.  @err has an entry for each frame, or is NULL.
 */
void *map_run(void *addr, int prot, int flags, xen_pfn_t gfn, size_t n,
              int *err);
/* Maps @n frames from @gfn, writable; NULL if that fails or one is absent. */
void *map_good(xen_pfn_t gfn, size_t n);
/* Maps the frame to find out whether it is present. */
bool is_present(xen_pfn_t gfn);
void unmap(void *p, size_t pages);
/* How many of the @n pages at @p have the stamps of the gfns from @gfn on. */
unsigned stamps(const void *p, xen_pfn_t gfn, unsigned n);

/* Runs @ask; if a bad access raises a signal, adds that to the answer. */
void ask_safely(void (*ask)(void));

/*
 * Within ask_safely(): the first reads the byte at @p, the second writes it.
 * Returns "ok", or the signal that was raised with its code, such as "SIGBUS
 * 2".
 */
const char *touch(const volatile void *p);
const char *poke(volatile void *p);

/* The number of memory areas of this process in [@p, @p + @len). */
unsigned areas(const void *p, size_t len);
/* Does @p lie in a mapping of the file @fd? */
bool is_of_file(const void *p, int fd);

#endif
