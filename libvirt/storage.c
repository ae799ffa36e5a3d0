/*
 * Storage pools are folders: "default", the machines' folders, and those that a client names, which
 * are its own as long as it is connected. Their volumes are the files of disks in them, which are
 * made and looked into by the disk library, with the rights of the client.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "disk/disk.h"
#include "hosted/disk_name.h"
#include "libvirt/call.h"

#define POOL_DEFAULT "default"
#define POOL_NAME    64
#define POOLS_MAX    64   /* of a client's own */
#define VOLUMES_MAX  4096 /* that are listed of a pool */
#define XML_MAX      (64u << 10)

/* virConnectListAllStoragePoolsFlags */
enum { POOLS_INACTIVE = 1, POOLS_ACTIVE = 2, POOLS_OF_TYPE = ~63, POOLS_DIR = 64 };
enum { POOL_RUNNING = 2 };                    /* virStoragePoolState */
enum { VOLUME_PHYSICAL = 1 };                 /* virStorageVolInfoFlags */
enum { RESIZE_DELTA = 2, RESIZE_SHRINK = 4 }; /* virStorageVolResizeFlags */

struct pool {
	struct pool *next;
	bool is_store;
	char name[POOL_NAME];
	char path[1024];
};

struct volume {
	const struct pool *pool;
	char name[2 * NAME_MAX + 2];
	char path[PATH_MAX];
};

/* ---- Pools ---- */

/* The machines' folders, until the next call of this; NULL: the service does not say where. */
static const struct pool *store_pool(struct call *call)
{
	static struct pool pool;

	pool = (struct pool){.next = call->session->pools, .is_store = true, .name = POOL_DEFAULT};
	snprintf(pool.path, sizeof(pool.path), "%s", store_of(call));
	return pool.path[0] == '/' ? &pool : NULL;
}

/* By its name, or by its folder. */
static const struct pool *find_pool(struct call *call, const char *name, const char *path)
{
	const struct pool *pool = store_pool(call);

	while (pool != NULL &&
	       !(name != NULL ? strcmp(pool->name, name) == 0 : strcmp(pool->path, path) == 0)) {
		pool = pool->next;
	}
	if (pool == NULL) {
		fail(call, ERR_NO_POOL, "there is no pool '%s'", name != NULL ? name : path);
	}
	return pool;
}

static void pool_id(const struct pool *pool, uint8_t id[UUID_BYTES])
{
	text_id("pool", pool->path, id);
}

static void put_pool(struct call *call, const struct pool *pool)
{
	uint8_t id[UUID_BYTES];

	pool_id(pool, id);
	wire_put_text(call->out, pool->name);
	wire_put_bytes(call->out, id, sizeof(id));
}

/* As the client names it. NULL: the call has failed. */
static const struct pool *get_pool(struct call *call)
{
	uint8_t id[UUID_BYTES];
	char name[POOL_NAME];

	wire_get_text(call->in, name, sizeof(name));
	wire_get_bytes(call->in, id, sizeof(id));
	return is_whole(call) ? find_pool(call, name, NULL) : NULL;
}

void list_pools(struct call *call)
{
	bool need = wire_get(call->in) != 0;
	uint32_t flags = wire_get(call->in), count = 0;
	const struct pool *pool, *first = NULL;

	if (!((flags & POOLS_INACTIVE && !(flags & POOLS_ACTIVE)) ||
	      (flags & (uint32_t)POOLS_OF_TYPE && !(flags & POOLS_DIR)))) {
		first = store_pool(call);
	}
	for (pool = first; pool != NULL; pool = pool->next) {
		count++;
	}
	wire_put(call->out, need ? count : 0);
	for (pool = first; pool != NULL && need; pool = pool->next) {
		put_pool(call, pool);
	}
	wire_put(call->out, count);
}

void count_pools(struct call *call)
{
	const struct pool *pool;
	uint32_t count = 0;

	for (pool = store_pool(call); pool != NULL; pool = pool->next) {
		count++;
	}
	wire_put(call->out, count);
}

void list_pool_names(struct call *call)
{
	uint32_t most = wire_get(call->in), count = 0;
	const struct pool *pool;

	for (pool = store_pool(call); pool != NULL && count < most; pool = pool->next) {
		count++;
	}
	wire_put(call->out, count);
	for (pool = store_pool(call); pool != NULL && count-- > 0; pool = pool->next) {
		wire_put_text(call->out, pool->name);
	}
}

static void put_found(struct call *call, const struct pool *pool)
{
	if (pool != NULL) {
		put_pool(call, pool);
	}
}

void look_up_pool(struct call *call)
{
	char name[POOL_NAME];

	wire_get_text(call->in, name, sizeof(name));
	put_found(call, is_whole(call) ? find_pool(call, name, NULL) : NULL);
}

void look_up_pool_by_uuid(struct call *call)
{
	uint8_t wanted[UUID_BYTES], id[UUID_BYTES];
	const struct pool *pool = store_pool(call);

	wire_get_bytes(call->in, wanted, sizeof(wanted));
	for (; pool != NULL; pool = pool->next) {
		pool_id(pool, id);
		if (memcmp(id, wanted, sizeof(id)) == 0) {
			put_pool(call, pool);
			return;
		}
	}
	fail(call, ERR_NO_POOL, "there is no pool of this id");
}

void look_up_pool_by_path(struct call *call)
{
	char path[1024];

	wire_get_text(call->in, path, sizeof(path));
	put_found(call, is_whole(call) ? find_pool(call, NULL, path) : NULL);
}

void get_pool_info(struct call *call)
{
	const struct pool *pool = get_pool(call);
	struct statvfs space = {0};

	if (pool != NULL && statvfs(pool->path, &space) != 0) {
		fail(call, ERR_FAILED, "%s: %s", pool->path, strerror(errno));
	}
	wire_put(call->out, POOL_RUNNING);
	wire_put_long(call->out, space.f_blocks * space.f_frsize);
	wire_put_long(call->out, (space.f_blocks - space.f_bfree) * space.f_frsize);
	wire_put_long(call->out, space.f_bavail * space.f_frsize);
}

void get_pool_xml(struct call *call)
{
	const struct pool *pool = get_pool(call);
	struct statvfs space = {0};
	uint8_t id[UUID_BYTES];
	char *xml;

	if (pool == NULL) {
		return;
	}
	(void)statvfs(pool->path, &space);
	pool_id(pool, id);
	xml = xml_pool(pool->name, id, pool->path, space.f_blocks * space.f_frsize,
		       space.f_bavail * space.f_frsize);
	wire_put_text(call->out, xml != NULL ? xml : "");
	free(xml);
}

void pool_yes(struct call *call)
{
	wire_put(call->out, get_pool(call) != NULL);
}

/* What needs doing with a folder is done. */
void pool_nothing(struct call *call)
{
	(void)get_pool(call);
}

/* A folder that is there. */
void create_pool(struct call *call)
{
	char *text = wire_get_string(call->in, XML_MAX);
	struct xml_error error = {0};
	json_t *said = NULL;
	struct pool *pool = NULL, **last = (struct pool **)&call->session->pools;
	unsigned int count = 0;
	struct stat folder;

	for (; *last != NULL; last = &(*last)->next) {
		count++;
	}
	if (text != NULL && is_whole(call)) {
		said = xml_read_other(text, "pool", &error);
		if (said == NULL) {
			fail(call, error.code, "%s", error.text);
		}
	}
	free(text);
	if (said == NULL) {
		return;
	}
	if (strlen(text_of(said, "name")) >= POOL_NAME || *text_of(said, "name") == '\0' ||
	    strlen(text_of(said, "path")) >= sizeof(pool->path) || count == POOLS_MAX) {
		fail(call, ERR_XML, "a pool needs a short name, and there are not too many");
	} else if (*text_of(said, "path") != '/' || stat(text_of(said, "path"), &folder) != 0 ||
		   !S_ISDIR(folder.st_mode)) {
		fail(call, ERR_FAILED, "%s: there is no such folder", text_of(said, "path"));
	} else if (strcmp(text_of(said, "name"), POOL_DEFAULT) == 0) {
		fail(call, ERR_FAILED, "there is a pool of this name");
	} else {
		pool = calloc(1, sizeof(*pool));
	}
	if (pool != NULL) {
		snprintf(pool->name, sizeof(pool->name), "%s", text_of(said, "name"));
		snprintf(pool->path, sizeof(pool->path), "%s", text_of(said, "path"));
		*last = pool;
		put_pool(call, pool);
	}
	json_decref(said);
}

void forget_pool(struct call *call)
{
	const struct pool *pool = get_pool(call);
	struct pool **link = (struct pool **)&call->session->pools, *gone;

	if (pool == NULL) {
		return;
	}
	while (*link != NULL && *link != pool) {
		link = &(*link)->next;
	}
	gone = *link;
	if (gone == NULL) {
		fail(call, ERR_INVALID, "the machines' folder is always there");
		return;
	}
	*link = gone->next;
	free(gone);
}

void storage_end(struct session *session)
{
	struct pool *pool;

	while ((pool = session->pools) != NULL) {
		session->pools = pool->next;
		free(pool);
	}
}

/* ---- Volumes ---- */

/* False: it is none, or its name is too long. */
static bool make_volume(struct volume *volume, const struct pool *pool, const char *folder,
			const char *name)
{
	struct stat file;

	*volume = (struct volume){.pool = pool};
	return name[0] != '.' &&
	       snprintf(volume->name, sizeof(volume->name), "%s%s%s", folder,
			*folder != '\0' ? "/" : "", name) < (int)sizeof(volume->name) &&
	       snprintf(volume->path, sizeof(volume->path), "%s/%s", pool->path, volume->name) <
		       (int)sizeof(volume->path) &&
	       (!pool->is_store || disk_name_is_one(name)) && stat(volume->path, &file) == 0 &&
	       (S_ISREG(file.st_mode) || S_ISBLK(file.st_mode));
}

struct walk {
	void (*found)(void *user, const struct volume *volume);
	void *user;
	unsigned int count;
};

static void walk_folder(struct walk *walk, const struct pool *pool, const char *folder)
{
	struct volume volume;
	const struct dirent *entry;
	char path[PATH_MAX];
	DIR *open;

	if (snprintf(path, sizeof(path), "%s/%s", pool->path, folder) >= (int)sizeof(path)) {
		return;
	}
	open = opendir(path);
	while (open != NULL && (entry = readdir(open)) != NULL && walk->count < VOLUMES_MAX) {
		if (entry->d_type == DT_DIR && pool->is_store && *folder == '\0' &&
		    entry->d_name[0] != '.') {
			walk_folder(walk, pool, entry->d_name);
		} else if (make_volume(&volume, pool, folder, entry->d_name)) {
			walk->count++;
			walk->found(walk->user, &volume);
		}
	}
	if (open != NULL) {
		closedir(open);
	}
}

static unsigned int walk_pool(const struct pool *pool,
			      void (*found)(void *user, const struct volume *volume), void *user)
{
	struct walk walk = {found, user, 0};

	walk_folder(&walk, pool, "");
	return walk.count;
}

static void put_volume(void *user, const struct volume *volume)
{
	struct wire_out *out = user;

	wire_put_text(out, volume->pool->name);
	wire_put_text(out, volume->name);
	wire_put_text(out, volume->path);
}

static void put_volume_name(void *user, const struct volume *volume)
{
	wire_put_text(user, volume->name);
}

static void ignore_volume(void *user, const struct volume *volume)
{
	(void)user;
	(void)volume;
}

/* How many there are is known when they have been seen, and comes before them. */
static void put_volumes(struct call *call, const struct pool *pool,
			void (*put)(void *user, const struct volume *volume), bool again)
{
	struct wire_out list = {0};
	unsigned int count = walk_pool(pool, put, &list);

	wire_put(call->out, put == ignore_volume ? 0 : count);
	if (list.failed) {
		fail(call, ERR_INTERNAL, "there are too many volumes");
	} else if (list.length != 0) {
		wire_put_bytes(call->out, list.bytes, list.length);
	}
	if (again) {
		wire_put(call->out, count);
	}
	free(list.bytes);
}

void list_volumes(struct call *call)
{
	const struct pool *pool = get_pool(call);
	bool need = wire_get(call->in) != 0;

	if (pool != NULL) {
		put_volumes(call, pool, need ? put_volume : ignore_volume, true);
	}
}

void list_volume_names(struct call *call)
{
	const struct pool *pool = get_pool(call);

	if (pool != NULL) {
		put_volumes(call, pool, put_volume_name, false);
	}
}

void count_volumes(struct call *call)
{
	const struct pool *pool = get_pool(call);

	wire_put(call->out, pool != NULL ? walk_pool(pool, ignore_volume, NULL) : 0);
}

/* A name in a pool: of the store also one in a machine's folder. */
static bool name_volume(struct call *call, const struct pool *pool, const char *name,
			struct volume *volume)
{
	const char *slash = strchr(name, '/');

	if (*name == '\0' || *name == '.' ||
	    (slash != NULL &&
	     (!pool->is_store || slash[1] == '.' || strchr(slash + 1, '/') != NULL)) ||
	    snprintf(volume->name, sizeof(volume->name), "%s", name) >= (int)sizeof(volume->name) ||
	    snprintf(volume->path, sizeof(volume->path), "%s/%s", pool->path, name) >=
		    (int)sizeof(volume->path)) {
		fail(call, ERR_ARGUMENT, "'%.100s' is no name for a volume of '%s'", name,
		     pool->name);
		return false;
	}
	volume->pool = pool;
	return true;
}

static bool find_volume(struct call *call, const struct pool *pool, const char *name,
			struct volume *volume)
{
	struct volume found;

	if (!name_volume(call, pool, name, volume)) {
		return false;
	}
	if (!make_volume(&found, pool, "", name) &&
	    !(pool->is_store && strchr(name, '/') != NULL && access(volume->path, F_OK) == 0)) {
		fail(call, ERR_NO_VOLUME, "there is no volume '%.100s' in '%s'", name, pool->name);
		return false;
	}
	return true;
}

/* As the client names it. */
static bool get_volume(struct call *call, struct volume *volume)
{
	char pool_name[POOL_NAME], name[2 * NAME_MAX + 2], key[PATH_MAX];
	const struct pool *pool;

	wire_get_text(call->in, pool_name, sizeof(pool_name));
	wire_get_text(call->in, name, sizeof(name));
	wire_get_text(call->in, key, sizeof(key));
	pool = is_whole(call) ? find_pool(call, pool_name, NULL) : NULL;
	return pool != NULL && find_volume(call, pool, name, volume);
}

void look_up_volume(struct call *call)
{
	const struct pool *pool = get_pool(call);
	char name[2 * NAME_MAX + 2];
	struct volume volume;

	wire_get_text(call->in, name, sizeof(name));
	if (pool != NULL && is_whole(call) && find_volume(call, pool, name, &volume)) {
		put_volume(call->out, &volume);
	}
}

/* Its key is its path. */
void look_up_volume_by_path(struct call *call)
{
	const struct pool *pool = store_pool(call);
	struct volume volume;
	char path[PATH_MAX];

	wire_get_text(call->in, path, sizeof(path));
	for (; pool != NULL && !call->in->bad; pool = pool->next) {
		size_t length = strlen(pool->path);

		if (strncmp(path, pool->path, length) == 0 && path[length] == '/' &&
		    find_volume(call, pool, path + length + 1, &volume)) {
			put_volume(call->out, &volume);
			call->error = 0;
			return;
		}
	}
	fail(call, ERR_NO_VOLUME, "there is no volume %.300s", path);
}

void look_up_pool_by_volume(struct call *call)
{
	struct volume volume;

	if (get_volume(call, &volume)) {
		put_pool(call, volume.pool);
	}
}

void storage_look_into(const char *path, struct xml_volume *about)
{
	struct disk_open how = {.flags = DISK_READ_ONLY | DISK_NO_LOCK};
	const char *format = drive_format(path);
	struct disk_info info;
	struct disk *disk;
	struct stat file;

	about->format = "raw";
	if (stat(path, &file) == 0) {
		about->capacity = (uint64_t)file.st_size;
		about->allocation = (uint64_t)file.st_blocks * 512;
		about->physical = (uint64_t)file.st_size;
	}
	if (format == NULL || disk_open(path, &how, &disk, NULL) != 0) {
		return;
	}
	about->capacity = disk_size(disk);
	about->format = format;
	if (disk_get_info(disk, 1, &info) == 0) {
		snprintf(about->parent, sizeof(about->parent), "%s", info.path);
	}
	(void)disk_close(&disk, NULL);
}

static void look_into(const struct volume *volume, struct xml_volume *about)
{
	*about = (struct xml_volume){.name = volume->name, .path = volume->path};
	storage_look_into(volume->path, about);
}

static void put_volume_info(struct call *call, bool has_flags)
{
	struct xml_volume about;
	struct volume volume;
	uint32_t flags;

	if (!get_volume(call, &volume)) {
		return;
	}
	flags = has_flags ? wire_get(call->in) : 0;
	look_into(&volume, &about);
	wire_put(call->out, 0); /* VIR_STORAGE_VOL_FILE */
	wire_put_long(call->out, about.capacity);
	wire_put_long(call->out, flags & VOLUME_PHYSICAL ? about.physical : about.allocation);
}

void get_volume_info(struct call *call)
{
	put_volume_info(call, false);
}

void get_volume_info_with_flags(struct call *call)
{
	put_volume_info(call, true);
}

void get_volume_xml(struct call *call)
{
	struct xml_volume about;
	struct volume volume;
	char *xml;

	if (!get_volume(call, &volume)) {
		return;
	}
	look_into(&volume, &about);
	xml = xml_volume(&about);
	wire_put_text(call->out, xml != NULL ? xml : "");
	free(xml);
}

void get_volume_path(struct call *call)
{
	struct volume volume;

	if (get_volume(call, &volume)) {
		wire_put_text(call->out, volume.path);
	}
}

/* ---- Made, resized and deleted ---- */

static void make_disk(struct call *call, const json_t *said, const struct volume *volume)
{
	const char *format = text_of(said, "format"), *by_name = drive_format(volume->path);
	uint64_t size = (uint64_t)json_integer_value(json_object_get(said, "capacity"));
	bool whole = (uint64_t)json_integer_value(json_object_get(said, "allocation")) >= size;
	struct disk_create how = {.type = whole ? DISK_FIXED : DISK_DYNAMIC, .size = size};
	struct disk_error error;
	int ret;

	/* Which format a file has is known by its name. */
	if (*format != '\0' && strcmp(format, by_name != NULL ? by_name : "raw") != 0) {
		fail(call, ERR_UNSUPPORTED, "%s: the name of a %s file ends in %s", volume->name,
		     format,
		     strcmp(format, "vhdx") == 0  ? ".vhdx"
		     : strcmp(format, "vpc") == 0 ? ".vhd"
						  : ".img or .raw");
		return;
	}
	if (by_name == NULL) {
		how.type = DISK_FIXED; /* a raw file has holes where nothing was written */
	}
	if (*text_of(said, "backing") != '\0') {
		how.type = DISK_DIFFERENCING;
		how.parent = text_of(said, "backing");
	}
	ret = disk_create(volume->path, &how, &error);
	if (ret == -EEXIST) {
		fail(call, ERR_VOLUME_EXISTS, "there is a volume '%s' already", volume->name);
	} else if (ret != 0) {
		fail(call, ERR_FAILED, "%s", error.text);
	}
}

void create_volume(struct call *call)
{
	const struct pool *pool = get_pool(call);
	char *text = pool != NULL ? wire_get_string(call->in, XML_MAX) : NULL;
	struct xml_error error = {0};
	struct volume volume;
	json_t *said;

	if (text == NULL || !is_whole(call)) {
		free(text);
		return;
	}
	said = xml_read_other(text, "volume", &error);
	free(text);
	if (said == NULL) {
		fail(call, error.code, "%s", error.text);
		return;
	}
	if (name_volume(call, pool, text_of(said, "name"), &volume)) {
		make_disk(call, said, &volume);
	}
	if (call->error == 0) {
		put_volume(call->out, &volume);
	}
	json_decref(said);
}

/* The machine that has it, which is asked of the service; "": none. */
static void find_user(struct call *call, const struct volume *volume, char name[128])
{
	json_t *storage = http_ask(call->http, "GET", "/v1/storage", NULL), *file;
	size_t i;

	name[0] = '\0';
	json_array_foreach(json_object_get(storage, "files"), i, file)
	{
		const char *path = text_of(file, "file");
		size_t skipped = strlen(volume->path) - strlen(volume->name);

		if (strcmp(path, volume->path) == 0 || strcmp(path, volume->path + skipped) == 0) {
			const char *user = json_string_value(
				json_array_get(json_object_get(file, "machines"), 0));

			snprintf(name, 128, "%s", user != NULL ? user : "");
		}
	}
	json_decref(storage);
}

void delete_volume(struct call *call)
{
	struct volume volume;
	char user[128];

	if (!get_volume(call, &volume)) {
		return;
	}
	find_user(call, &volume, user);
	if (user[0] != '\0') {
		fail(call, ERR_INVALID, "'%s' is a disk of '%s'", volume.name, user);
	} else if (unlink(volume.path) != 0) {
		fail(call, ERR_FAILED, "%s: %s", volume.path, strerror(errno));
	} else if (strchr(volume.name, '/') != NULL) {
		/* The last file of a machine that is not there any more. */
		*strrchr(volume.path, '/') = '\0';
		(void)rmdir(volume.path);
	}
}

void resize_volume(struct call *call)
{
	struct disk_open how = {0};
	struct disk_error error;
	struct volume volume;
	struct disk *disk;
	uint64_t size;
	uint32_t flags;

	if (!get_volume(call, &volume)) {
		return;
	}
	size = wire_get_long(call->in);
	flags = wire_get(call->in);
	if (!is_whole(call)) {
		return;
	}
	if (disk_open(volume.path, &how, &disk, &error) != 0) {
		fail(call, ERR_FAILED, "%s", error.text);
		return;
	}
	size += flags & RESIZE_DELTA ? disk_size(disk) : 0;
	if (size < disk_size(disk) && !(flags & RESIZE_SHRINK)) {
		fail(call, ERR_ARGUMENT, "'%s' is larger; say --shrink", volume.name);
	} else if (disk_resize(disk, size, false, &error) != 0) {
		fail(call, ERR_FAILED, "%s", error.text);
	}
	if (disk_close(&disk, &error) != 0 && call->error == 0) {
		fail(call, ERR_FAILED, "%s", error.text);
	}
}
