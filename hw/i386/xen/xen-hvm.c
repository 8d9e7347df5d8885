/*
 * The part of an HVM guest's machine that depends on Xen
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Xen provides the processors, the interrupt controllers and the memory of an
 * HVM guest; QEMU provides the rest.  This file has the calls from QEMU to Xen
 * for the memory layout, interrupts and sleep states.  It also has the memory
 * listener that keeps device memory at the guest's BARs.
 *
 * All of it runs with the BQL.  The hypervisor sends ioreqs on behalf of the
 * guest.  An invalid ioreq is answered, and reported at a limited rate; it
 * never ends QEMU.
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-migration.h"
#include "hw/i386/apic-msidef.h"
#include "hw/i386/pc.h"
#include "hw/irq.h"
#include "hw/mem/nvdimm.h"
#include "hw/xen/xen-hvm-common.h"
#include "hw/xen/xen-report.h"
#include "hw/xen/arch_hvm.h"
#include "hw/xen/xen-x86.h"
#include <xen/hvm/e820.h>
#include "migration/vmstate.h"
#include "system/runstate.h"
#include "system/xen.h"
#include "xen-dirty.h"
#include "xen-physmap.h"
#include "trace.h"

/*
 * Interrupts
 */

/* The number of the pin as Xen counts: four pins for each of 32 slots. */
int xen_pci_slot_get_pirq(PCIDevice *pci_dev, int irq_num)
{
    return PCI_SLOT(pci_dev->devfn) * PCI_NUM_PINS + irq_num;
}

void xen_intx_set_irq(void *opaque, int irq_num, int level)
{
    unsigned slot = irq_num / PCI_NUM_PINS;

    xen_set_pci_intx_level(xen_domid, 0, 0, slot, irq_num % PCI_NUM_PINS,
                           level);
}

int xen_set_pci_link_route(uint8_t link, uint8_t irq)
{
    return xendevicemodel_set_pci_link_route(xen_dmod, xen_domid, link, irq);
}

/* A message with vector 0 names a pirq, in its destination field. */
int xen_is_pirq_msi(uint32_t msi_data)
{
    return !(msi_data & MSI_DATA_VECTOR_MASK);
}

void xen_hvm_inject_msi(uint64_t addr, uint32_t data)
{
    xen_inject_msi(xen_domid, addr, data);
}

static void isa_irq_changed(void *opaque, int irq, int level)
{
    xen_set_isa_irq_level(xen_domid, irq, level);
}

qemu_irq *xen_interrupt_controller_init(void)
{
    return qemu_allocate_irqs(isa_irq_changed, NULL, ISA_NUM_IRQS);
}

/*
 * Sleep states
 */

static void set_sleep_state(unsigned state)
{
    if (xc_set_hvm_param(xen_xc, xen_domid, HVM_PARAM_ACPI_S_STATE, state)) {
        warn_report_once("cannot tell Xen that the guest's sleep state is S%u"
                         " (%s)", state, strerror(errno));
    }
}

static void suspend_notify(Notifier *notifier, void *data)
{
    set_sleep_state(3);
}

static void wakeup_notify(Notifier *notifier, void *data)
{
    set_sleep_state(0);
}

/*
 * A guest is stopped before it is saved, and on Xen the rest of the state does
 * not say whether it ran or slept before.  This section says that it slept.
 */
static bool asleep_needed(void *opaque)
{
    return vm_get_suspended();
}

static int asleep_post_load(void *opaque, int version_id)
{
    vm_set_suspended(true);
    set_sleep_state(3);
    return 0;
}

static const VMStateDescription vmstate_asleep = {
    .name = "xen-asleep",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = asleep_needed,
    .post_load = asleep_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_END_OF_LIST()
    },
};

static Notifier suspend_notifier = { .notify = suspend_notify };
static Notifier wakeup_notifier = { .notify = wakeup_notify };

/*
 * Guest RAM
 */

#define LOW_END     0xa0000     /* the VGA window begins */
#define LOW_RESUME  0xc0000     /* option ROMs, which the firmware copies */

static MemoryRegion ram_640k, ram_lo, ram_hi;

/* Makes [@start, @start + @size) of the guest's RAM visible to the guest. */
static void show_ram(MemoryRegion *alias, const char *name, hwaddr start,
                     uint64_t size)
{
    memory_region_init_alias(alias, NULL, name, &xen_memory, start, size);
    memory_region_add_subregion(get_system_memory(), start, alias);
}

/*
 * The guest physical addresses of RAM are those in the region xen_memory.
 * Xen populates RAM up to the hole below 4 GiB, and the rest above 4 GiB;
 * the region spans the hole.  The hole begins at Xen's limit or, if that is
 * lower, where the machine's max-ram-below-4g says.
 */
static void init_ram(PCMachineState *pcms, MemoryRegion **ram_memory)
{
    uint64_t ram_size = MACHINE(pcms)->ram_size;
    X86MachineState *x86ms = X86_MACHINE(pcms);
    uint64_t limit = object_property_get_uint(OBJECT(pcms),
                                              PC_MACHINE_MAX_RAM_BELOW_4G,
                                              &error_abort);
    uint64_t span;

    if (!limit || limit > HVM_BELOW_4G_RAM_END) {
        limit = HVM_BELOW_4G_RAM_END;
    }
    x86ms->below_4g_mem_size = MIN(ram_size, limit);
    x86ms->above_4g_mem_size = ram_size - x86ms->below_4g_mem_size;
    if (x86ms->below_4g_mem_size <= LOW_RESUME) {
        error_report("%" PRIu64 " KiB of RAM below 4 GiB are too few for an "
                     "HVM guest: it needs more than %d KiB",
                     (uint64_t)x86ms->below_4g_mem_size / 1024,
                     LOW_RESUME / 1024);
        exit(EXIT_FAILURE);
    }

    span = x86ms->above_4g_mem_size ? 4 * GiB + x86ms->above_4g_mem_size
                                    : ram_size;
    memory_region_init_ram(&xen_memory, NULL, "xen.ram", span, &error_fatal);
    *ram_memory = &xen_memory;

    show_ram(&ram_640k, "xen.ram.640k", 0, LOW_END);
    show_ram(&ram_lo, "xen.ram.lo", LOW_RESUME,
             x86ms->below_4g_mem_size - LOW_RESUME);
    if (x86ms->above_4g_mem_size) {
        show_ram(&ram_hi, "xen.ram.hi", 4 * GiB, x86ms->above_4g_mem_size);
    }
}

/*
 * The memory map
 */

static bool is_vga_logged(const MemoryRegionSection *section)
{
    return memory_region_get_dirty_log_mask(section->mr) &
           (1 << DIRTY_MEMORY_VGA);
}

static void memory_map_changed(MemoryListener *listener)
{
    xen_physmap_commit();
}

void arch_xen_set_memory(XenIOState *state, MemoryRegionSection *section,
                         bool add)
{
    bool logged;

    if (!memory_region_is_ram(section->mr)) {
        return;
    }
    logged = is_vga_logged(section);
    trace_xen_client_set_memory(section->offset_within_address_space,
                                int128_get64(section->size), logged);
    /* @state has a copy of the machine's listener, which has no commit. */
    state->memory_listener.commit = memory_map_changed;
    if (!add) {
        xen_dirty_vram_stop(section);
        xen_physmap_del(section);
        return;
    }
    if (logged && !state->memory_listener.log_sync) {
        /*
         * Without log_sync the machine cannot ask Xen what was written.  So the
         * memory is not relocated, and QEMU emulates each write.
         */
        return;
    }
    xen_physmap_add(section);
    if (logged) {
        /* The memory core does not call log_start for a new section. */
        xen_dirty_vram_start(section);
    }
}

static void log_start(MemoryListener *listener, MemoryRegionSection *section,
                      int old_mask, int new_mask)
{
    if (new_mask & ~old_mask & (1 << DIRTY_MEMORY_VGA)) {
        xen_dirty_vram_start(section);
        xen_dirty_vram_sync(section);
    }
}

static void log_stop(MemoryListener *listener, MemoryRegionSection *section,
                     int old_mask, int new_mask)
{
    if (old_mask & ~new_mask & (1 << DIRTY_MEMORY_VGA)) {
        xen_dirty_vram_stop(section);
    }
}

static void log_sync(MemoryListener *listener, MemoryRegionSection *section)
{
    if (is_vga_logged(section)) {
        xen_dirty_vram_sync(section);
    }
}

static bool log_global_start(MemoryListener *listener, Error **errp)
{
    xen_physmap_log_writes(true);
    return true;
}

static void log_global_stop(MemoryListener *listener)
{
    xen_physmap_log_writes(false);
}

static const MemoryListener hvm_memory_listener = {
    .name = "xen-memory",
    .region_add = xen_region_add,
    .region_del = xen_region_del,
    .log_start = log_start,
    .log_stop = log_stop,
    .log_sync = log_sync,
    .log_global_start = log_global_start,
    .log_global_stop = log_global_stop,
    .priority = MEMORY_LISTENER_PRIORITY_ACCEL,
};

/*
 * Device memory in any BAR is relocated and tracked, so nothing has to be done
 * for the framebuffer.  The VGA core calls this in any case.
 */
void xen_register_framebuffer(MemoryRegion *mr)
{
}

/* The toolstack's request at the start and the end of a live migration. */
void qmp_xen_set_global_dirty_log(bool enable, Error **errp)
{
    if (enable) {
        memory_global_dirty_log_start(GLOBAL_DIRTY_MIGRATION, errp);
    } else if (global_dirty_tracking & GLOBAL_DIRTY_MIGRATION) {
        /* Stopping a log that is not on is no error. */
        memory_global_dirty_log_stop(GLOBAL_DIRTY_MIGRATION);
    }
}

/*
 * Ignores an ioreq of a type that is not known, such as that of the VMware
 * port, which no Xen makes.  A read gets all-ones.  Reports at most one a
 * second, because a guest can cause such ioreqs as often as it likes.
 */
void arch_handle_ioreq(XenIOState *state, ioreq_t *req)
{
    static XenReportLimit limit;
    uint32_t left_out;

    if (req->dir == IOREQ_READ && !req->data_is_ptr) {
        req->data = ~0ULL;
    }
    if (xen_report_is_due(&limit, &left_out)) {
        warn_report("ioreq of type %u for 0x%" PRIx64 " (%s, %u bytes): "
                    "unknown type; ignored (and %u more since the last report)",
                    req->type, req->addr,
                    req->dir == IOREQ_READ ? "read" : "write", req->size,
                    left_out);
    }
}

/*
 * The machine
 */

/* True if the toolstack says in xenstore that QEMU is in a stub domain. */
static bool is_stub_domain(struct xs_handle *xs)
{
    g_autofree char *path =
        g_strdup_printf("/local/domain/%u/image/device-model-domid",
                        xen_domid);
    char *value = xs_read(xs, XBT_NULL, path, NULL);
    int domid = 0;

    if (value) {
        qemu_strtoi(value, NULL, 10, &domid);
        free(value);
    }
    return domid != 0;
}

void xen_hvm_init_pc(PCMachineState *pcms, MemoryRegion **ram_memory)
{
    XenIOState *state = g_new0(XenIOState, 1);

    if (MACHINE(pcms)->nvdimms_state->is_enabled) {
        error_report("-machine nvdimm=on cannot be used with Xen, which "
                     "provides the guest's memory and its ACPI tables");
        exit(EXIT_FAILURE);
    }
    xen_register_ioreq(state, MACHINE(pcms)->smp.max_cpus,
                       HVM_IOREQSRV_BUFIOREQ_ATOMIC, &hvm_memory_listener);
    xen_is_stubdomain = is_stub_domain(state->xenstore);
    xen_physmap_init(state->xenstore);

    qemu_register_suspend_notifier(&suspend_notifier);
    qemu_register_wakeup_notifier(&wakeup_notifier);
    vmstate_register(NULL, 0, &vmstate_asleep, NULL);

    init_ram(pcms, ram_memory);

    /* The toolstack builds the guest's ACPI tables. */
    pcms->acpi_build_enabled = false;
}
