/*
 * A network adapter with a DEC 21140A (Digital Semiconductor 21140A PCI Fast Ethernet LAN
 * Controller, Hardware Reference Manual, chapters 3 and 4; SROM format 3.0), as Hyper-V's legacy
 * network adapter has one: registers, serial ROM, a PHY on the MII, lists of descriptors, filters.
 *
 *   tulip.c       registers, interrupts, the timer, its life and its saved state
 *   tulip_ring.c  frames of the guest and for it, by descriptors in its memory; setup frames, which are the filter
 *   tulip_wire.c  what hangs on two wires of CSR9: the serial ROM and the PHY
 *
 * Frames are its home's, who has it on a port of a switch (host.h). One that the guest sends is
 * gathered here and given to the home whole, so nobody else reads the guest's memory; one for the
 * guest is copied into buffers for which all descriptors were read, once each, before the first of
 * them is written.
 *
 *   receive   STOPPED --CSR6.SR--> WAITING --no descriptor for a frame--> SUSPENDED --poll, or the next frame--> WAITING
 *   transmit  STOPPED --CSR6.ST--> the list is worked off --its end--> SUSPENDED --poll--> ...
 *                                        `--the home has no room--> FULL --tulip_room()--> ...
 *   both      any --memory that is none--> STOPPED, with FBE
 *
 * A list may be endless, as guests' other processors may fill it while it is worked off: a turn is
 * of TULIP_TURN descriptors, and the next one the board's timer's.
 *
 * Lock: the board's, everywhere.
 */
#ifndef DEVICES_TULIP_H
#define DEVICES_TULIP_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/bus.h"
#include "devices/host.h"
#include "devices/pci.h"

#define TULIP_CSRS        16u
#define TULIP_ADDRESSES   16u   /* of a perfect filter */
#define TULIP_SETUP_BYTES 192u  /* of a setup frame */
#define TULIP_FRAME_MAX   1522u /* without its checksum, with a VLAN's tag */
#define TULIP_FRAME_MIN   60u
#define TULIP_SROM_WORDS  64u
#define TULIP_PHY_REGS    32u
#define TULIP_TURN        256u /* descriptors at once */
#define TULIP_PIECES      32u  /* descriptors of a frame for the guest */

#define TULIP_RX_STOPPED   0u /* CSR5's states */
#define TULIP_RX_WAITING   3u
#define TULIP_RX_SUSPENDED 4u
#define TULIP_TX_STOPPED   0u
#define TULIP_TX_FULL      3u
#define TULIP_TX_SUSPENDED 6u

/* A setup frame's mode, as CSR6 says it. */
#define TULIP_HASH_PERFECT 0x01u /* groups by the table of hashes, one address */
#define TULIP_HASH_ONLY    0x04u /* all by the table */
#define TULIP_INVERSE      0x10u /* all but the addresses */

enum tulip_srom_step { SROM_IDLE, SROM_COMMAND, SROM_DATA, SROM_DONE };
enum tulip_mii_step { MII_IDLE, MII_COMMAND, MII_READ, MII_WRITE };

struct tulip_wire {
	enum tulip_srom_step srom_step;
	uint8_t srom_bits;    /* of what is shifted */
	uint16_t srom_shift;  /* in or out */
	uint8_t srom_address; /* of the word that is read */
	bool srom_out;
	enum tulip_mii_step mii_step;
	uint8_t mii_bits, mii_ones; /* of what is shifted; of the preamble, 32 are enough */
	uint32_t mii_shift;
	bool mii_out;
	uint16_t phy[TULIP_PHY_REGS]; /* those that are written */
};

struct tulip {
	struct host *host;
	struct pci_function function; /* function.pci NULL: there is none */
	unsigned int index;           /* the home's number of it */
	uint8_t mac[6];
	bool link;
	uint32_t csr[TULIP_CSRS];
	uint8_t rx_state, tx_state;
	uint32_t rx_at, tx_at;              /* the next descriptors */
	uint64_t timer_start, timer_period; /* ns; 0: it stands */
	bool again;                         /* there is more of the list than a turn */
	uint8_t gpio_direction;
	uint8_t filter_mode;
	uint8_t setup[TULIP_SETUP_BYTES / 2]; /* the frame's words, without what they do not use */
	bool in_frame, too_long;              /* of the guest: its first descriptor was taken */
	uint32_t frame_length;
	uint8_t frame[TULIP_FRAME_MAX + 6];
	struct tulip_wire wire;
};

extern const struct device_class tulip_class;

/* At this slot; the home calls it `index`. */
void tulip_create(struct tulip *tulip, struct host *host, struct pci *pci, unsigned int slot,
		  unsigned int index);
void tulip_reset(struct tulip *tulip);
void tulip_set_address(struct tulip *tulip, const uint8_t mac[6]);
void tulip_set_link(struct tulip *tulip, bool up);
/* After a load: what the home has to know. */
void tulip_restore(struct tulip *tulip);
uint64_t tulip_deadline(const struct tulip *tulip);
void tulip_advance(struct tulip *tulip, uint64_t now);
/* The home has room again for what the guest sends. */
void tulip_room(struct tulip *tulip);
/* A frame of 14 to TULIP_FRAME_MAX bytes for the guest. False: it has no descriptors for it.
 * `last`: then it is lost, and counted. */
bool tulip_receive(struct tulip *tulip, const uint8_t *frame, uint32_t length, bool last);

/* ---- between the files of the adapter ---- */

#define TULIP_CSR5_TI  0x00000001u
#define TULIP_CSR5_TPS 0x00000002u
#define TULIP_CSR5_TU  0x00000004u
#define TULIP_CSR5_TJT 0x00000008u
#define TULIP_CSR5_RI  0x00000040u
#define TULIP_CSR5_RU  0x00000080u
#define TULIP_CSR5_RPS 0x00000100u
#define TULIP_CSR5_GTE 0x00000800u
#define TULIP_CSR5_FBE 0x00002000u

#define TULIP_CSR6_SR 0x00000002u
#define TULIP_CSR6_PR 0x00000040u
#define TULIP_CSR6_PM 0x00000080u
#define TULIP_CSR6_ST 0x00002000u
#define TULIP_CSR6_RA 0x40000000u

/* tulip.c: these bits of CSR5 are set. */
void tulip_say(struct tulip *tulip, uint32_t bits);
/* What the guest wants to hear may be another. */
void tulip_update_listen(struct tulip *tulip);

/* tulip_ring.c */
void tulip_transmit(struct tulip *tulip);
uint32_t tulip_crc(const uint8_t *bytes, uint32_t length);
/* It hears nothing but what is for the address that its home knows, and for groups. */
bool tulip_hears_own(const struct tulip *tulip);

/* tulip_wire.c */
void tulip_wire_reset(struct tulip_wire *wire);
void tulip_wire_write(struct tulip *tulip, uint32_t before, uint32_t value);
/* Bits 3 and 19 of CSR9. */
uint32_t tulip_wire_read(const struct tulip *tulip);

#endif
