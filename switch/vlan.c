/* See vlan.h. IEEE 802.1Q, RFC 5517. */
#include "switch/vlan.h"

#include <errno.h>
#include <stddef.h>

#define LAST_VLAN 4094u

static bool is_vlan(uint16_t vlan)
{
	return vlan != 0 && vlan <= LAST_VLAN;
}

int vlan_compile(const struct vlan_settings *settings, struct vlan_rules *rules)
{
	bool private = settings->mode >= VLAN_ISOLATED;

	*rules = (struct vlan_rules){0};
	if (settings->mode >= VLAN_MODES || (private && !is_vlan(settings->primary)) ||
	    (settings->mode == VLAN_ACCESS && !is_vlan(settings->vlan)) ||
	    (settings->mode == VLAN_TRUNK && settings->vlan > LAST_VLAN) ||
	    ((settings->mode == VLAN_ISOLATED || settings->mode == VLAN_COMMUNITY) &&
	     (!is_vlan(settings->vlan) || settings->vlan == settings->primary)) ||
	    ((settings->mode == VLAN_TRUNK || settings->mode == VLAN_PROMISCUOUS) &&
	     (settings->list.words[0] & 1 || settings->list.words[VLAN_WORDS - 1] >> 63)) ||
	    (settings->mode == VLAN_PROMISCUOUS &&
	     vlan_set_has(&settings->list, settings->primary))) {
		return -EINVAL;
	}
	switch (settings->mode) {
	case VLAN_UNTAGGED:
		break;
	case VLAN_ACCESS:
		rules->own = settings->vlan;
		break;
	case VLAN_TRUNK:
		rules->trunk = true;
		rules->own = settings->vlan;
		rules->hears = settings->list;
		break;
	case VLAN_ISOLATED:
		rules->own = settings->vlan;
		vlan_set_add(&rules->hears, settings->primary);
		return 0; /* not its own: others that are isolated send in it */
	case VLAN_COMMUNITY:
		rules->own = settings->vlan;
		vlan_set_add(&rules->hears, settings->primary);
		break;
	default:
		rules->own = settings->primary;
		rules->hears = settings->list;
		break;
	}
	vlan_set_add(&rules->hears, rules->own);
	return 0;
}

/*
 * A second tag in a frame whose first is the switch's to take away would become its first one
 * behind a native VLAN; so it may only be sent where tags are the sender's affair.
 */
bool vlan_enter(const struct vlan_rules *rules, struct frame *frame)
{
	uint16_t id = frame->tagged ? frame->tag & VLAN_ID_BITS : 0;

	if (!rules->trunk && (frame->headers.ethertype == ETHERTYPE_VLAN ||
			      frame->headers.ethertype == ETHERTYPE_S_VLAN)) {
		return false;
	}
	if (id != 0 && (!rules->trunk || !vlan_set_has(&rules->hears, id))) {
		return false;
	}
	frame->vlan = id != 0 ? id : rules->own;
	frame->tag = frame->tagged ? frame->tag & (uint16_t)~VLAN_ID_BITS : 0;
	return true;
}

void vlan_leave(const struct vlan_rules *rules, struct frame *frame, uint16_t tag_bits,
		bool priority)
{
	uint16_t id = rules->trunk && frame->vlan != rules->own ? frame->vlan : 0;

	frame->tag = tag_bits | id;
	frame->tagged = id != 0 || (priority && tag_bits & VLAN_PRIORITY_BITS);
}
