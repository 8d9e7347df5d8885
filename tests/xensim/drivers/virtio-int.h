/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the virtio driver share: the registers of a queue. */

#ifndef XENSIM_GUEST_VIRTIO_INT_H
#define XENSIM_GUEST_VIRTIO_INT_H

#include "virtio.h"

/* Selects QUEUE, and reads its number of entries and its notifier. */
int guest_virtio_select_queue(GuestVirtq *queue, uint32_t *size);

/* Tell the device where the selected QUEUE is. */
int guest_virtio_place_queue(GuestVirtq *queue);

/* Notifies the device of QUEUE. */
int guest_virtio_notify(GuestVirtq *queue);

#endif
