/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tree of the simulated xenstore; see xenstore-tree.h. */

#include <errno.h>
#include <string.h>

#include "xenstore-tree.h"

struct XsTree {
    GHashTable *nodes;          /* char * -> XsNode * */
};

/* Never reused, not even after a node is gone: see xs_tree_generation(). */
static uint64_t last_generation;

static uint64_t next_generation(void)
{
    return __atomic_add_fetch(&last_generation, 1, __ATOMIC_RELAXED);
}

static XsNode *node_new(GBytes *value, const GArray *perms)
{
    XsNode *node = g_new0(XsNode, 1);

    node->refs = 1;
    node->generation = next_generation();
    node->value = g_bytes_ref(value);
    node->perms = g_array_new(FALSE, FALSE, sizeof(struct xs_permissions));
    g_array_append_vals(node->perms, perms->data, perms->len);
    node->children = g_ptr_array_new_with_free_func(g_free);
    return node;
}

static void node_unref(gpointer opaque)
{
    XsNode *node = opaque;

    if (--node->refs) {
        return;
    }
    g_bytes_unref(node->value);
    g_array_unref(node->perms);
    g_ptr_array_unref(node->children);
    g_free(node);
}

static XsTree *tree_alloc(void)
{
    XsTree *tree = g_new0(XsTree, 1);

    tree->nodes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                        node_unref);
    return tree;
}

/* The node at PATH, ready to be changed: nobody else refers to it. */
static XsNode *node_edit(XsTree *tree, const char *path)
{
    XsNode *old = g_hash_table_lookup(tree->nodes, path);
    XsNode *node;
    guint i;

    g_assert(old);
    if (old->refs == 1) {
        old->generation = next_generation();
        return old;
    }
    node = node_new(old->value, old->perms);
    for (i = 0; i < old->children->len; i++) {
        g_ptr_array_add(node->children, g_strdup(old->children->pdata[i]));
    }
    g_hash_table_replace(tree->nodes, g_strdup(path), node);
    return node;
}

/* The parent of PATH (g_free); that of "/x" is "/".  Not for "/" itself. */
static char *path_parent(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == path ? g_strdup("/") : g_strndup(path, slash - path);
}

static const char *path_leaf(const char *path)
{
    return strrchr(path, '/') + 1;
}

static void child_add(XsNode *parent, const char *name)
{
    guint i;

    for (i = 0; i < parent->children->len; i++) {
        if (strcmp(parent->children->pdata[i], name) > 0) {
            break;
        }
    }
    g_ptr_array_insert(parent->children, i, g_strdup(name));
}

static void child_remove(XsNode *parent, const char *name)
{
    guint i;

    for (i = 0; i < parent->children->len; i++) {
        if (strcmp(parent->children->pdata[i], name) == 0) {
            g_ptr_array_remove_index(parent->children, i);
            return;
        }
    }
}

bool xs_path_below(const char *parent, const char *path)
{
    size_t len = strlen(parent);

    if (strcmp(parent, "/") == 0) {
        return path[0] == '/';
    }
    return strncmp(parent, path, len) == 0 &&
           (path[len] == '\0' || path[len] == '/');
}

bool xs_path_valid(const char *path)
{
    size_t len = strlen(path);
    const char *p;

    if (path[0] != '/' || len > XENSTORE_ABS_PATH_MAX) {
        return false;
    }
    if (len == 1) {
        return true;
    }
    if (path[len - 1] == '/' || strstr(path, "//")) {
        return false;
    }
    for (p = path; *p; p++) {
        if (!g_ascii_isalnum(*p) && !strchr("-/_@", *p)) {
            return false;
        }
    }
    return true;
}

char *xs_path_resolve(int domid, const char *path)
{
    char *full;

    if (path[0] == '/') {
        return xs_path_valid(path) ? g_strdup(path) : NULL;
    }
    if (strlen(path) > XENSTORE_REL_PATH_MAX) {
        return NULL;
    }
    /* An empty relative path is the domain's own directory. */
    full = path[0] ? g_strdup_printf("/local/domain/%d/%s", domid, path)
                   : g_strdup_printf("/local/domain/%d", domid);
    if (!xs_path_valid(full)) {
        g_free(full);
        return NULL;
    }
    return full;
}

const XsNode *xs_tree_find(XsTree *tree, const char *path)
{
    return g_hash_table_lookup(tree->nodes, path);
}

uint64_t xs_tree_generation(XsTree *tree, const char *path)
{
    const XsNode *node = xs_tree_find(tree, path);

    return node ? node->generation : 0;
}

unsigned int xs_node_rights(const XsNode *node, const XsCaller *caller)
{
    const struct xs_permissions *perms =
        (const struct xs_permissions *)node->perms->data;
    guint i;

    if (caller->domid == 0 || perms[0].id == (unsigned int)caller->domid ||
        (caller->target >= 0 &&
         perms[0].id == (unsigned int)caller->target)) {
        return XS_PERM_READ | XS_PERM_WRITE | XS_PERM_OWNER;
    }
    for (i = 1; i < node->perms->len; i++) {
        if (perms[i].id == (unsigned int)caller->domid ||
            (caller->target >= 0 &&
             perms[i].id == (unsigned int)caller->target)) {
            return perms[i].perms & (XS_PERM_READ | XS_PERM_WRITE);
        }
    }
    return perms[0].perms & (XS_PERM_READ | XS_PERM_WRITE);
}

/* The nearest node that exists, going up from PATH; *AT gets its path. */
static const XsNode *nearest(XsTree *tree, const char *path, char **at)
{
    char *p = g_strdup(path);
    const XsNode *node;

    while (!(node = xs_tree_find(tree, p))) {
        char *up = path_parent(p);

        g_free(p);
        p = up;
    }
    if (at) {
        *at = p;
    } else {
        g_free(p);
    }
    return node;
}

int xs_tree_get(XsTree *tree, const XsCaller *caller, const char *path,
                unsigned int want, const XsNode **node)
{
    *node = xs_tree_find(tree, path);
    if (!*node) {
        /* Whether a node exists is told only to who may look there. */
        unsigned int up = xs_node_rights(nearest(tree, path, NULL), caller);

        return up & XS_PERM_READ ? -ENOENT : -EACCES;
    }
    return (xs_node_rights(*node, caller) & want) == want ? 0 : -EACCES;
}

/* Make PATH, which is not there, and its missing parents. */
static int create(XsTree *tree, const XsCaller *caller, const char *path,
                  GBytes *value)
{
    g_autofree char *base = NULL;
    g_autofree char *p = g_strdup(path);
    const XsNode *above = nearest(tree, path, &base);
    g_autoptr(GBytes) empty = g_bytes_new(NULL, 0);
    GArray *perms;

    if (!(xs_node_rights(above, caller) & XS_PERM_WRITE)) {
        return -EACCES;
    }
    perms = g_array_copy(above->perms);
    if (caller->domid != 0) {
        g_array_index(perms, struct xs_permissions, 0).id = caller->domid;
    }
    /* From the leaf upwards, each one named in its parent at once. */
    while (strcmp(p, base) != 0) {
        char *up = path_parent(p);
        XsNode *node = node_new(strcmp(p, path) ? empty : value, perms);

        if (strcmp(p, path) != 0) {
            /* p is an ancestor of path: its child is the next component. */
            const char *rest = path + strlen(p) + 1;
            const char *end = strchr(rest, '/');

            g_ptr_array_add(node->children,
                            end ? g_strndup(rest, end - rest)
                                : g_strdup(rest));
        }
        g_hash_table_insert(tree->nodes, g_strdup(p), node);
        if (strcmp(up, base) == 0) {
            child_add(node_edit(tree, base), path_leaf(p));
        }
        g_free(p);
        p = up;
    }
    g_array_unref(perms);
    return 0;
}

int xs_tree_write(XsTree *tree, const XsCaller *caller, const char *path,
                  GBytes *value)
{
    const XsNode *node = xs_tree_find(tree, path);
    XsNode *edit;

    if (!node) {
        return create(tree, caller, path, value);
    }
    if (!(xs_node_rights(node, caller) & XS_PERM_WRITE)) {
        return -EACCES;
    }
    edit = node_edit(tree, path);
    g_bytes_unref(edit->value);
    edit->value = g_bytes_ref(value);
    return 0;
}

int xs_tree_mkdir(XsTree *tree, const XsCaller *caller, const char *path,
                  bool *changed)
{
    g_autoptr(GBytes) empty = g_bytes_new(NULL, 0);
    const XsNode *node = xs_tree_find(tree, path);
    int rc;

    *changed = false;
    if (node) {
        return xs_node_rights(node, caller) & XS_PERM_WRITE ? 0 : -EACCES;
    }
    rc = create(tree, caller, path, empty);
    *changed = rc == 0;
    return rc;
}

static void remove_below(XsTree *tree, const char *path, GPtrArray *removed)
{
    XsNode *node = g_hash_table_lookup(tree->nodes, path);
    guint i;

    if (removed) {
        g_ptr_array_add(removed, g_strdup(path));
    }
    for (i = 0; i < node->children->len; i++) {
        g_autofree char *child =
            g_strconcat(path, "/", node->children->pdata[i], NULL);

        remove_below(tree, child, removed);
    }
    g_hash_table_remove(tree->nodes, path);
}

int xs_tree_rm(XsTree *tree, const XsCaller *caller, const char *path,
               GPtrArray *removed)
{
    g_autofree char *parent = NULL;
    const XsNode *node;
    int rc;

    if (strcmp(path, "/") == 0) {
        return -EINVAL;
    }
    parent = path_parent(path);
    rc = xs_tree_get(tree, caller, path, XS_PERM_WRITE, &node);
    if (rc == -ENOENT && xs_tree_find(tree, parent)) {
        return 0;
    }
    if (rc) {
        return rc;
    }
    child_remove(node_edit(tree, parent), path_leaf(path));
    remove_below(tree, path, removed);
    return 0;
}

int xs_tree_set_perms(XsTree *tree, const XsCaller *caller, const char *path,
                      const struct xs_permissions *perms, unsigned int n)
{
    const XsNode *node;
    XsNode *edit;
    int rc;

    g_assert(n >= 1);
    rc = xs_tree_get(tree, caller, path, XS_PERM_WRITE | XS_PERM_OWNER, &node);
    if (rc) {
        return rc;
    }
    /* Giving a node away is the privileged domain's right only. */
    if (caller->domid != 0 &&
        perms[0].id != g_array_index(node->perms,
                                     struct xs_permissions, 0).id) {
        return -EPERM;
    }
    edit = node_edit(tree, path);
    g_array_set_size(edit->perms, 0);
    g_array_append_vals(edit->perms, perms, n);
    return 0;
}

XsTree *xs_tree_new(void)
{
    const struct xs_permissions owner = { 0, XS_PERM_NONE };
    const XsCaller dom0 = { 0, -1 };
    g_autoptr(GBytes) empty = g_bytes_new(NULL, 0);
    GArray *perms = g_array_new(FALSE, FALSE, sizeof(owner));
    XsTree *tree = tree_alloc();
    bool changed;

    g_array_append_val(perms, owner);
    g_hash_table_insert(tree->nodes, g_strdup("/"), node_new(empty, perms));
    g_array_unref(perms);
    xs_tree_mkdir(tree, &dom0, "/tool", &changed);
    xs_tree_mkdir(tree, &dom0, "/local/domain", &changed);
    return tree;
}

XsTree *xs_tree_snapshot(XsTree *tree)
{
    XsTree *copy = tree_alloc();
    GHashTableIter iter;
    gpointer path, value;

    g_hash_table_iter_init(&iter, tree->nodes);
    while (g_hash_table_iter_next(&iter, &path, &value)) {
        XsNode *node = value;

        node->refs++;
        g_hash_table_insert(copy->nodes, g_strdup(path), node);
    }
    return copy;
}

void xs_tree_free(XsTree *tree)
{
    if (tree) {
        g_hash_table_unref(tree->nodes);
        g_free(tree);
    }
}
