/*
 * What the worker may still do once a guest runs in it: serve the descriptors that it has. It opens
 * nothing, starts nothing, and reaches no other process, nor another worker. A system call that is
 * not in the list (filters.c), or has an argument that is not, ends the process.
 *
 * A worker that root started becomes a user that nobody else is: SANDBOX_USERS and its process id.
 * Whoever starts one as another user runs it as that user; what it then reaches of that user's is
 * what the filter leaves it, which names no process but its own.
 */
#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "hosted/sandbox.h"
#include "worker/filters.h"
#include "worker/machine.h"

static bool limit(int resource, const char *name, rlim_t most)
{
	struct rlimit both = {most, most}, now;

	/* A host with little memory allows fewer, and the user that this one has become raises
	 * nothing. */
	if (most != RLIM_INFINITY && getrlimit(resource, &now) == 0 && now.rlim_max < most) {
		return true;
	}
	/* The root of a container may raise none; whether what there is suffices is seen when it is
	 * used. */
	return setrlimit(resource, &both) == 0 || (errno == EPERM && most == RLIM_INFINITY) ||
	       sandbox_refuse(name, errno);
}

#define THREADS_MAX 4096

/*
 * Root becomes a user of this worker's own. The pages of guest memory are pinned later, by a user
 * who may pin few unless told otherwise; so that is told before.
 */
static bool change_user(uid_t user)
{
	if (geteuid() != 0) {
		return true;
	}
	if (user == 0) {
		user = SANDBOX_USERS + (uid_t)getpid();
	}
	return limit(RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK", RLIM_INFINITY) &&
	       sandbox_become(user, " (see --user)") &&
	       limit(RLIMIT_NPROC, "RLIMIT_NPROC", THREADS_MAX);
}

bool sandbox_enter(uid_t user)
{
	static const char *const readable[] = {NULL};

	/* Its memory is the guest's, and it holds a way to the hypervisor. */
	return sandbox_begin() && sandbox_close_files(readable, false) && change_user(user) &&
	       sandbox_close_memory() &&
	       sandbox_load_filter(filter_worker, filter_bytes(filter_worker, filter_worker_end));
}
