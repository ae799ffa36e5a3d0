/*
 * The network adapters of the board (devices/tulip.h), each with a cable to the port of its switch
 * (vsp/network/cable.h). Which port that is, is networks.c's.
 */
#ifndef WORKER_NICS_H
#define WORKER_NICS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"

struct machine;
struct netport;
struct network_stats;
struct nic;

/* The next one of the board; before any VP runs. -errno. */
int nic_create(struct machine *machine, struct nic **nic) MUST_CHECK;
void nic_destroy(struct nic **nic);
/* Which of the board's it is. */
unsigned int nic_number(const struct nic *nic);
/* Its first port, before any VP runs. */
void nic_attach(struct nic *nic, const struct netport *port);
/* In place of one that is lost; nothing of the old one is used any more. -EINVAL: it has another
 * address. */
int nic_connect(struct nic *nic, const struct netport *port) MUST_CHECK;
void nic_lost(struct nic *nic);
void nic_get_stats(const struct nic *nic, struct network_stats *stats);

/* Around the life of a partition, all of them. False: said why. */
bool nics_start(struct machine *machine) MUST_CHECK;
void nics_stop(struct machine *machine);
/* The machine goes on after a pause. */
void nics_resume(struct machine *machine);

#endif
