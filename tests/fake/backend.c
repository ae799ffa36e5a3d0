/* See backend.h. */
#include "tests/fake/backend.h"

#include <errno.h>
#include <string.h>

#define PAGE_BITS 12

int backend_vp_load(struct backend_vp *vp, struct vp_registers *registers)
{
	*registers = vp->registers;
	return vp->broken ? -EIO : 0;
}

int backend_vp_store(struct backend_vp *vp, const struct vp_registers *registers)
{
	memcpy(vp->registers.gpr, registers->gpr, sizeof(vp->registers.gpr));
	vp->registers.rip = registers->rip;
	vp->registers.rflags = registers->rflags;
	return vp->broken ? -EIO : 0;
}

int backend_vp_load_xmm(struct backend_vp *vp, unsigned int index, uint8_t value[16])
{
	memcpy(value, vp->xmm[index], 16);
	return vp->broken ? -EIO : 0;
}

int backend_vp_store_xmm(struct backend_vp *vp, unsigned int index, const uint8_t value[16])
{
	memcpy(vp->xmm[index], value, 16);
	return vp->broken ? -EIO : 0;
}

int backend_vp_load_mmx(struct backend_vp *vp, unsigned int index, uint8_t value[8])
{
	memcpy(value, vp->mmx[index], 8);
	return vp->broken ? -EIO : 0;
}

int backend_vp_store_mmx(struct backend_vp *vp, unsigned int index, const uint8_t value[8])
{
	memcpy(vp->mmx[index], value, 8);
	return vp->broken ? -EIO : 0;
}

int backend_vp_load_system(struct backend_vp *vp, struct vp_system *system)
{
	*system = vp->system;
	return vp->broken ? -EIO : 0;
}

int backend_vp_store_segment(struct backend_vp *vp, unsigned int name,
			     const struct vp_segment *segment)
{
	struct vp_segment *to = name == VP_TR     ? &vp->system.tr
				: name == VP_LDTR ? &vp->system.ldtr
						  : &vp->registers.segments[name];

	*to = *segment;
	return vp->broken ? -EIO : 0;
}

int backend_vp_store_table(struct backend_vp *vp, bool idt, const struct vp_table *table)
{
	*(idt ? &vp->system.idtr : &vp->system.gdtr) = *table;
	return vp->broken ? -EIO : 0;
}

int backend_vp_store_cr0(struct backend_vp *vp, uint64_t value)
{
	vp->registers.cr0 = value;
	return vp->broken ? -EIO : 0;
}

int backend_vp_translate(struct backend_vp *vp, uint64_t gva, enum vp_access access, uint64_t *gpa,
			 uint32_t *error_code)
{
	bool write = access == VP_ACCESS_WRITE || access == VP_ACCESS_SYSTEM_WRITE;
	bool missing = vp->missing != 0 && gva >> PAGE_BITS == vp->missing >> PAGE_BITS;

	vp->translations++;
	if (vp->broken) {
		return -EIO;
	}
	if (missing && (!vp->read_only || write)) {
		*error_code = (write ? 2u : 0) | vp->read_only;
		return -EFAULT;
	}
	*gpa = gva - vp->linear_base + vp->gpa_base;
	return 0;
}

int backend_vp_crash_parameters(struct backend_vp *vp, uint64_t parameters[VP_CRASH_PARAMETERS])
{
	memcpy(parameters, vp->crash_parameters, sizeof(vp->crash_parameters));
	return vp->broken ? -EIO : 0;
}

int backend_vp_inject_exception(struct backend_vp *vp, unsigned int vector, uint32_t error_code,
				uint64_t address)
{
	vp->injected = true;
	vp->vector = vector;
	vp->error_code = error_code;
	vp->fault_address = address;
	return 0;
}

int backend_vp_request_window(struct backend_vp *vp, bool wanted)
{
	vp->window = wanted;
	return 0;
}

int backend_vp_inject_extint(struct backend_vp *vp, uint8_t vector)
{
	return backend_vp_inject_exception(vp, vector, 0, 0);
}

int backend_partition_interrupt(struct backend_partition *partition,
				const struct backend_interrupt *interrupt)
{
	partition->last = *interrupt;
	partition->interrupts++;
	__atomic_add_fetch(&partition->vectors[interrupt->vector], 1, __ATOMIC_SEQ_CST);
	return 0;
}

int backend_partition_log(struct backend_partition *partition, uint64_t gpa, uint64_t length,
			  bool on)
{
	(void)gpa;
	if (partition->log_result == 0) {
		partition->logged += on ? length : -length;
	}
	return partition->log_result;
}

uint64_t fake_dirty_always;

int backend_partition_dirty(struct backend_partition *partition, uint64_t gpa, uint64_t length,
			    uint8_t *bitmap, bool clear)
{
	uint64_t page = (partition->dirty_gpa - gpa) / 4096;

	CHECK(clear && partition->logged > 0);
	if (partition->log_result != 0) {
		return partition->log_result;
	}
	memset(bitmap, 0, (length / 4096 + 7) / 8);
	if (partition->dirty_gpa != 0 && page < length / 4096) {
		bitmap[page / 8] |= (uint8_t)(1u << page % 8);
		partition->dirty_gpa = 0;
	}
	page = (fake_dirty_always - gpa) / 4096;
	if (fake_dirty_always != 0 && page < length / 4096) {
		bitmap[page / 8] |= (uint8_t)(1u << page % 8);
	}
	return 0;
}

int backend_partition_map(struct backend_partition *partition, uint64_t gpa, void *where,
			  uint64_t length, unsigned int access)
{
	CHECK(access & BACKEND_EXECUTE);
	if (partition->map_result != 0) {
		return partition->map_result;
	}
	for (unsigned int i = 0; i < partition->map_count; i++) {
		if (gpa < partition->maps[i].gpa + partition->maps[i].length &&
		    partition->maps[i].gpa < gpa + length) {
			return -EEXIST;
		}
	}
	CHECK(partition->map_count < FAKE_MAPS);
	partition->maps[partition->map_count].gpa = gpa;
	partition->maps[partition->map_count].memory = where;
	partition->maps[partition->map_count++].length = length;
	return 0;
}

int backend_partition_unmap(struct backend_partition *partition, uint64_t gpa, void *where,
			    uint64_t length)
{
	for (unsigned int i = 0; i < partition->map_count; i++) {
		if (partition->maps[i].gpa == gpa && partition->maps[i].memory == where &&
		    partition->maps[i].length == length) {
			partition->maps[i] = partition->maps[--partition->map_count];
			return 0;
		}
	}
	return -EINVAL;
}
