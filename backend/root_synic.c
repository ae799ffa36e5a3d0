/* What VMBus needs of the partition: messages and event flags for the guest, its signals for us.
 * Interrupts of devices. */
#include "backend/root.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "include/hv/status.h"

int backend_partition_post_message(struct backend_partition *partition, uint32_t vp, uint8_t sint,
				   uint32_t type, const void *payload, size_t size)
{
	struct hv_input_post_message_direct input = {.vp_index = vp, .sint_index = sint};
	struct hv_message message = {.header = {.message_type = type}};
	uint16_t status = HV_STATUS_SUCCESS;
	int ret;

	if (size > BACKEND_MESSAGE_MAX) {
		return -EINVAL;
	}
	message.header.payload_size = (uint8_t)size;
	memcpy(message.u.payload, payload, size);
	memcpy(input.message, &message, sizeof(message));
	ret = root_call(partition->fd, HVCALL_POST_MESSAGE_DIRECT, &input, sizeof(input), NULL, 0,
			0, &status);
	return ret != 0 && status == HV_STATUS_INSUFFICIENT_BUFFERS ? -EAGAIN : ret;
}

int backend_partition_signal_event(struct backend_partition *partition, uint32_t vp, uint8_t sint,
				   uint16_t flag)
{
	struct hv_input_signal_event_direct input = {
		.target_vp = vp, .target_sint = sint, .flag_number = flag};
	struct hv_output_signal_event_direct output;

	return root_call(partition->fd, HVCALL_SIGNAL_EVENT_DIRECT, &input, sizeof(input), &output,
			 sizeof(output), 0, NULL);
}

static int bind_event(struct backend_partition *partition, uint32_t connection_id, int event,
		      uint32_t flags)
{
	struct mshv_vd_signal_eventfd binding = {
		.connection_id = connection_id, .fd = event, .flags = flags};

	return ioctl(partition->fd, MSHV_VD_SIGNAL_EVENTFD, &binding) < 0 ? -errno : 0;
}

int backend_partition_bind_event(struct backend_partition *partition, uint32_t connection_id,
				 int event)
{
	return bind_event(partition, connection_id, event, 0);
}

void backend_partition_unbind_event(struct backend_partition *partition, uint32_t connection_id,
				    int event)
{
	(void)bind_event(partition, connection_id, event,
			 1u << MSHV_VD_SIGNAL_EVENTFD_BIT_DEASSIGN);
}

/* An MSI has room for an APIC id of 8 bits. */
static int make_entry(const struct backend_route *route, struct mshv_user_irq_entry *entry)
{
	const struct backend_interrupt *to = &route->interrupt;
	const union hv_msi_address_register address = {
		.destination_id = to->destination & 0xff,
		.destination_mode = to->logical,
		.msi_base = 0xfee,
	};
	const union hv_msi_data_register data = {.vector = to->vector,
						 .delivery_mode = to->delivery_mode & 7};

	*entry = (struct mshv_user_irq_entry){
		.gsi = route->number, .address_lo = address.as_uint32, .data = data.as_uint32};
	return to->destination > 0xff || to->level || route->number >= BACKEND_INTERRUPTS ? -EINVAL
											  : 0;
}

int backend_partition_set_routes(struct backend_partition *partition,
				 const struct backend_route *routes, unsigned int count)
{
	struct mshv_user_irq_table *table =
		calloc(1, sizeof(*table) + count * sizeof(table->entries[0]));
	unsigned int i;
	int ret = 0;

	if (table == NULL) {
		return -ENOMEM;
	}
	table->nr = count;
	for (i = 0; i < count && ret == 0; i++) {
		ret = make_entry(&routes[i], &table->entries[i]);
	}
	if (ret == 0 && ioctl(partition->fd, MSHV_SET_MSI_ROUTING, table) < 0) {
		ret = -errno;
	}
	free(table);
	return ret;
}

static int bind_interrupt(struct backend_partition *partition, uint32_t number, int event,
			  uint32_t flags)
{
	struct mshv_user_irqfd binding = {.fd = event, .gsi = number, .flags = flags};

	return ioctl(partition->fd, MSHV_IRQFD, &binding) < 0 ? -errno : 0;
}

int backend_partition_bind_interrupt(struct backend_partition *partition, uint32_t number,
				     int event)
{
	return bind_interrupt(partition, number, event, 0);
}

void backend_partition_unbind_interrupt(struct backend_partition *partition, uint32_t number,
					int event)
{
	(void)bind_interrupt(partition, number, event, 1u << MSHV_IRQFD_BIT_DEASSIGN);
}
