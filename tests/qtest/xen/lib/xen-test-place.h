/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prints where a test failed, and what it found.
 *
 * The line of a helper does not say which test called the helper.  XEN_AT()
 * remembers the place of a call while the call lasts, and a failure prints all
 * of these places, the innermost first:
 *
 *   # xen-test-guest.c:137: wrote to a stale page by DMA
 *   # ... guest address 0x345000, page 9 of the disk
 *   # ... byte 0x0 of page 0x9: expected 0x5cf4…, found 0x0
 *   # ... called at xen-balloon-test.c:54 (swap)
 *   # ... called at xen-balloon-test.c:67 (plain)
 *
 * Each thread has places of its own.
 */
#ifndef XEN_TEST_PLACE_H
#define XEN_TEST_PLACE_H

#include "qemu/compiler.h"

/*
 * Evaluates @call, and has its value if it is not void.  After the definition
 * of a helper that is called at several places, define a macro of the same
 * name:
 *
 *   #define swap(...) XEN_AT(swap(__VA_ARGS__))
 */
#define XEN_AT(call) XEN_AT_INTERNAL(call, MAKE_IDENTIFIER(depth_))

#define XEN_AT_INTERNAL(call, depth)                                \
    ({                                                              \
        __attribute__((cleanup(xen_test_place_leave), unused))      \
        unsigned depth = xen_test_place_enter(__FILE__, __LINE__,   \
                                              __func__);            \
        call;                                                       \
    })

/*
 * The first notes a place, and returns how many there were before.  The second
 * forgets all but the first *@depth places.
 */
unsigned xen_test_place_enter(const char *file, int line, const char *func);
void xen_test_place_leave(unsigned *depth);

/* Forgets this thread's places and notes, as before a scenario. */
void xen_test_place_clear(void);

/* Prints this thread's notes and places as diagnostics. */
void xen_test_place_show(void);

/*
 * Adds a line to what a failure of this thread prints: which guest address,
 * what was expected and found.  XEN_REQUIRE() removes earlier lines before it
 * evaluates its condition.  Functions that find a wrong stamp add a line.
 */
void xen_test_note(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
void xen_test_note_clear(void);

/*
 * True if @got and @want are the same @len bytes.  Otherwise adds a note of the
 * first byte that differs.  @addr: the address that the note gives to the first
 * byte of @got.
 */
bool xen_test_same(const void *got, const void *want, size_t len,
                   uint64_t addr);

/*
 * printf into a string that lives to the end of the process; prints the
 * place and this thread's notes as diagnostics.
 */
const char *xen_test_text(const char *file, int line, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

/*
 * Leaves a scenario if @cond does not hold: returns the text that @... makes,
 * as printf() does.  The text says what was found; the condition is printed as
 * what was expected.
 */
#define XEN_REQUIRE(cond, ...)                                      \
    do {                                                            \
        xen_test_note_clear();                                      \
        if (!(cond)) {                                              \
            xen_test_note("expected: %s", #cond);                   \
            return xen_test_text(__FILE__, __LINE__, __VA_ARGS__);  \
        }                                                           \
    } while (0)

/* Returns what another function of the same kind returns, unless NULL. */
#define XEN_TRY(call)                                               \
    do {                                                            \
        const char *text_ = XEN_AT(call);                           \
        if (text_) {                                                \
            return text_;                                           \
        }                                                           \
    } while (0)

#endif
