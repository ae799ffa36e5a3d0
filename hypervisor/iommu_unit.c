#include "hypervisor/iommu_unit.h"

#include "hypervisor/arch/x86/cpu.h"

void iommu_unit_push(struct iommu_unit *unit, uint64_t low, uint64_t high)
{
	uint64_t *command = &unit->queue[2 * unit->tail];

	command[0] = low;
	command[1] = high;
	clflush(command);
	unit->tail = (unit->tail + 1) % IOMMU_RING_ENTRIES;
}

bool iommu_unit_is_late(uint64_t since)
{
	return plat_tsc() - since > plat_info.tsc_hz;
}

bool iommu_unit_wait(const struct iommu_unit *unit)
{
	const uint64_t begin = plat_tsc();

	while ((uint32_t)__atomic_load_n(unit->answer, __ATOMIC_ACQUIRE) != unit->asked) {
		if (iommu_unit_is_late(begin)) {
			return false;
		}
		cpu_relax();
	}
	return true;
}
