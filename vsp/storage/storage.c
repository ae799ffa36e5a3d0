/*
 * The public face: controllers, and what is attached to them.
 *
 * A controller lives until it is destroyed and its last offer is released, whichever is later.
 */
#include "vsp/storage/storvsp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The names that guests know the IDE disks by: channel and device in the first two parts. */
static struct vmbus_guid ide_instance(struct storage_address ide)
{
	return (struct vmbus_guid){.data1 = ide.path, .data2 = ide.target, .data3 = 0x8899};
}

static const struct vmbus_class storvsp_class = {
	.name = "storage",
	VSP_VMBUS_FUNCTIONS,
};

int storvsp_offer(struct storage *storage, unsigned index)
{
	static const struct vmbus_guid scsi = VMBUS_GUID_SCSI, ide = VMBUS_GUID_IDE;
	const struct storage_config *config = &storage->config;
	struct vmbus_offer offer = {.type = scsi, .class = &storvsp_class};
	struct storvsp_offer_data data = {.path = config->ide.path,
					  .target = config->ide.target,
					  .flags = STORVSP_OFFER_EMULATED_IDE};

	memcpy(&offer.instance, config->instance, sizeof(offer.instance));
	if (config->flavour == STORAGE_IDE) {
		offer.type = ide;
		offer.instance = ide_instance(config->ide);
		memcpy(offer.user_def, &data, sizeof(data));
	}
	return vsp_offer(&storage->channels, index, &offer);
}

void storvsp_ended(void *owner)
{
	struct storage *storage = owner;
	unsigned i;

	vsp_device_free(&storage->channels);
	for (i = 0; i < STORAGE_CHANNELS_MAX; i++) {
		disk_queue_destroy(&storage->disks[i]);
	}
	scsi_bus_destroy(&storage->scsi);
	free(storage);
}

static bool config_is_valid(const struct storage_config *config)
{
	if (config->flavour == STORAGE_IDE) {
		return config->ide.path < 2 && config->ide.target < 2 && !config->ide.lun;
	}
	return config->flavour == STORAGE_SCSI;
}

static void complete_config(struct storage_config *config)
{
	if (!config->depth) {
		config->depth = STORAGE_DEPTH;
	}
	if (!config->channel_count || config->flavour == STORAGE_IDE) {
		config->channel_count = 1;
	}
	if (config->channel_count > STORAGE_CHANNELS_MAX) {
		config->channel_count = STORAGE_CHANNELS_MAX;
	}
}

static int create_queues(struct storage *storage)
{
	unsigned i;
	int ret = 0;

	for (i = 0; !ret && i < storage->config.channel_count; i++) {
		ret = disk_queue_create(storage->config.depth, &storage->disks[i], NULL);
	}
	return ret;
}

int storage_create(struct vmbus *bus, const struct storage_config *config, struct storage **out)
{
	struct storage *storage;
	int ret;

	if (!config_is_valid(config)) {
		return -EINVAL;
	}
	storage = calloc(1, sizeof(*storage));
	if (storage == NULL) {
		return -ENOMEM;
	}
	vsp_device_create(&storage->channels, &storvsp_channels, storage, bus);
	storage->config = *config;
	complete_config(&storage->config);
	ret = scsi_bus_create(&storage->scsi);
	if (!ret && !config->hidden) {
		ret = create_queues(storage);
	}
	if (!ret && !config->hidden) {
		ret = storvsp_offer(storage, 0);
	}
	if (ret) {
		storvsp_ended(storage);
		return ret;
	}
	*out = storage;
	return 0;
}

void storage_destroy(struct storage **where)
{
	struct storage *storage = *where;

	*where = NULL;
	if (storage == NULL) {
		return;
	}
	scsi_bus_detach_all(storage->scsi);
	vsp_device_destroy(&storage->channels);
}

static void announce(struct storage *storage)
{
	atomic_store(&storage->rescan, true);
	vsp_wake_all(&storage->channels);
}

static bool address_is_ours(const struct storage *storage, struct storage_address a)
{
	struct storage_address ide = storage->config.ide;

	return storage->config.flavour == STORAGE_SCSI ||
	       (a.path == ide.path && a.target == ide.target && a.lun == ide.lun);
}

int storage_attach(struct storage *storage, struct storage_address address,
		   const struct storage_unit *unit)
{
	int ret = address_is_ours(storage, address) ? scsi_bus_attach(storage->scsi, address, unit)
						    : -EINVAL;

	if (!ret) {
		announce(storage);
	}
	return ret;
}

int storage_detach(struct storage *storage, struct storage_address address)
{
	int ret = scsi_bus_detach(storage->scsi, address);

	if (!ret) {
		announce(storage);
	}
	return ret;
}

int storage_change_medium(struct storage *storage, struct storage_address address,
			  struct disk *disk, bool force)
{
	return scsi_bus_change_medium(storage->scsi, address, disk, force);
}

int storage_hold(struct storage *storage, struct storage_address address)
{
	return scsi_bus_hold(storage->scsi, address);
}

int storage_release(struct storage *storage, struct storage_address address, struct disk *disk)
{
	return scsi_bus_release(storage->scsi, address, disk);
}

void storage_get_stats(struct storage *storage, struct storage_stats *stats)
{
	*stats = (struct storage_stats){
		.requests = atomic_load(&storage->count_requests),
		.reads = atomic_load(&storage->count_reads),
		.writes = atomic_load(&storage->count_writes),
		.bytes_read = atomic_load(&storage->bytes_read),
		.bytes_written = atomic_load(&storage->bytes_written),
		.errors = atomic_load(&storage->count_errors),
	};
	stats->channels_open = (unsigned)__builtin_popcountll(vsp_open(&storage->channels));
}
