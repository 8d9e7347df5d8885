/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libxensim.so: functions that are not simulated.
 *
 * Each function prints its own name and exits.  So the arguments do not matter,
 * and no header that declares the functions is included.  The list has the
 * functions that device models call for PCI passthrough, the other functions of
 * the small libraries, and those of libxencall.  All other functions of
 * libxenctrl are the real ones, which call functions of libxencall.
 */
#include "lib.h"

#define UNSIMULATED(X)                     \
    X(xc_physdev_map_pirq)                 \
    X(xc_physdev_map_pirq_msi)             \
    X(xc_physdev_unmap_pirq)               \
    X(xc_physdev_pci_access_modify)        \
    X(xc_assign_device)                    \
    X(xc_deassign_device)                  \
    X(xc_test_assign_device)               \
    X(xc_domain_bind_pt_irq)               \
    X(xc_domain_bind_pt_isa_irq)           \
    X(xc_domain_bind_pt_pci_irq)           \
    X(xc_domain_unbind_pt_irq)             \
    X(xc_domain_unbind_msi_irq)            \
    X(xc_domain_update_msi_irq)            \
    X(xc_domain_iomem_permission)          \
    X(xc_domain_ioport_permission)         \
    X(xc_domain_ioport_mapping)            \
    X(xc_domain_memory_mapping)            \
    X(xc_domain_irq_permission)            \
    X(xc_domain_create)                    \
    X(xc_domain_destroy)                   \
    X(xc_domain_pause)                     \
    X(xc_domain_unpause)                   \
    X(xc_domain_getinfo)                   \
    X(xc_domain_getinfolist)               \
    X(xc_domain_setmaxmem)                 \
    X(xc_domain_max_vcpus)                 \
    X(xc_domain_maximum_gpfn)              \
    X(xc_domain_nr_gpfns)                  \
    X(xc_domain_populate_physmap)          \
    X(xc_domain_decrease_reservation)      \
    X(xc_domain_increase_reservation)      \
    X(xc_domain_increase_reservation_exact) \
    X(xc_domain_add_to_physmap_batch)      \
    X(xc_domain_remove_from_physmap)       \
    X(xc_domain_set_time_offset)           \
    X(xc_domain_hvm_getcontext)            \
    X(xc_domain_hvm_setcontext)            \
    X(xc_evtchn_alloc_unbound)             \
    X(xc_evtchn_status)                    \
    X(xc_evtchn_reset)                     \
    X(xc_shadow_control)                   \
    X(xc_logdirty_control)                 \
    X(xc_hvm_inject_msi)                   \
    X(xc_hvm_track_dirty_vram)             \
    X(xc_hvm_modified_memory)              \
    X(xc_hvm_set_mem_type)                 \
    X(xc_map_foreign_range)                \
    X(xc_map_foreign_pages)                \
    X(xc_map_foreign_bulk)                 \
    X(xc_version)                          \
    X(xc_physinfo)                         \
    X(xc_readconsolering)                  \
    X(xc_domctl)                           \
    X(xc_sysctl)                           \
    X(xc_memory_op)                        \
    X(xencall_open)                        \
    X(xencall_alloc_buffer)                \
    X(xencall_alloc_buffer_pages)          \
    X(xencall0)                            \
    X(xencall1)                            \
    X(xencall2)                            \
    X(xencall2L)                           \
    X(xencall3)                            \
    X(xencall4)                            \
    X(xencall5)                            \
    X(xendevicemodel_inject_event)         \
    X(xendevicemodel_map_mem_type_to_ioreq_server) \
    X(xenevtchn_fdopen)                    \
    X(xengnttab_fd)                        \
    X(xengnttab_map_grant_ref_notify)      \
    X(xengnttab_dmabuf_exp_from_refs)      \
    X(xengnttab_dmabuf_exp_wait_released)  \
    X(xengnttab_dmabuf_imp_to_refs)        \
    X(xengnttab_dmabuf_imp_release)        \
    X(xengntshr_open)                      \
    X(xengntshr_share_pages)               \
    X(xengntshr_share_page_notify)

#define DEFINE(name)                       \
    XSIM_EXPORT void name(void);           \
    XSIM_EXPORT void name(void)            \
    {                                      \
        xsim_unsimulated(#name);           \
    }

UNSIMULATED(DEFINE)
