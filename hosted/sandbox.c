/* See sandbox.h. */
#include "hosted/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hosted/say.h"

bool sandbox_refuse(const char *what, int error)
{
	say("the sandbox cannot be set up: %s: %s", what, strerror(error));
	return false;
}

bool sandbox_begin(void)
{
	const struct rlimit none = {0, 0};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		return sandbox_refuse("no_new_privs", errno);
	}
	return setrlimit(RLIMIT_CORE, &none) == 0 || sandbox_refuse("RLIMIT_CORE", errno);
}

/* ---- files ---- */

/* The kernel's structure as of its version 6; the system's header may be older. */
struct rules {
	uint64_t files, net, scoped;
};

#define NET_ALL    3 /* LANDLOCK_ACCESS_NET_*, since version 4 */
#define SCOPED_ALL 3 /* LANDLOCK_SCOPE_*, since version 6: abstract sockets, signals */

static void allow(int rules, int fd, uint64_t what)
{
	struct landlock_path_beneath_attr beneath = {.allowed_access = what, .parent_fd = fd};

	syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
}

/* If the folder is there. */
static void allow_below(int rules, const char *folder, uint64_t what)
{
	int fd = open(folder, O_PATH | O_CLOEXEC);

	if (fd >= 0) {
		allow(rules, fd, what);
		close(fd);
	}
}

#define NO_LANDLOCK (-1)
#define NO_RULES    (-2) /* said why */

static int create_rules(bool networks)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct rules rules = {
		.net = version >= 4 && !networks ? NET_ALL : 0,
		.scoped = version >= 6 ? SCOPED_ALL : 0,
		.files = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
			 LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
			 LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
			 LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
			 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
			 LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
			 LANDLOCK_ACCESS_FS_MAKE_SYM,
	};
	size_t size = version >= 6 ? sizeof(rules) : version >= 4 ? 16 : 8;
	int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);

	if (fd < 0) {
		return errno == ENOSYS || errno == EOPNOTSUPP || sandbox_refuse("landlock", errno)
			       ? NO_LANDLOCK
			       : NO_RULES;
	}
	return fd;
}

static bool enter_rules(int fd)
{
	long ret = syscall(SYS_landlock_restrict_self, fd, 0);

	close(fd);
	return ret == 0 || sandbox_refuse("landlock", errno);
}

bool sandbox_close_files(const char *const *readable, bool networks)
{
	int fd = create_rules(networks);

	for (; fd >= 0 && *readable != NULL; readable++) {
		allow_below(fd, *readable, LANDLOCK_ACCESS_FS_READ_FILE);
	}
	return fd >= 0 ? enter_rules(fd) : fd == NO_LANDLOCK;
}

bool sandbox_close_files_but(int file)
{
	static const char *const folders[] = {"/usr", "/lib", "/lib64", "/bin", "/etc"};
	int fd = create_rules(false);
	size_t i;

	for (i = 0; fd >= 0 && i < ARRAY_COUNT(folders); i++) {
		allow_below(fd, folders[i],
			    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
				    LANDLOCK_ACCESS_FS_EXECUTE);
	}
	if (fd >= 0) {
		allow(fd, file, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE);
	}
	return fd >= 0 ? enter_rules(fd) : fd == NO_LANDLOCK;
}

/* ---- the user ---- */

/* Nothing of root is left: an id or a group, or a capability that a strange setting of the process
 * kept. */
static bool is_only(uid_t user)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct capabilities[_LINUX_CAPABILITY_U32S_3];
	uid_t uids[3];
	gid_t gids[3];

	if (getresuid(&uids[0], &uids[1], &uids[2]) != 0 ||
	    getresgid(&gids[0], &gids[1], &gids[2]) != 0 || getgroups(0, NULL) != 0 ||
	    syscall(SYS_capget, &header, capabilities) != 0) {
		return false;
	}
	for (unsigned int i = 0; i < 3; i++) {
		if (uids[i] != user || gids[i] != user) {
			return false;
		}
	}
	for (unsigned int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		if ((capabilities[i].effective | capabilities[i].permitted |
		     capabilities[i].inheritable) != 0) {
			return false;
		}
	}
	return true;
}

bool sandbox_become(uid_t user, const char *remedy)
{
	char what[100];

	snprintf(what, sizeof(what), "becoming user %u%s", (unsigned int)user, remedy);
	if (setgroups(0, NULL) != 0 || setresgid(user, user, user) != 0 ||
	    setresuid(user, user, user) != 0) {
		return sandbox_refuse(what, errno);
	}
	return is_only(user) || sandbox_refuse(what, EPERM);
}

bool sandbox_close_memory(void)
{
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 || sandbox_refuse("dumpable", errno);
}

/* ---- system calls ---- */

bool sandbox_load_filter(const void *program, size_t bytes)
{
	struct sock_filter instructions[SANDBOX_FILTER_MAX];
	struct sock_fprog all = {.len = (unsigned short)(bytes / sizeof(instructions[0])),
				 .filter = instructions};
	long ret;

	CHECK(bytes <= sizeof(instructions));
	memcpy(instructions, program, bytes);
	for (size_t i = 0; i < all.len; i++) {
		if (instructions[i].code == (BPF_JMP | BPF_JEQ | BPF_K) &&
		    instructions[i].k == SANDBOX_SELF) {
			instructions[i].k = (uint32_t)getpid();
		}
	}
	/* Threads that are there already too. */
	ret = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &all);
	return ret == 0 || sandbox_refuse("seccomp", ret < 0 ? errno : EBUSY);
}
