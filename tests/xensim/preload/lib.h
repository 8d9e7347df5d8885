/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared by the files of libxensim.so, the preload library.
 *
 * Nothing happens when the library is loaded.  The first libxen call attaches
 * the process to the simulation that the environment names.
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
/* The view if this process is attached, else NULL. */
XsimView *xsim_lib_if_attached(void);
/* Process slot; valid once attached. */
unsigned xsim_lib_proc(void);
/* Run directory of the simulation. */
const char *xsim_lib_dir(void);
/*
 * Machine memory's file, opened XSIM_FILES times: mappings of different ones
 * stay areas of their own for the kernel, as foreign mappings are.
 */
#define XSIM_FILES 3u
int xsim_lib_file(unsigned which);
/* XENSIM_NO_MAP2: this process must not call xenforeignmemory_map2(). */
bool xsim_lib_no_map2(void);
/* xentoolcore_restrict_all() was called. */
void xsim_lib_restrict(uint32_t domid);

/*
 * Every simulated call begins with xsim_lib_begin(), which gives the errno
 * that a fault wants it to fail with (0: none; @set and @pages as for
 * xsim_fault_check(), usually NULL), and ends with xsim_lib_end(), which
 * counts it and writes a line to XENSIM_LOG: @error is 0 or an errno, @fmt
 * the arguments and result.
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
 * What opening a handle of a libxen library does: @size bytes of zeros (free),
 * or NULL and errno.  A restricted process may open none (EACCES).
 */
void *xsim_lib_open(unsigned call, size_t size, unsigned flags);
/*
 * Restricts a handle to @domid: *@restricted is 1 + the domain's number, or 0.
 * 0; or -1 and EINVAL if it is restricted to another domain.
 */
int xsim_lib_restrict_handle(unsigned call, int *restricted, uint32_t domid);
/* May this process call Xen for @domid, by a handle so @restricted? */
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
 * Show @map's runs in the address space.  pages[i] belongs to page i:
 * 0 if it is the next page of the runs, else it is absent.  @pages may be
 * NULL: none is absent.  Returns the address, or NULL and errno; then the
 * record has been dropped.  *@mmaps is how many mmap() calls it took.
 */
void *xsim_lib_show(XsimView *v, uint32_t map, const XsimMapHow *how,
                    const int *pages, unsigned *mmaps);

/* munmap(), aware of mappings. */
int xsim_lib_munmap(void *addr, size_t len);
/*
 * What libxenforeignmemory does to a fixed target when the call fails after
 * its mmap(): unmap it.  0, or -ENOMEM and nothing done if that mmap() would
 * have been refused.
 */
int xsim_lib_lose_target(const XsimMapHow *how);

#endif
