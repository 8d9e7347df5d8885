/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the `xensim` command finds out about the program it is to run. */

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <gio/gio.h>

#include "cmd-program.h"

char *cmd_find_program(const char *name, GError **err)
{
    char *path;

    if (strchr(name, '/')) {
        if (!g_file_test(name, G_FILE_TEST_EXISTS)) {
            g_set_error(err, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                        "%s: no such program", name);
            return NULL;
        }
        if (g_file_test(name, G_FILE_TEST_IS_DIR) ||
            access(name, X_OK) < 0) {
            g_set_error(err, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                        "%s: not a program that can be executed", name);
            return NULL;
        }
        return g_strdup(name);
    }
    path = g_find_program_in_path(name);
    if (!path) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "%s: no such program in PATH", name);
    }
    return path;
}

/* ---- ELF ---- */

typedef struct Elf {
    const char *data;
    gsize len;
    const Elf64_Ehdr *head;
    const Elf64_Phdr *segments;
} Elf;

/* SIZE bytes at OFFSET of the file, or NULL if it is shorter. */
static const void *elf_at(const Elf *elf, uint64_t offset, uint64_t size)
{
    return offset <= elf->len && size <= elf->len - offset
           ? elf->data + offset : NULL;
}

/* Where in the file the byte is that is loaded at ADDR. */
static uint64_t elf_offset(const Elf *elf, uint64_t addr)
{
    int i;

    for (i = 0; i < elf->head->e_phnum; i++) {
        const Elf64_Phdr *p = &elf->segments[i];

        if (p->p_type == PT_LOAD && addr >= p->p_vaddr &&
            addr - p->p_vaddr < p->p_filesz) {
            return addr - p->p_vaddr + p->p_offset;
        }
    }
    return UINT64_MAX;
}

/* Does the dynamic section DYN of N entries name a library LIB...? */
static bool needs(const Elf *elf, const Elf64_Dyn *dyn, uint64_t n,
                  const char *lib)
{
    uint64_t strings = UINT64_MAX;
    uint64_t i;

    for (i = 0; i < n && dyn[i].d_tag != DT_NULL; i++) {
        if (dyn[i].d_tag == DT_STRTAB) {
            strings = elf_offset(elf, dyn[i].d_un.d_ptr);
        }
    }
    for (i = 0; i < n && dyn[i].d_tag != DT_NULL; i++) {
        const char *name;

        if (dyn[i].d_tag != DT_NEEDED || strings == UINT64_MAX) {
            continue;
        }
        name = elf_at(elf, strings + dyn[i].d_un.d_val, strlen(lib));
        if (name && strncmp(name, lib, strlen(lib)) == 0) {
            return true;
        }
    }
    return false;
}

static bool elf_needs(const Elf *elf, const char *lib)
{
    int i;

    for (i = 0; i < elf->head->e_phnum; i++) {
        const Elf64_Phdr *p = &elf->segments[i];
        const Elf64_Dyn *dyn;

        if (p->p_type == PT_DYNAMIC) {
            dyn = elf_at(elf, p->p_offset, p->p_filesz);
            return dyn && needs(elf, dyn, p->p_filesz / sizeof(*dyn), lib);
        }
    }
    return false;
}

gboolean cmd_check_program(const char *path, GError **err)
{
    g_autofree char *base = g_path_get_basename(path);
    GMappedFile *file = g_mapped_file_new(path, FALSE, err);
    Elf elf;
    bool ok;

    if (!file) {
        return FALSE;
    }
    elf.data = g_mapped_file_get_contents(file);
    elf.len = g_mapped_file_get_length(file);
    elf.head = elf_at(&elf, 0, sizeof(*elf.head));
    if (!elf.head || memcmp(elf.head->e_ident, ELFMAG, SELFMAG) != 0) {
        g_mapped_file_unref(file);
        return TRUE;
    }
    elf.segments = elf_at(&elf, elf.head->e_phoff,
                          (uint64_t)elf.head->e_phnum * sizeof(Elf64_Phdr));
    if (elf.head->e_ident[EI_CLASS] != ELFCLASS64 || !elf.segments) {
        g_mapped_file_unref(file);
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "%s: not a 64-bit program", base);
        return FALSE;
    }
    ok = elf_needs(&elf, "libxenforeignmemory");
    g_mapped_file_unref(file);
    if (!ok) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "%s: this QEMU was built without Xen (no "
                    "libxenforeignmemory); build it with --enable-xen", base);
    }
    return ok;
}

/* ---- options ---- */

gboolean cmd_parse_memory(const char *what, const char *text,
                          uint64_t *bytes, GError **err)
{
    static const char units[] = "KMGT";
    const uint64_t mib = 1 << 20, most = 4ull << 40;
    char *end;
    const char *unit;
    int shift = 20;
    uint64_t n;

    errno = 0;
    n = g_ascii_isdigit(text[0]) ? g_ascii_strtoull(text, &end, 10) : 0;
    if (!g_ascii_isdigit(text[0]) || errno) {
        goto bad;
    }
    if (*end) {
        unit = strchr(units, g_ascii_toupper(*end));
        if (!unit) {
            goto bad;
        }
        shift = 10 * (unit - units + 1);
        end++;
        if (*end && strcmp(end, "iB") != 0 && strcmp(end, "B") != 0) {
            goto bad;
        }
    }
    if (n > most >> shift || (n << shift) % mib || n == 0) {
        goto bad;
    }
    *bytes = n << shift;
    return TRUE;

bad:
    g_set_error(err, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "%s %s: not a memory size from 1M to 4T in whole MiB; write "
                "it as 128M or 2G", what, text);
    return FALSE;
}

const char *cmd_option(const char *const *args, const char *const *names)
{
    const char *found = NULL;
    int i, j;

    for (i = 0; args[i]; i++) {
        const char *word = args[i];

        if (word[0] != '-') {
            continue;
        }
        word += word[1] == '-' ? 2 : 1;
        for (j = 0; names[j]; j++) {
            if (strcmp(word, names[j]) == 0) {
                found = args[i + 1] ? args[i + 1] : "";
            }
        }
    }
    return found;
}
