/*
 * In place of vsp/device.c: a device with one channel, on no bus and without a thread. Whoever
 * tests it calls what its class has: create(), the channel's functions, free().
 */
#ifndef TESTS_FAKE_LONE_DEVICE_H
#define TESTS_FAKE_LONE_DEVICE_H

#include "vsp/device.h"

extern struct vsp_device *lone_device; /* the last that was created */

/* Of its channel, the test's to set: the one that is open, and whether that has ended; the one that
 * was loaded. */
extern struct vsp_channel *lone_channel, *lone_loaded;
extern bool lone_shut;

/* Opens it, if it is closed: true; and the other way round. */
bool lone_open(void);
bool lone_close(void);

#endif
