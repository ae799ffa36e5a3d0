/*
 * A virtual function that is to carry the frames of a machine's adapter, as the host has to do with
 * it: the switch's port of the adapter is told, and says no where it has policies that a card does
 * not keep; the card is told whose address the function has, in which VLAN. What goes wrong is said
 * (client.h).
 */
#ifndef CLI_FUNCTION_H
#define CLI_FUNCTION_H

#include <stdbool.h>

#include <jansson.h>

#include "hosted/pci.h"

/*
 * `adapter` as a worker's status has it; the function is vfio-pci's. "on": one of the switch's card
 * that is free, and whose address that is, becomes it. False: nothing else is changed.
 */
bool function_begin(const json_t *adapter, char address[PCI_ADDRESS]);
/* It is nobody's any more: nothing is for it, and the switch's port may have any policy. False:
 * something of it is not done. */
bool function_end(const json_t *adapter, const char *address);

#endif
