/* What is behind the control socket, and a test of that has nothing to say about: IDE drives, the partition's time, a state to go on from. */
#include "disk/disk.h"
#include "vsp/storage/storage.h"
#include "worker/machine.h"
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

int drives_add(struct machine *m, struct storage *storage, struct storage_address address,
	       const struct ide_identity *identity)
{
	(void)m;
	(void)storage;
	(void)address;
	(void)identity;
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
