/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device model processes.  They register themselves.  When one ends, the host
 * releases what it held, as a kernel and Xen would do.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mapping.h"

/* State letter and start time from /proc; false if there is no process. */
static bool read_stat(pid_t pid, char *state, uint64_t *start)
{
    char path[64], buf[1024];
    char *p;
    FILE *f;
    size_t n;
    int field;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    f = fopen(path, "re");
    if (!f) {
        return false;
    }
    n = fread(buf, 1, sizeof(buf) - 1, f);
    fclose(f);
    buf[n] = 0;
    /* The name may hold anything, so count from its closing bracket. */
    p = strrchr(buf, ')');
    if (!p || p[1] != ' ') {
        return false;
    }
    *state = p[2];
    for (p += 2, field = 3; p && field < 22; field++) {
        p = strchr(p + 1, ' ');
    }
    *start = p ? strtoull(p + 1, NULL, 10) : 0;
    return true;
}

uint64_t xsim_pid_start_time(pid_t pid)
{
    uint64_t start = 0;
    char state;

    return read_stat(pid, &state, &start) ? start : 0;
}

bool xsim_pid_alive(pid_t pid, uint64_t start_time)
{
    uint64_t start;
    char state;

    return read_stat(pid, &state, &start) && state != 'Z' && state != 'X' &&
           (!start_time || start == start_time);
}

int xsim_proc_register(XsimView *v)
{
    XsimHeader *h = v->h;
    int i, rc = -EUSERS;

    xsim_lock(&h->dir_lock);
    for (i = 0; i < (int)XSIM_MAX_PROCS; i++) {
        XsimProc *p = &h->proc[i];

        if (!atomic_load(&p->pid)) {
            p->start_time = xsim_pid_start_time(getpid());
            atomic_store(&p->restricted, 0);
            p->root = p->free_map = p->free_run = 0;
            p->map_end = p->run_end = 0;
            atomic_store(&p->live, 0);
            atomic_store(&p->pid, getpid());
            rc = i;
            break;
        }
    }
    xsim_unlock(&h->dir_lock);
    return rc;
}

static void release_servers(XsimView *v, unsigned proc)
{
    unsigned slot, id;

    for (slot = 0; slot < XSIM_MAX_DOMS; slot++) {
        XsimDom *d;

        if (atomic_load(&v->h->dom[slot].state) != XSIM_DOM_ALIVE) {
            continue;
        }
        d = xsim_dom(v, slot);
        xsim_lock(&d->lock);
        for (id = 0; id < XSIM_MAX_SERVERS; id++) {
            if (d->server[id].state != XSIM_SERVER_FREE &&
                d->server[id].proc == proc) {
                xsim_server_destroy(v, slot, id);
            }
        }
        xsim_unlock(&d->lock);
    }
}

void xsim_proc_release(XsimView *v, unsigned proc)
{
    XsimProc *p = &v->h->proc[proc];
    uint32_t i, end;
    char path[320];

    for (i = 0; i < XSIM_MAX_HANDLES; i++) {
        if (v->h->handle[i].in_use && v->h->handle[i].proc == proc) {
            xsim_handle_close(v, i);
            xsim_handle_path(v, i, path, sizeof(path));
            unlink(path);
        }
    }
    release_servers(v, proc);
    xsim_fault_remove_proc(v, proc);
    xsim_lock(&p->lock);
    p->root = 0;
    end = p->map_end;
    xsim_unlock(&p->lock);
    for (i = 1; i <= end; i++) {
        if (xsim_map(v, proc, i)->state != XSIM_MAP_FREE) {
            xsim_map_drop(v, proc, i);
        }
    }
    atomic_store(&p->live, 0);
    atomic_store(&p->restricted, 0);
    atomic_store(&p->pid, 0);
}

unsigned xsim_proc_reap(XsimView *v)
{
    unsigned i, n = 0;

    for (i = 0; i < XSIM_MAX_PROCS; i++) {
        XsimProc *p = &v->h->proc[i];
        bool dead;

        if (!atomic_load(&p->pid)) {
            continue;
        }
        /* One who releases at a time. */
        xsim_lock(&v->h->dir_lock);
        dead = atomic_load(&p->pid) &&
               !xsim_pid_alive(atomic_load(&p->pid), p->start_time);
        if (dead) {
            xsim_proc_release(v, i);
            n++;
        }
        xsim_unlock(&v->h->dir_lock);
    }
    return n;
}
