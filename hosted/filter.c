/* See filter.h. */
#include "hosted/filter.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hosted/sandbox.h"

int filter_allow(scmp_filter_ctx filter, const struct filter_rule *rules, size_t count)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < count; i++) {
		ret = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rules[i].call, rules[i].count,
					     rules[i].arguments);
	}
	return ret;
}

static int add_all(scmp_filter_ctx filter, const struct filter_list *list, unsigned int self)
{
	const struct filter_rule common[] = {
		{SCMP_SYS(mmap), 1, {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)}},
		{SCMP_SYS(mprotect), 1, {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)}},
		{SCMP_SYS(tgkill), 1, {SCMP_A0(SCMP_CMP_EQ, self)}},
	};
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < list->count; i++) {
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, list->calls[i], 0);
	}
	if (ret == 0) {
		ret = filter_allow(filter, common, ARRAY_COUNT(common));
	}
	if (ret == 0 && list->by_argument != NULL) {
		ret = list->by_argument(filter);
	}
	/* A call by another ABI (32-bit, x32) ends more than its thread too. */
	if (ret == 0) {
		ret = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	}
	/* Threads that are there already too. */
	if (ret == 0) {
		ret = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	}
	return ret;
}

static int make(scmp_filter_ctx *filter, const struct filter_list *list, unsigned int self)
{
	*filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	return *filter != NULL ? add_all(*filter, list, self) : -ENOMEM;
}

bool filter_enter(const struct filter_list *list)
{
	scmp_filter_ctx filter;
	int ret = make(&filter, list, (unsigned int)getpid());

	if (ret == 0) {
		ret = seccomp_load(filter);
	}
	seccomp_release(filter);
	return ret == 0 || sandbox_refuse("seccomp", -ret);
}

int filter_write(const struct filter_list *list, int fd)
{
	scmp_filter_ctx filter;
	int ret = make(&filter, list, SANDBOX_SELF);

	if (ret == 0) {
		ret = seccomp_export_bpf(filter, fd);
	}
	seccomp_release(filter);
	return ret;
}
