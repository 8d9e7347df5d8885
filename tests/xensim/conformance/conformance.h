/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conformance: questions to Xen, through the libraries that a device model
 * uses, with the answers that Xen 4.17 gave.
 *
 * The program that these make needs libxen* and libc only, and the same binary
 * runs in dom0 of the real Xen and on the simulated one.  A question puts its
 * answer into words; main.c compares them with the one that is expected.
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

/* volatile: other mappings of the frame change it too. */
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
    uint32_t nodom;           /* a domain id that nobody has */
    /*
     * WORK_PAGES frames from here are RAM that the guest does not use.  Each
     * begins with stamp_of() its number when a question is asked.
     */
    xen_pfn_t work;
    xen_pfn_t empty;          /* SLOT_PAGES frame numbers where nothing is */
    xen_pfn_t absent;         /* far beyond anything */
    xenforeignmemory_handle *fmem;
    xendevicemodel_handle *dmod;
    xenevtchn_handle *evtchn;
    xengnttab_handle *gnttab;
    xc_interface *xc;
} Ctx;

extern Ctx ctx;

/* ---- answers (main.c) ---- */

/* Adds to the answer, after ", " if there is something already. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The question cannot be asked here: @reason goes to the report. */
void skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Says what a call returned: @ok if @rc is not -1, else errno's name. */
void say_rc(const char *ok, int rc);

/* ---- tools (tools.c) ---- */

/* Opens all handles; false, with a line on stderr, if one cannot be. */
bool open_handles(void);
/* Has @domid answered a device model call? */
bool domain_exists(uint32_t domid);
/* Stamps the work frames; false if one of them is absent. */
bool stamp_work(void);

/* errno's name, "0" for none; a negative value keeps its sign. */
const char *error_name(int e);
uint64_t stamp_of(xen_pfn_t gfn);

/*
 * Maps @n frames from @gfn; @err has an entry for each, or is NULL.  As
 * xenforeignmemory_map2(), but that errno is 0 before.
 */
void *map_run(void *addr, int prot, int flags, xen_pfn_t gfn, size_t n,
              int *err);
/* The same anywhere, for writing; NULL if a frame is absent as well. */
void *map_good(xen_pfn_t gfn, size_t n);
/* Is the frame there?  Asked by mapping it. */
bool is_present(xen_pfn_t gfn);
void unmap(void *p, size_t pages);
/* Of @n pages from @p, how many begin with the stamps of @gfn and up? */
unsigned stamps(const void *p, xen_pfn_t gfn, unsigned n);

/* Runs @ask; if it raises a signal by a bad access, says so. */
void ask_safely(void (*ask)(void));

/*
 * Within ask_safely(): reads, or writes, the byte at @p.  Returns "ok", or the
 * signal that it raised with its code, as "SIGBUS 2".
 */
const char *touch(const volatile void *p);
const char *poke(volatile void *p);

/* Memory areas of this process in [@p, @p + @len). */
unsigned areas(const void *p, size_t len);
/* Does @p lie in a mapping of the file @fd? */
bool is_of_file(const void *p, int fd);

#endif
