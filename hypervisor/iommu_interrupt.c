/*
 * See iommu_interrupt.h. An entry is one word of the table, written at once: no unit sees a part of
 * it. What changes is in force when the call returns.
 */
#include "hypervisor/iommu_interrupt.h"

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/iommu_domain.h"
#include "hypervisor/iommu_entry.h"
#include "hypervisor/memory.h"
#include "lib/addr.h"
#include "lib/string.h"
#include "tlfs/hv.h"

#define LISTS        256u
#define FIRST_VECTOR 16u /* those below are the processor's */

_Static_assert(sizeof(struct interrupt_table) <= PAGE_SIZE, "a table is a page");

static struct interrupt_table *tables[LISTS]; /* by the device on its bus */

static struct interrupt_table **link_of(uint16_t device)
{
	struct interrupt_table **link = &tables[device % LISTS];

	while (*link != NULL && (*link)->device != device) {
		link = &(*link)->next;
	}
	return link;
}

void iommu_interrupt_reset(void)
{
	memset(tables, 0, sizeof(tables));
}

struct interrupt_table *iommu_interrupt_table(uint16_t device)
{
	return *link_of(device);
}

struct interrupt_table *iommu_interrupt_table_make(uint16_t device)
{
	struct interrupt_table **link = link_of(device);

	CHECK(*link == NULL);
	*link = memory_alloc(iommu_domain.owner);
	if (*link != NULL) {
		(*link)->device = device;
		for (uint32_t i = 0; i < INTERRUPT_TABLE_ENTRIES; i += 16) {
			clflush(&(*link)->entries[i]);
		}
	}
	return *link;
}

void iommu_interrupt_table_free(uint16_t device)
{
	struct interrupt_table **link = link_of(device), *table = *link;

	if (table != NULL) {
		*link = table->next;
		memory_free(iommu_domain.owner, table);
	}
}

/* ---- the calls ---- */

bool plat_device_interrupts(void)
{
	return iommu_domain.remaps;
}

static void set(const struct interrupt_table *table, uint32_t *entry, uint32_t value)
{
	__atomic_store_n(entry, value, __ATOMIC_SEQ_CST);
	clflush(entry);
	iommu_units_forget_interrupts(table->device);
}

static hv_status_t value_of(uint32_t vp_index, uint32_t vector, uint32_t *value)
{
	uint8_t apic_id;

	if (vector < FIRST_VECTOR || vector > UINT8_MAX || !iommu_apic_id(vp_index, &apic_id)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	*value = iommu_interrupt(apic_id, (uint8_t)vector);
	return HV_STATUS_SUCCESS;
}

/* The device's table, with the memory lock; without it when there is none. */
static hv_status_t lock(uint16_t device, struct interrupt_table **table)
{
	if (!iommu_domain.remaps) {
		return HV_STATUS_FEATURE_UNAVAILABLE;
	}
	memory_lock();
	*table = iommu_interrupt_table(device);
	if (*table == NULL) {
		memory_unlock();
		return HV_STATUS_NOT_FOUND;
	}
	return HV_STATUS_SUCCESS;
}

hv_status_t plat_device_interrupt_map(uint16_t device, uint32_t vp_index, uint32_t vector,
				      uint32_t *number)
{
	struct interrupt_table *table;
	uint32_t value, i = 0;
	hv_status_t status = lock(device, &table);

	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	status = value_of(vp_index, vector, &value);
	if (status == HV_STATUS_SUCCESS) {
		while (i < INTERRUPT_TABLE_ENTRIES && table->entries[i]) {
			i++;
		}
		if (i < INTERRUPT_TABLE_ENTRIES) {
			set(table, &table->entries[i], value);
		} else {
			status = HV_STATUS_NO_RESOURCES;
		}
	}
	memory_unlock();
	*number = i;
	return status;
}

/* An entry that is in use gets another value; 0: it is free. */
static hv_status_t change(uint16_t device, uint32_t number, uint32_t value)
{
	struct interrupt_table *table;
	hv_status_t status = lock(device, &table);

	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	if (number >= INTERRUPT_TABLE_ENTRIES || !table->entries[number]) {
		status = HV_STATUS_INVALID_PARAMETER;
	} else {
		set(table, &table->entries[number], value);
	}
	memory_unlock();
	return status;
}

hv_status_t plat_device_interrupt_retarget(uint16_t device, uint32_t number, uint32_t vp_index,
					   uint32_t vector)
{
	uint32_t value;
	hv_status_t status = value_of(vp_index, vector, &value);

	return status == HV_STATUS_SUCCESS ? change(device, number, value) : status;
}

hv_status_t plat_device_interrupt_unmap(uint16_t device, uint32_t number)
{
	return change(device, number, 0);
}
