/*
 * Overlay pages (TLFS, "Overlay Pages"): a page of the core that a guest places over its GPA space
 * with an MSR: bit 0 enables, bits 63:12 are the page number. What lies below is untouched and
 * shows again when the overlay goes.
 */
#include "tlfs/hv.h"

#define OVERLAY_ENABLE 1ull

bool overlay_reachable(uint64_t msr)
{
	return msr >> plat_info.physical_address_bits == 0;
}

static bool is_mapped(uint64_t msr)
{
	return (msr & OVERLAY_ENABLE) && overlay_reachable(msr);
}

/*
 * A base beyond the GPA space is no error: the page is then nowhere. The new place is made first,
 * so that a failure changes nothing; no LP keeps an old translation when it is over.
 */
hv_status_t overlay_move(struct partition *p, uint64_t old_msr, uint64_t new_msr, void *page)
{
	hv_status_t status;

	if (is_mapped(old_msr) && is_mapped(new_msr) &&
	    old_msr >> PAGE_SHIFT == new_msr >> PAGE_SHIFT) {
		return HV_STATUS_SUCCESS;
	}
	if (is_mapped(new_msr)) {
		status = plat_overlay_map(p, new_msr >> PAGE_SHIFT, page);
		if (status != HV_STATUS_SUCCESS) {
			return status;
		}
	}
	if (is_mapped(old_msr)) {
		plat_overlay_unmap(p, old_msr >> PAGE_SHIFT, page);
	}
	if (is_mapped(old_msr) || is_mapped(new_msr)) {
		plat_gpa_flush(p);
	}
	return HV_STATUS_SUCCESS;
}
