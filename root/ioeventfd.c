/* MSHV_IOEVENTFD and MSHV_VD_SIGNAL_EVENTFD: what a guest does that signals an eventfd, as ports
 * and connections. */
#include <linux/errno.h>
#include <linux/eventfd.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "root.h"

/* On success of an attachment the reference to the eventfd is the port's; port_attach() takes it
 * over. */
static long attach_or_detach(struct partition *partition, const struct hv_connection_info *info,
			     uint32_t connection_id, int32_t fd, bool detach)
{
	struct eventfd_ctx *eventfd = eventfd_ctx_fdget(fd);
	int ret;

	if (IS_ERR(eventfd)) {
		return PTR_ERR(eventfd);
	}
	if (detach) {
		ret = port_detach(partition, info, connection_id, eventfd);
	} else {
		ret = port_attach(partition, info, connection_id, eventfd);
	}
	if (ret || detach) {
		eventfd_ctx_put(eventfd);
	}
	return ret;
}

static int size_flag(uint32_t length)
{
	switch (length) {
	case 0:
		return HV_DOORBELL_FLAG_TRIGGER_SIZE_ANY;
	case 1:
		return HV_DOORBELL_FLAG_TRIGGER_SIZE_BYTE;
	case 2:
		return HV_DOORBELL_FLAG_TRIGGER_SIZE_WORD;
	case 4:
		return HV_DOORBELL_FLAG_TRIGGER_SIZE_DWORD;
	case 8:
		return HV_DOORBELL_FLAG_TRIGGER_SIZE_QWORD;
	default:
		return -EINVAL;
	}
}

long ioeventfd_set(struct partition *partition, void __user *argument)
{
	struct hv_connection_info info = {.port_type = HV_PORT_TYPE_DOORBELL};
	struct mshv_user_ioeventfd arguments;
	int flag;

	if (copy_from_user(&arguments, argument, sizeof(arguments))) {
		return -EFAULT;
	}
	if (memchr_inv(arguments.rsvd, 0, sizeof(arguments.rsvd)) != NULL) {
		return -EINVAL;
	}
	if (arguments.flags & 1 << MSHV_IOEVENTFD_BIT_PIO) {
		return -EOPNOTSUPP;
	}
	flag = size_flag(arguments.len);
	if (flag < 0 || arguments.flags & ~MSHV_IOEVENTFD_FLAGS_MASK ||
	    arguments.addr + arguments.len < arguments.addr) {
		return -EINVAL;
	}
	info.doorbell_connection_info.gpa = arguments.addr;
	info.doorbell_connection_info.flags = flag;
	if (arguments.flags & 1 << MSHV_IOEVENTFD_BIT_DATAMATCH) {
		info.doorbell_connection_info.trigger_value = arguments.datamatch;
	} else {
		info.doorbell_connection_info.flags |= HV_DOORBELL_FLAG_TRIGGER_ANY_VALUE;
	}
	return attach_or_detach(partition, &info, 0, arguments.fd,
				arguments.flags & 1 << MSHV_IOEVENTFD_BIT_DEASSIGN);
}

long signal_eventfd_set(struct partition *partition, void __user *argument)
{
	const struct hv_connection_info info = {.port_type = HV_PORT_TYPE_EVENT};
	struct mshv_vd_signal_eventfd arguments;
	union hv_connection_id id;

	if (copy_from_user(&arguments, argument, sizeof(arguments))) {
		return -EFAULT;
	}
	id.asu32 = arguments.connection_id;
	if (arguments.flags & ~MSHV_VD_SIGNAL_EVENTFD_FLAGS_MASK || arguments.rsvd ||
	    id.u.reserved || !id.u.id) {
		return -EINVAL;
	}
	return attach_or_detach(partition, &info, id.asu32, arguments.fd,
				arguments.flags & 1 << MSHV_VD_SIGNAL_EVENTFD_BIT_DEASSIGN);
}
