/*
 * MSHV_IRQFD: an eventfd that asserts a guest interrupt (TLFS: HvCallAssertVirtualInterrupt), and
 * another one that hears of the guest's EOI when the interrupt is level-triggered.
 *
 * An irqfd hooks itself into the eventfd's wait queue, so that the signaller's own thread makes the
 * hypercall. It goes when it is deassigned, when its eventfd is closed, or with its partition:
 *
 *	active --deactivate(), under [Q]--> on the work queue --shutdown()--> freed
 *
 * Deactivation happens once; the work then takes it out of the wait queue, which waits for a wakeup
 * that is under way.
 */
#include <linux/errno.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include "routing.h"

struct irqfd {
	struct partition *partition;
	uint32_t gsi;
	struct eventfd_ctx *eventfd;
	struct eventfd_ctx *resamplefd; /* or NULL */
	struct list_head node;          /* [Q] in partition->irqfds while active */
	struct list_head resampled;     /* in partition->resampled, with a resamplefd */
	wait_queue_entry_t wait;
	poll_table poll;
	struct work_struct shutdown;
};

static struct workqueue_struct *shutdown_queue;

static void assert_route(uint64_t partition_id, const struct irq_route *route)
{
	struct hv_input_assert_virtual_interrupt *input;
	unsigned long flags;

	local_irq_save(flags);
	input = synic_hvcall_page();
	*input = (struct hv_input_assert_virtual_interrupt){
		.partition_id = partition_id,
		.control = route->control,
		.dest_addr = route->destination,
		.vector = route->vector,
	};
	hvcall_simple(HVCALL_ASSERT_VIRTUAL_INTERRUPT, input, NULL);
	local_irq_restore(flags);
}

static void irqfd_assert(struct irqfd *irqfd)
{
	struct irq_route route;

	rcu_read_lock();
	route = routing_find(irqfd->partition, irqfd->gsi);
	rcu_read_unlock();
	if (route.valid) {
		assert_route(irqfd->partition->id, &route);
	}
}

/* Under [Q]. */
static void deactivate(struct irqfd *irqfd)
{
	if (!list_empty(&irqfd->node)) {
		list_del_init(&irqfd->node);
		if (irqfd->resamplefd != NULL) {
			list_del_rcu(&irqfd->resampled);
		}
		queue_work(shutdown_queue, &irqfd->shutdown);
	}
}

/* With the lock of the eventfd's wait queue held and interrupts off. */
static int irqfd_wakeup(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct irqfd *irqfd = container_of(wait, struct irqfd, wait);
	__poll_t events = key_to_poll(key);
	unsigned long flags;
	uint64_t count;

	if (events & EPOLLIN) {
		eventfd_ctx_do_read(irqfd->eventfd, &count);
		irqfd_assert(irqfd);
	}
	if (events & EPOLLHUP) {
		spin_lock_irqsave(&irqfd->partition->irqfds_lock, flags);
		deactivate(irqfd);
		spin_unlock_irqrestore(&irqfd->partition->irqfds_lock, flags);
	}
	return events & EPOLLIN ? 1 : 0;
}

static void irqfd_queue(struct file *file, wait_queue_head_t *head, poll_table *poll)
{
	struct irqfd *irqfd = container_of(poll, struct irqfd, poll);

	irqfd->wait.flags |= WQ_FLAG_EXCLUSIVE; /* before 6.17 the call below implies it */
	add_wait_queue_priority(head, &irqfd->wait);
}

static void irqfd_free(struct irqfd *irqfd)
{
	if (irqfd->eventfd != NULL) {
		eventfd_ctx_put(irqfd->eventfd);
	}
	if (irqfd->resamplefd != NULL) {
		eventfd_ctx_put(irqfd->resamplefd);
	}
	kfree(irqfd);
}

static void shutdown(struct work_struct *work)
{
	struct irqfd *irqfd = container_of(work, struct irqfd, shutdown);
	uint64_t count;

	eventfd_ctx_remove_wait_queue(irqfd->eventfd, &irqfd->wait, &count);
	if (irqfd->resamplefd != NULL) {
		synchronize_rcu();
	}
	irqfd_free(irqfd);
}

void irqfd_acknowledge(struct partition *partition, uint32_t vector)
{
	struct irqfd *irqfd;
	struct irq_route route;

	rcu_read_lock();
	list_for_each_entry_rcu(irqfd, &partition->resampled, resampled)
	{
		route = routing_find(partition, irqfd->gsi);
		if (route.valid && route.vector == vector) {
			compat_eventfd_signal(irqfd->resamplefd);
		}
	}
	rcu_read_unlock();
}

/* Resampling wants a level-triggered route, and the hypervisor's word of each EOI. */
static int enable_resampling(struct irqfd *irqfd, int32_t fd)
{
	struct partition *partition = irqfd->partition;
	struct irq_route route;
	int ret;

	rcu_read_lock();
	route = routing_find(partition, irqfd->gsi);
	rcu_read_unlock();
	if (!route.valid || !route.control.level_triggered) {
		return -EINVAL;
	}
	if (!partition->reports_eoi) {
		ret = hvcall_install_intercept(&partition->pages, partition->id,
					       HV_INTERCEPT_TYPE_X64_APIC_EOI,
					       HV_INTERCEPT_ACCESS_MASK_WRITE);
		if (ret) {
			return ret;
		}
		partition->reports_eoi = true;
	}
	irqfd->resamplefd = eventfd_ctx_fdget(fd);
	if (IS_ERR(irqfd->resamplefd)) {
		ret = PTR_ERR(irqfd->resamplefd);
		irqfd->resamplefd = NULL;
		return ret;
	}
	return 0;
}

/* One eventfd, one interrupt: -EBUSY if it is bound already. */
static int activate(struct partition *partition, struct irqfd *irqfd)
{
	struct irqfd *other;
	int ret = 0;

	spin_lock_irq(&partition->irqfds_lock);
	list_for_each_entry(other, &partition->irqfds, node)
	{
		if (other->eventfd == irqfd->eventfd) {
			ret = -EBUSY;
			goto out_unlock;
		}
	}
	list_add(&irqfd->node, &partition->irqfds);
	if (irqfd->resamplefd != NULL) {
		list_add_rcu(&irqfd->resampled, &partition->resampled);
	}
out_unlock:
	spin_unlock_irq(&partition->irqfds_lock);
	return ret;
}

static struct irqfd *irqfd_alloc(struct partition *partition, uint32_t gsi)
{
	struct irqfd *irqfd = kzalloc(sizeof(*irqfd), GFP_KERNEL_ACCOUNT);

	if (irqfd != NULL) {
		irqfd->partition = partition;
		irqfd->gsi = gsi;
		INIT_LIST_HEAD(&irqfd->node);
		INIT_WORK(&irqfd->shutdown, shutdown);
		init_waitqueue_func_entry(&irqfd->wait, irqfd_wakeup);
		init_poll_funcptr(&irqfd->poll, irqfd_queue);
	}
	return irqfd;
}

static int hook(struct partition *partition, struct irqfd *irqfd, struct file *file,
		const struct mshv_user_irqfd *arguments)
{
	int ret;

	irqfd->eventfd = eventfd_ctx_fileget(file);
	if (IS_ERR(irqfd->eventfd)) {
		ret = PTR_ERR(irqfd->eventfd);
		irqfd->eventfd = NULL;
		return ret;
	}
	if (arguments->flags & 1 << MSHV_IRQFD_BIT_RESAMPLE) {
		ret = enable_resampling(irqfd, arguments->resamplefd);
		if (ret) {
			return ret;
		}
	}
	return activate(partition, irqfd);
}

static int assign(struct partition *partition, const struct mshv_user_irqfd *arguments)
{
	struct irqfd *irqfd;
	struct file *file;
	int ret = -EBADF;

	irqfd = irqfd_alloc(partition, arguments->gsi);
	if (irqfd == NULL) {
		return -ENOMEM;
	}
	file = fget(arguments->fd);
	if (file == NULL) {
		goto out_free;
	}
	ret = hook(partition, irqfd, file, arguments);
	if (ret) {
		goto out_put;
	}
	/* The file is open until fput(), so nobody deactivates the irqfd before it is in the wait
	 * queue. */
	if (vfs_poll(file, &irqfd->poll) & EPOLLIN) {
		irqfd_assert(irqfd);
	}
	fput(file);
	return 0;

out_put:
	fput(file);
out_free:
	irqfd_free(irqfd);
	return ret;
}

static int deassign(struct partition *partition, const struct mshv_user_irqfd *arguments)
{
	struct eventfd_ctx *eventfd = eventfd_ctx_fdget(arguments->fd);
	struct irqfd *irqfd, *next;

	if (IS_ERR(eventfd)) {
		return PTR_ERR(eventfd);
	}
	spin_lock_irq(&partition->irqfds_lock);
	list_for_each_entry_safe(irqfd, next, &partition->irqfds, node)
	{
		if (irqfd->eventfd == eventfd && irqfd->gsi == arguments->gsi) {
			deactivate(irqfd);
		}
	}
	spin_unlock_irq(&partition->irqfds_lock);
	eventfd_ctx_put(eventfd);
	flush_workqueue(shutdown_queue);
	return 0;
}

long irqfd_set(struct partition *partition, void __user *argument)
{
	struct mshv_user_irqfd arguments;

	if (copy_from_user(&arguments, argument, sizeof(arguments))) {
		return -EFAULT;
	}
	if (arguments.flags & ~MSHV_IRQFD_FLAGS_MASK) {
		return -EINVAL;
	}
	if (arguments.flags & 1 << MSHV_IRQFD_BIT_DEASSIGN) {
		return deassign(partition, &arguments);
	}
	return assign(partition, &arguments);
}

void irqfds_release(struct partition *partition)
{
	struct irqfd *irqfd, *next;

	spin_lock_irq(&partition->irqfds_lock);
	list_for_each_entry_safe(irqfd, next, &partition->irqfds, node)
	{
		deactivate(irqfd);
	}
	spin_unlock_irq(&partition->irqfds_lock);
	flush_workqueue(shutdown_queue);
}

int irqfd_init(void)
{
	shutdown_queue = alloc_workqueue("mshv_vd_irqfd", WQ_UNBOUND, 0);
	return shutdown_queue != NULL ? 0 : -ENOMEM;
}

void irqfd_exit(void)
{
	destroy_workqueue(shutdown_queue);
}
