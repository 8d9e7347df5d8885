/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults: which call fails, when, and how.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim.h"

static const struct {
    const char *name;
    int value;
} errno_name[] = {
    { "EPERM", EPERM }, { "ENOENT", ENOENT }, { "ESRCH", ESRCH },
    { "EINTR", EINTR }, { "EIO", EIO }, { "ENXIO", ENXIO },
    { "E2BIG", E2BIG }, { "EBADF", EBADF }, { "EAGAIN", EAGAIN },
    { "ENOMEM", ENOMEM }, { "EACCES", EACCES }, { "EFAULT", EFAULT },
    { "EBUSY", EBUSY }, { "EEXIST", EEXIST }, { "ENODEV", ENODEV },
    { "EINVAL", EINVAL }, { "ENFILE", ENFILE }, { "EMFILE", EMFILE },
    { "ENOTTY", ENOTTY }, { "ENOSPC", ENOSPC }, { "ERANGE", ERANGE },
    { "ENOSYS", ENOSYS }, { "ENODATA", ENODATA },
    { "EOPNOTSUPP", EOPNOTSUPP }, { "ENOTCONN", ENOTCONN },
    { "ETIMEDOUT", ETIMEDOUT }, { "EQUOTA", EDQUOT },
};

static int errno_value(const char *s)
{
    char *end;
    long n = strtol(s, &end, 0);
    size_t i;

    if (*s && !*end && n > 0 && n < 4096) {
        return n;
    }
    for (i = 0; i < sizeof(errno_name) / sizeof(errno_name[0]); i++) {
        if (!strcmp(errno_name[i].name, s)) {
            return errno_name[i].value;
        }
    }
    return -1;
}

static int bad(const char *text, const char *what)
{
    fprintf(stderr, "xensim: fault \"%s\": %s; the form is "
            "NAME[:n=K][:count=K|:once][:errno=E][:gfn=A[-B]][:page]"
            "[:delay=US]\n", text, what);
    return -EINVAL;
}

/* "A" or "A-B", both inclusive. */
static bool parse_gfns(const char *s, XensimFault *f)
{
    char *end;

    f->gfn = strtoull(s, &end, 0);
    f->pages = 1;
    if (*end == '-') {
        uint64_t last = strtoull(end + 1, &end, 0);

        if (last < f->gfn) {
            return false;
        }
        f->pages = last - f->gfn + 1;
    }
    return *s && !*end;
}

static bool parse_key(char *key, XensimFault *f)
{
    char *val = strchr(key, '=');
    char *end = NULL;
    uint64_t n = 0;

    if (!val) {
        if (!strcmp(key, "once")) {
            f->count = 1;
        } else if (!strcmp(key, "page")) {
            f->per_page = true;
        } else {
            return false;
        }
        return true;
    }
    *val++ = 0;
    if (!strcmp(key, "errno")) {
        f->error = errno_value(val);
        return f->error > 0;
    }
    if (!strcmp(key, "gfn")) {
        return parse_gfns(val, f);
    }
    n = strtoull(val, &end, 0);
    if (!*val || *end) {
        return false;
    }
    if (!strcmp(key, "n")) {
        f->first = n;
    } else if (!strcmp(key, "count")) {
        f->count = n;
    } else if (!strcmp(key, "delay")) {
        f->delay_us = n;
    } else {
        return false;
    }
    return true;
}

int xsim_fault_parse(const char *text, XensimFault *f, char *name,
                     size_t name_len)
{
    char buf[256];
    char *save = NULL, *part;

    memset(f, 0, sizeof(*f));
    if (strlen(text) >= sizeof(buf)) {
        return bad(text, "it is too long");
    }
    strcpy(buf, text);
    part = strtok_r(buf, ":", &save);
    if (!part || xsim_call_id(part) < 0) {
        return bad(text, "no simulated call has that name");
    }
    snprintf(name, name_len, "%s", part);
    f->call = name;
    while ((part = strtok_r(NULL, ":", &save))) {
        if (!parse_key(part, f)) {
            return bad(text, "a key or value in it is not known");
        }
    }
    if (!f->error && !f->delay_us) {
        return bad(text, "it names neither errno= nor delay=");
    }
    if (f->per_page && !f->pages) {
        return bad(text, "page needs gfn=");
    }
    return 0;
}

int xsim_fault_add(XsimView *v, const XensimFault *f, unsigned proc)
{
    XsimHeader *h = v->h;
    int call = xsim_call_id(f->call);
    int i, rc = -ENOSPC;

    if (call < 0 || (f->per_page && (!f->pages || !f->error))) {
        return -EINVAL;
    }
    xsim_lock(&h->fault_lock);
    for (i = 0; i < (int)XSIM_MAX_FAULTS; i++) {
        XsimFaultRule *r = &h->fault[i];

        if (!r->in_use) {
            *r = (XsimFaultRule) {
                .in_use = true, .per_page = f->per_page,
                .proc = proc, .call = call,
                .first = f->first ? f->first : 1, .count = f->count,
                .gfn = f->gfn, .pages = f->pages,
                .error = f->error, .delay_us = f->delay_us,
            };
            atomic_fetch_add(&h->fault_armed[call], 1);
            rc = i;
            break;
        }
    }
    xsim_unlock(&h->fault_lock);
    return rc;
}

static void remove_locked(XsimHeader *h, XsimFaultRule *r)
{
    if (r->in_use) {
        r->in_use = false;
        atomic_fetch_sub(&h->fault_armed[r->call], 1);
    }
}

void xsim_fault_remove(XsimView *v, int id)
{
    if (id >= 0 && id < (int)XSIM_MAX_FAULTS) {
        xsim_lock(&v->h->fault_lock);
        remove_locked(v->h, &v->h->fault[id]);
        xsim_unlock(&v->h->fault_lock);
    }
}

void xsim_fault_remove_proc(XsimView *v, unsigned proc)
{
    unsigned i;

    xsim_lock(&v->h->fault_lock);
    for (i = 0; i < XSIM_MAX_FAULTS; i++) {
        if (v->h->fault[i].in_use && v->h->fault[i].proc == proc) {
            remove_locked(v->h, &v->h->fault[i]);
        }
    }
    xsim_unlock(&v->h->fault_lock);
}

static uint64_t set_gfn(const XsimGfnSet *set, uint64_t i)
{
    return set->gfn ? set->gfn[i] : set->first + i;
}

static bool rule_has(const XsimFaultRule *r, uint64_t gfn)
{
    return gfn - r->gfn < r->pages;
}

/* Does the call name a gfn of the rule? */
static bool rule_matches(const XsimFaultRule *r, const XsimGfnSet *set)
{
    uint64_t i;

    if (!r->pages) {
        return true;
    }
    if (!set) {
        return false;
    }
    if (!set->gfn) {
        return set->first < r->gfn + r->pages &&
               r->gfn < set->first + set->n;
    }
    for (i = 0; i < set->n; i++) {
        if (rule_has(r, set->gfn[i])) {
            return true;
        }
    }
    return false;
}

int xsim_fault_check(XsimView *v, unsigned call, unsigned proc,
                     const XsimGfnSet *set, int *pages)
{
    XsimHeader *h = v->h;
    unsigned i, delay = 0;
    int error = 0;

    /* Relaxed: arming takes effect "at once" as seen by a later call. */
    if (!atomic_load_explicit(&h->fault_armed[call], memory_order_relaxed)) {
        return 0;
    }
    xsim_lock(&h->fault_lock);
    for (i = 0; i < XSIM_MAX_FAULTS; i++) {
        XsimFaultRule *r = &h->fault[i];
        uint64_t k;

        if (!r->in_use || r->call != call ||
            (r->proc != XSIM_ANY_PROC && r->proc != proc) ||
            !rule_matches(r, set)) {
            continue;
        }
        r->hits++;
        if (r->hits < r->first ||
            (r->count && r->hits >= r->first + r->count)) {
            continue;
        }
        delay += r->delay_us;
        if (!r->per_page) {
            error = error ? error : r->error;
            continue;
        }
        for (k = 0; pages && k < set->n; k++) {
            if (rule_has(r, set_gfn(set, k))) {
                pages[k] = -r->error;
            }
        }
    }
    xsim_unlock(&h->fault_lock);
    if (delay) {
        struct timespec ts = { delay / 1000000,
                               (long)(delay % 1000000) * 1000 };

        nanosleep(&ts, NULL);
    }
    return error;
}
