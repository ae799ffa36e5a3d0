/*
 * The hypervisor's images. See elf.h; the file format is that of the System V ABI, "Object Files".
 */
#include "loader/elf.h"

#include <stddef.h>

#include "loader/ranges.h"
#include "lib/string.h"

#define ELF_MAGIC          0x464c457fu
#define ELFCLASS64         2
#define ELFDATA2LSB        1
#define ET_EXEC            2
#define EM_X86_64          62
#define PT_LOAD            1
#define PF_X               1u
#define PF_W               2u
#define PROGRAM_HEADER_MAX 32

struct elf_header {
	uint32_t magic;
	uint8_t class;
	uint8_t data;
	uint8_t ident[10];
	uint16_t type;
	uint16_t machine;
	uint32_t version;
	uint64_t entry;
	uint64_t phoff;
	uint64_t shoff;
	uint32_t flags;
	uint16_t ehsize;
	uint16_t phentsize;
	uint16_t phnum;
	uint16_t shentsize;
	uint16_t shnum;
	uint16_t shstrndx;
};

struct elf_program_header {
	uint32_t type;
	uint32_t flags;
	uint64_t offset;
	uint64_t vaddr;
	uint64_t paddr;
	uint64_t filesz;
	uint64_t memsz;
	uint64_t align;
};

_Static_assert(sizeof(struct elf_header) == 64, "ELF64 header");
_Static_assert(sizeof(struct elf_program_header) == 56, "ELF64 program header");

bool elf_is(const uint8_t *file, uint32_t size)
{
	uint32_t magic;

	if (size < sizeof(magic)) {
		return false;
	}
	memcpy(&magic, file, sizeof(magic));
	return magic == ELF_MAGIC;
}

static const char *check_header(const struct elf_header *h, uint32_t size)
{
	if (h->class != ELFCLASS64 || h->data != ELFDATA2LSB || h->machine != EM_X86_64 ||
	    h->type != ET_EXEC) {
		return "not a 64-bit x86 executable";
	}
	if (h->phentsize != sizeof(struct elf_program_header) || h->phnum == 0 ||
	    h->phnum > PROGRAM_HEADER_MAX) {
		return "its program headers are malformed";
	}
	if (h->phoff > size || h->phnum * sizeof(struct elf_program_header) > size - h->phoff) {
		return "it is cut short";
	}
	return NULL;
}

/* Segments come in the order of their addresses (System V ABI), each above the one before. */
static const char *add_segment(struct image *image, const struct elf_program_header *p,
			       uint32_t size)
{
	uint64_t offset = p->vaddr - HV_IMAGE_VA;
	struct image_segment *s = &image->segments[image->segment_count];

	if (image->segment_count == IMAGE_SEGMENTS_MAX) {
		return "it has too many segments";
	}
	if (p->vaddr < HV_IMAGE_VA || offset > IMAGE_SIZE_MAX ||
	    p->memsz > IMAGE_SIZE_MAX - offset) {
		return "it is not linked at the hypervisor's address";
	}
	if (image->segment_count == 0 ? offset != 0 : offset < s[-1].offset + s[-1].size) {
		return "its segments are out of order";
	}
	if (p->filesz > p->memsz) {
		return "its program headers are malformed";
	}
	if (p->offset > size || p->filesz > size - p->offset) {
		return "it is cut short";
	}
	s->offset = (uint32_t)offset;
	s->file_offset = (uint32_t)p->offset;
	s->file_size = (uint32_t)p->filesz;
	s->size = (uint32_t)p->memsz;
	s->rights = (p->flags & PF_X ? SEGMENT_EXECUTE : 0) | (p->flags & PF_W ? SEGMENT_WRITE : 0);
	image->segment_count++;
	image->size = (s->offset + s->size + PAGE - 1) & ~(PAGE - 1);
	return NULL;
}

static bool is_code(const struct image *image, uint64_t address)
{
	for (uint32_t i = 0; i < image->segment_count; i++) {
		const struct image_segment *s = &image->segments[i];

		if ((s->rights & SEGMENT_EXECUTE) && address >= HV_IMAGE_VA + s->offset &&
		    address - HV_IMAGE_VA - s->offset < s->file_size) {
			return true;
		}
	}
	return false;
}

static const char *check_image_header(const uint8_t *file, struct image *image)
{
	struct hv_image_header header;

	if (image->segment_count == 0 || image->segments[0].file_size < sizeof(header)) {
		return "it has no hypervisor header";
	}
	memcpy(&header, file + image->segments[0].file_offset, sizeof(header));
	if (header.magic != HV_IMAGE_MAGIC) {
		return "it has no hypervisor header";
	}
	if (header.vendor != HV_IMAGE_SVM && header.vendor != HV_IMAGE_VMX) {
		return "its hypervisor header names no known vendor";
	}
	if (!is_code(image, header.entry)) {
		return "its entry is outside its code";
	}
	image->vendor = header.vendor;
	image->entry = header.entry;
	return NULL;
}

const char *elf_parse(const uint8_t *file, uint32_t size, struct image *image)
{
	struct elf_header h;
	const char *wrong;

	memset(image, 0, sizeof(*image));
	if (size < sizeof(h)) {
		return "it is cut short";
	}
	memcpy(&h, file, sizeof(h));
	wrong = check_header(&h, size);
	for (uint32_t i = 0; wrong == NULL && i < h.phnum; i++) {
		struct elf_program_header p;

		memcpy(&p, file + (uint32_t)h.phoff + i * sizeof(p), sizeof(p));
		if (p.type == PT_LOAD && p.memsz != 0) {
			wrong = add_segment(image, &p, size);
		}
	}
	return wrong != NULL ? wrong : check_image_header(file, image);
}

void elf_load(const uint8_t *file, const struct image *image, uint8_t *memory)
{
	memset(memory, 0, image->size);
	for (uint32_t i = 0; i < image->segment_count; i++) {
		const struct image_segment *s = &image->segments[i];

		memcpy(memory + s->offset, file + s->file_offset, s->file_size);
	}
}

uint32_t elf_page_rights(const struct image *image, uint32_t offset)
{
	uint32_t rights = 0;

	for (uint32_t i = 0; i < image->segment_count; i++) {
		const struct image_segment *s = &image->segments[i];

		if (offset + PAGE > s->offset && offset < s->offset + s->size) {
			rights |= s->rights;
		}
	}
	return rights;
}
