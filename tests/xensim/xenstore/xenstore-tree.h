/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tree of the simulated xenstore: nodes, permissions, path rules.
 *
 * A tree is a table from absolute path to node.  A node that more than one
 * tree refers to is never changed: an edit replaces it by a copy with a new
 * generation.  So a snapshot for a transaction costs one reference per node,
 * and "was this path changed since?" is a comparison of two generations.
 *
 * No locks here: whoever owns a tree serialises the calls on it, and on all
 * its snapshots.  All functions return 0 or -errno, with the errors of
 * xenstored.
 */

#ifndef XENSIM_XENSTORE_TREE_H
#define XENSIM_XENSTORE_TREE_H

#include <glib.h>
#include <xenstore_lib.h>

typedef struct XsNode {
    unsigned int refs;
    uint64_t generation;        /* unique over all nodes ever made or edited */
    GBytes *value;              /* never NULL; may be empty */
    GArray *perms;              /* struct xs_permissions; [0] is the owner */
    GPtrArray *children;        /* names (char *), sorted */
} XsNode;

typedef struct XsTree XsTree;

/* Who asks: a domain; and its guest, if it is a stub domain, else -1. */
typedef struct XsCaller {
    int domid;
    int target;
} XsCaller;

/* A new tree: "/", "/tool" and "/local/domain", owned by domain 0. */
XsTree *xs_tree_new(void);

/* A second tree with the same content; each may be edited on its own. */
XsTree *xs_tree_snapshot(XsTree *tree);

void xs_tree_free(XsTree *tree);

/*
 * Is PATH a legal absolute path: characters, no empty component, length?
 * Special paths ("@introduceDomain") are not.
 */
bool xs_path_valid(const char *path);

/*
 * Makes PATH absolute: a relative path is below /local/domain/DOMID.  Returns a
 * new string (g_free), or NULL if the path is not legal.
 */
char *xs_path_resolve(int domid, const char *path);

/* Is PATH equal to PARENT or below it? */
bool xs_path_below(const char *parent, const char *path);

/* The node at PATH, or NULL.  Valid until the tree is next changed. */
const XsNode *xs_tree_find(XsTree *tree, const char *path);

/* The generation of the node at PATH; 0 if there is none. */
uint64_t xs_tree_generation(XsTree *tree, const char *path);

/* What CALLER may do with NODE: XS_PERM_READ | _WRITE | _OWNER. */
unsigned int xs_node_rights(const XsNode *node, const XsCaller *caller);

/*
 * Finds the node at PATH if CALLER has all rights in WANT (XS_PERM_* bits).
 * Otherwise returns -EACCES; or -ENOENT if there is no node and CALLER may read
 * the nearest parent that exists.
 */
int xs_tree_get(XsTree *tree, const XsCaller *caller, const char *path,
                unsigned int want, const XsNode **node);

/*
 * Set the value of PATH, making it and its missing parents.  New nodes have
 * their parent's permissions, and an unprivileged CALLER as owner.
 */
int xs_tree_write(XsTree *tree, const XsCaller *caller, const char *path,
                  GBytes *value);

/*
 * Make PATH with an empty value if it is not there.  *CHANGED says whether
 * anything was made.  -EACCES if CALLER may not write there, also if PATH is
 * there already.
 */
int xs_tree_mkdir(XsTree *tree, const XsCaller *caller, const char *path,
                  bool *changed);

/*
 * Removes PATH and all below it.  REMOVED, if not NULL, gets the paths of the
 * nodes that were removed (char *, g_free): PATH first, parents before
 * children.  If there is no node at PATH but its parent exists, nothing is
 * removed, and that is no error.  "/" cannot be removed: -EINVAL.
 */
int xs_tree_rm(XsTree *tree, const XsCaller *caller, const char *path,
               GPtrArray *removed);

/*
 * Replaces the permissions of PATH by the N (>= 1) of PERMS.  Only the owner
 * and domain 0 may do so.  Only domain 0 may change the owner; others get
 * -EPERM.
 */
int xs_tree_set_perms(XsTree *tree, const XsCaller *caller, const char *path,
                      const struct xs_permissions *perms, unsigned int n);

#endif
