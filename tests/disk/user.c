/* A program of somebody else's, with nothing but the installed header and library: user FILE makes,
 * fills and reads a disk. */
#include <stdio.h>
#include <string.h>
#include <vdisk.h>

static struct disk_error error;

static int fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, error.text);
	return 1;
}

int main(int argc, char **argv)
{
	struct disk_create how = {
		.format = DISK_FORMAT_VHDX, .type = DISK_DYNAMIC, .size = 32u << 20};
	char text[] = "as it was written", seen[sizeof(text)] = "";
	struct iovec iov = {seen, sizeof(seen)};
	struct disk_req read = {.op = DISK_OP_READ,
				.offset = 12345,
				.length = sizeof(seen),
				.iov = &iov,
				.iov_count = 1};
	struct disk_queue *queue;
	struct disk *disk;

	if (argc != 2 || disk_create(argv[1], &how, &error) ||
	    disk_open(argv[1], &(struct disk_open){0}, &disk, &error)) {
		return fail("making it");
	}
	if (disk_write(disk, text, sizeof(text), 12345) || disk_flush(disk) ||
	    disk_queue_create(1, &queue, &error)) {
		return fail("using it");
	}
	disk_submit(queue, disk, &read);
	while (!disk_queue_next(queue)) {
		disk_queue_wait(queue);
	}
	disk_queue_destroy(&queue);
	if (read.result || strcmp(seen, text) || disk_close(&disk, &error)) {
		return fail("reading it");
	}
	return 0;
}
