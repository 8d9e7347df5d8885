/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions that a test replaces by the linker's option --wrap. */
#ifndef XEN_MAPCACHE_WRAP_H
#define XEN_MAPCACHE_WRAP_H

/*
 * Declares two functions of the type of @function.  All calls of @function call
 * __wrap_@function() instead, which the test's file defines.
 * __real_@function() is @function itself.
 */
#define WRAPPED(function) \
    __typeof__(function) __real_##function, __wrap_##function

#endif
