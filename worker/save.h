/*
 * A machine's state in a file, and a machine from one (docs/design/save.md). The file is Hyper-V's
 * container (hvs/hvs.h).
 */
#ifndef WORKER_SAVE_H
#define WORKER_SAVE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"

struct config;
struct machine;
struct job;
struct saved;

/*
 * Everything of a machine that is paused, VMBus with it, into an empty file. The disks' files are
 * on their media before the state is whole. Any thread but the main one. -errno, and *error then
 * says why.
 */
struct disk_error;
int save_write(struct machine *machine, int fd, struct job *job,
	       struct disk_error *error) MUST_CHECK;
/*
 * The parts of that, for who writes them elsewhere: all but the memory, of malloc(), and blocks of
 * HVS_BLOCK_BYTES of it, in order; in one that is not `there` is no RAM. Of a machine that stands;
 * blocks of any. -errno.
 */
int save_list(struct machine *machine, uint8_t **list, uint32_t *size) MUST_CHECK;
uint64_t save_block_count(const struct machine *machine);
uint64_t save_block_gpa(const struct machine *machine, uint64_t block);
bool save_block_is_there(const struct machine *machine, uint64_t block);
#define SAVE_LIST_MAX (256u << 20) /* bytes */

/*
 * The file of --restore. Opened, it is read whole but for the memory, and is of this machine's
 * configuration. False: said why, and nothing has changed. Main thread, all of it.
 *
 * What a guest of dynamic memory was started with, and could have at most, is the saved machine's,
 * also in `config` (the machine's) from then on: what the configuration had are its bounds, within
 * that, which may have become others while it ran or since.
 */
bool saved_open(struct machine *machine, struct config *config) MUST_CHECK;
/* The same of a list that came another way, of malloc(), which is the machine's then; the memory is
 * there. */
bool saved_adopt(struct machine *machine, uint8_t *list, uint32_t size) MUST_CHECK;
/* What was said last, without where it came from; "" if nothing was. */
const char *saved_why(const struct machine *machine);
/* In place of a kernel. False: said why. */
bool saved_load_memory(struct machine *machine) MUST_CHECK;
/* The address that this adapter's port had. False: there is no such adapter, or no --restore. */
bool saved_address(const struct machine *machine, const uint8_t instance[16], uint8_t mac[6]);
/* Likewise that of the board's adapter with this number. */
bool saved_nic_address(const struct machine *machine, unsigned int nic, uint8_t mac[6]);
/* Into a partition, VPs, a board and controllers that are new, and which stand then
 * (machine_stand()). False: said why; the machine cannot be started. */
bool saved_load(struct machine *machine) MUST_CHECK;
/* Also where there is none. */
void saved_close(struct machine *machine);

#endif
