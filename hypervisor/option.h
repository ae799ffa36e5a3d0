/*
 * Options of the hypervisor's command line.
 */
#ifndef HYPERVISOR_OPTION_H
#define HYPERVISOR_OPTION_H

#include <stdbool.h>

/* The word stands on the line. */
bool option_given(const char *line, const char *word);

#endif
