/* The simulated disk: files are tables of shared pages, so that a state is cheap to keep. */
#include "tests/unit/disk_fake.h"

#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/helper.h"
#include "disk/ring.h"
#include "disk/units.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILES  12u
#define PAGE   4096u
#define SECTOR 512u

struct page {
	unsigned users;
	uint8_t bytes[PAGE];
};

struct image {
	struct page **pages; /* NULL: zeros */
	size_t count;
	uint64_t size;
};

struct op {
	enum { OP_WRITE, OP_SIZE, OP_ZERO, OP_SYNC } kind;
	unsigned file;
	uint64_t offset, length;
	uint8_t *data;
	bool durable; /* by itself, from the next operation on */
};

struct fake_state {
	bool exists[FILES];
	char names[FILES][256];
	struct image images[FILES];
};

static struct fake_state now, initial, base;
static struct op *ops;
static size_t op_count, op_capacity, cut;
static bool recording;
static size_t *pending, pending_count;
static uint32_t random_state;
static unsigned fail_after, writes;
static int fail_file = -1;
static bool fail_reads;
static bool failed_once;
const struct fake_tasks *fake_tasks;

uint32_t fake_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

/* -- Images -- */

static void page_put(struct page *page)
{
	if (page != NULL && !--page->users) {
		free(page);
	}
}

static void image_free(struct image *image)
{
	size_t i;

	for (i = 0; i < image->count; i++) {
		page_put(image->pages[i]);
	}
	free(image->pages);
	*image = (struct image){0};
}

static void image_copy(struct image *to, const struct image *from)
{
	size_t i;

	image_free(to);
	*to = *from;
	to->pages = malloc((from->count + 1) * sizeof(*to->pages));
	for (i = 0; i < from->count; i++) {
		to->pages[i] = from->pages[i];
		if (to->pages[i] != NULL) {
			to->pages[i]->users++;
		}
	}
}

static void image_reserve(struct image *image, uint64_t size)
{
	size_t count = (size < 1ull << 31 ? size + PAGE - 1 : 1ull << 31) / PAGE;

	if (count > image->count) {
		image->pages = realloc(image->pages, count * sizeof(*image->pages));
		memset(image->pages + image->count, 0,
		       (count - image->count) * sizeof(*image->pages));
		image->count = count;
	}
}

static uint8_t *page_for_write(struct image *image, size_t index)
{
	struct page *old = image->pages[index];

	if (old == NULL || old->users > 1) {
		struct page *page = calloc(1, sizeof(*page));

		if (old != NULL) {
			memcpy(page->bytes, old->bytes, PAGE);
			page_put(old);
		}
		page->users = 1;
		image->pages[index] = page;
	}
	return image->pages[index]->bytes;
}

static void image_write(struct image *image, uint64_t offset, const uint8_t *data, size_t length)
{
	image->size = max_u64(image->size, offset + length);
	image_reserve(image, image->size);
	while (length) {
		size_t in_page = offset % PAGE, n = min_u64(length, PAGE - in_page);

		memcpy(page_for_write(image, offset / PAGE) + in_page, data, n);
		data += n;
		offset += n;
		length -= n;
	}
}

static void image_read(const struct image *image, uint64_t offset, uint8_t *out, size_t length)
{
	while (length) {
		size_t in_page = offset % PAGE, n = min_u64(length, PAGE - in_page);
		struct page *page =
			offset / PAGE < image->count ? image->pages[offset / PAGE] : NULL;

		if (page != NULL && offset < image->size) {
			memcpy(out, page->bytes + in_page, n);
		} else {
			memset(out, 0, n);
		}
		out += n;
		offset += n;
		length -= n;
	}
}

static void image_zero(struct image *image, uint64_t offset, uint64_t length)
{
	uint64_t end = min_u64(offset + length, image->size);

	while (offset < end) {
		uint64_t n = min_u64(end - offset, PAGE - offset % PAGE);

		if (offset / PAGE < image->count && image->pages[offset / PAGE] != NULL) {
			if (n == PAGE) {
				page_put(image->pages[offset / PAGE]);
				image->pages[offset / PAGE] = NULL;
			} else {
				memset(page_for_write(image, offset / PAGE) + offset % PAGE, 0, n);
			}
		}
		offset += n;
	}
}

static void image_resize(struct image *image, uint64_t size)
{
	if (size < image->size) {
		image_zero(image, size, image->size - size);
	}
	image->size = size;
	image_reserve(image, size);
}

/* torn: each sector of a write goes its own way. */
static void apply(struct image *image, const struct op *op, bool torn)
{
	uint64_t at;

	switch (op->kind) {
	case OP_WRITE:
		if (!torn) {
			image_write(image, op->offset, op->data, op->length);
			return;
		}
		for (at = 0; at < op->length;) {
			uint64_t n = min_u64(op->length - at, SECTOR - (op->offset + at) % SECTOR);

			if (fake_random() % 2) {
				image_write(image, op->offset + at, op->data + at, n);
			}
			at += n;
		}
		return;
	case OP_SIZE:
		image_resize(image, op->length);
		return;
	case OP_ZERO:
		image_zero(image, op->offset, op->length);
		return;
	case OP_SYNC:
		return;
	}
}

/* -- States -- */

static void state_free(struct fake_state *state)
{
	unsigned i;

	for (i = 0; i < FILES; i++) {
		image_free(&state->images[i]);
	}
	memset(state, 0, sizeof(*state));
}

static void state_copy(struct fake_state *to, const struct fake_state *from)
{
	unsigned i;

	for (i = 0; i < FILES; i++) {
		image_copy(&to->images[i], &from->images[i]);
	}
	memcpy(to->exists, from->exists, sizeof(to->exists));
	memcpy(to->names, from->names, sizeof(to->names));
}

struct fake_state *fake_save(void)
{
	struct fake_state *state = calloc(1, sizeof(*state));

	state_copy(state, &now);
	return state;
}

void fake_restore(const struct fake_state *state)
{
	state_copy(&now, state);
}

void fake_state_free(struct fake_state *state)
{
	state_free(state);
	free(state);
}

static void forget_ops(void)
{
	size_t i;

	for (i = 0; i < op_count; i++) {
		free(ops[i].data);
	}
	op_count = 0;
}

void fake_seed(uint32_t seed)
{
	random_state = seed * 2654435761u + 1;
}

void fake_reset(uint32_t seed)
{
	state_free(&now);
	state_free(&initial);
	state_free(&base);
	forget_ops();
	free(ops);
	free(pending);
	ops = NULL;
	pending = NULL;
	op_capacity = pending_count = 0;
	recording = false;
	fail_after = 0;
	fail_file = -1;
	failed_once = false;
	fake_seed(seed);
}

static const char *plain_name(const char *path)
{
	if (!strncmp(path, "/fake/", 6)) {
		path += 6;
	}
	return !strncmp(path, "./", 2) ? path + 2 : path;
}

static int find(const char *path)
{
	unsigned i;

	for (i = 0; i < FILES; i++) {
		if (now.exists[i] && !strcmp(now.names[i], plain_name(path))) {
			return (int)i;
		}
	}
	return -1;
}

/* -- Recording and cuts -- */

void fake_record(void)
{
	forget_ops();
	state_copy(&initial, &now);
	recording = true;
}

size_t fake_op_count(void)
{
	return op_count;
}

uint64_t fake_digest(void)
{
	uint64_t digest = 14695981039346656037ull;
	size_t i, k;

	for (i = 0; i < op_count; i++) {
		const struct op *op = &ops[i];
		uint64_t words[4] = {op->kind, op->offset, op->length, op->durable};
		const uint8_t *bytes = (const uint8_t *)words;

		for (k = 0; k < sizeof(words); k++) {
			digest = (digest ^ bytes[k]) * 1099511628211ull;
		}
		for (k = 0; op->data != NULL && op->length <= PAGE && k < op->length; k++) {
			digest = (digest ^ op->data[k]) * 1099511628211ull;
		}
	}
	return digest;
}

void fake_cuts_begin(void)
{
	recording = false;
	state_copy(&base, &initial);
	memcpy(base.exists, now.exists,
	       sizeof(base.exists)); /* files that appeared later start empty */
	memcpy(base.names, now.names, sizeof(base.names));
	free(pending);
	pending = calloc(op_count + 1, sizeof(*pending));
	pending_count = 0;
	cut = 0;
}

void fake_cut_at(size_t k)
{
	for (; cut < k; cut++) {
		const struct op *op = &ops[cut];
		size_t i, kept = 0;

		if (op->kind != OP_SYNC) {
			pending[pending_count++] = cut;
			continue;
		}
		for (i = 0; i < pending_count; i++) {
			const struct op *p = &ops[pending[i]];

			if (p->file == op->file) {
				apply(&base.images[p->file], p, false);
			} else {
				pending[kept++] = pending[i];
			}
		}
		pending_count = kept;
	}
}

/* All, none, only the last, all but the first; then each subset if there are few, or random ones;
 * then torn. */
unsigned fake_cut_variants(void)
{
	if (!pending_count) {
		return 1;
	}
	return pending_count == 1 ? 4 : pending_count <= 3 ? 4 + (1u << pending_count) + 2 : 9;
}

static bool is_settled(size_t i)
{
	return ops[pending[i]].durable && pending[i] + 1 < cut;
}

static bool persists(unsigned variant, size_t i)
{
	if (is_settled(i)) {
		return true;
	}
	switch (variant) {
	case 0:
		return true;
	case 1:
		return false;
	case 2:
		return i + 1 == pending_count;
	case 3:
		return i > 0;
	default:
		return pending_count <= 3 && variant - 4 < 1u << pending_count
			       ? (variant - 4) >> i & 1
			       : fake_random() % 2;
	}
}

void fake_cut_make(unsigned variant)
{
	size_t i;
	bool torn = variant >= 4 &&
		    (pending_count > 3 ? variant % 2 : variant - 4 >= 1u << pending_count);

	if (pending_count == 1 && variant >= 2) {
		torn = true;
	}
	state_copy(&now, &base);
	for (i = 0; i < pending_count; i++) {
		const struct op *op = &ops[pending[i]];

		if (torn && op->kind == OP_WRITE && !is_settled(i)) {
			apply(&now.images[op->file], op, true);
		} else if (persists(variant, i)) {
			apply(&now.images[op->file], op, false);
		}
	}
}

void fake_cuts_end(void)
{
	forget_ops();
}

void fake_fail_after(unsigned n)
{
	fail_after = n;
	failed_once = false;
}

void fake_fail_file(const char *path)
{
	fail_file = path != NULL ? find(path) : -1;
}

void fake_fail_reads(bool on)
{
	fail_reads = on;
}

bool fake_failed(void)
{
	return failed_once;
}

uint64_t fake_size(const char *path)
{
	int i = find(path);

	return i < 0 ? 0 : now.images[i].size;
}

void fake_peek(const char *path, uint64_t offset, void *out, size_t length)
{
	image_read(&now.images[find(path)], offset, out, length);
}

void fake_poke(const char *path, uint64_t offset, const void *data, size_t length)
{
	image_write(&now.images[find(path)], offset, data, length);
}

void fake_shrink(const char *path, uint64_t size)
{
	image_resize(&now.images[find(path)], size);
}

bool fake_dump(const char *path, const char *host_path)
{
	const struct image *image = &now.images[find(path)];
	FILE *out = fopen(host_path, "we");
	bool good = out != NULL;
	size_t i;

	for (i = 0; good && i < image->count; i++) {
		if (image->pages[i] != NULL) {
			good = !fseeko(out, (off_t)(i * PAGE), SEEK_SET) &&
			       fwrite(image->pages[i]->bytes, min_u64(PAGE, image->size - i * PAGE),
				      1, out) == 1;
		}
	}
	if (good && image->size) { /* as long as it is, also when it ends with a hole */
		uint8_t last;

		image_read(image, image->size - 1, &last, 1);
		good = !fseeko(out, (off_t)image->size - 1, SEEK_SET) &&
		       fwrite(&last, 1, 1, out) == 1;
	}
	return out != NULL && !fclose(out) && good;
}

unsigned fake_writes(void)
{
	unsigned n = writes;

	writes = 0;
	return n;
}

/* 0 or an injected error. Does the operation and notes it. */
static int perform(struct file *file, int kind, uint64_t offset, uint64_t length, const void *data)
{
	struct op op = {
		.kind = kind, .file = (unsigned)file->fd, .offset = offset, .length = length};

	if (fake_tasks != NULL) {
		fake_tasks->pause();
	}
	if (file->fd == fail_file) {
		return -EIO;
	}
	if (fail_after && !--fail_after) {
		failed_once = true;
		return -EIO;
	}
	assert(file->writable || kind == OP_SYNC);
	writes += kind != OP_SYNC;
	op.data = kind == OP_WRITE && recording ? malloc(length) : NULL;
	if (op.data != NULL) {
		memcpy(op.data, data, length);
	}
	if (recording) {
		if (op_count == op_capacity) {
			op_capacity = op_capacity ? op_capacity * 2 : 256;
			ops = realloc(ops, op_capacity * sizeof(*ops));
		}
		ops[op_count++] = op;
	}
	op.data = (uint8_t *)data;
	apply(&now.images[op.file], &op, false);
	return 0;
}

/* -- In place of file.c -- */

static int open_index(struct file *file, int index, const char *path, bool writable)
{
	*file = (struct file){
		.fd = index, .direct_fd = -1, .writable = writable, .path = strdup(path)};
	file->size = now.images[index].size;
	return 0;
}

int fake_descriptor(const char *path)
{
	return find(path);
}

int file_open(struct file *file, const char *path, bool writable, struct disk_error *error)
{
	int i = find(path);

	return i < 0 ? error_set(error, -ENOENT, "%s: not there", path)
		     : open_index(file, i, path, writable);
}

int file_adopt(struct file *file, int fd, const char *path, bool writable, struct disk_error *error)
{
	(void)error;
	return open_index(file, fd, path, writable);
}

bool file_is(const struct file *file, int fd)
{
	return file->fd == fd;
}

int file_create(struct file *file, const char *path, bool replace, bool lock,
		struct disk_error *error)
{
	int i = find(path);

	(void)lock;
	if (i >= 0 && !replace) {
		return error_set(error, -EEXIST, "%s: there", path);
	}
	for (i = i < 0 ? 0 : i; i < (int)FILES && now.exists[i]; i++) {
	}
	assert(i < (int)FILES);
	now.exists[i] = true;
	snprintf(now.names[i], sizeof(now.names[i]), "%s", plain_name(path));
	image_free(&now.images[i]);
	return open_index(file, i, path, true);
}

void file_close(struct file *file)
{
	free(file->path);
	file->path = NULL;
	file->fd = -1;
}

int file_open_direct(struct file *file, struct disk_error *error)
{
	(void)file;
	(void)error;
	return 0;
}

int file_data_fd(const struct file *file, const struct iovec *iov, unsigned count, uint64_t offset)
{
	(void)iov;
	(void)count;
	(void)offset;
	return file->fd;
}

int file_lock(struct file *file, bool writable, struct disk_error *error)
{
	(void)file;
	(void)writable;
	(void)error;
	return 0;
}

void file_unlock(struct file *file)
{
	(void)file;
}

void file_lock_share(struct file *file)
{
	(void)file;
}

int file_read(struct file *file, void *buffer, size_t length, uint64_t offset)
{
	const struct image *image = &now.images[file->fd];

	if (offset + length > image->size) {
		return -ENODATA;
	}
	image_read(image, offset, buffer, length);
	return 0;
}

int file_write(struct file *file, const void *buffer, size_t length, uint64_t offset)
{
	return perform(file, OP_WRITE, offset, length, buffer);
}

int file_readv(struct file *file, const struct iovec *iov, unsigned count, uint64_t offset)
{
	unsigned i;

	if (fail_reads) {
		return -EIO;
	}
	for (i = 0; i < count; i++) {
		image_read(&now.images[file->fd], offset, iov[i].iov_base, iov[i].iov_len);
		offset += iov[i].iov_len;
	}
	return 0;
}

/* One operation: the pieces in memory are no pieces on the disk. */
int file_writev(struct file *file, const struct iovec *iov, unsigned count, uint64_t offset)
{
	uint8_t *whole;
	size_t length = 0;
	unsigned i;
	int ret;

	for (i = 0; i < count; i++) {
		length += iov[i].iov_len;
	}
	whole = malloc(length + 1);
	for (i = 0, length = 0; i < count; i++) {
		memcpy(whole + length, iov[i].iov_base, iov[i].iov_len);
		length += iov[i].iov_len;
	}
	ret = perform(file, OP_WRITE, offset, length, whole);
	free(whole);
	return ret;
}

int file_sync(struct file *file)
{
	return perform(file, OP_SYNC, 0, 0, NULL);
}

int file_truncate(struct file *file, uint64_t size)
{
	int ret = perform(file, OP_SIZE, 0, size, NULL);

	if (!ret) {
		file->size = size;
	}
	return ret;
}

int file_zero(struct file *file, uint64_t offset, uint64_t length, bool keep)
{
	(void)keep;
	return perform(file, OP_ZERO, offset, length, NULL);
}

int file_allocate(struct file *file, uint64_t offset, uint64_t length)
{
	return offset + length > file->size ? file_truncate(file, offset + length) : 0;
}

static unsigned searches;

unsigned fake_searches(void)
{
	unsigned count = searches;

	searches = 0;
	return count;
}

void file_next_data(struct file *file, uint64_t offset, uint64_t *start, uint64_t *end)
{
	const struct image *image = &now.images[file->fd];
	size_t i = offset / PAGE;

	searches++;
	while (i < image->count && image->pages[i] == NULL) {
		i++;
	}
	*start = i < image->count ? max_u64(offset, i * PAGE) : UINT64_MAX;
	while (i < image->count && image->pages[i] != NULL) {
		i++;
	}
	*end = *start == UINT64_MAX ? UINT64_MAX : i * PAGE;
}

uint64_t file_allocated(struct file *file)
{
	return now.images[file->fd].size;
}

uint64_t file_time(struct file *file)
{
	(void)file;
	return 1000000000;
}

int file_unlink(const char *path)
{
	int i = find(path);

	if (i >= 0) {
		now.exists[i] = false;
	}
	return i < 0 ? -ENOENT : 0;
}

int file_rename(const char *from, const char *to, bool replace, bool lock, struct disk_error *error)
{
	int i = find(from);

	(void)lock;
	if (find(to) >= 0 && !replace) {
		return error_set(error, -EEXIST, "%s: there", to);
	}
	file_unlink(to);
	snprintf(now.names[i], sizeof(now.names[i]), "%s", plain_name(to));
	return 0;
}

int file_take_owner(struct file *file, const char *from, struct disk_error *error)
{
	(void)file;
	(void)from;
	(void)error;
	return 0;
}

bool file_is_device(const char *path)
{
	(void)path;
	return false;
}

int file_sync_folder(const char *path)
{
	(void)path;
	return 0;
}

bool file_exists(const char *path)
{
	return find(path) >= 0;
}

char *file_resolve(const char *path)
{
	char *name = malloc(strlen(path) + 8);

	sprintf(name, "/fake%s%s", path[0] == '.' && !path[1 + (path[1] == '/')] ? "" : "/",
		path[0] == '.' && !path[1 + (path[1] == '/')] ? "" : plain_name(path));
	return name;
}

/* -- In place of ring.c: what was submitted happens later, in any order -- */

#define RING_MAX 256

struct ring_op {
	struct file *file;
	const struct iovec *iov;
	unsigned count;
	uint64_t offset;
	int kind; /* 0 read, 1 write, 2 durable write, 3 sync */
	void *token;
};

struct ring {
	struct ring_op ops[RING_MAX];
	unsigned count, depth;
	bool woken;
};

int ring_open(unsigned depth, struct ring **ring)
{
	*ring = calloc(1, sizeof(**ring));
	(*ring)->depth = depth < RING_MAX ? depth : RING_MAX;
	return 0;
}

void ring_close(struct ring **ring)
{
	free(*ring);
	*ring = NULL;
}

int ring_fd(struct ring *ring)
{
	(void)ring;
	return -ENOSYS;
}

void ring_clear(struct ring *ring)
{
	(void)ring;
}

static int ring_add(struct ring *ring, struct ring_op op)
{
	if (ring->count == ring->depth) {
		return -EBUSY;
	}
	ring->ops[ring->count++] = op;
	return 0;
}

int ring_readv(struct ring *ring, struct file *file, const struct iovec *iov, unsigned count,
	       uint64_t offset, void *token)
{
	return ring_add(ring, (struct ring_op){file, iov, count, offset, 0, token});
}

int ring_writev(struct ring *ring, struct file *file, const struct iovec *iov, unsigned count,
		uint64_t offset, bool durable, void *token)
{
	return ring_add(ring, (struct ring_op){file, iov, count, offset, durable ? 2 : 1, token});
}

int ring_sync(struct ring *ring, struct file *file, void *token)
{
	return ring_add(ring, (struct ring_op){file, NULL, 0, 0, 3, token});
}

void ring_submit(struct ring *ring)
{
	(void)ring;
}

void ring_watch(struct ring *ring, int fd)
{
	(void)ring;
	(void)fd;
}

static bool has_something(void *user)
{
	struct ring *ring = user;

	return ring->count || ring->woken;
}

void ring_wait(struct ring *ring)
{
	if (fake_tasks != NULL) {
		fake_tasks->wait(has_something, ring);
	}
	ring->woken = false;
}

void ring_wake(struct ring *ring)
{
	ring->woken = true;
}

/* The last write recorded reaches the disk by itself. */
static void mark_durable(void)
{
	if (recording) {
		ops[op_count - 1].durable = true;
	}
}

/* Each call carries out one of what is under way; now and then none, so that requests pile up. */
bool ring_next(struct ring *ring, void **token, int *result)
{
	unsigned pick;
	struct ring_op op;
	unsigned i;

	if (!ring->count || fake_random() % 4 == 0) {
		return false;
	}
	pick = fake_random() % ring->count;
	op = ring->ops[pick];
	ring->ops[pick] = ring->ops[--ring->count];
	*token = op.token;
	*result = op.kind == 0   ? file_readv(op.file, op.iov, op.count, op.offset)
		  : op.kind == 3 ? file_sync(op.file)
				 : file_writev(op.file, op.iov, op.count, op.offset);
	if (!*result && op.kind == 2) {
		mark_durable();
	}
	for (i = 0; i < op.count && *result >= 0; i++) {
		*result += (int)op.iov[i].iov_len;
	}
	return true;
}

/* -- In place of helper.c: at once, on this thread, or as a task -- */

int helper_post(struct disk *disk, struct disk_req *req)
{
	if (fake_tasks != NULL) {
		fake_tasks->post(req);
	} else {
		queue_run_slow(disk, req);
	}
	return 0;
}

void helper_stop(struct disk *disk)
{
	(void)disk;
}
