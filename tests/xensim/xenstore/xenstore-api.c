/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The simulated xenstored's toolstack side. */

#include <errno.h>
#include <string.h>
#include <time.h>

#include "xenstore-int.h"

int xensim_xs_writef(XensimXs *xs, const char *path, const char *fmt, ...)
{
    g_autofree char *value = NULL;
    va_list ap;
    int rc;

    va_start(ap, fmt);
    value = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&xs->lock);
    rc = xs_op_write(xs, xs->host, 0, path, value, strlen(value));
    pthread_mutex_unlock(&xs->lock);
    return rc;
}

static char *value_string(const XsNode *node)
{
    gsize len;
    const char *data = g_bytes_get_data(node->value, &len);

    return g_strndup(data ? data : "", len);
}

char *xensim_xs_read(XensimXs *xs, const char *path)
{
    const XsNode *node;
    char *value = NULL;

    pthread_mutex_lock(&xs->lock);
    if (xs_op_get(xs, xs->host, 0, XENSIM_XS_READ, path, &node) == 0) {
        value = value_string(node);
    }
    pthread_mutex_unlock(&xs->lock);
    return value;
}

int xensim_xs_mkdir(XensimXs *xs, const char *path)
{
    int rc;

    pthread_mutex_lock(&xs->lock);
    rc = xs_op_mkdir(xs, xs->host, 0, path);
    pthread_mutex_unlock(&xs->lock);
    return rc;
}

int xensim_xs_rm(XensimXs *xs, const char *path)
{
    int rc;

    pthread_mutex_lock(&xs->lock);
    rc = xs_op_rm(xs, xs->host, 0, path);
    pthread_mutex_unlock(&xs->lock);
    return rc == -ENOENT ? 0 : rc;
}

char **xensim_xs_directory(XensimXs *xs, const char *path)
{
    const XsNode *node;
    char **names = NULL;
    guint i;

    pthread_mutex_lock(&xs->lock);
    if (xs_op_get(xs, xs->host, 0, XENSIM_XS_DIRECTORY, path, &node) == 0) {
        names = g_new0(char *, node->children->len + 1);
        for (i = 0; i < node->children->len; i++) {
            names[i] = g_strdup(node->children->pdata[i]);
        }
    }
    pthread_mutex_unlock(&xs->lock);
    return names;
}

int xensim_xs_set_perms(XensimXs *xs, const char *path,
                        const struct xs_permissions *perms, unsigned int n)
{
    int rc;

    pthread_mutex_lock(&xs->lock);
    rc = xs_op_set_perms(xs, xs->host, 0, path, perms, n);
    pthread_mutex_unlock(&xs->lock);
    return rc;
}

static bool has_value(XensimXs *xs, const char *path, const char *value)
{
    const XsNode *node = xs_tree_find(xs->tree, path);
    g_autofree char *now = node ? value_string(node) : NULL;

    return now && (!value || strcmp(now, value) == 0);
}

int xensim_xs_wait(XensimXs *xs, const char *path, const char *value,
                   unsigned int timeout_ms)
{
    struct timespec end;
    int rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += timeout_ms / 1000;
    end.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (end.tv_nsec >= 1000000000L) {
        end.tv_sec++;
        end.tv_nsec -= 1000000000L;
    }

    pthread_mutex_lock(&xs->lock);
    while (!has_value(xs, path, value)) {
        if (pthread_cond_timedwait(&xs->changed, &xs->lock, &end)) {
            rc = has_value(xs, path, value) ? 0 : -ETIMEDOUT;
            break;
        }
    }
    pthread_mutex_unlock(&xs->lock);
    return rc;
}

void xensim_xs_introduce(XensimXs *xs, int domid)
{
    pthread_mutex_lock(&xs->lock);
    xs_op_introduce(xs, xs->host, domid);
    pthread_mutex_unlock(&xs->lock);
}

void xensim_xs_release(XensimXs *xs, int domid)
{
    pthread_mutex_lock(&xs->lock);
    xs_op_release(xs, xs->host, domid);
    pthread_mutex_unlock(&xs->lock);
}

void xensim_xs_set_client_domid(XensimXs *xs, int domid)
{
    pthread_mutex_lock(&xs->lock);
    xs->client_domid = domid;
    pthread_mutex_unlock(&xs->lock);
}

void xensim_xs_refuse_changes(XensimXs *xs, const char *prefix)
{
    pthread_mutex_lock(&xs->lock);
    g_free(xs->refused);
    xs->refused = g_strdup(prefix);
    pthread_mutex_unlock(&xs->lock);
}

unsigned int xensim_xs_clients(XensimXs *xs)
{
    unsigned int n;

    pthread_mutex_lock(&xs->lock);
    n = xs->conns->len;
    pthread_mutex_unlock(&xs->lock);
    return n;
}

unsigned int xensim_xs_watches(XensimXs *xs)
{
    unsigned int n = 0;
    guint i;

    pthread_mutex_lock(&xs->lock);
    for (i = 0; i < xs->conns->len; i++) {
        n += ((XsConn *)xs->conns->pdata[i])->watches->len;
    }
    pthread_mutex_unlock(&xs->lock);
    return n;
}
