/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libxenstore's functions for a device model on the simulated Xen: one
 * function for each request, and the helpers that need no connection.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib.h"
#include "xenstore-client.h"

/* A request with one string; see xensim_xs_talk() for the result. */
static char *ask(struct xs_handle *h, unsigned int call, uint32_t type,
                 xs_transaction_t t, const char *string, unsigned int *len)
{
    const struct iovec iov = { (void *)string, strlen(string) + 1 };

    return xensim_xs_talk(h, call, type, t, &iov, 1, len);
}

/* The same for one whose answer says no more than that it was done. */
static bool order(struct xs_handle *h, unsigned int call, uint32_t type,
                  xs_transaction_t t, const char *string)
{
    char *answer = ask(h, call, type, t, string, NULL);

    free(answer);
    return answer != NULL;
}

static char *ask_domain(struct xs_handle *h, unsigned int call,
                        uint32_t type, unsigned int domid)
{
    char text[MAX_STRLEN(domid)];

    snprintf(text, sizeof(text), "%u", domid);
    return ask(h, call, type, XBT_NULL, text, NULL);
}

static bool order_domain(struct xs_handle *h, unsigned int call,
                         uint32_t type, unsigned int domid)
{
    char *answer = ask_domain(h, call, type, domid);

    free(answer);
    return answer != NULL;
}

static unsigned int count_strings(const char *data, unsigned int len)
{
    unsigned int i, n = 0;

    for (i = 0; i < len; i++) {
        n += data[i] == '\0';
    }
    return n;
}

/*
 * A directory too long for one message: its names, as one would carry them.
 * Starts again when the directory changes under way.
 */
static char *ask_parts(struct xs_handle *h, xs_transaction_t t,
                       const char *path, unsigned int *len)
{
    char generation[24] = "", offset[16];
    char *all = NULL;
    unsigned int have = 0;

    for (;;) {
        const struct iovec iov[] = {
            { (void *)path, strlen(path) + 1 },
            { offset, snprintf(offset, sizeof(offset), "%u", have) + 1 },
        };
        unsigned int part_len, skip;
        char *part = xensim_xs_talk(h, XSIM_CALL_xs_directory,
                                    XS_DIRECTORY_PART, t, iov, 2, &part_len);
        char *grown;
        bool last;

        if (!part) {
            break;
        }
        skip = strlen(part) + 1;
        if (have && strcmp(part, generation) != 0) {
            have = 0;
            free(part);
            continue;
        }
        snprintf(generation, sizeof(generation), "%s", part);
        /* The last part ends with an empty name: two NULs. */
        last = part_len == skip + 1 ||
               (part_len > skip + 1 && !part[part_len - 2]);
        part_len -= skip + last;
        grown = realloc(all, have + part_len + 1);
        if (grown) {
            all = grown;
            memcpy(all + have, part + skip, part_len);
            have += part_len;
            all[have] = '\0';
        }
        free(part);
        if (!grown) {
            break;
        }
        if (last) {
            *len = have;
            return all;
        }
    }
    free(all);
    return NULL;
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path,
                    unsigned int *num)
{
    unsigned int len, n, i;
    char *data = ask(h, XSIM_CALL_xs_directory, XS_DIRECTORY, t, path, &len);
    char **names, *p;

    if (!data && errno == E2BIG) {
        data = ask_parts(h, t, path, &len);
    }

    if (!data) {
        return NULL;
    }
    n = count_strings(data, len);
    /* One block, as callers free it in one go. */
    names = malloc((n + 1) * sizeof(char *) + len + 1);
    if (names) {
        p = memcpy(names + n + 1, data, len + 1);
        for (i = 0; i < n; i++, p += strlen(p) + 1) {
            names[i] = p;
        }
        names[n] = NULL;
        *num = n;
    }
    free(data);
    return names;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path,
              unsigned int *len)
{
    return ask(h, XSIM_CALL_xs_read, XS_READ, t, path, len);
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path,
              const void *data, unsigned int len)
{
    const struct iovec iov[] = {
        { (void *)path, strlen(path) + 1 },
        { (void *)data, len },
    };
    char *answer = xensim_xs_talk(h, XSIM_CALL_xs_write, XS_WRITE, t, iov, 2,
                                  NULL);

    free(answer);
    return answer != NULL;
}

bool xs_mkdir(struct xs_handle *h, xs_transaction_t t, const char *path)
{
    return order(h, XSIM_CALL_xs_mkdir, XS_MKDIR, t, path);
}

bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
    return order(h, XSIM_CALL_xs_rm, XS_RM, t, path);
}

bool xs_restrict(struct xs_handle *h, unsigned int domid)
{
    (void)h;
    /* As in the real library: gone, and says no. */
    return xsim_lib_result(XSIM_CALL_xs_restrict, -ENOSYS, "%u", domid) == 0;
}

/* ---- permissions ---- */

static const char perm_letters[] = "nrwb";

bool xs_strings_to_perms(struct xs_permissions *perms, unsigned int num,
                         const char *strings)
{
    const char *p = strings;
    unsigned int i;

    for (i = 0; i < num; i++, p += strlen(p) + 1) {
        const char *letter = *p ? strchr(perm_letters, *p) : NULL;
        char *end;

        if (!letter) {
            errno = EINVAL;
            return false;
        }
        perms[i].perms = letter - perm_letters;
        errno = 0;
        perms[i].id = strtoul(p + 1, &end, 10);
        if (errno || end == p + 1 || *end) {
            errno = EINVAL;
            return false;
        }
    }
    return true;
}

struct xs_permissions *xs_get_permissions(struct xs_handle *h,
                                          xs_transaction_t t,
                                          const char *path,
                                          unsigned int *num)
{
    unsigned int len, n;
    char *data = ask(h, XSIM_CALL_xs_get_permissions, XS_GET_PERMS, t, path,
                     &len);
    struct xs_permissions *perms = NULL;

    if (!data) {
        return NULL;
    }
    n = count_strings(data, len);
    perms = calloc(n ? n : 1, sizeof(*perms));
    if (perms && !xs_strings_to_perms(perms, n, data)) {
        free(perms);
        perms = NULL;
    }
    if (perms) {
        *num = n;
    }
    free(data);
    return perms;
}

bool xs_set_permissions(struct xs_handle *h, xs_transaction_t t,
                        const char *path, struct xs_permissions *perms,
                        unsigned int num_perms)
{
    char (*texts)[16] = calloc(num_perms + 1, sizeof(*texts));
    struct iovec *iov = calloc(num_perms + 1, sizeof(*iov));
    char *answer = NULL;
    unsigned int i;

    if (!texts || !iov) {
        free(texts);
        free(iov);
        errno = ENOMEM;
        return false;
    }
    iov[0] = (struct iovec) { (void *)path, strlen(path) + 1 };
    for (i = 0; i < num_perms; i++) {
        unsigned int bits = perms[i].perms & (XS_PERM_READ | XS_PERM_WRITE);

        iov[i + 1].iov_base = texts[i];
        iov[i + 1].iov_len = snprintf(texts[i], sizeof(texts[i]), "%c%u",
                                      perm_letters[bits], perms[i].id) + 1;
    }
    answer = xensim_xs_talk(h, XSIM_CALL_xs_set_permissions, XS_SET_PERMS, t,
                            iov, num_perms + 1, NULL);
    free(texts);
    free(iov);
    free(answer);
    return answer != NULL;
}

/* ---- transactions ---- */

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
    char *answer = ask(h, XSIM_CALL_xs_transaction_start,
                       XS_TRANSACTION_START, XBT_NULL, "", NULL);
    xs_transaction_t t = XBT_NULL;

    if (answer) {
        t = strtoul(answer, NULL, 10);
        free(answer);
    }
    return t;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abandon)
{
    return order(h, XSIM_CALL_xs_transaction_end, XS_TRANSACTION_END, t,
                 abandon ? "F" : "T");
}

/* ---- domains ---- */

bool xs_introduce_domain(struct xs_handle *h, unsigned int domid,
                         unsigned long mfn, unsigned int eventchn)
{
    char text[3][24];
    struct iovec iov[3];
    char *answer;
    int i;

    snprintf(text[0], sizeof(text[0]), "%u", domid);
    snprintf(text[1], sizeof(text[1]), "%lu", mfn);
    snprintf(text[2], sizeof(text[2]), "%u", eventchn);
    for (i = 0; i < 3; i++) {
        iov[i] = (struct iovec) { text[i], strlen(text[i]) + 1 };
    }
    answer = xensim_xs_talk(h, XSIM_CALL_xs_introduce_domain, XS_INTRODUCE,
                            XBT_NULL, iov, 3, NULL);
    free(answer);
    return answer != NULL;
}

bool xs_set_target(struct xs_handle *h, unsigned int domid,
                   unsigned int target)
{
    char text[2][16];
    const struct iovec iov[] = {
        { text[0], snprintf(text[0], sizeof(text[0]), "%u", domid) + 1 },
        { text[1], snprintf(text[1], sizeof(text[1]), "%u", target) + 1 },
    };
    char *answer = xensim_xs_talk(h, XSIM_CALL_xs_set_target, XS_SET_TARGET,
                                  XBT_NULL, iov, 2, NULL);

    free(answer);
    return answer != NULL;
}

bool xs_resume_domain(struct xs_handle *h, unsigned int domid)
{
    return order_domain(h, XSIM_CALL_xs_resume_domain, XS_RESUME, domid);
}

bool xs_release_domain(struct xs_handle *h, unsigned int domid)
{
    return order_domain(h, XSIM_CALL_xs_release_domain, XS_RELEASE, domid);
}

char *xs_get_domain_path(struct xs_handle *h, unsigned int domid)
{
    return ask_domain(h, XSIM_CALL_xs_get_domain_path, XS_GET_DOMAIN_PATH,
                      domid);
}

bool xs_is_domain_introduced(struct xs_handle *h, unsigned int domid)
{
    char *answer = ask_domain(h, XSIM_CALL_xs_is_domain_introduced,
                              XS_IS_DOMAIN_INTRODUCED, domid);
    bool yes = answer && strcmp(answer, "T") == 0;

    free(answer);
    return yes;
}

int xs_suspend_evtchn_port(int domid)
{
    char path[64];
    struct xs_handle *h = xs_open(0);
    char *text;
    int port = -1;

    if (!h) {
        return -1;
    }
    snprintf(path, sizeof(path),
             "/local/domain/%d/device/suspend/event-channel", domid);
    text = xs_read(h, XBT_NULL, path, NULL);
    if (text) {
        port = atoi(text);
        free(text);
    }
    xs_close(h);
    return port;
}

char *xs_control_command(struct xs_handle *h, const char *cmd, void *data,
                         unsigned int len)
{
    (void)h;
    (void)cmd;
    (void)data;
    (void)len;
    xsim_unsimulated("xs_control_command");
}

char *xs_debug_command(struct xs_handle *h, const char *cmd, void *data,
                       unsigned int len)
{
    (void)h;
    (void)cmd;
    (void)data;
    (void)len;
    xsim_unsimulated("xs_debug_command");
}

/* ---- without a connection ---- */

bool xs_path_is_subpath(const char *parent, const char *child)
{
    size_t len = strlen(parent);

    return strncmp(parent, child, len) == 0 &&
           (child[len] == '/' || child[len] == '\0');
}

bool xs_write_all(int fd, const void *data, unsigned int len)
{
    const char *p = data;

    while (len) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno != EINTR) {
            return false;
        }
        if (n > 0) {
            p += n;
            len -= n;
        }
    }
    return true;
}
