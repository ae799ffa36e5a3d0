/*
 * The LPs' time-stamp counters are one clock for the core (plat_tsc()) and for the guests'
 * reference page. Firmware does not always leave them so, so each LP meets the boot LP once.
 */
#ifndef HYPERVISOR_TSC_H
#define HYPERVISOR_TSC_H

#include <stdbool.h>

/*
 * Called at the same time by the boot LP and by the one that it has just started. Measures, and
 * moves the other's counter when it is behind or ahead. What cannot be moved is said on the
 * console, and plat_info then says that the counters are not equal.
 */
void tsc_meet(bool boot);

#endif
