/*
 * The hypervisor's console: a polled 16550 on the port that the loader found. For the boot and for
 * faults; the root owns the device, and the two may mix their text.
 */
#ifndef HYPERVISOR_CONSOLE_H
#define HYPERVISOR_CONSOLE_H

#include <stdint.h>

void console_init(uint16_t port); /* 0: no console, all text is dropped */
void console_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* As console_print, but takes no lock: the machine is stopping. */
void console_panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
