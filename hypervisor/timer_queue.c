/*
 * Invariants: a node's deadline is not before that of the node above it; the rank of its right side
 * is not above that of its left one, so that the way down by `right` has at most log2(n + 1) nodes.
 */
#include "hypervisor/timer_queue.h"

#include <stdbool.h>
#include <stddef.h>

static uint32_t rank_of(const struct timer_node *node)
{
	return node != NULL ? node->rank : 0;
}

/* Puts the higher of its sides to the left. True: the rank has changed. */
static bool balance(struct timer_node *node)
{
	uint32_t before = node->rank;

	if (rank_of(node->left) < rank_of(node->right)) {
		struct timer_node *left = node->left;

		node->left = node->right;
		node->right = left;
	}
	node->rank = rank_of(node->right) + 1;
	return node->rank != before;
}

/* Two heaps become one: along their right sides, and back for the ranks. */
static struct timer_node *meld(struct timer_node *a, struct timer_node *b)
{
	struct timer_node *top = NULL, *last = NULL, **at = &top;

	while (a != NULL && b != NULL) {
		struct timer_node *first = b->deadline < a->deadline ? b : a;

		*(first == a ? &a : &b) = first->right;
		*at = first;
		first->up = last;
		last = first;
		at = &first->right;
	}
	*at = a != NULL ? a : b;
	if (*at != NULL) {
		(*at)->up = last;
	}
	for (; last != NULL; last = last->up) {
		(void)balance(last);
	}
	return top;
}

void timer_queue_insert(struct timer_node **top, struct timer_node *node, uint64_t deadline)
{
	*node = (struct timer_node){.rank = 1, .deadline = deadline};
	*top = meld(*top, node);
}

void timer_queue_remove(struct timer_node **top, struct timer_node *node)
{
	struct timer_node *up = node->up, *rest = meld(node->left, node->right);

	if (rest != NULL) {
		rest->up = up;
	}
	if (up == NULL) {
		*top = rest;
	} else {
		*(up->left == node ? &up->left : &up->right) = rest;
	}
	while (up != NULL && balance(up)) {
		up = up->up;
	}
}
