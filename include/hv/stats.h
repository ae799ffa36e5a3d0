/*
 * Statistics pages: a page of 64-bit counters per object (TLFS: HV_STATS_OBJECT_TYPE,
 * HV_STATS_OBJECT_IDENTITY, HvCallMapStatsPage2, HvCallUnmapStatsPage).
 */
#ifndef HV_STATS_H
#define HV_STATS_H

#include "types.h"

enum hv_stats_area_type {
	HV_STATS_AREA_SELF = 0,
	HV_STATS_AREA_PARENT = 1,
	HV_STATS_AREA_INTERNAL = 2,
	HV_STATS_AREA_COUNT,
};

enum hv_stats_object_type {
	HV_STATS_OBJECT_HYPERVISOR = 0x00000001,
	HV_STATS_OBJECT_LOGICAL_PROCESSOR = 0x00000002,
	HV_STATS_OBJECT_PARTITION = 0x00010001,
	HV_STATS_OBJECT_VP = 0x00010002,
};

union hv_stats_object_identity {
	struct {
		uint8_t reserved[15];
		uint8_t stats_area_type;
	} hv;
	struct {
		uint32_t lp_index;
		uint8_t reserved[11];
		uint8_t stats_area_type;
	} lp;
	struct {
		uint64_t partition_id;
		uint8_t reserved[7];
		uint8_t stats_area_type;
	} partition;
	struct {
		uint64_t partition_id;
		uint32_t vp_index;
		uint16_t flags;
		uint8_t reserved;
		uint8_t stats_area_type;
	} vp;
};
HV_ASSERT_SIZE(union hv_stats_object_identity, 16);

struct hv_stats_page {
	uint64_t data[HV_HYP_PAGE_SIZE / sizeof(uint64_t)];
};
HV_ASSERT_SIZE(struct hv_stats_page, HV_HYP_PAGE_SIZE);

/* Counters, as indices of data[]: the hypervisor's */
#define HV_STATS_HV_LOGICAL_PROCESSORS 1
#define HV_STATS_HV_PARTITIONS         2
#define HV_STATS_HV_TOTAL_PAGES        3
#define HV_STATS_HV_VIRTUAL_PROCESSORS 4

/* a logical processor's */
#define HV_STATS_LP_GLOBAL_TIME          1
#define HV_STATS_LP_TOTAL_RUN_TIME       2
#define HV_STATS_LP_HYPERVISOR_RUN_TIME  3
#define HV_STATS_LP_HARDWARE_INTERRUPTS  4
#define HV_STATS_LP_CONTEXT_SWITCHES     5
#define HV_STATS_LP_SCHEDULER_INTERRUPTS 7
#define HV_STATS_LP_TIMER_INTERRUPTS     8
#define HV_STATS_LP_IPIS_SENT            9
#define HV_STATS_LP_PROCESSOR_HALTS      10
#define HV_STATS_LP_ROOT_VP_INDEX        19

/* a partition's */
#define HV_STATS_PT_VIRTUAL_PROCESSORS      1
#define HV_STATS_PT_DEPOSITED_PAGES         5
#define HV_STATS_PT_GPA_PAGES               6
#define HV_STATS_PT_GPA_SPACE_MODIFICATIONS 7
#define HV_STATS_PT_GPA_PAGES_4K            10
#define HV_STATS_PT_GPA_PAGES_2M            11
#define HV_STATS_PT_GPA_PAGES_1G            12
#define HV_STATS_PT_PARTITION_ID            26

/* and a VP's */
#define HV_STATS_VP_TOTAL_RUN_TIME           1
#define HV_STATS_VP_HYPERVISOR_RUN_TIME      2
#define HV_STATS_VP_HYPERCALLS_COUNT         7
#define HV_STATS_VP_CONTROL_REGISTER_COUNT   11
#define HV_STATS_VP_IO_INSTRUCTIONS_COUNT    13
#define HV_STATS_VP_HLT_INSTRUCTIONS_COUNT   15
#define HV_STATS_VP_CPUID_INSTRUCTIONS_COUNT 19
#define HV_STATS_VP_MSR_ACCESSES_COUNT       21
#define HV_STATS_VP_OTHER_INTERCEPTS_COUNT   23
#define HV_STATS_VP_EXTERNAL_INTERRUPTS      25
#define HV_STATS_VP_IO_INTERCEPT_MESSAGES    40
#define HV_STATS_VP_MEMORY_INTERCEPTS        41
#define HV_STATS_VP_OTHER_MESSAGES           43
#define HV_STATS_VP_SYNTHETIC_INTERRUPTS     58
#define HV_STATS_VP_VIRTUAL_INTERRUPTS       59
#define HV_STATS_VP_NESTED_PAGE_FAULTS       71
#define HV_STATS_VP_DISPATCHES               74
#define HV_STATS_VP_ROOT_DISPATCH_BLOCKED    202 /* told to wait */

/* HvCallMapStatsPage: the hypervisor picks the place */
struct hv_input_map_stats_page {
	uint32_t type; /* enum hv_stats_object_type */
	uint32_t padding;
	union hv_stats_object_identity identity;
};
HV_ASSERT_SIZE(struct hv_input_map_stats_page, 24);

/* HvCallMapStatsPage2: the caller does */
struct hv_input_map_stats_page2 {
	uint32_t type;
	uint32_t padding;
	union hv_stats_object_identity identity;
	uint64_t map_location; /* GPA page number */
};
HV_ASSERT_SIZE(struct hv_input_map_stats_page2, 32);

struct hv_output_map_stats_page {
	uint64_t map_location; /* GPA page number */
};
HV_ASSERT_SIZE(struct hv_output_map_stats_page, 8);

/* HvCallUnmapStatsPage */
struct hv_input_unmap_stats_page {
	uint32_t type;
	uint32_t padding;
	union hv_stats_object_identity identity;
};
HV_ASSERT_SIZE(struct hv_input_unmap_stats_page, 24);

#endif
