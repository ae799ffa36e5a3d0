#include "tests/bench/signals.h"

#include <elf.h>
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define INFO_HAS_WORDS 4
#define INFO_WORDS     16 /* offset of the command line's address */

static int thread_event;
static uint32_t *answer;

uint32_t signals_load(const char *path, uint8_t *memory, size_t bytes, const char *word)
{
	uint32_t *info = (uint32_t *)(memory + SIGNALS_INFO_GPA);
	int file = open(path, O_RDONLY);
	struct stat status;
	const uint8_t *image;
	const Elf32_Ehdr *head;

	if (file < 0 || fstat(file, &status)) {
		err(1, "%s", path);
	}
	image = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
	head = (const void *)image;
	if (image == MAP_FAILED || (size_t)status.st_size < sizeof(*head) ||
	    memcmp(head->e_ident, ELFMAG "\1", 5) != 0) {
		errx(1, "%s is not a 32-bit ELF file", path);
	}
	for (int i = 0; i < head->e_phnum; i++) {
		const Elf32_Phdr *part =
			(const void *)(image + head->e_phoff + (size_t)i * sizeof(*part));

		if (part->p_type == PT_LOAD && part->p_paddr + (uint64_t)part->p_memsz <= bytes) {
			memcpy(memory + part->p_paddr, image + part->p_offset, part->p_filesz);
		}
	}
	close(file);
	info[0] = INFO_HAS_WORDS;
	info[INFO_WORDS / 4] = SIGNALS_INFO_GPA + 0x100;
	strcpy((char *)memory + SIGNALS_INFO_GPA + 0x100, "bench.elf ");
	strcat((char *)memory + SIGNALS_INFO_GPA + 0x100, word);
	return head->e_entry;
}

static void *count(void *unused)
{
	uint64_t value;

	while (read(thread_event, &value, sizeof(value)) == sizeof(value)) {
		__atomic_fetch_add(answer, 1, __ATOMIC_RELEASE);
	}
	return unused;
}

static int make_event(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	if (fd < 0) {
		err(1, "eventfd");
	}
	return fd;
}

void signals_begin(struct signals *signals, uint8_t *memory)
{
	pthread_t thread;

	*signals = (struct signals){make_event(), make_event(), make_event(), make_event()};
	thread_event = signals->thread_event;
	answer = (uint32_t *)(memory + SIGNALS_ANSWER_GPA);
	if (pthread_create(&thread, NULL, count, NULL)) {
		errx(1, "no thread");
	}
}

void signals_interrupt(const struct signals *signals)
{
	const uint64_t one = 1;

	if (write(signals->interrupt, &one, sizeof(one)) != sizeof(one)) {
		err(1, "eventfd");
	}
}
