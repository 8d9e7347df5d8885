/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the `xensim` command finds out about the program it is to run. */

#ifndef XENSIM_CMD_PROGRAM_H
#define XENSIM_CMD_PROGRAM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Where the program NAME is: itself if it has a slash, else in PATH (g_free).
 * NULL and ERR if there is none that can be executed.
 */
char *cmd_find_program(const char *name, GError **err);

/*
 * Could the program at PATH be a device model, that is: is it linked with
 * libxenforeignmemory?  What is no ELF file, a wrapper script say, is given
 * the benefit of the doubt.  FALSE and ERR if not.
 */
gboolean cmd_check_program(const char *path, GError **err);

/*
 * A memory size as QEMU's -m has it, in bytes: a number with K, M, G or T, or
 * in MiB without.  FALSE and ERR (which names WHAT) if TEXT is none, or not
 * a multiple of 1 MiB from 1 MiB to 4 TiB.
 */
gboolean cmd_parse_memory(const char *what, const char *text,
                          uint64_t *bytes, GError **err);

/*
 * The argument of one of the options NAMES (NULL-terminated, without dashes)
 * in the vector ARGS: the word behind its last appearance; "" if that is the
 * last word; NULL if it does not appear.  QEMU takes one dash or two.
 */
const char *cmd_option(const char *const *args, const char *const *names);

#endif
