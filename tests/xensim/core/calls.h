/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names of the libxen functions that are simulated.  The position of a name
 * in this list is its number in counters and faults.  Add names at the end.
 */
#ifndef XENSIM_CALLS_H
#define XENSIM_CALLS_H

#define XSIM_CALLS(X)                                \
    X(xenforeignmemory_open)                         \
    X(xenforeignmemory_close)                        \
    X(xenforeignmemory_map)                          \
    X(xenforeignmemory_map2)                         \
    X(xenforeignmemory_unmap)                        \
    X(xenforeignmemory_restrict)                     \
    X(xenforeignmemory_map_resource)                 \
    X(xenforeignmemory_unmap_resource)               \
    X(xenforeignmemory_resource_size)                \
    X(xendevicemodel_open)                           \
    X(xendevicemodel_close)                          \
    X(xendevicemodel_create_ioreq_server)            \
    X(xendevicemodel_get_ioreq_server_info)          \
    X(xendevicemodel_map_io_range_to_ioreq_server)   \
    X(xendevicemodel_unmap_io_range_from_ioreq_server) \
    X(xendevicemodel_map_pcidev_to_ioreq_server)     \
    X(xendevicemodel_unmap_pcidev_from_ioreq_server) \
    X(xendevicemodel_destroy_ioreq_server)           \
    X(xendevicemodel_set_ioreq_server_state)         \
    X(xendevicemodel_set_pci_intx_level)             \
    X(xendevicemodel_set_isa_irq_level)              \
    X(xendevicemodel_set_irq_level)                  \
    X(xendevicemodel_set_pci_link_route)             \
    X(xendevicemodel_inject_msi)                     \
    X(xendevicemodel_track_dirty_vram)               \
    X(xendevicemodel_modified_memory)                \
    X(xendevicemodel_modified_memory_bulk)           \
    X(xendevicemodel_set_mem_type)                   \
    X(xendevicemodel_shutdown)                       \
    X(xendevicemodel_relocate_memory)                \
    X(xendevicemodel_pin_memory_cacheattr)           \
    X(xendevicemodel_nr_vcpus)                       \
    X(xendevicemodel_restrict)                       \
    X(xenevtchn_open)                                \
    X(xenevtchn_close)                               \
    X(xenevtchn_fd)                                  \
    X(xenevtchn_notify)                              \
    X(xenevtchn_bind_unbound_port)                   \
    X(xenevtchn_bind_interdomain)                    \
    X(xenevtchn_bind_virq)                           \
    X(xenevtchn_unbind)                              \
    X(xenevtchn_pending)                             \
    X(xenevtchn_unmask)                              \
    X(xenevtchn_restrict)                            \
    X(xengnttab_open)                                \
    X(xengnttab_close)                               \
    X(xengnttab_set_max_grants)                      \
    X(xengnttab_map_grant_ref)                       \
    X(xengnttab_map_grant_refs)                      \
    X(xengnttab_map_domain_grant_refs)               \
    X(xengnttab_unmap)                               \
    X(xengnttab_grant_copy)                          \
    X(xc_interface_open)                             \
    X(xc_interface_close)                            \
    X(xc_domain_populate_physmap_exact)              \
    X(xc_domain_decrease_reservation_exact)          \
    X(xc_domain_add_to_physmap)                      \
    X(xc_domain_shutdown)                            \
    X(xc_domain_pin_memory_cacheattr)                \
    X(xc_hvm_param_get)                              \
    X(xc_hvm_param_set)                              \
    X(xc_get_hvm_param)                              \
    X(xc_set_hvm_param)                              \
    X(xentoolcore_restrict_all)                      \
    X(xs_open)                                       \
    X(xs_close)                                      \
    X(xs_daemon_open)                                \
    X(xs_daemon_close)                               \
    X(xs_domain_open)                                \
    X(xs_fileno)                                     \
    X(xs_directory)                                  \
    X(xs_read)                                       \
    X(xs_write)                                      \
    X(xs_mkdir)                                      \
    X(xs_rm)                                         \
    X(xs_get_permissions)                            \
    X(xs_set_permissions)                            \
    X(xs_get_domain_path)                            \
    X(xs_is_domain_introduced)                       \
    X(xs_transaction_start)                          \
    X(xs_transaction_end)                            \
    X(xs_watch)                                      \
    X(xs_unwatch)                                    \
    X(xs_read_watch)                                 \
    X(xs_check_watch)                                \
    X(xs_restrict)                                   \
    X(xs_introduce_domain)                           \
    X(xs_set_target)                                 \
    X(xs_resume_domain)                              \
    X(xs_release_domain)

#define XSIM_CALL_ENUM(name) XSIM_CALL_##name,
typedef enum XsimCallId {
    XSIM_CALLS(XSIM_CALL_ENUM)
    XSIM_CALL_COUNT
} XsimCallId;

/* Number of a name, -1 if it is not in the list. */
int xsim_call_id(const char *name);
/* Name of a number. */
const char *xsim_call_name(unsigned id);

#endif
