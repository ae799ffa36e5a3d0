/*
 * How a call is answered: what the files of this folder that answer calls have in common. A call
 * reads its arguments, asks the service and writes what it returns; after fail() whatever it has
 * written is dropped.
 */
#ifndef LIBVIRT_CALL_H
#define LIBVIRT_CALL_H

#include "include/mgmt/service.h"
#include "lib/check.h"
#include "libvirt/libvirt.h"

#define ID_TEXT 37 /* as GUID_TEXT of disk/bytes.h */

/* virDomainState */
enum { STATE_NONE, STATE_RUNNING, STATE_PAUSED = 3, STATE_SHUTDOWN, STATE_SHUTOFF, STATE_CRASHED };
/* virDomainModificationImpact */
enum { AFFECT_LIVE = 1, AFFECT_CONFIG = 2 };

struct call {
	struct session *session;
	struct http *http; /* the session's */
	const struct wire_header *header;
	struct wire_in *in;
	struct wire_out *out;
	const char *action; /* that it asks for, NULL: none */
	int error;          /* 0: none */
	char message[600];
	bool closes;
};

/* A domain as the client names it. */
struct domain {
	char name[SERVICE_NAME_MAX + 1];
	char id[ID_TEXT];
};

/* ---- calls.c ---- */

void fail(struct call *call, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* By what the service said. */
void fail_by_service(struct call *call);
/* False: what was read of the message was not what it should be, and the call has failed. */
bool is_whole(struct call *call);
void put_nothing(struct call *call);
void put_no(struct call *call);

void get_domain(struct call *call, struct domain *domain);
void parse_id(const char *id, uint8_t bytes[UUID_BYTES]);
int state_of(const json_t *machine);
bool is_running(const json_t *machine);
/* A number for one that runs, else -1: libvirt's clients show it and look for it. */
int number_of(const json_t *machine);
void put_domain(struct call *call, const json_t *machine);
void put_domain_to(struct wire_out *out, const json_t *machine);
/* What the service answers, which the caller frees. NULL: the call has failed. */
json_t *ask(struct call *call, const char *method, json_t *body, const char *path, ...)
	__attribute__((format(printf, 4, 5)));
json_t *fetch(struct call *call, const char *name_or_id);
json_t *fetch_domain(struct call *call);
void change(struct call *call, const char *id, json_t *patch);
/* Takes the job, NULL: there is none. Until it has ended. */
void wait_for(struct call *call, json_t *job);
/* The same of an action. */
void act_on(struct call *call, const char *id, const char *action);
/* Whether it is among those that a list's flags (virConnectListAllDomainsFlags) want. */
bool is_wanted(const json_t *machine, uint32_t flags);
/* An id that is the same each time, of a text and its kind. */
void text_id(const char *kind, const char *text, uint8_t id[UUID_BYTES]);
/* The folder of the machines' folders, and a machine's (1024 bytes); "": not known. */
const char *store_of(struct call *call);
void folder_of(struct call *call, const json_t *machine, char folder[1024]);

/* virTypedParameter; their count is put by who puts them. */
void put_param_int(struct wire_out *out, const char *name, int32_t value);
void put_param_uint(struct wire_out *out, const char *name, uint32_t value);
void put_param_ulong(struct wire_out *out, const char *name, uint64_t value);
void put_param_long(struct wire_out *out, const char *name, int64_t value);
void put_param_text(struct wire_out *out, const char *name, const char *value);

/* ---- The calls of the other files, in the order of the table in calls.c ---- */

/* events.c */
void register_event(struct call *call);
void deregister_event(struct call *call);

/* stats.c */
void get_block_stats(struct call *call);
void get_block_stats_with_flags(struct call *call);
void get_block_info(struct call *call);
void get_interface_stats(struct call *call);
void get_memory_stats(struct call *call);
void get_vcpus(struct call *call);
void get_cpu_stats(struct call *call);
void get_control_info(struct call *call);
void get_job_info(struct call *call);
void get_job_stats(struct call *call);
void get_all_stats(struct call *call);
void get_node_memory(struct call *call);
void get_free_memory(struct call *call);
void get_cells_memory(struct call *call);
void get_cpu_map(struct call *call);
void get_most_vcpus(struct call *call);
uint32_t lps_of(struct call *call);

/* networks.c */
void list_networks(struct call *call);
void count_networks(struct call *call);
void list_network_names(struct call *call);
void look_up_network(struct call *call);
void look_up_network_by_uuid(struct call *call);
void get_network_xml(struct call *call);
void network_yes(struct call *call);
void network_no(struct call *call);
void create_network(struct call *call);
void remove_network(struct call *call);

/* storage.c */
/* What the disk library says of a file; one that it cannot read is as long as the file is. */
void storage_look_into(const char *path, struct xml_volume *about);
void list_pools(struct call *call);
void count_pools(struct call *call);
void list_pool_names(struct call *call);
void look_up_pool(struct call *call);
void look_up_pool_by_uuid(struct call *call);
void look_up_pool_by_path(struct call *call);
void look_up_pool_by_volume(struct call *call);
void get_pool_info(struct call *call);
void get_pool_xml(struct call *call);
void pool_yes(struct call *call);
void pool_nothing(struct call *call);
void create_pool(struct call *call);
void forget_pool(struct call *call);
void list_volumes(struct call *call);
void list_volume_names(struct call *call);
void count_volumes(struct call *call);
void look_up_volume(struct call *call);
void look_up_volume_by_path(struct call *call);
void get_volume_info(struct call *call);
void get_volume_info_with_flags(struct call *call);
void get_volume_xml(struct call *call);
void get_volume_path(struct call *call);
void create_volume(struct call *call);
void delete_volume(struct call *call);
void resize_volume(struct call *call);
void storage_end(struct session *session);

/* snapshots.c */
void take_snapshot(struct call *call);
void get_snapshot_xml(struct call *call);
void count_snapshots(struct call *call);
void count_snapshot_children(struct call *call);
void list_snapshot_names(struct call *call);
void list_snapshot_children_names(struct call *call);
void list_snapshots(struct call *call);
void list_snapshot_children(struct call *call);
void look_up_snapshot(struct call *call);
void has_current_snapshot(struct call *call);
void get_current_snapshot(struct call *call);
void get_snapshot_parent(struct call *call);
void snapshot_is_current(struct call *call);
void snapshot_has_metadata(struct call *call);
void revert_to_snapshot(struct call *call);
void delete_snapshot(struct call *call);

/* screen.c */
void take_screenshot(struct call *call);
void send_keys(struct call *call);

/* stats.c */
void get_addresses(struct call *call);

/* define.c */
void define_domain(struct call *call);
void create_domain(struct call *call);
void undefine(struct call *call);
void undefine_with_flags(struct call *call);
void attach_device(struct call *call);
void attach_device_with_flags(struct call *call);
void detach_device(struct call *call);
void detach_device_with_flags(struct call *call);
void update_device(struct call *call);
void set_memory(struct call *call);
void set_most_memory(struct call *call);
void set_memory_with_flags(struct call *call);
void set_vcpus(struct call *call);
void set_vcpus_with_flags(struct call *call);
void get_vcpus_count(struct call *call);
void get_most_memory(struct call *call);
void rename_domain(struct call *call);
void set_metadata(struct call *call);
void get_metadata(struct call *call);

#endif
