/* See assigned.h. */
#include "tests/fake/assigned.h"

#include "worker/assigned.h"

#include <string.h>
#include <unistd.h>

#include "worker/job.h"

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

int assigned_place(const struct machine *machine, const char *address)
{
	(void)machine;
	if (address == NULL) {
		return fake_assigned.name == NULL ? 0 : 1;
	}
	return fake_assigned.name != NULL && strcmp(fake_assigned.name, address) == 0 ? 0 : -1;
}

const char *assigned_name(const struct machine *machine, unsigned int place)
{
	(void)machine;
	return place == 0 ? fake_assigned.name : NULL;
}

int assigned_adapter(const struct machine *machine, unsigned int place)
{
	(void)machine;
	(void)place;
	return fake_assigned.of_adapter - 1;
}

int assigned_function_of(const struct machine *machine, int adapter)
{
	(void)machine;
	return fake_assigned.name != NULL && fake_assigned.of_adapter == adapter + 1 ? 0 : -1;
}

static int work(struct job *job)
{
	(void)job;
	return 0;
}

static int prepare(struct job *job)
{
	fake_assigned.prepared++;
	job->work = work;
	return 0;
}

int assigned_prepare_add(struct machine *machine, struct job *job, const char *address, int fd,
			 int group, int adapter)
{
	(void)machine;
	fake_assigned.of_adapter = adapter + 1;
	(void)address;
	close(fd);
	if (group >= 0) {
		close(group);
	}
	return prepare(job);
}

int assigned_prepare_remove(struct machine *machine, struct job *job, bool force)
{
	(void)machine;
	(void)force;
	return prepare(job);
}
