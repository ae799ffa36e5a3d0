/* Messages (MSI, MSI-X) of devices that are in domains of their own: the hypervisor lets such a
 * device raise what it was given, only. */
#ifndef ROOT_MESSAGE_H
#define ROOT_MESSAGE_H

#include <linux/types.h>

struct device;

/* Once, before the first device. 0 also where the hypervisor cannot hold devices to their
 * interrupts. */
int messages_init(void);
/* No device's messages are ours. */
void messages_exit(void);
/* The device is held to those that it was given. */
bool messages_are_given(struct device *dev);

/* A device without a driver that uses messages: those that it gets from now on are ours; those of
 * the kernel again. Both may be done twice. */
void messages_take(struct device *dev);
void messages_give_back(struct device *dev);

#endif
