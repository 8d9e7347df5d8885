/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions that a test replaces by the linker's option --wrap. */
#ifndef XEN_MAPCACHE_WRAP_H
#define XEN_MAPCACHE_WRAP_H

/*
 * Declares __wrap_@function(), which the file defines and which everybody
 * calls in place of @function, and __real_@function(), which is @function
 * itself; both of its type.
 */
#define WRAPPED(function) \
    __typeof__(function) __real_##function, __wrap_##function

#endif
