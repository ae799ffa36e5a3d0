/* See assigned.h. */
#include "tests/fake/assigned.h"

#include "worker/assigned.h"

struct fake_assigned fake_assigned;

bool assigned_start(struct machine *machine)
{
	(void)machine;
	return true;
}

void assigned_stop(struct machine *machine)
{
	(void)machine;
}

bool assigned_access(struct machine *machine, uint64_t gpa, unsigned int size, bool write,
		     uint64_t *value)
{
	(void)machine;
	(void)gpa;
	(void)size;
	(void)write;
	(void)value;
	return false;
}

int assigned_retarget(struct machine *machine, uint64_t device_id, uint64_t address, uint32_t data,
		      const struct vpci_target *target)
{
	(void)machine;
	fake_assigned.count++;
	fake_assigned.device_id = device_id;
	fake_assigned.address = address;
	fake_assigned.data = data;
	fake_assigned.target = *target;
	return fake_assigned.result;
}

const char *assigned_obstacle(const struct machine *machine)
{
	(void)machine;
	return fake_assigned.obstacle;
}
