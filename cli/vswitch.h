/*
 * What the tool vswitch does with the rights of whoever runs it: opening what a port is attached
 * to, and writing what a port hears into a file. Complaints go to standard error.
 */
#ifndef CLI_VSWITCH_H
#define CLI_VSWITCH_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

/*
 * The descriptor for a kind of port (guest, internal[:IF], bridge:BRIDGE, external:IF,
 * nat[:OPTIONS]; the text is cut up), with what vswitchd is to be told of it added to `params`: -1
 * if it needs none, -2 after a complaint.
 */
int vswitch_open_kind(char *kind, json_t *params);
/* The other side of a card, a bridge or a link is many stations in many VLANs. */
void vswitch_put_uplink(json_t *params, const char *kind);
/* Both ends of a cable. */
bool vswitch_open_link(int fds[2]);
/* Frames that come on a link, as pcap, until it ends or SIGINT or SIGTERM does. False: the file
 * cannot be written. */
bool vswitch_write_pcap(int fd, FILE *file);

#endif
