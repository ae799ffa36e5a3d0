/* Coroutines, and the choices among them. */
#include "tests/unit/disk_tasks.h"
#include "tests/unit/disk_fake.h"

#include "disk/disk.h"
#include "disk/helper.h"

#include <assert.h>
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#define TASKS   24u
#define STACK   (256u << 10)
#define CHOICES 4096u
#define HELPERS 2u /* as many threads as disk/helper.c has */

struct task {
	ucontext_t context;
	uint8_t *stack;
	void *fake_stack; /* of the sanitizer */
	bool used;
	unsigned started;          /* which one it was since the run began */
	bool (*ready)(void *user); /* NULL: it can go on */
	void *ready_user;
	void (*run)(void *user);
	void *user;
};

/* The test itself is task 0. */
static struct task tasks[TASKS] = {[0] = {.used = true}};
static unsigned current, previous, start_count;
static bool active;
static const void *main_stack;
static size_t main_stack_size;

/* Of the runs in order: what was chosen at each place, out of how many. */
static bool in_order;
static unsigned bound, spent, depth, replayed;
static struct {
	unsigned chosen, count;
} choices[CHOICES];

static bool can_go_on(unsigned i)
{
	return tasks[i].used && (tasks[i].ready == NULL || tasks[i].ready(tasks[i].ready_user));
}

static int by_age(const void *a, const void *b)
{
	return (int)tasks[*(const unsigned *)b].started - (int)tasks[*(const unsigned *)a].started;
}

/* Who can: the present one first, then the youngest: a helper before those that wait for it. */
static unsigned list_ready(unsigned *list)
{
	unsigned i, count = 0, first;

	if (can_go_on(current)) {
		list[count++] = current;
	}
	for (i = 0, first = count; i < TASKS; i++) {
		if (i != current && can_go_on(i)) {
			list[count++] = i;
		}
	}
	qsort(list + first, count - first, sizeof(*list), by_age);
	return count;
}

static unsigned choose(const unsigned *list, unsigned count)
{
	unsigned pick = 0;

	if (!in_order) {
		return list[0] == current && fake_random() % 4 ? 0 : fake_random() % count;
	}
	assert(depth < CHOICES);
	if (depth < replayed) {
		pick = choices[depth].chosen;
	}
	assert(pick < count); /* the runs are the same up to there */
	choices[depth].chosen = pick;
	choices[depth++].count = spent < bound ? count : 1;
	spent += pick != 0;
	return pick;
}

static void switch_to(unsigned next)
{
	struct task *from = &tasks[current], *to = &tasks[next];

	if (next == current) {
		return;
	}
	previous = current;
	current = next;
	__sanitizer_start_switch_fiber(from->used ? &from->fake_stack : NULL,
				       next ? to->stack : main_stack,
				       next ? STACK : main_stack_size);
	swapcontext(&from->context, &to->context);
	__sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
}

static void give_way(void)
{
	unsigned list[TASKS], count = list_ready(list);

	if (!count) {
		fprintf(stderr, "disk_tasks: every task waits for another\n");
		abort();
	}
	switch_to(list[count > 1 ? choose(list, count) : 0]);
}

void tasks_pause(void)
{
	if (active) {
		give_way();
	}
}

static void wait_for(bool (*ready)(void *user), void *user)
{
	tasks[current].ready = ready;
	tasks[current].ready_user = user;
	give_way();
	tasks[current].ready = NULL;
}

static void enter(void)
{
	struct task *task = &tasks[current];
	const void *stack;
	size_t size;

	__sanitizer_finish_switch_fiber(NULL, &stack, &size);
	if (!previous) {
		main_stack = stack;
		main_stack_size = size;
	}
	task->run(task->user);
	task->used = false;
	give_way();
	abort(); /* nobody goes back to a task that has ended */
}

static __attribute__((noinline)) void make_context(ucontext_t *context, void *stack)
{
	getcontext(context);
	context->uc_stack.ss_sp = stack;
	context->uc_stack.ss_size = STACK;
	makecontext(context, enter, 0);
}

static struct task *free_task(void)
{
	struct task *task = tasks;

	while (task < tasks + TASKS && task->used) {
		task++;
	}
	assert(active && task < tasks + TASKS);
	return task;
}

void tasks_start(void (*run)(void *user), void *user)
{
	struct task *task = free_task();

	if (task->stack == NULL) {
		task->stack = malloc(STACK);
	}
	__asan_unpoison_memory_region(task->stack, STACK);
	task->used = true;
	task->started = ++start_count;
	task->ready = NULL;
	task->run = run;
	task->user = user;
	make_context(&task->context, task->stack);
}

static bool all_have_ended(void *user)
{
	unsigned i;

	(void)user;
	for (i = 1; i < TASKS; i++) {
		if (tasks[i].used) {
			return false;
		}
	}
	return true;
}

void tasks_join(void)
{
	wait_for(all_have_ended, NULL);
}

/* -- Helpers: a task for each request, so many of them at once as there are threads -- */

static unsigned helpers_at_work;

static bool helper_is_free(void *user)
{
	(void)user;
	return helpers_at_work < HELPERS;
}

static void help(void *user)
{
	struct disk_req *req = user;

	while (helpers_at_work == HELPERS) {
		wait_for(helper_is_free, NULL);
	}
	helpers_at_work++;
	queue_run_slow(req->p.disk, req);
	helpers_at_work--;
}

static void post(struct disk_req *req)
{
	tasks_start(help, req);
}

static const struct fake_tasks functions = {.pause = tasks_pause, .wait = wait_for, .post = post};

/* -- Locks: whose thread does not get one gives way until it is free -- */

static bool mutex_is_free(void *user)
{
	return !pthread_mutex_trylock(user) && !pthread_mutex_unlock(user);
}

static bool rwlock_is_free(void *user)
{
	return !pthread_rwlock_trywrlock(user) && !pthread_rwlock_unlock(user);
}

static bool rwlock_is_readable(void *user)
{
	return !pthread_rwlock_tryrdlock(user) && !pthread_rwlock_unlock(user);
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *lock);
int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *lock);
int __wrap_usleep(unsigned microseconds);

int __wrap_pthread_mutex_lock(pthread_mutex_t *lock)
{
	if (active && !in_order) {
		give_way();
	}
	while (pthread_mutex_trylock(lock)) {
		wait_for(mutex_is_free, lock);
	}
	return 0;
}

int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
	while (pthread_rwlock_tryrdlock(lock)) {
		wait_for(rwlock_is_readable, lock);
	}
	return 0;
}

int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
	while (pthread_rwlock_trywrlock(lock)) {
		wait_for(rwlock_is_free, lock);
	}
	return 0;
}

int __wrap_usleep(unsigned microseconds)
{
	(void)microseconds;
	tasks_pause();
	return 0;
}

/* -- Runs -- */

void tasks_begin_random(void)
{
	active = true;
	in_order = false;
	fake_tasks = &functions;
}

void tasks_begin_all(unsigned departures)
{
	bound = departures;
	replayed = 0;
}

void tasks_begin_run(void)
{
	depth = spent = 0;
	fake_seed(1);
	in_order = active = true;
	fake_tasks = &functions;
}

/* The last place with a choice left gets the next one. */
bool tasks_end_run(void)
{
	tasks_end();
	while (depth && choices[depth - 1].chosen + 1 >= choices[depth - 1].count) {
		depth--;
	}
	replayed = depth;
	if (depth) {
		choices[depth - 1].chosen++;
	}
	return depth;
}

void tasks_end(void)
{
	unsigned i;

	assert(current == 0 && all_have_ended(NULL));
	active = false;
	fake_tasks = NULL;
	for (i = 1; i < TASKS; i++) {
		free(tasks[i].stack);
		tasks[i].stack = NULL;
	}
}
