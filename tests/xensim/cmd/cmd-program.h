/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the `xensim` command finds out about the program it is to run. */

#ifndef XENSIM_CMD_PROGRAM_H
#define XENSIM_CMD_PROGRAM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The path of the program NAME (g_free): NAME if it has a slash, otherwise the
 * first such program in PATH.  If none can be executed, returns NULL and sets
 * ERR.
 */
char *cmd_find_program(const char *name, GError **err);

/*
 * Returns TRUE if the program at PATH may be a device model: if it is linked
 * with libxenforeignmemory, or is no ELF file, such as a wrapper script.
 * Otherwise returns FALSE and sets ERR.
 */
gboolean cmd_check_program(const char *path, GError **err);

/*
 * Reads a memory size in the form of QEMU's -m: a number with the suffix K, M,
 * G or T; without a suffix, in MiB.  *BYTES gets the size.  Returns FALSE and
 * sets ERR, which names WHAT, if TEXT is no such size, or if the size is not a
 * multiple of 1 MiB from 1 MiB to 4 TiB.
 */
gboolean cmd_parse_memory(const char *what, const char *text,
                          uint64_t *bytes, GError **err);

/*
 * Returns the argument of an option in the vector ARGS.  NAMES are the option's
 * names, without dashes, NULL-terminated; each may have one dash or two.  If
 * the option appears several times, the last one counts.  Returns "" if it is
 * the last word and so has no argument, and NULL if it does not appear.
 */
const char *cmd_option(const char *const *args, const char *const *names);

#endif
