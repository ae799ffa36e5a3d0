/*
 * tlfs/port*.c, doorbell.c, cell.c and the calls of hc_synic.c: ports and connections of all types,
 * doorbells and their ring, direct messages, events and interrupts.
 */
#include "tests/fake/parent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "tlfs/cell.h"

#define SINT          2
#define VECTOR        0x71
#define DOORBELL_SINT HV_SYNIC_DOORBELL_SINT_INDEX

static struct partition *child;
static struct vp *vp;

static int setup(void **state)
{
	(void)state;
	fake_boot(2);
	child = child_create(2);
	vp = child->vps[0];
	synic_enable(root_vp(), 40, 41, SINT, VECTOR);
	synic_enable(vp, 4, 5, SINT, VECTOR);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	child_destroy(child);
	assert_null(fake_root.connections);
	fake_shutdown();
	return 0;
}

/* ---- Helpers ---- */

static struct hv_input_create_port port_of(struct partition *owner, struct partition *peer,
					   uint32_t id, uint32_t type)
{
	struct hv_input_create_port in = {.port_partition_id = owner->id,
					  .port_id.asu32 = id,
					  .connection_partition_id = peer != NULL ? peer->id : 0,
					  .port_info = {.port_type = type}};

	in.port_info.event_port_info.target_sint =
		type == HV_PORT_TYPE_DOORBELL ? DOORBELL_SINT : SINT;
	in.port_info.event_port_info.target_vp = 0;
	if (type == HV_PORT_TYPE_EVENT) {
		in.port_info.event_port_info.flag_count = 16;
	}
	return in;
}

static hv_status_t create_port(const struct hv_input_create_port *in)
{
	return status_of(call(root_vp(), HVCALL_CREATE_PORT, in, sizeof(*in), NULL, 0));
}

static struct hv_input_connect_port connection_of(struct partition *p, uint32_t id,
						  struct partition *owner, uint32_t port,
						  uint32_t type)
{
	return (struct hv_input_connect_port){.connection_partition_id = p->id,
					      .connection_id.asu32 = id,
					      .port_partition_id = owner->id,
					      .port_id.asu32 = port,
					      .connection_info = {.port_type = type}};
}

static hv_status_t connect_port(const struct hv_input_connect_port *in)
{
	return status_of(call(root_vp(), HVCALL_CONNECT_PORT, in, sizeof(*in), NULL, 0));
}

/* A connection of the child to a new port of the root. */
static void bind(uint32_t id, uint32_t type)
{
	struct hv_input_create_port port = port_of(&fake_root, child, id, type);
	struct hv_input_connect_port connection = connection_of(child, id, &fake_root, id, type);

	assert_int_equal(create_port(&port), HV_STATUS_SUCCESS);
	assert_int_equal(connect_port(&connection), HV_STATUS_SUCCESS);
}

static hv_status_t delete_port(struct partition *owner, uint32_t id)
{
	union hv_input_delete_port in = {.port_partition_id = owner->id};

	in.port_id.asu32 = id;
	return status_of(call_fast(root_vp(), HVCALL_DELETE_PORT, &in, sizeof(in), NULL, 0, 0));
}

static hv_status_t disconnect(struct partition *p, uint32_t id, bool doorbell)
{
	union hv_input_disconnect_port in = {.connection_partition_id = p->id};

	in.connection_id.asu32 = id;
	in.is_doorbell = doorbell;
	return status_of(call_fast(root_vp(), HVCALL_DISCONNECT_PORT, &in, sizeof(in), NULL, 0, 0));
}

static hv_status_t post(struct vp *from, uint32_t connection, uint32_t type, const char *text)
{
	struct hv_input_post_message in = {.message_type = type,
					   .payload_size = (uint32_t)strlen(text)};

	in.connectionid.asu32 = connection;
	memcpy(in.payload, text, strlen(text));
	return status_of(call(from, HVCALL_POST_MESSAGE, &in, sizeof(in), NULL, 0));
}

static hv_status_t signal_event(struct vp *from, uint32_t connection, uint16_t flag)
{
	struct hv_input_signal_event in = {.flag_number = flag};

	in.connectionid.asu32 = connection;
	return status_of(call_fast(from, HVCALL_SIGNAL_EVENT, &in, sizeof(in), NULL, 0, 0));
}

static bool flag_set(struct vp *of, uint32_t sint, uint32_t flag)
{
	const struct hv_synic_event_flags_page *page = of->synic.event_page;

	return page->event_flags[sint].flags8[flag / 8] >> flag % 8 & 1;
}

/* ---- Messages ---- */

static void a_message_goes_through_a_connection(void **state)
{
	struct hv_message message;

	(void)state;
	bind(0x10, HV_PORT_TYPE_MESSAGE);
	assert_int_equal(post(vp, 0x10, 5, "hello"), HV_STATUS_SUCCESS);
	message = take_message(root_vp(), SINT);
	assert_int_equal(message.header.message_type, 5);
	assert_int_equal(message.header.payload_size, 5);
	assert_int_equal(message.header.port.asu32, 0x10);
	assert_memory_equal(message.u.payload, "hello", 5);
	assert_int_equal(delete_port(&fake_root, 0x10), HV_STATUS_SUCCESS);
}

static void messages_queue_behind_a_full_slot(void **state)
{
	hv_status_t status;
	uint32_t count = 0;

	(void)state;
	bind(0x10, HV_PORT_TYPE_MESSAGE);
	while ((status = post(vp, 0x10, 100 + count, "")) == HV_STATUS_SUCCESS) {
		count++;
	}
	assert_int_equal(status, HV_STATUS_INSUFFICIENT_BUFFERS);
	assert_true(count > 4);
	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(take_message(root_vp(), SINT).header.message_type, 100 + i);
	}
	assert_int_equal(take_message(root_vp(), SINT).header.message_type, HVMSG_NONE);
	assert_int_equal(delete_port(&fake_root, 0x10), HV_STATUS_SUCCESS);
}

static void messages_are_checked(void **state)
{
	struct hv_input_post_message in = {.message_type = 1, .payload_size = 241};

	(void)state;
	bind(0x10, HV_PORT_TYPE_MESSAGE);
	assert_int_equal(post(vp, 0x10, 0, ""), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(post(vp, 0x10, 0x80000001, ""), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(post(vp, 0x11, 1, ""), HV_STATUS_INVALID_CONNECTION_ID);
	assert_int_equal(post(vp, 0x1000010, 1, ""), HV_STATUS_INVALID_CONNECTION_ID);
	in.connectionid.asu32 = 0x10;
	assert_int_equal(status_of(call(vp, HVCALL_POST_MESSAGE, &in, sizeof(in), NULL, 0)),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(synic_msr_write(root_vp(), HV_X64_MSR_SIMP, 0), ACCESS_OK);
	assert_int_equal(post(vp, 0x10, 1, ""), HV_STATUS_INVALID_SYNIC_STATE);
	child->privileges &= ~((uint64_t)HV_POST_MESSAGES << 32);
	assert_int_equal(post(vp, 0x10, 1, ""), HV_STATUS_ACCESS_DENIED);
	assert_int_equal(delete_port(&fake_root, 0x10), HV_STATUS_SUCCESS);
}

static void any_vp_takes_a_message(void **state)
{
	struct hv_input_create_port port = port_of(&fake_root, child, 1, HV_PORT_TYPE_MESSAGE);
	struct hv_input_connect_port connection =
		connection_of(child, 1, &fake_root, 1, HV_PORT_TYPE_MESSAGE);

	(void)state;
	port.port_info.message_port_info.target_vp = HV_ANY_VP;
	assert_int_equal(create_port(&port), HV_STATUS_SUCCESS);
	assert_int_equal(connect_port(&connection), HV_STATUS_SUCCESS);
	assert_int_equal(synic_msr_write(root_vp(), HV_X64_MSR_SCONTROL, 0), ACCESS_OK);
	assert_int_equal(post(vp, 1, 9, ""), HV_STATUS_INVALID_SYNIC_STATE);
	synic_enable(fake_root.vps[1], 44, 45, SINT, VECTOR);
	assert_int_equal(post(vp, 1, 9, ""), HV_STATUS_SUCCESS);
	assert_int_equal(take_message(fake_root.vps[1], SINT).header.message_type, 9);
	assert_int_equal(delete_port(&fake_root, 1), HV_STATUS_SUCCESS);
}

/* ---- Events ---- */

static void an_event_sets_a_flag_of_the_port(void **state)
{
	struct hv_input_create_port port = port_of(&fake_root, child, 7, HV_PORT_TYPE_EVENT);
	struct hv_input_connect_port connection =
		connection_of(child, 3, &fake_root, 7, HV_PORT_TYPE_EVENT);

	(void)state;
	port.port_info.event_port_info.base_flag_number = 2000;
	port.port_info.event_port_info.flag_count = 48;
	assert_int_equal(create_port(&port), HV_STATUS_SUCCESS);
	assert_int_equal(connect_port(&connection), HV_STATUS_SUCCESS);
	assert_int_equal(signal_event(vp, 3, 47), HV_STATUS_SUCCESS);
	assert_true(flag_set(root_vp(), SINT, 2047));
	assert_int_equal(signal_event(vp, 3, 48), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(signal_event(vp, 4, 0), HV_STATUS_INVALID_CONNECTION_ID);
	assert_int_equal(fake_root.references, 1); /* nothing is held back */
	assert_int_equal(delete_port(&fake_root, 7), HV_STATUS_SUCCESS);
	assert_int_equal(signal_event(vp, 3, 0), HV_STATUS_INVALID_PORT_ID);
	assert_int_equal(disconnect(child, 3, false), HV_STATUS_SUCCESS);
	assert_int_equal(signal_event(vp, 3, 0), HV_STATUS_INVALID_CONNECTION_ID);
}

static void the_root_signals_a_child(void **state)
{
	struct hv_input_create_port port = port_of(child, &fake_root, 9, HV_PORT_TYPE_EVENT);
	struct hv_input_connect_port connection =
		connection_of(&fake_root, 9, child, 9, HV_PORT_TYPE_EVENT);

	(void)state;
	assert_int_equal(create_port(&port), HV_STATUS_SUCCESS);
	assert_int_equal(connect_port(&connection), HV_STATUS_SUCCESS);
	assert_int_equal(signal_event(root_vp(), 9, 3), HV_STATUS_SUCCESS);
	assert_true(flag_set(vp, SINT, 3));
	assert_int_equal(disconnect(&fake_root, 9, false), HV_STATUS_SUCCESS);
}

/* The type of the connection has to be right for the call. */
static void types_do_not_mix(void **state)
{
	(void)state;
	bind(1, HV_PORT_TYPE_MESSAGE);
	bind(2, HV_PORT_TYPE_EVENT);
	assert_int_equal(signal_event(vp, 1, 0), HV_STATUS_INVALID_PORT_ID);
	assert_int_equal(post(vp, 2, 1, ""), HV_STATUS_INVALID_PORT_ID);
	assert_int_equal(delete_port(&fake_root, 1), HV_STATUS_SUCCESS);
	assert_int_equal(delete_port(&fake_root, 2), HV_STATUS_SUCCESS);
}

/* ---- Making and breaking ---- */

static void ports_are_checked(void **state)
{
	struct hv_input_create_port in =
		port_of(&fake_root, child, 0x1000000, HV_PORT_TYPE_MESSAGE);

	(void)state;
	assert_int_equal(create_port(&in), HV_STATUS_INVALID_PORT_ID);
	in = port_of(&fake_root, child, 1, 0);
	assert_int_equal(create_port(&in), HV_STATUS_INVALID_PARAMETER);
	in = port_of(&fake_root, child, 1, HV_PORT_TYPE_MONITOR);
	assert_int_equal(create_port(&in), HV_STATUS_FEATURE_UNAVAILABLE);
	in = port_of(&fake_root, child, 1, HV_PORT_TYPE_MESSAGE);
	in.port_info.message_port_info.target_sint = 0;
	assert_int_equal(create_port(&in), HV_STATUS_INVALID_PARAMETER);
	in.port_info.message_port_info.target_sint = 16;
	assert_int_equal(create_port(&in), HV_STATUS_INVALID_PARAMETER);
	in = port_of(&fake_root, child, 1, HV_PORT_TYPE_MESSAGE);
	in.port_info.message_port_info.target_vp = 2;
	assert_int_equal(create_port(&in), HV_STATUS_INVALID_VP_INDEX);
	in = port_of(&fake_root, child, 1, HV_PORT_TYPE_EVENT);
	in.port_info.event_port_info.base_flag_number = 2040;
	assert_int_equal(create_port(&in), HV_STATUS_INVALID_PARAMETER);
	in.port_info.event_port_info.flag_count = 0;
	assert_int_equal(create_port(&in), HV_STATUS_INVALID_PARAMETER);
	in = port_of(child, &fake_root, 1, HV_PORT_TYPE_DOORBELL);
	assert_int_equal(create_port(&in), HV_STATUS_INVALID_PARAMETER);
	in = port_of(&fake_root, child, 1, HV_PORT_TYPE_MESSAGE);
	in.connection_partition_id = 12345;
	assert_int_equal(create_port(&in), HV_STATUS_INVALID_PARTITION_ID);
	in.connection_partition_id = child->id;
	in.port_vtl = 1;
	assert_int_equal(create_port(&in), HV_STATUS_INVALID_PARAMETER);
	in.port_vtl = 0;
	assert_int_equal(create_port(&in), HV_STATUS_SUCCESS);
	assert_int_equal(create_port(&in), HV_STATUS_INVALID_PORT_ID);
	assert_int_equal(delete_port(&fake_root, 1), HV_STATUS_SUCCESS);
	assert_int_equal(delete_port(&fake_root, 1), HV_STATUS_INVALID_PORT_ID);
	assert_null(fake_root.ports);
}

static void connections_are_checked(void **state)
{
	struct partition *other = child_create(1);
	struct hv_input_create_port port = port_of(&fake_root, child, 1, HV_PORT_TYPE_MESSAGE);
	struct hv_input_connect_port in =
		connection_of(other, 1, &fake_root, 1, HV_PORT_TYPE_MESSAGE);

	(void)state;
	assert_int_equal(create_port(&port), HV_STATUS_SUCCESS);
	assert_int_equal(connect_port(&in),
			 HV_STATUS_INVALID_PORT_ID); /* the port is for another */
	in = connection_of(child, 1, &fake_root, 1, HV_PORT_TYPE_EVENT);
	assert_int_equal(connect_port(&in), HV_STATUS_INVALID_PORT_ID);
	in = connection_of(child, 1, &fake_root, 2, HV_PORT_TYPE_MESSAGE);
	assert_int_equal(connect_port(&in), HV_STATUS_INVALID_PORT_ID);
	in = connection_of(child, 0x2000000, &fake_root, 1, HV_PORT_TYPE_MESSAGE);
	assert_int_equal(connect_port(&in), HV_STATUS_INVALID_CONNECTION_ID);
	in = connection_of(child, 1, &fake_root, 1, HV_PORT_TYPE_MESSAGE);
	in.connection_vtl = 1;
	assert_int_equal(connect_port(&in), HV_STATUS_INVALID_PARAMETER);
	in.connection_vtl = 0;
	assert_int_equal(connect_port(&in), HV_STATUS_SUCCESS);
	assert_int_equal(connect_port(&in), HV_STATUS_INVALID_CONNECTION_ID);
	assert_int_equal(disconnect(child, 1, true),
			 HV_STATUS_INVALID_CONNECTION_ID); /* it is no doorbell */
	assert_int_equal(disconnect(child, 1, false), HV_STATUS_SUCCESS);
	assert_int_equal(disconnect(child, 1, false), HV_STATUS_INVALID_CONNECTION_ID);
	assert_int_equal(delete_port(&fake_root, 1), HV_STATUS_SUCCESS);
	child_destroy(other);
}

static void a_port_takes_a_bounded_number_of_connections(void **state)
{
	struct hv_input_create_port port = port_of(&fake_root, child, 1, HV_PORT_TYPE_MESSAGE);
	hv_status_t status = HV_STATUS_SUCCESS;
	uint32_t count = 0;

	(void)state;
	assert_int_equal(create_port(&port), HV_STATUS_SUCCESS);
	while (status == HV_STATUS_SUCCESS) {
		struct hv_input_connect_port in =
			connection_of(child, count, &fake_root, 1, HV_PORT_TYPE_MESSAGE);

		status = connect_port(&in);
		count += status == HV_STATUS_SUCCESS;
	}
	assert_int_equal(status, HV_STATUS_NO_RESOURCES);
	assert_int_equal(count, 32);
	assert_int_equal(post(vp, 31, 4, ""), HV_STATUS_SUCCESS);
	assert_int_equal(delete_port(&fake_root, 1), HV_STATUS_SUCCESS);
	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(post(vp, i, 4, ""), HV_STATUS_INVALID_PORT_ID);
		assert_int_equal(disconnect(child, i, false), HV_STATUS_SUCCESS);
	}
	assert_null(child->connections);
	assert_null(child->cells);
}

/* Pages run out at any point: nothing is left behind. */
static void creation_undoes_itself(void **state)
{
	struct hv_input_create_port port = port_of(&fake_root, child, 1, HV_PORT_TYPE_MESSAGE);
	struct hv_input_connect_port in =
		connection_of(child, 1, &fake_root, 1, HV_PORT_TYPE_MESSAGE);
	uint64_t root_pages = plat_pool_count(&fake_root), child_pages = plat_pool_count(child);

	(void)state;
	for (int32_t i = 0; i < 2; i++) {
		fake.pages_until_failure = i;
		assert_int_equal(create_port(&port), HV_STATUS_INSUFFICIENT_MEMORY);
		assert_int_equal(plat_pool_count(&fake_root), root_pages);
	}
	fake.pages_until_failure = -1;
	assert_int_equal(create_port(&port), HV_STATUS_SUCCESS);
	for (int32_t i = 0; i < 2; i++) {
		fake.pages_until_failure = i;
		assert_int_equal(connect_port(&in), HV_STATUS_INSUFFICIENT_MEMORY);
		assert_int_equal(plat_pool_count(child), child_pages);
	}
	fake.pages_until_failure = -1;
	assert_int_equal(delete_port(&fake_root, 1), HV_STATUS_SUCCESS);
	assert_int_equal(plat_pool_count(&fake_root), root_pages);
}

/* The owner of a port goes: those who are connected find out, and nothing of it stays. */
static void ports_go_with_their_partition(void **state)
{
	struct partition *other = child_create(1);

	(void)state;
	for (uint32_t i = 1; i <= 70; i++) {
		struct hv_input_create_port port =
			port_of(other, &fake_root, i, HV_PORT_TYPE_EVENT);
		struct hv_input_connect_port in =
			connection_of(&fake_root, i, other, i, HV_PORT_TYPE_EVENT);

		if (i == 1) {
			assert_int_equal(deposit(other->id, 10), HV_STATUS_SUCCESS);
		}
		assert_int_equal(create_port(&port), HV_STATUS_SUCCESS);
		assert_int_equal(connect_port(&in), HV_STATUS_SUCCESS);
	}
	child_destroy(other);
	for (uint32_t i = 1; i <= 70; i++) {
		assert_int_equal(signal_event(root_vp(), i, 0), HV_STATUS_INVALID_PORT_ID);
		assert_int_equal(disconnect(&fake_root, i, false), HV_STATUS_SUCCESS);
	}
}

static void connections_go_with_their_partition(void **state)
{
	struct partition *other = child_create(1);

	(void)state;
	assert_int_equal(deposit(other->id, 10), HV_STATUS_SUCCESS);
	for (uint32_t i = 1; i <= 70; i++) {
		struct hv_input_create_port port =
			port_of(&fake_root, other, i, HV_PORT_TYPE_EVENT);
		struct hv_input_connect_port in =
			connection_of(other, i, &fake_root, i, HV_PORT_TYPE_EVENT);

		assert_int_equal(create_port(&port), HV_STATUS_SUCCESS);
		assert_int_equal(connect_port(&in), HV_STATUS_SUCCESS);
	}
	child_destroy(other);
	for (uint32_t i = 1; i <= 70; i++) {
		assert_int_equal(delete_port(&fake_root, i), HV_STATUS_SUCCESS);
	}
	assert_null(fake_root.ports);
}

static void an_unknown_connection_is_the_parents(void **state)
{
	(void)state;
	child->intercept_unknown_connection = true;
	post(vp, 0x55, 1, "");
	assert_int_equal(last_call.action, HYPERCALL_INTERCEPT);
	signal_event(vp, 0x55, 1);
	assert_int_equal(last_call.action, HYPERCALL_INTERCEPT);
	bind(0x55, HV_PORT_TYPE_EVENT);
	assert_int_equal(signal_event(vp, 0x55, 1), HV_STATUS_SUCCESS);
	assert_int_equal(delete_port(&fake_root, 0x55), HV_STATUS_SUCCESS);
	assert_int_equal(signal_event(vp, 0x55, 1), HV_STATUS_INVALID_PORT_ID);
}

/* ---- Doorbells ---- */

static struct hv_synic_event_ring *ring_of(struct vp *of)
{
	struct hv_synic_event_ring_page *page = of->synic.ring_page;

	return &page->sint_event_ring[DOORBELL_SINT];
}

static void ring_enable(struct vp *of, uint64_t gpn)
{
	union hv_synic_sint sint = {.vector = VECTOR, .as_intercept = 1};

	assert_int_equal(synic_msr_write(of, HV_X64_MSR_SIRBP, gpn << PAGE_SHIFT | 1), ACCESS_OK);
	assert_int_equal(synic_msr_write(of, HV_X64_MSR_SINT0 + DOORBELL_SINT, sint.as_uint64),
			 ACCESS_OK);
	assert_int_equal(synic_msr_write(of, HV_X64_MSR_SINT0, VECTOR), ACCESS_OK);
}

static void doorbell(uint32_t id, uint64_t gpa, uint64_t trigger, uint32_t flags)
{
	struct hv_input_create_port port = port_of(&fake_root, child, id, HV_PORT_TYPE_DOORBELL);
	struct hv_input_connect_port in =
		connection_of(child, id, &fake_root, id, HV_PORT_TYPE_DOORBELL);

	port.port_info.doorbell_port_info.target_vp = HV_ANY_VP;
	in.connection_info.doorbell_connection_info.gpa = gpa;
	in.connection_info.doorbell_connection_info.trigger_value = trigger;
	in.connection_info.doorbell_connection_info.flags = flags;
	assert_int_equal(create_port(&port), HV_STATUS_SUCCESS);
	assert_int_equal(connect_port(&in), HV_STATUS_SUCCESS);
}

static bool rung(uint64_t gpa, uint64_t value, unsigned int size)
{
	return port_doorbell(vp, (gpa_t){gpa}, value, size);
}

static void a_doorbell_rings_by_address_size_and_value(void **state)
{
	(void)state;
	ring_enable(root_vp(), 42);
	doorbell(1, 0xe0000010, 0,
		 HV_DOORBELL_FLAG_TRIGGER_SIZE_ANY | HV_DOORBELL_FLAG_TRIGGER_ANY_VALUE);
	doorbell(2, 0xe0000020, 5, HV_DOORBELL_FLAG_TRIGGER_SIZE_DWORD);
	doorbell(3, 0xe0000020, 6, HV_DOORBELL_FLAG_TRIGGER_SIZE_DWORD);
	doorbell(4, 0xe0000030, 0x1ff, HV_DOORBELL_FLAG_TRIGGER_SIZE_BYTE);
	assert_int_equal(child->doorbell_count, 4);
	assert_true(rung(0xe0000010, 99, 8));
	assert_false(rung(0xe0000011, 99, 1));
	assert_false(rung(0xe0000020, 5, 2));
	assert_false(rung(0xe0000020, 7, 4));
	assert_true(rung(0xe0000020, 6, 4));
	assert_true(rung(0xe0000020, 5, 4));
	assert_true(rung(0xe0000030, 0xff, 1)); /* a byte is all that is compared */
	assert_int_equal(ring_of(root_vp())->data[0], 1);
	assert_int_equal(ring_of(root_vp())->data[1], 3);
	assert_int_equal(ring_of(root_vp())->data[2], 2);
	assert_int_equal(ring_of(root_vp())->data[3], 4);
	assert_int_equal(ring_of(root_vp())->data[4], 0);
	for (uint32_t i = 1; i <= 4; i++) {
		assert_int_equal(disconnect(child, i, true), HV_STATUS_SUCCESS);
	}
	assert_int_equal(child->doorbell_count, 0);
	assert_false(rung(0xe0000010, 99, 8));
	for (uint32_t i = 1; i <= 4; i++) {
		assert_int_equal(delete_port(&fake_root, i), HV_STATUS_SUCCESS);
	}
}

/* The message on SINT0 says which SINT; none comes while the reader has masked it. */
static void the_reader_of_the_ring_is_told(void **state)
{
	struct hv_notification_message_payload payload;
	struct hv_message message;

	(void)state;
	ring_enable(root_vp(), 42);
	doorbell(1, 0x1000, 0, HV_DOORBELL_FLAG_TRIGGER_ANY_VALUE);
	assert_true(rung(0x1000, 0, 4));
	message = take_message(root_vp(), 0);
	memcpy(&payload, message.u.payload, sizeof(payload));
	assert_int_equal(message.header.message_type, HVMSG_SYNIC_SINT_INTERCEPT);
	assert_int_equal(payload.sint_index, DOORBELL_SINT);
	ring_of(root_vp())->signal_masked = 1;
	assert_true(rung(0x1000, 0, 4));
	assert_int_equal(take_message(root_vp(), 0).header.message_type, HVMSG_NONE);
	assert_int_equal(ring_of(root_vp())->data[1], 1);
	assert_int_equal(delete_port(&fake_root, 1), HV_STATUS_SUCCESS);
}

static void a_full_ring_loses_nothing(void **state)
{
	union hv_input_notify_port_ring_empty in = {.sint_index = DOORBELL_SINT};
	struct hv_synic_event_ring *ring = ring_of(root_vp());

	(void)state;
	ring_enable(root_vp(), 42);
	doorbell(1, 0x1000, 0, HV_DOORBELL_FLAG_TRIGGER_ANY_VALUE);
	doorbell(2, 0x2000, 0, HV_DOORBELL_FLAG_TRIGGER_ANY_VALUE);
	doorbell(3, 0x3000, 0, HV_DOORBELL_FLAG_TRIGGER_ANY_VALUE);
	for (uint32_t i = 0; i < HV_SYNIC_EVENT_RING_MESSAGE_COUNT; i++) {
		assert_true(rung(0x1000, 0, 4));
	}
	assert_false(ring->ring_full);
	assert_true(rung(0x2000, 0, 4));
	assert_true(rung(0x3000, 0, 4));
	assert_true(rung(0x3000, 0, 4));
	assert_true(ring->ring_full);
	memset(ring->data, 0, sizeof(ring->data));
	ring->ring_full = 0;
	assert_int_equal(
		call_fast(root_vp(), HVCALL_NOTIFY_PORT_RING_EMPTY, &in, sizeof(in), NULL, 0, 0),
		HV_STATUS_SUCCESS);
	assert_int_equal(ring->data[0] + ring->data[1], 5);
	assert_int_equal(ring->data[2], 0);
	call_fast(root_vp(), HVCALL_NOTIFY_PORT_RING_EMPTY, &in, sizeof(in), NULL, 0, 0);
	assert_int_equal(ring->data[2], 0);
	in.sint_index = 16;
	assert_int_equal(
		call_fast(root_vp(), HVCALL_NOTIFY_PORT_RING_EMPTY, &in, sizeof(in), NULL, 0, 0),
		HV_STATUS_INVALID_PARAMETER);
	for (uint32_t i = 1; i <= 3; i++) {
		assert_int_equal(delete_port(&fake_root, i), HV_STATUS_SUCCESS);
	}
}

/* Nobody listens: the write is an intercept for the parent, as if there were no doorbell. */
static void a_doorbell_without_a_ring_is_not_taken(void **state)
{
	(void)state;
	doorbell(1, 0x1000, 0, HV_DOORBELL_FLAG_TRIGGER_ANY_VALUE);
	assert_false(rung(0x1000, 0, 4));
	ring_enable(fake_root.vps[1], 43);
	assert_int_equal(synic_msr_write(fake_root.vps[1], HV_X64_MSR_SCONTROL, 1), ACCESS_OK);
	assert_true(rung(0x1000, 0, 4));
	assert_int_equal(ring_of(fake_root.vps[1])->data[0], 1);
	assert_int_equal(delete_port(&fake_root, 1), HV_STATUS_SUCCESS);
	assert_false(rung(0x1000, 0, 4));
}

/* The same number may name a doorbell and another connection. */
static void doorbells_have_ids_of_their_own(void **state)
{
	(void)state;
	ring_enable(root_vp(), 42);
	bind(1, HV_PORT_TYPE_EVENT);
	{
		struct hv_input_create_port port =
			port_of(&fake_root, child, 2, HV_PORT_TYPE_DOORBELL);
		struct hv_input_connect_port in =
			connection_of(child, 1, &fake_root, 2, HV_PORT_TYPE_DOORBELL);

		in.connection_info.doorbell_connection_info.flags = 5;
		assert_int_equal(create_port(&port), HV_STATUS_SUCCESS);
		assert_int_equal(connect_port(&in), HV_STATUS_INVALID_PARAMETER);
		in.connection_info.doorbell_connection_info.flags =
			HV_DOORBELL_FLAG_TRIGGER_ANY_VALUE;
		in.connection_info.doorbell_connection_info.gpa = 1ull << 40;
		assert_int_equal(connect_port(&in), HV_STATUS_INVALID_PARAMETER);
		in.connection_info.doorbell_connection_info.gpa = 0;
		assert_int_equal(connect_port(&in), HV_STATUS_SUCCESS);
	}
	assert_int_equal(signal_event(vp, 1, 0), HV_STATUS_SUCCESS);
	assert_int_equal(disconnect(child, 1, true), HV_STATUS_SUCCESS);
	assert_int_equal(signal_event(vp, 1, 0), HV_STATUS_SUCCESS);
	assert_int_equal(delete_port(&fake_root, 1), HV_STATUS_SUCCESS);
	assert_int_equal(delete_port(&fake_root, 2), HV_STATUS_SUCCESS);
}

/* ---- Direct calls ---- */

static hv_status_t post_direct(uint64_t id, uint32_t index, uint32_t sint, uint32_t type)
{
	struct hv_input_post_message_direct in = {
		.partition_id = id, .vp_index = index, .sint_index = sint};
	struct hv_message message = {.header = {.message_type = type, .payload_size = 3}};

	memcpy(message.u.payload, "abc", 3);
	memcpy(in.message, &message, sizeof(message));
	return status_of(call(root_vp(), HVCALL_POST_MESSAGE_DIRECT, &in, sizeof(in), NULL, 0));
}

static void direct_messages_do_not_queue(void **state)
{
	struct hv_message message;

	(void)state;
	assert_int_equal(post_direct(child->id, 0, SINT, 1), HV_STATUS_SUCCESS);
	assert_int_equal(post_direct(child->id, 0, SINT, 2), HV_STATUS_INSUFFICIENT_BUFFERS);
	message = take_message(vp, SINT);
	assert_int_equal(message.header.message_type, 1);
	assert_memory_equal(message.u.payload, "abc", 3);
	assert_true(message.header.message_flags.msg_pending); /* so that the guest's EOM tells */
	assert_int_equal(post_direct(child->id, 0, SINT, 2), HV_STATUS_SUCCESS);
	assert_int_equal(post_direct(child->id, 0, 16, 1), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(post_direct(child->id, 0, SINT, 0), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(post_direct(child->id, 9, SINT, 1), HV_STATUS_INVALID_VP_INDEX);
	assert_int_equal(post_direct(child->id, 1, SINT, 1), HV_STATUS_INVALID_SYNIC_STATE);
	assert_int_equal(post_direct(HV_PARTITION_ID_SELF, 0, SINT, 1),
			 HV_STATUS_INVALID_PARTITION_ID);
}

static void direct_events_tell_whether_they_are_new(void **state)
{
	struct hv_input_signal_event_direct in = {
		.target_partition = child->id, .target_sint = SINT, .flag_number = 100};
	struct hv_output_signal_event_direct out;

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(status_of(call(root_vp(), HVCALL_SIGNAL_EVENT_DIRECT, &in,
						sizeof(in), &out, sizeof(out))),
				 HV_STATUS_SUCCESS);
		assert_int_equal(out.newly_signaled, i == 0);
	}
	assert_true(flag_set(vp, SINT, 100));
	in.flag_number = 2048;
	assert_int_equal(
		status_of(call(root_vp(), HVCALL_SIGNAL_EVENT_DIRECT, &in, sizeof(in), NULL, 0)),
		HV_STATUS_INVALID_PARAMETER);
	in.flag_number = 0;
	in.target_sint = 16;
	assert_int_equal(
		status_of(call(root_vp(), HVCALL_SIGNAL_EVENT_DIRECT, &in, sizeof(in), NULL, 0)),
		HV_STATUS_INVALID_PARAMETER);
}

static hv_status_t assert_interrupt(uint32_t type, uint64_t destination, uint32_t vector,
				    bool logical)
{
	struct hv_input_assert_virtual_interrupt in = {
		.partition_id = child->id,
		.dest_addr = destination,
		.vector = vector,
		.control = {.interrupt_type = type, .logical_dest_mode = logical}};

	return status_of(
		call(root_vp(), HVCALL_ASSERT_VIRTUAL_INTERRUPT, &in, sizeof(in), NULL, 0));
}

static void interrupts_are_asserted(void **state)
{
	(void)state;
	lapic_mmio_write(vp, 0xf0, 0x1ff);
	assert_int_equal(assert_interrupt(HV_X64_INTERRUPT_TYPE_FIXED, 0, 0x61, false),
			 HV_STATUS_SUCCESS);
	vp_process_events(vp);
	assert_int_equal(lapic_pending(vp), 0x61);
	assert_int_equal(assert_interrupt(HV_X64_INTERRUPT_TYPE_FIXED, 0, 15, false),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(assert_interrupt(HV_X64_INTERRUPT_TYPE_FIXED, 0, 256, false),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(assert_interrupt(HV_X64_INTERRUPT_TYPE_SMI, 0, 0, false),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(assert_interrupt(99, 0, 0x61, false), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(assert_interrupt(HV_X64_INTERRUPT_TYPE_FIXED, 1ull << 32, 0x61, false),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(assert_interrupt(HV_X64_INTERRUPT_TYPE_NMI, 0, 0, false),
			 HV_STATUS_SUCCESS);
	vp_process_events(vp);
	assert_true(vp->nmi_pending);
}

static void an_extint_can_be_taken_back(void **state)
{
	uint64_t in[1] = {child->id};

	(void)state;
	lapic_mmio_write(vp, 0xf0, 0x1ff);
	assert_int_equal(assert_interrupt(HV_X64_INTERRUPT_TYPE_EXTINT, 0, 0x20, false),
			 HV_STATUS_SUCCESS);
	vp_process_events(vp);
	assert_true(vp->extint_pending);
	assert_int_equal(vp_take_extint(vp), 0x20);
	assert_false(vp->extint_pending);
	assert_int_equal(assert_interrupt(HV_X64_INTERRUPT_TYPE_EXTINT, 0, 0x21, false),
			 HV_STATUS_SUCCESS);
	assert_int_equal(
		call_fast(root_vp(), HVCALL_CLEAR_VIRTUAL_INTERRUPT, in, sizeof(in), NULL, 0, 0),
		HV_STATUS_SUCCESS);
	vp_process_events(vp);
	assert_false(vp->extint_pending);
	in[0] = 4711;
	assert_int_equal(
		call_fast(root_vp(), HVCALL_CLEAR_VIRTUAL_INTERRUPT, in, sizeof(in), NULL, 0, 0),
		HV_STATUS_INVALID_PARTITION_ID);
}

static void device_interrupts_are_the_parents(void **state)
{
	struct hv_retarget_device_interrupt in = {.partition_id = HV_PARTITION_ID_SELF};

	(void)state;
	assert_int_equal(status_of(call(vp, HVCALL_RETARGET_INTERRUPT, &in, sizeof(in), NULL, 0)),
			 HV_STATUS_INVALID_DEVICE_ID);
	child->intercept_retarget = true;
	call(vp, HVCALL_RETARGET_INTERRUPT | VARHEAD(1), &in, sizeof(in), NULL, 0);
	assert_int_equal(last_call.action, HYPERCALL_INTERCEPT);
}

/* ---- Cells ---- */

static void cells_fill_pages_and_give_them_back(void **state)
{
	void *cells[200];
	uint64_t pages = plat_pool_count(&fake_root);

	(void)state;
	for (uint32_t i = 0; i < 200; i++) {
		cells[i] = cell_alloc(&fake_root);
		assert_non_null(cells[i]);
		for (uint32_t k = 0; k < CELL_BYTES; k++) {
			assert_int_equal(((uint8_t *)cells[i])[k], 0);
		}
		memset(cells[i], 0xee, CELL_BYTES);
	}
	assert_true(pages - plat_pool_count(&fake_root) <= 200 * CELL_BYTES / PAGE_SIZE + 1);
	for (uint32_t i = 0; i < 200; i += 2) {
		cell_free(&fake_root, cells[i]);
	}
	for (uint32_t i = 0; i < 200; i += 2) {
		cells[i] = cell_alloc(&fake_root);
	}
	assert_true(pages - plat_pool_count(&fake_root) <= 200 * CELL_BYTES / PAGE_SIZE + 1);
	for (uint32_t i = 200; i-- > 0;) {
		cell_free(&fake_root, cells[i]);
	}
	assert_int_equal(plat_pool_count(&fake_root), pages);
	assert_null(fake_root.cells);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_message_goes_through_a_connection),
		T(messages_queue_behind_a_full_slot),
		T(messages_are_checked),
		T(any_vp_takes_a_message),
		T(an_event_sets_a_flag_of_the_port),
		T(the_root_signals_a_child),
		T(types_do_not_mix),
		T(ports_are_checked),
		T(connections_are_checked),
		T(a_port_takes_a_bounded_number_of_connections),
		T(creation_undoes_itself),
		T(ports_go_with_their_partition),
		T(connections_go_with_their_partition),
		T(an_unknown_connection_is_the_parents),
		T(a_doorbell_rings_by_address_size_and_value),
		T(the_reader_of_the_ring_is_told),
		T(a_full_ring_loses_nothing),
		T(a_doorbell_without_a_ring_is_not_taken),
		T(doorbells_have_ids_of_their_own),
		T(direct_messages_do_not_queue),
		T(direct_events_tell_whether_they_are_new),
		T(interrupts_are_asserted),
		T(an_extint_can_be_taken_back),
		T(device_interrupts_are_the_parents),
		T(cells_fill_pages_and_give_them_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
