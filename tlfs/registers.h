/*
 * VP registers by name, for the handlers of calls and for the home. Within the core only.
 */
#ifndef TLFS_REGISTERS_H
#define TLFS_REGISTERS_H

#include "tlfs/hv.h"

/*
 * The VP is owned. INVALID_PARAMETER: no such register. INVALID_REGISTER_VALUE. ACCESS_DENIED: it
 * cannot be written, or only by the parent.
 */
hv_status_t register_get(struct vp *vp, uint32_t name, union hv_register_value *value) MUST_CHECK;
hv_status_t register_set(struct vp *vp, uint32_t name, const union hv_register_value *value,
			 bool by_parent) MUST_CHECK;

#endif
