/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a monitor shows of guest memory: the guest's bytes, zeros where it has
 * no page, and nothing of QEMU's own.
 */
#include "qemu/osdep.h"
#include <elf.h>
#include "qemu/cutils.h"
#include "xen-test-common.h"

enum { SEED = 91, FIRST_GFN = 0x800, PAGES = 32, HOLE = 7 };

static const uint64_t absent[] = { 0, FIRST_GFN + HOLE };

static void boot(XenTest *t)
{
    xen_test_start(t, "");
    xensim_stamp(t->dom, FIRST_GFN, PAGES, SEED);
    for (unsigned i = 0; i < ARRAY_SIZE(absent); i++) {
        xensim_balloon_out(t->dom, absent[i], 1);
    }
}

static QDict *dump(XenTest *t, const char *file)
{
    g_autofree char *to = g_strconcat("file:", file, NULL);

    return qtest_qmp(t->qts, "{'execute': 'dump-guest-memory', 'arguments':"
                     " {'paging': false, 'protocol': %s}}", to);
}

/* The dumped page at @gpa, or NULL. */
static const uint8_t *page_in(const char *core, gsize bytes, uint64_t gpa)
{
    const Elf32_Ehdr *elf = (const void *)core;

    g_assert_cmpuint(bytes, >, sizeof(*elf));
    g_assert_cmpint(elf->e_ident[EI_CLASS], ==, ELFCLASS32);
    for (unsigned i = 0; i < elf->e_phnum; i++) {
        const Elf32_Phdr *p = (const void *)(core + elf->e_phoff +
                                             i * elf->e_phentsize);

        if (p->p_type == PT_LOAD && gpa - p->p_paddr < p->p_filesz) {
            uint64_t at = p->p_offset + (gpa - p->p_paddr);

            g_assert_cmpuint(at + XEN_TEST_PAGE, <=, bytes);
            return (const uint8_t *)core + at;
        }
    }
    return NULL;
}

static const char *dumped(XenTest *t)
{
    g_autofree char *file = g_strconcat(t->dir, "/core", NULL);
    g_autofree char *core = NULL;
    gsize bytes;
    QDict *answer;

    boot(t);
    answer = dump(t, file);
    XEN_REQUIRE(qdict_haskey(answer, "return"), "cannot dump memory");
    qobject_unref(answer);
    g_assert_true(g_file_get_contents(file, &core, &bytes, NULL));
    for (uint64_t i = 0; i < PAGES; i++) {
        const uint8_t *page = page_in(core, bytes,
                                      (FIRST_GFN + i) * XEN_TEST_PAGE);

        XEN_REQUIRE(page, "page 0x%" PRIx64 " is not in the dump",
                    FIRST_GFN + i);
        XEN_REQUIRE(i == HOLE ? buffer_is_zero(page, XEN_TEST_PAGE)
                              : xensim_stamp_page_ok(page, FIRST_GFN + i,
                                                     SEED),
                    "dumped other bytes of page 0x%" PRIx64, FIRST_GFN + i);
    }
    XEN_REQUIRE(page_in(core, bytes, 0), "page 0 is not in the dump");
    XEN_REQUIRE(buffer_is_zero(page_in(core, bytes, 0), XEN_TEST_PAGE),
                "dumped something of a page that the guest has not");
    return NULL;
}

/* Pages cannot be mapped: there is no dump, rather than one with zeros. */
static const char *unavailable(XenTest *t)
{
    XensimFault fault = {
        .call = xen_test_call("xenforeignmemory_map2"), .first = 1,
        .error = ENOMEM,
    };
    g_autofree char *file = g_strconcat(t->dir, "/core", NULL);
    QDict *answer;

    boot(t);
    g_assert_cmpint(xensim_fault_arm(t->sim, &fault), >=, 0);
    answer = dump(t, file);
    xensim_fault_disarm_all(t->sim);
    XEN_REQUIRE(qdict_haskey(answer, "error"),
                "dumped what could not be read");
    qobject_unref(answer);
    return NULL;
}

static const char *gpa2hva(XenTest *t)
{
    static const uint64_t gpa[] = { 0, FIRST_GFN * (uint64_t)XEN_TEST_PAGE };

    boot(t);
    for (unsigned i = 0; i < ARRAY_SIZE(gpa); i++) {
        for (unsigned physical = 0; physical < 2; physical++) {
            g_autofree char *text = qtest_hmp(t->qts, "gpa2h%ca 0x%" PRIx64,
                                              physical ? 'p' : 'v', gpa[i]);

            XEN_REQUIRE(strstr(text, "has no host address"),
                        "tells an address of its own: %s", text);
        }
    }
    return NULL;
}

/* The toolstack moves the guest's memory, QEMU has none to send. */
static const char *migrate(XenTest *t)
{
    QDict *answer;

    boot(t);
    answer = qtest_qmp(t->qts, "{'execute': 'migrate', 'arguments':"
                       " {'uri': 'exec:cat >/dev/null'}}");
    XEN_REQUIRE(qdict_haskey(answer, "error"), "migrates a guest of Xen's");
    qobject_unref(answer);
    xen_test_alive(t);
    return NULL;
}

/* QEMU does not see what the guest writes. */
static const char *dirty_rate(XenTest *t)
{
    static const char *const mode[] = { "page-sampling", "dirty-bitmap" };

    boot(t);
    for (unsigned i = 0; i < ARRAY_SIZE(mode); i++) {
        QDict *answer = qtest_qmp(t->qts, "{'execute': 'calc-dirty-rate', "
                                  "'arguments': {'calc-time': 1, 'mode': %s}}",
                                  mode[i]);
        QDict *error = qdict_get_qdict(answer, "error");
        bool refused = error && strstr(qdict_get_str(error, "desc"), "Xen");

        qobject_unref(answer);
        XEN_REQUIRE(refused, "does not refuse to measure the dirty rate by %s",
                    mode[i]);
    }
    xen_test_alive(t);
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("dump/holes", dumped, NULL);
    xen_test_add("dump/unavailable", unavailable, NULL);
    xen_test_add("dump/gpa2hva", gpa2hva, NULL);
    xen_test_add("dump/migrate", migrate, NULL);
    xen_test_add("dump/dirty-rate", dirty_rate, NULL);
    return g_test_run();
}
