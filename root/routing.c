/*
 * MSHV_SET_MSI_ROUTING. The table is replaced as a whole; readers see the old one or the new one.
 */
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "routing.h"

struct irq_routing {
	uint32_t count;
	struct irq_route routes[]; /* by GSI */
};

struct irq_route routing_find(struct partition *partition, uint32_t gsi)
{
	struct irq_routing *routing = rcu_dereference(partition->routing);

	if (routing == NULL || gsi >= routing->count) {
		return (struct irq_route){};
	}
	return routing->routes[array_index_nospec(gsi, routing->count)];
}

/* An MSI's address and data (Intel SDM vol. 3, "Message Signalled Interrupts"). */
static struct irq_route decode(const struct mshv_user_irq_entry *entry)
{
	union hv_msi_address_register address = {.as_uint32 = entry->address_lo};
	union hv_msi_data_register data = {.as_uint32 = entry->data};

	return (struct irq_route){
		.valid = true,
		.vector = data.vector,
		.destination = address.destination_id,
		.control.interrupt_type = data.delivery_mode,
		.control.level_triggered = data.trigger_mode,
		.control.logical_dest_mode = address.destination_mode,
	};
}

static int check(const struct mshv_user_irq_entry *entries, uint32_t count, uint32_t *gsis)
{
	uint32_t i;

	*gsis = 0;
	for (i = 0; i < count; i++) {
		if (entries[i].gsi >= MAX_GSIS || entries[i].address_hi) {
			return -EINVAL;
		}
		*gsis = max(*gsis, entries[i].gsi + 1);
	}
	return 0;
}

static struct irq_routing *build(const struct mshv_user_irq_entry *entries, uint32_t count)
{
	struct irq_routing *routing;
	uint32_t gsis, i;

	if (check(entries, count, &gsis)) {
		return ERR_PTR(-EINVAL);
	}
	routing = kvzalloc(struct_size(routing, routes, gsis), GFP_KERNEL_ACCOUNT);
	if (routing == NULL) {
		return ERR_PTR(-ENOMEM);
	}
	routing->count = gsis;
	for (i = 0; i < count; i++) {
		if (routing->routes[entries[i].gsi].valid) {
			kvfree(routing);
			return ERR_PTR(-EINVAL);
		}
		routing->routes[entries[i].gsi] = decode(&entries[i]);
	}
	return routing;
}

long routing_set(struct partition *partition, void __user *argument)
{
	struct mshv_user_irq_table __user *table = argument;
	struct mshv_user_irq_entry *entries;
	struct irq_routing *routing, *old;
	struct mshv_user_irq_table head;

	if (copy_from_user(&head, table, sizeof(head))) {
		return -EFAULT;
	}
	if (head.nr > MAX_GSIS || head.rsvd) {
		return -EINVAL;
	}
	entries = kvcalloc(head.nr + 1, sizeof(*entries), GFP_KERNEL_ACCOUNT);
	if (entries == NULL) {
		return -ENOMEM;
	}
	if (copy_from_user(entries, table->entries, head.nr * sizeof(*entries))) {
		kvfree(entries);
		return -EFAULT;
	}
	routing = build(entries, head.nr);
	kvfree(entries);
	if (IS_ERR(routing)) {
		return PTR_ERR(routing);
	}
	old = rcu_replace_pointer(partition->routing, routing, lockdep_is_held(&partition->lock));
	synchronize_rcu();
	kvfree(old);
	return 0;
}
