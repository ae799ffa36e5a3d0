/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KMOD_PROTECT_H
#define KMOD_PROTECT_H

/* Gives a page of the root's to the hypervisor, for the root's own use. */
int protect_deposit(const void *page);

/* dma.c: the same with a device's DMA, to the range and to pages before and after their deposit. */
void protect_try_dma(unsigned long base, unsigned long size);

#endif
