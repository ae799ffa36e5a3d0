/*
 * Virtual functions of network cards (SR-IOV), as Linux has them: which card's one is, and how the
 * card's driver sets it (rtnetlink, IFLA_VFINFO_LIST), which needs CAP_NET_ADMIN.
 */
#ifndef HOSTED_VF_H
#define HOSTED_VF_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hosted/pci.h"

struct vf {
	char card[IF_NAMESIZE];     /* its interface, the physical function's */
	char physical[PCI_ADDRESS]; /* that function */
	unsigned int number;        /* among those of the card */
};

struct vf_settings {
	uint8_t mac[6]; /* zeros: none, so that nothing is for it */
	uint16_t vlan;  /* that its frames are in outside, and that it does not see; 0: none */
	bool guarded;   /* it may send from that address alone */
};

/* -errno, and `why` says what hinders: it is none, or its card has no interface. */
int vf_find(const char *address, struct vf *vf, char *why, size_t why_bytes) MUST_CHECK;
/* The first function that is free of the card that has this interface: without a driver, or
 * vfio-pci's, whose it then is. -ENOENT: none is. */
int vf_take(int card, char address[PCI_ADDRESS], char *why, size_t why_bytes) MUST_CHECK;
int vf_set(const struct vf *vf, const struct vf_settings *settings, char *why,
	   size_t why_bytes) MUST_CHECK;
/* Nothing is for the function of this address any more. */
int vf_clear(const char *address, char *why, size_t why_bytes) MUST_CHECK;

/* The message of it, for a card's interface of this index: how many bytes. */
#define VF_MESSAGE_BYTES 256u
size_t vf_message(const struct vf *vf, int index, const struct vf_settings *settings,
		  uint8_t bytes[VF_MESSAGE_BYTES]);

#endif
