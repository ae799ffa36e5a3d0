/*
 * The protocol of Hyper-V's integration services (integration components, IC), as Linux's hv_utils
 * speaks it: what travels in the in-band packets of a channel whose offer has the interface type of
 * a service. Names as in Linux's hyperv.h. Little-endian, packed.
 *
 * A packet is struct vmbuspipe_hdr, struct icmsg_hdr, and a body. The host sends requests, first
 * NEGOTIATE; the guest sends each back with ICMSGHDRFLAG_RESPONSE, its status and its answer in the
 * same body.
 */
#ifndef VSP_IC_H
#define VSP_IC_H

#include <assert.h>
#include <stdint.h>

#define IC_PACKED __attribute__((packed))

#define IC_MESSAGE_MAX 13312u /* bytes of a packet */

/* A channel in message mode. */
struct vmbuspipe_hdr {
	uint32_t flags; /* IC_PIPE_DATA */
	uint32_t msgsize;
} IC_PACKED;
#define IC_PIPE_DATA 1u

struct ic_version {
	uint16_t major, minor;
} IC_PACKED;

enum icmsg_type {
	ICMSGTYPE_NEGOTIATE = 0,
	ICMSGTYPE_HEARTBEAT = 1,
	ICMSGTYPE_KVPEXCHANGE = 2,
	ICMSGTYPE_SHUTDOWN = 3,
	ICMSGTYPE_TIMESYNC = 4,
	ICMSGTYPE_VSS = 5,
	ICMSGTYPE_FCOPY = 7,
};

/* icmsg_hdr.icflags */
#define ICMSGHDRFLAG_TRANSACTION 1u
#define ICMSGHDRFLAG_REQUEST     2u
#define ICMSGHDRFLAG_RESPONSE    4u

/* icmsg_hdr.status */
#define HV_S_OK                 0x00000000u
#define HV_E_FAIL               0x80004005u
#define HV_S_CONT               0x80070103u /* of an enumeration: there are no more */
#define HV_ERROR_NOT_FOUND      0x80041002u
#define HV_ERROR_UNSUPPORTED    0x80070032u
#define HV_ERROR_ALREADY_EXISTS 0x80070050u
#define HV_ERROR_DISK_FULL      0x80070070u

struct icmsg_hdr {
	struct ic_version icverframe;
	uint16_t icmsgtype;
	struct ic_version icvermsg;
	uint16_t icmsgsize; /* of the body */
	uint32_t status;
	uint8_t ictransaction_id;
	uint8_t icflags;
	uint16_t reserved;
} IC_PACKED;
static_assert(sizeof(struct icmsg_hdr) == 20, "icmsg_hdr");

/* The versions of the framework, then those of the message. The answer has one of each, or none. */
struct icmsg_negotiate {
	uint16_t icframe_vercnt;
	uint16_t icmsg_vercnt;
	uint32_t reserved;
	struct ic_version icversion_data[];
} IC_PACKED;

/* ---- Shutdown ---- */

#define IC_SHUTDOWN_TEXT_BYTES 2048u

#define IC_SHUTDOWN_PLANNED 0x80000000u /* a reason, as InitiateSystemShutdownEx() has them */

#define IC_SHUTDOWN_FORCE     1u
#define IC_SHUTDOWN_RESTART   2u
#define IC_SHUTDOWN_HIBERNATE 4u

struct shutdown_msg_data {
	uint32_t reason_code;
	uint32_t timeout_seconds;
	uint32_t flags;
	char display_message[IC_SHUTDOWN_TEXT_BYTES];
} IC_PACKED;
static_assert(sizeof(struct shutdown_msg_data) == 2060, "shutdown_msg_data");

/* ---- Heartbeat ---- */

enum ic_application_state {
	IC_APPLICATION_UNKNOWN = 0,
	IC_APPLICATION_OK = 1,
	IC_APPLICATION_CRITICAL = 2,
};

struct heartbeat_msg_data {
	uint64_t seq_num; /* the answer's is one more */
	uint32_t application_state;
	uint32_t reserved[7];
} IC_PACKED;
static_assert(sizeof(struct heartbeat_msg_data) == 40, "heartbeat_msg_data");

/* ---- Time ---- */

#define ICTIMESYNCFLAG_SYNC   1u /* set the clock */
#define ICTIMESYNCFLAG_SAMPLE 2u

/* Time is in 100 ns since 1601-01-01 UTC. */
#define IC_TIME_OF_1970 116444736000000000ull

struct ictimesync_data { /* up to protocol 3.0 */
	uint64_t parenttime;
	uint64_t childtime;
	uint64_t roundtriptime;
	uint8_t flags;
	uint8_t reserved[3];
} IC_PACKED;
static_assert(sizeof(struct ictimesync_data) == 28, "ictimesync_data");

struct ictimesync_ref_data { /* from protocol 4.0 on */
	uint64_t parenttime;
	uint64_t vmreferencetime; /* at parenttime: HV_X64_MSR_TIME_REF_COUNT of the guest */
	uint8_t flags;
	uint8_t leapflags;
	uint8_t stratum;
	uint8_t reserved[5];
} IC_PACKED;
static_assert(sizeof(struct ictimesync_ref_data) == 24, "ictimesync_ref_data");

/* ---- Values ---- */

enum hv_kvp_exchg_op {
	KVP_OP_GET = 0,
	KVP_OP_SET = 1,
	KVP_OP_DELETE = 2,
	KVP_OP_ENUMERATE = 3,
	KVP_OP_GET_IP_INFO = 4,
	KVP_OP_SET_IP_INFO = 5,
};

#define IC_REG_SZ          1u
#define IC_REG_EXPAND_SZ   2u
#define IC_REG_U32         4u
#define IC_REG_U64         8u  /* Linux's */
#define IC_REG_U64_WINDOWS 11u /* REG_QWORD */

#define HV_KVP_EXCHANGE_MAX_KEY_SIZE   512u
#define HV_KVP_EXCHANGE_MAX_VALUE_SIZE 2048u

struct hv_kvp_hdr {
	uint8_t operation;
	uint8_t pool;
	uint16_t pad;
} IC_PACKED;

/* Sizes are in bytes; texts are UTF-16 with a NUL, which their sizes include. */
struct hv_kvp_exchg_msg_value {
	uint32_t value_type;
	uint32_t key_size;
	uint32_t value_size;
	uint8_t key[HV_KVP_EXCHANGE_MAX_KEY_SIZE];
	uint8_t value[HV_KVP_EXCHANGE_MAX_VALUE_SIZE];
} IC_PACKED;

struct hv_kvp_msg {
	struct hv_kvp_hdr kvp_hdr;
	union {
		struct hv_kvp_exchg_msg_value value; /* get, set */
		struct {
			uint32_t key_size;
			uint8_t key[HV_KVP_EXCHANGE_MAX_KEY_SIZE];
		} IC_PACKED remove;
		struct {
			uint32_t index;
			struct hv_kvp_exchg_msg_value value;
		} IC_PACKED enumerate;
	} IC_PACKED body;
} IC_PACKED;
static_assert(sizeof(struct hv_kvp_msg) == 2580, "hv_kvp_msg");

/* ---- An adapter's addresses ---- */

#define MAX_ADAPTER_ID_SIZE 128u /* UTF-16 units, like the next two */
#define MAX_IP_ADDR_SIZE    1024u
#define MAX_GATEWAY_SIZE    512u

#define ADDR_FAMILY_IPV4 1u
#define ADDR_FAMILY_IPV6 2u

/* Up to protocol 4.0: lists of texts with semicolons between, a NUL at the end. No padding behind
 * the pool. */
struct hv_kvp_ip_msg {
	uint8_t operation;
	uint8_t pool;
	uint8_t adapter_id[2 * MAX_ADAPTER_ID_SIZE];
	uint8_t addr_family;
	uint8_t dhcp_enabled;
	uint8_t ip_addr[2 * MAX_IP_ADDR_SIZE];
	uint8_t sub_net[2 * MAX_IP_ADDR_SIZE]; /* 255.255.255.0, or the bits of an IPv6 prefix */
	uint8_t gate_way[2 * MAX_GATEWAY_SIZE];
	uint8_t dns_addr[2 * MAX_IP_ADDR_SIZE];
} IC_PACKED;
static_assert(sizeof(struct hv_kvp_ip_msg) == 7428, "hv_kvp_ip_msg");

#define IC_IP_MAX       64u
#define IC_GATEWAYS_MAX 5u

/* From protocol 5.0 on: in network order, each with its count. */
struct ic_kvp_ip_binary {
	struct hv_kvp_hdr kvp_hdr;
	uint32_t address4_count, address6_count;
	uint32_t gateway4_count, gateway6_count;
	uint32_t dns4_count, dns6_count;
	uint8_t adapter_id[2 * MAX_ADAPTER_ID_SIZE];
	uint8_t addr_family;
	uint8_t dhcp_enabled;
	uint16_t pad;
	uint8_t addresses4[IC_IP_MAX][4];
	uint8_t addresses6[IC_IP_MAX][16];
	uint8_t subnets4[IC_IP_MAX][4];
	uint32_t subnets6[IC_IP_MAX]; /* bits of the prefix */
	uint8_t gateways4[IC_GATEWAYS_MAX][4];
	uint8_t gateways6[IC_GATEWAYS_MAX][16];
	uint8_t dns4[IC_IP_MAX][4];
	uint8_t dns6[IC_IP_MAX][16];
	uint8_t origins[256]; /* where each address is from; not used */
} IC_PACKED;
static_assert(sizeof(struct ic_kvp_ip_binary) == 4 + 3712, "ic_kvp_ip_binary");

/* ---- Backup: the guest's file systems stand still ---- */

enum hv_vss_op {
	VSS_OP_HOT_BACKUP = 2, /* could it be frozen? */
	VSS_OP_FREEZE = 5,
	VSS_OP_THAW = 6,
};

#define IC_VSS_LUNS_MAX 260u

struct hv_vss_msg {
	uint8_t operation;
	uint8_t reserved[7];
	union {
		uint32_t flags; /* in the answer to HOT_BACKUP */
		struct {
			uint32_t backup_type, flags, lun_count;
			uint8_t luns[IC_VSS_LUNS_MAX][24]; /* none named: all of them */
		} IC_PACKED freeze;
	} IC_PACKED body;
} IC_PACKED;
static_assert(sizeof(struct hv_vss_msg) == 6260, "hv_vss_msg");

/* The shortest that Linux takes for anything but a freeze. */
#define IC_VSS_SHORT_BYTES 12u

/* ---- Files for the guest ---- */

enum hv_fcopy_op {
	START_FILE_COPY = 0,
	WRITE_TO_FILE = 1,
	COMPLETE_FCOPY = 2,
	CANCEL_FCOPY = 3,
};

#define W_MAX_PATH         260u /* UTF-16 units, a NUL among them */
#define DATA_FRAGMENT      6144u
#define IC_FCOPY_OVERWRITE 1u
#define IC_FCOPY_MAKE_PATH 2u

struct hv_fcopy_hdr {
	uint32_t operation;
	uint8_t service_id0[16], service_id1[16]; /* who is to have it: nobody in particular */
} IC_PACKED;
static_assert(sizeof(struct hv_fcopy_hdr) == 36, "hv_fcopy_hdr");

struct hv_start_fcopy {
	struct hv_fcopy_hdr hdr;
	uint8_t file_name[2 * W_MAX_PATH];
	uint8_t path_name[2 * W_MAX_PATH]; /* the folder, with the slash at its end */
	uint32_t copy_flags;
	uint64_t file_size;
} IC_PACKED;
static_assert(sizeof(struct hv_start_fcopy) == 1088, "hv_start_fcopy");

struct hv_do_fcopy {
	struct hv_fcopy_hdr hdr;
	uint32_t pad;
	uint64_t offset;
	uint32_t size;
	uint8_t data[DATA_FRAGMENT];
} IC_PACKED;
static_assert(sizeof(struct hv_do_fcopy) == 6196, "hv_do_fcopy");

#endif
