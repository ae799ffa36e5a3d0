/*
 * What is behind the control socket, and a test of that has nothing to say about: IDE drives, the
 * partition's time, a state to go on from, sockets, a balloon, another worker.
 */
#include <errno.h>
#include <unistd.h>

#include "disk/disk.h"
#include "vsp/memory/balloon.h"
#include "vsp/socket/socket.h"
#include "vsp/storage/storage.h"
#include "worker/control.h"
#include "worker/machine.h"
#include "worker/checkpoint.h"
#include "worker/merge.h"
#include "worker/migrate.h"
#include "worker/save.h"

uint32_t disk_sector_size(const struct disk *disk)
{
	(void)disk;
	return 512;
}

uint32_t disk_physical_size(const struct disk *disk)
{
	(void)disk;
	return 512;
}

int drives_create(struct machine *m)
{
	(void)m;
	return 0;
}

int drives_add(struct machine *m, struct storage *storage, struct storage_address address,
	       const struct ide_identity *identity)
{
	(void)m;
	(void)storage;
	(void)address;
	(void)identity;
	return 0;
}

int drives_add_scsi(struct machine *m, struct storage *storage, unsigned int last_lun)
{
	(void)m;
	(void)storage;
	(void)last_lun;
	return 0;
}

int drives_add_usb(struct machine *m, struct storage *storage, struct storage_address address,
		   const char *serial)
{
	(void)m;
	(void)storage;
	(void)address;
	(void)serial;
	return 0;
}

void drives_destroy(struct machine *m)
{
	(void)m;
}

int backend_partition_reference_time(struct backend_partition *partition, uint64_t *time_100ns)
{
	(void)partition;
	*time_100ns = 0;
	return 0;
}

bool saved_address(const struct machine *m, const uint8_t instance[16], uint8_t mac[6])
{
	(void)m;
	(void)instance;
	(void)mac;
	return false;
}

bool saved_nic_address(const struct machine *m, unsigned int nic, uint8_t mac[6])
{
	(void)m;
	(void)nic;
	(void)mac;
	return false;
}

int disk_get_info(struct disk *disk, unsigned layer, struct disk_info *info)
{
	(void)disk;
	(void)layer;
	info->id[0] = '\0';
	return 0;
}

bool display_sit(struct machine *m, int fd)
{
	(void)m;
	close(fd);
	return false;
}

int64_t screen_write(struct machine *m, int fd)
{
	(void)m;
	(void)fd;
	return -ENODEV;
}

void sockets_get_state(struct sockets *sockets, struct sockets_state *state)
{
	(void)sockets;
	*state = (struct sockets_state){.connections = 1, .opened = 2, .refused = 3};
}

void balloon_set_bounds(struct balloon *balloon, uint64_t minimum, uint64_t maximum)
{
	(void)balloon;
	(void)minimum;
	(void)maximum;
}

void balloon_get_state(struct balloon *balloon, struct balloon_state *state)
{
	(void)balloon;
	*state = (struct balloon_state){.minimum = 1};
}

void balloon_set_target(struct balloon *balloon, uint64_t pages)
{
	(void)balloon;
	(void)pages;
}

json_t *balloon_object(struct machine *m)
{
	(void)m;
	return json_object();
}

void vmbus_settle(struct vmbus *bus)
{
	(void)bus;
}

void sockets_stand(struct sockets *sockets, bool stand)
{
	(void)sockets;
	(void)stand;
}

int sockets_adopt(struct sockets *sockets, int fd)
{
	(void)sockets;
	close(fd);
	return 0;
}

int identity_renew(struct machine *m)
{
	return m->resets != 0 ? -EOPNOTSUPP : 0;
}

int disk_let_go(struct disk *disk)
{
	(void)disk;
	return 0;
}

int disk_take_back(struct disk *disk)
{
	(void)disk;
	return 0;
}

const struct disk_error *disk_last_error(const struct disk *disk)
{
	static const struct disk_error none;

	(void)disk;
	return &none;
}

unsigned int disk_layer_count(const struct disk *disk)
{
	(void)disk;
	return 1;
}

int merge_look(struct machine *m, const struct merge_request *request)
{
	(void)m;
	(void)request;
	return -ENOENT;
}

int merge_prepare(struct machine *m, struct job *job, const struct merge_request *request)
{
	(void)m;
	(void)job;
	(void)request;
	return -ENOMEM;
}

int mirror_prepare(struct machine *m, struct job *job, const struct mirror_request *request)
{
	(void)m;
	(void)job;
	(void)request;
	return -EINVAL;
}

void merge_serve(struct machine *m)
{
	(void)m;
}

const char *checkpoint_obstacle(struct machine *m, const struct checkpoint_request *request,
				char *text, size_t size)
{
	(void)m;
	(void)request;
	(void)text;
	(void)size;
	return "it is a test's";
}

int checkpoint_prepare(struct machine *m, struct job *job, const struct checkpoint_request *request)
{
	(void)m;
	(void)job;
	(void)request;
	return -ENOMEM;
}

bool checkpoint_is_open(const struct machine *m)
{
	(void)m;
	return false;
}

bool checkpoint_has_mirrors(const struct machine *m)
{
	(void)m;
	return false;
}

int checkpoint_prepare_end(struct machine *m, struct job *job, bool keep)
{
	(void)m;
	(void)job;
	(void)keep;
	return 0;
}

const char *migrate_obstacle(struct machine *m)
{
	(void)m;
	return "it is a test's";
}

bool machine_hold_running(struct machine *m)
{
	(void)m;
	return false;
}

int migrate_prepare(struct machine *m, struct job *job, const struct migrate_request *request)
{
	(void)m;
	(void)job;
	(void)request;
	return -ENOMEM;
}

void migrate_serve(struct machine *m)
{
	(void)m;
}
