/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared by the files of libxensim.so, the preload library.
 *
 * Loading the library does nothing.  The first libxen call attaches the process
 * to the simulation that the environment names.
 */
#ifndef XENSIM_LIB_H
#define XENSIM_LIB_H

#include "mapping.h"
#include "xensim-restrict.h"

/* The library is built with hidden visibility; this is what others see. */
#define XSIM_EXPORT __attribute__((visibility("default")))

/* Exit status when the environment does not lead to a simulation. */
#define XSIM_EXIT_NO_SIM 98

/* Attaches at first use; exits with a message if that is not possible. */
XsimView *xsim_lib(void);
/* The view if this process is attached, otherwise NULL. */
XsimView *xsim_lib_if_attached(void);
/* The process's slot; valid once attached. */
unsigned xsim_lib_proc(void);
/* The run directory of the simulation. */
const char *xsim_lib_dir(void);
/*
 * Machine memory's file.  It is opened XSIM_FILES times, because the kernel
 * does not merge mappings of different descriptors: each mapping stays an area
 * of its own, as a foreign mapping does.
 */
#define XSIM_FILES 3u
int xsim_lib_file(unsigned which);
/* XENSIM_NO_MAP2: this process must not call xenforeignmemory_map2(). */
bool xsim_lib_no_map2(void);
/* Records that xentoolcore_restrict_all() was called for @domid. */
void xsim_lib_restrict(uint32_t domid);

/*
 * Every simulated call begins with xsim_lib_begin().  It returns the errno with
 * which a fault makes the call fail, or 0.  xsim_fault_check() explains @set
 * and @pages, which are NULL for most calls.  Every call ends with
 * xsim_lib_end(), which counts it and writes a line to XENSIM_LOG.  @error is 0
 * or an errno, @fmt the arguments and the result.
 */
int xsim_lib_begin(unsigned call, const XsimGfnSet *set, int *pages);
void xsim_lib_end(unsigned call, uint64_t pages, uint64_t mmaps, int error,
                  const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/*
 * The end of most calls: @rc is a result, or -errno, which becomes -1 and
 * errno.
 */
int xsim_lib_result(unsigned call, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Opens a handle of a libxen library: @size bytes of zeros (free), or NULL and
 * errno.  A restricted process cannot open a handle (EACCES).
 */
void *xsim_lib_open(unsigned call, size_t size, unsigned flags);
/*
 * Restricts a handle to @domid.  *@restricted is 0, or 1 + the number of the
 * domain to which the handle is restricted.  Returns 0, or -1 and EINVAL if
 * that is another domain.
 */
int xsim_lib_restrict_handle(unsigned call, int *restricted, uint32_t domid);
/* True if this process may call Xen for @domid with a handle so @restricted. */
bool xsim_lib_may(int restricted, uint32_t domid);

/* Print that @name is not simulated and exit (XENSIM_EXIT_UNSIMULATED). */
_Noreturn void xsim_unsimulated(const char *name);

/* ---- lib-mmap.c ---- */

/* How a mapping is to be made. */
typedef struct XsimMapHow {
    void *addr;
    int prot, flags;
    size_t pages;
} XsimMapHow;

/*
 * Map the runs of @map into the address space.  pages[i] is 0 if page i is the
 * next page of the runs; otherwise page i is absent.  If @pages is NULL, no
 * page is absent.  Returns the address.  On failure returns NULL and errno, and
 * drops the record.  *@mmaps is the number of mmap() calls.
 */
void *xsim_lib_show(XsimView *v, uint32_t map, const XsimMapHow *how,
                    const int *pages, unsigned *mmaps);

/*
 * munmap() that also ends the mappings in the range.  A part of a mapping
 * cannot be unmapped: EINVAL.
 */
int xsim_lib_munmap(void *addr, size_t len);
/*
 * Unmaps a fixed target, as libxenforeignmemory does when the call fails after
 * its mmap().  Returns 0.  If that mmap() would have failed, does nothing and
 * returns -ENOMEM.
 */
int xsim_lib_lose_target(const XsimMapHow *how);

#endif
