/*
 * Checkpoints as libvirt's snapshots. A client names one by its name; ours are known by ids, and
 * several may be called the same: those go by their ids.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libvirt/call.h"

#define XML_MAX   (64u << 10)
#define NAME_ROOM 128 /* bytes of a name, its end included */

/* virDomainSnapshotCreateFlags */
enum {
	CREATE_REDEFINE = 1,
	CREATE_NO_METADATA = 4,
	CREATE_HALT = 8,
	CREATE_DISK_ONLY = 16,
	CREATE_QUIESCE = 64
};
/* virDomainSnapshotListFlags: the first is "roots" of a domain's and "descendants" of a
 * snapshot's */
enum {
	LIST_ROOTS = 1,
	LIST_LEAVES = 4,
	LIST_NO_LEAVES = 8,
	LIST_NO_METADATA = 16,
	LIST_INACTIVE = 32,
	LIST_ACTIVE = 64
};
/* virDomainSnapshotRevertFlags */
enum { REVERT_RUNNING = 1, REVERT_PAUSED = 2 };
/* virDomainSnapshotDeleteFlags */
enum { DELETE_CHILDREN = 1, DELETE_METADATA_ONLY = 2, DELETE_CHILDREN_ONLY = 4 };

/* A client's snapshot, and all that its machine has. */
struct tree {
	struct domain domain;
	json_t *answer; /* owned */
	json_t *points; /* a list of it */
	json_t *one;    /* that was named; NULL: none was asked for */
};

static const char *name_of(const struct tree *tree, const json_t *point)
{
	const json_t *other;
	size_t i;

	json_array_foreach(tree->points, i, other)
	{
		if (other != point && strcmp(text_of(other, "name"), text_of(point, "name")) == 0) {
			return text_of(point, "id");
		}
	}
	return text_of(point, "name");
}

static json_t *by_id(const struct tree *tree, const char *id)
{
	json_t *point;
	size_t i;

	json_array_foreach(tree->points, i, point)
	{
		if (strcmp(text_of(point, "id"), id) == 0) {
			return point;
		}
	}
	return NULL;
}

static json_t *by_name(const struct tree *tree, const char *name)
{
	json_t *point;
	size_t i;

	json_array_foreach(tree->points, i, point)
	{
		if (strcmp(name_of(tree, point), name) == 0) {
			return point;
		}
	}
	return NULL;
}

static json_t *current(const struct tree *tree)
{
	json_t *point;
	size_t i;

	json_array_foreach(tree->points, i, point)
	{
		if (json_is_true(json_object_get(point, "current"))) {
			return point;
		}
	}
	return NULL;
}

static void forget(struct tree *tree)
{
	json_decref(tree->answer);
	tree->answer = NULL;
}

static bool fetch_points(struct call *call, struct tree *tree)
{
	tree->answer = is_whole(call) ? ask(call, "GET", NULL, "/v1/machines/%s/checkpoints",
					    tree->domain.id)
				      : NULL;
	tree->points = json_object_get(tree->answer, "checkpoints");
	return tree->answer != NULL;
}

static bool fetch_tree(struct call *call, struct tree *tree)
{
	*tree = (struct tree){.answer = NULL};
	get_domain(call, &tree->domain);
	return fetch_points(call, tree);
}

static bool find_one(struct call *call, struct tree *tree, const char *name)
{
	tree->one = by_name(tree, name);
	if (tree->one == NULL) {
		fail(call, ERR_NO_SNAPSHOT, "'%s' has no checkpoint '%s'", tree->domain.name, name);
		forget(tree);
	}
	return tree->one != NULL;
}

/* The name, and the domain behind it. */
static bool fetch_snapshot(struct call *call, struct tree *tree)
{
	char name[NAME_ROOM];

	*tree = (struct tree){.answer = NULL};
	wire_get_text(call->in, name, sizeof(name));
	get_domain(call, &tree->domain);
	return fetch_points(call, tree) && find_one(call, tree, name);
}

static void put_snapshot(struct call *call, const struct tree *tree, const json_t *point)
{
	json_t *machine = fetch(call, tree->domain.id);

	if (machine != NULL) {
		wire_put_text(call->out, name_of(tree, point));
		put_domain(call, machine);
	}
	json_decref(machine);
}

/* ---- Lists ---- */

static bool is_below(const struct tree *tree, const json_t *point, const char *id, bool anywhere)
{
	size_t left = json_array_size(tree->points);

	do {
		const char *parent = text_of(point, "parent");

		if (strcmp(parent, id) == 0) {
			return true;
		}
		point = by_id(tree, parent);
	} while (anywhere && point != NULL && left-- > 0);
	return false;
}

static bool has_children(const struct tree *tree, const json_t *point)
{
	const json_t *other;
	size_t i;

	json_array_foreach(tree->points, i, other)
	{
		if (strcmp(text_of(other, "parent"), text_of(point, "id")) == 0) {
			return true;
		}
	}
	return false;
}

/* Of one that was named what came of it, else of the machine. */
static bool is_listed(const struct tree *tree, const json_t *point, uint32_t flags)
{
	bool memory = json_is_true(json_object_get(point, "state")),
	     children = has_children(tree, point);

	if (tree->one != NULL ? !is_below(tree, point, text_of(tree->one, "id"), flags & LIST_ROOTS)
			      : (flags & LIST_ROOTS) && *text_of(point, "parent") != '\0') {
		return false;
	}
	return !((flags & LIST_NO_METADATA) ||
		 (flags & LIST_LEAVES && !(flags & LIST_NO_LEAVES) && children) ||
		 (flags & LIST_NO_LEAVES && !(flags & LIST_LEAVES) && !children) ||
		 (flags & LIST_ACTIVE && !(flags & LIST_INACTIVE) && !memory) ||
		 (flags & LIST_INACTIVE && !(flags & LIST_ACTIVE) && memory));
}

static uint32_t count_of(const struct tree *tree, uint32_t flags)
{
	const json_t *point;
	uint32_t count = 0;
	size_t i;

	json_array_foreach(tree->points, i, point)
	{
		count += is_listed(tree, point, flags);
	}
	return count;
}

static void put_count(struct call *call, bool (*read)(struct call *call, struct tree *tree))
{
	struct tree tree;

	if (read(call, &tree)) {
		wire_put(call->out, count_of(&tree, wire_get(call->in)));
		forget(&tree);
	}
}

void count_snapshots(struct call *call)
{
	put_count(call, fetch_tree);
}

void count_snapshot_children(struct call *call)
{
	put_count(call, fetch_snapshot);
}

static void put_names(struct call *call, bool (*read)(struct call *call, struct tree *tree))
{
	struct tree tree;
	const json_t *point;
	uint32_t most, flags, count;
	size_t i;

	if (!read(call, &tree)) {
		return;
	}
	most = wire_get(call->in);
	flags = wire_get(call->in);
	count = count_of(&tree, flags);
	count = count < most ? count : most;
	wire_put(call->out, count);
	json_array_foreach(tree.points, i, point)
	{
		if (count != 0 && is_listed(&tree, point, flags)) {
			wire_put_text(call->out, name_of(&tree, point));
			count--;
		}
	}
	forget(&tree);
}

void list_snapshot_names(struct call *call)
{
	put_names(call, fetch_tree);
}

void list_snapshot_children_names(struct call *call)
{
	put_names(call, fetch_snapshot);
}

static void put_list(struct call *call, bool (*read)(struct call *call, struct tree *tree))
{
	struct tree tree;
	const json_t *point;
	uint32_t flags, count;
	bool need;
	size_t i;

	if (!read(call, &tree)) {
		return;
	}
	need = wire_get(call->in) != 0;
	flags = wire_get(call->in);
	count = count_of(&tree, flags);
	wire_put(call->out, need ? count : 0);
	json_array_foreach(tree.points, i, point)
	{
		if (need && is_listed(&tree, point, flags)) {
			put_snapshot(call, &tree, point);
		}
	}
	wire_put(call->out, count);
	forget(&tree);
}

void list_snapshots(struct call *call)
{
	put_list(call, fetch_tree);
}

void list_snapshot_children(struct call *call)
{
	put_list(call, fetch_snapshot);
}

/* ---- One ---- */

void look_up_snapshot(struct call *call)
{
	struct tree tree = {.answer = NULL};
	char name[NAME_ROOM];

	get_domain(call, &tree.domain);
	wire_get_text(call->in, name, sizeof(name));
	if (fetch_points(call, &tree) && find_one(call, &tree, name)) {
		put_snapshot(call, &tree, tree.one);
		forget(&tree);
	}
}

void has_current_snapshot(struct call *call)
{
	struct tree tree;

	if (fetch_tree(call, &tree)) {
		wire_put(call->out, current(&tree) != NULL);
		forget(&tree);
	}
}

void get_current_snapshot(struct call *call)
{
	struct tree tree;

	if (!fetch_tree(call, &tree)) {
		return;
	}
	if (current(&tree) != NULL) {
		put_snapshot(call, &tree, current(&tree));
	} else {
		fail(call, ERR_NO_SNAPSHOT, "'%s' goes on from no checkpoint", tree.domain.name);
	}
	forget(&tree);
}

void get_snapshot_parent(struct call *call)
{
	struct tree tree;
	const json_t *parent;

	if (!fetch_snapshot(call, &tree)) {
		return;
	}
	parent = by_id(&tree, text_of(tree.one, "parent"));
	if (parent != NULL) {
		put_snapshot(call, &tree, parent);
	} else {
		fail(call, ERR_NO_SNAPSHOT, "checkpoint '%s' has no parent",
		     name_of(&tree, tree.one));
	}
	forget(&tree);
}

void snapshot_is_current(struct call *call)
{
	struct tree tree;

	if (fetch_snapshot(call, &tree)) {
		wire_put(call->out, current(&tree) == tree.one);
		forget(&tree);
	}
}

void snapshot_has_metadata(struct call *call)
{
	struct tree tree;

	if (fetch_snapshot(call, &tree)) {
		wire_put(call->out, 1);
		forget(&tree);
	}
}

/* "2026-11-29T20:28:08.123Z" */
static long long second_of(const json_t *point)
{
	struct tm when = {0};

	return strptime(text_of(point, "created"), "%Y-%m-%dT%H:%M:%S", &when) != NULL
		       ? (long long)timegm(&when)
		       : 0;
}

void get_snapshot_xml(struct call *call)
{
	struct tree tree;
	const json_t *parent;
	char *xml;

	if (!fetch_snapshot(call, &tree)) {
		return;
	}
	parent = by_id(&tree, text_of(tree.one, "parent"));
	xml = xml_snapshot(tree.one, name_of(&tree, tree.one),
			   parent != NULL ? name_of(&tree, parent) : "", tree.domain.id,
			   second_of(tree.one));
	wire_put_text(call->out, xml != NULL ? xml : "");
	free(xml);
	forget(&tree);
}

/* ---- What is done ---- */

/* The newest of this name. */
static const json_t *newest(const struct tree *tree, const char *name)
{
	const json_t *point, *found = NULL;
	size_t i;

	json_array_foreach(tree->points, i, point)
	{
		if (strcmp(text_of(point, "name"), name) == 0) {
			found = point;
		}
	}
	return found;
}

/* The XML's, as the service wants it; NULL: the call has failed. */
static json_t *read_wanted(struct call *call, const char *xml, uint32_t flags)
{
	struct xml_error error = {0};
	json_t *said = xml_read_other(xml, "domainsnapshot", &error), *body;
	bool disks = (flags & CREATE_DISK_ONLY) || json_is_false(json_object_get(said, "memory"));
	char name[32];

	if (said == NULL) {
		fail(call, error.code, "%s", error.text);
		return NULL;
	}
	/* libvirt's own drivers call it by the second, too. */
	snprintf(name, sizeof(name), "%lld", (long long)time(NULL));
	body = json_pack("{s:s, s:O*, s:s}", "name",
			 *text_of(said, "name") != '\0' ? text_of(said, "name") : name, "notes",
			 json_object_get(said, "notes"), "type", disks ? "disks" : "standard");
	json_decref(said);
	return body;
}

void take_snapshot(struct call *call)
{
	struct tree tree = {.answer = NULL};
	const json_t *point;
	char *xml, *name;
	uint32_t flags;
	json_t *body;

	get_domain(call, &tree.domain);
	xml = wire_get_string(call->in, XML_MAX);
	flags = wire_get(call->in);
	if (!is_whole(call)) {
		free(xml);
		return;
	}
	if (flags & (CREATE_REDEFINE | CREATE_NO_METADATA | CREATE_HALT | CREATE_QUIESCE)) {
		fail(call, ERR_UNSUPPORTED,
		     "a checkpoint is neither redefined, nor without what is "
		     "known of it, nor halts its machine, nor quiesces it");
		free(xml);
		return;
	}
	body = read_wanted(call, xml, flags);
	free(xml);
	if (body == NULL) {
		return;
	}
	name = strdup(text_of(body, "name"));
	wait_for(call, ask(call, "POST", body, "/v1/machines/%s/checkpoints", tree.domain.id));
	if (call->error == 0 && name != NULL && fetch_points(call, &tree)) {
		point = newest(&tree, name);
		if (point != NULL) {
			put_snapshot(call, &tree, point);
		} else {
			fail(call, ERR_NO_SNAPSHOT, "checkpoint '%s' has gone already", name);
		}
		forget(&tree);
	}
	free(name);
}

/* What runs ends: its disks are to be those of then. */
void revert_to_snapshot(struct call *call)
{
	struct tree tree;
	uint32_t flags;
	json_t *machine;
	bool memory, runs;

	if (!fetch_snapshot(call, &tree)) {
		return;
	}
	flags = wire_get(call->in);
	memory = json_is_true(json_object_get(tree.one, "state"));
	machine = fetch(call, tree.domain.id);
	runs = machine != NULL && is_running(machine);
	json_decref(machine);
	if (runs) {
		act_on(call, tree.domain.id, "turn-off");
	}
	if (call->error == 0) {
		wait_for(call,
			 ask(call, "POST", json_object(), "/v1/machines/%s/checkpoints/%s/apply",
			     tree.domain.id, text_of(tree.one, "id")));
	}
	if (call->error == 0 && (memory || flags & (REVERT_RUNNING | REVERT_PAUSED))) {
		act_on(call, tree.domain.id, "start");
	}
	if (call->error == 0 && flags & REVERT_PAUSED) {
		act_on(call, tree.domain.id, "pause");
	}
	forget(&tree);
}

static void delete_one(struct call *call, const struct tree *tree, const json_t *point,
		       bool children)
{
	if (call->error == 0) {
		wait_for(call, ask(call, "DELETE", NULL, "/v1/machines/%s/checkpoints/%s%s",
				   tree->domain.id, text_of(point, "id"),
				   children ? "?children=true" : ""));
	}
}

void delete_snapshot(struct call *call)
{
	struct tree tree;
	const json_t *point;
	uint32_t flags;
	size_t i;

	if (!fetch_snapshot(call, &tree)) {
		return;
	}
	flags = wire_get(call->in);
	if (flags & DELETE_METADATA_ONLY) {
		fail(call, ERR_UNSUPPORTED, "a checkpoint is deleted with its files");
	} else if (flags & DELETE_CHILDREN_ONLY) {
		json_array_foreach(tree.points, i, point)
		{
			if (is_below(&tree, point, text_of(tree.one, "id"), false)) {
				delete_one(call, &tree, point, true);
			}
		}
	} else {
		delete_one(call, &tree, tree.one, flags & DELETE_CHILDREN);
	}
	forget(&tree);
}
