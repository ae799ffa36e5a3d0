#include "tests/fake/devices.h"

#include "include/hv/device.h"
#include "tlfs/hv.h"

struct mapping {
	uint64_t gpn;
	uint32_t flags;
};

static struct domain {
	uint32_t id, devices;
	struct mapping pages[FAKE_DEVICE_PAGES];
} domains[FAKE_DOMAINS];
static uint32_t domain_of[0x10000];
uint8_t fake_device_width = 48;
bool fake_device_interrupts;
static struct interrupt {
	uint32_t device, vp_index, vector;
} interrupts[FAKE_INTERRUPTS];

void fake_devices_reset(void)
{
	memset(domains, 0, sizeof(domains));
	memset(domain_of, 0, sizeof(domain_of));
	memset(interrupts, 0, sizeof(interrupts));
	fake_device_width = 48;
	fake_device_interrupts = true;
}

static struct domain *find(uint32_t id)
{
	for (unsigned int i = 0; i < FAKE_DOMAINS; i++) {
		if (domains[i].id == id) {
			return &domains[i];
		}
	}
	return NULL;
}

uint32_t fake_device_page(uint32_t id, uint64_t page, uint64_t *gpn)
{
	struct mapping *mapping = &find(id)->pages[page];

	*gpn = mapping->gpn;
	return mapping->flags;
}

uint32_t fake_domain_of(uint16_t device)
{
	return domain_of[device];
}

uint8_t plat_device_width(void)
{
	return fake_device_width;
}

hv_status_t plat_device_domain_create(uint32_t id)
{
	struct domain *domain = find(0);

	if (!fake_device_width) {
		return HV_STATUS_FEATURE_UNAVAILABLE;
	}
	if (find(id) != NULL) {
		return HV_STATUS_KEY_ALREADY_EXISTS;
	}
	if (domain == NULL) {
		return HV_STATUS_INSUFFICIENT_DEVICE_DOMAINS;
	}
	memset(domain, 0, sizeof(*domain));
	domain->id = id;
	return HV_STATUS_SUCCESS;
}

/* Twice: the second time it goes. */
hv_status_t plat_device_domain_delete(uint32_t id, bool *again)
{
	static bool half;
	struct domain *domain = fake_device_width ? find(id) : NULL;

	*again = false;
	if (domain == NULL) {
		return HV_STATUS_NOT_FOUND;
	}
	if (domain->devices) {
		return HV_STATUS_OBJECT_IN_USE;
	}
	half = *again = !half;
	domain->id = half ? domain->id : 0;
	return HV_STATUS_SUCCESS;
}

hv_status_t plat_device_attach(uint16_t device, uint32_t id)
{
	struct domain *to = find(id);

	if (id && (to == NULL || !fake_device_width)) {
		return HV_STATUS_NOT_FOUND;
	}
	if (domain_of[device]) {
		find(domain_of[device])->devices--;
	}
	domain_of[device] = id;
	if (id) {
		to->devices++;
	}
	return HV_STATUS_SUCCESS;
}

hv_status_t plat_device_map(uint32_t id, uint64_t page, const uint64_t *gpns, uint32_t count,
			    bool writable, bool large, uint32_t *done)
{
	const uint64_t pages = large ? LARGE_PAGE_PAGES : 1;
	struct domain *domain = find(id);

	CHECK(!(page & (pages - 1)) && page + count * pages <= 1ull << (48 - PAGE_SHIFT));
	*done = 0;
	if (domain == NULL) {
		return HV_STATUS_NOT_FOUND;
	}
	for (; *done < count; ++*done) {
		uint64_t at = page + *done * pages;

		if (at + pages > FAKE_DEVICE_PAGES || gpns[*done] >= 1ull << 20) {
			return HV_STATUS_ACCESS_DENIED;
		}
		for (uint64_t i = 0; i < pages; i++) {
			domain->pages[at + i] = (struct mapping){
				gpns[*done] + i, HV_MAP_GPA_READABLE |
							 (writable ? HV_MAP_GPA_WRITABLE : 0) |
							 (large ? HV_MAP_GPA_LARGE_PAGE : 0)};
		}
	}
	return HV_STATUS_SUCCESS;
}

/* 100 of them at most. */
hv_status_t plat_device_unmap(uint32_t id, uint64_t page, uint32_t count, uint32_t *done)
{
	struct domain *domain = find(id);

	CHECK(count && count <= PLAT_DEVICE_UNMAP_PAGES &&
	      page + count <= 1ull << (48 - PAGE_SHIFT));
	*done = 0;
	if (domain == NULL) {
		return HV_STATUS_NOT_FOUND;
	}
	for (; *done < count && *done < 100; ++*done) {
		if (page + *done < FAKE_DEVICE_PAGES) {
			domain->pages[page + *done].flags = 0;
		}
	}
	return HV_STATUS_SUCCESS;
}

/* ---- interrupts ---- */

static struct interrupt *interrupt_of(uint16_t device, uint32_t number)
{
	bool there = number < FAKE_INTERRUPTS && interrupts[number].vector &&
		     interrupts[number].device == device;

	return there ? &interrupts[number] : NULL;
}

uint32_t fake_device_interrupt(uint16_t device, uint32_t number, uint32_t *vp_index)
{
	const struct interrupt *interrupt = interrupt_of(device, number);

	*vp_index = interrupt != NULL ? interrupt->vp_index : 0;
	return interrupt != NULL ? interrupt->vector : 0;
}

bool plat_device_interrupts(void)
{
	return fake_device_interrupts;
}

hv_status_t plat_device_interrupt_map(uint16_t device, uint32_t vp_index, uint32_t vector,
				      uint32_t *number)
{
	if (!domain_of[device]) {
		return HV_STATUS_NOT_FOUND;
	}
	if (vector < 16 || vector > 255 || vp_index >= HV_MAX_VPS) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	for (*number = 0; *number < FAKE_INTERRUPTS; ++*number) {
		if (!interrupts[*number].vector) {
			interrupts[*number] = (struct interrupt){device, vp_index, vector};
			return HV_STATUS_SUCCESS;
		}
	}
	return HV_STATUS_NO_RESOURCES;
}

hv_status_t plat_device_interrupt_retarget(uint16_t device, uint32_t number, uint32_t vp_index,
					   uint32_t vector)
{
	struct interrupt *interrupt = interrupt_of(device, number);

	if (interrupt == NULL || vector < 16 || vector > 255 || vp_index >= HV_MAX_VPS) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	*interrupt = (struct interrupt){device, vp_index, vector};
	return HV_STATUS_SUCCESS;
}

hv_status_t plat_device_interrupt_unmap(uint16_t device, uint32_t number)
{
	struct interrupt *interrupt = interrupt_of(device, number);

	if (interrupt == NULL) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	interrupt->vector = 0;
	return HV_STATUS_SUCCESS;
}
