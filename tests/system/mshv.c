#include "tests/system/mshv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

_Noreturn void fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s does not hold (errno %d: %s)\n", file, line, what, errno,
		strerror(errno));
	exit(1);
}

int hvcall(int fd, uint16_t code, uint16_t reps, const void *input, uint16_t input_size,
	   void *output, uint16_t output_size)
{
	struct mshv_root_hvcall call = {
		.code = code,
		.reps = reps,
		.in_sz = input_size,
		.out_sz = output_size,
		.in_ptr = (uintptr_t)input,
		.out_ptr = (uintptr_t)output,
	};

	return ioctl(fd, MSHV_ROOT_HVCALL, &call);
}

int machine_map(const struct machine *machine, uint64_t gpa, void *address, uint64_t size,
		unsigned int flags)
{
	struct mshv_user_mem_region region = {
		.size = size,
		.guest_pfn = gpa / PAGE,
		.userspace_addr = (uintptr_t)address,
		.flags = flags,
	};

	return ioctl(machine->partition, MSHV_SET_GUEST_MEMORY, &region);
}

/* What a guest needs for hypercalls; a property of a partition that is not initialized yet. */
static void allow_hypercalls(const struct machine *machine)
{
	const union hv_partition_synthetic_processor_features features = {
		.hypervisor_present = 1,
		.hv1 = 1,
		.access_synic_regs = 1,
		.access_hypercall_regs = 1,
		.access_vp_index = 1,
		.signal_events = 1,
	};
	struct hv_input_set_partition_property input = {
		.property_code = HV_PARTITION_PROPERTY_SYNTHETIC_PROC_FEATURES,
		.property_value = features.as_uint64[0],
	};

	EXPECT(!hvcall(machine->partition, HVCALL_SET_PARTITION_PROPERTY, 0, &input, sizeof(input),
		       NULL, 0));
}

void machine_create(struct machine *machine, size_t memory_size)
{
	struct mshv_create_partition arguments = {.pt_flags = 1 << MSHV_PT_BIT_LAPIC |
							      1 << MSHV_PT_BIT_X2APIC};

	machine->device = open(MSHV_DEVICE, O_RDWR | O_CLOEXEC);
	EXPECT(machine->device >= 0);
	machine->partition = ioctl(machine->device, MSHV_CREATE_PARTITION, &arguments);
	EXPECT(machine->partition >= 0);
	allow_hypercalls(machine);
	EXPECT(!ioctl(machine->partition, MSHV_INITIALIZE_PARTITION));
	machine->memory_size = memory_size;
	machine->memory =
		mmap(NULL, memory_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	EXPECT(machine->memory != MAP_FAILED);
	EXPECT(!machine_map(machine, 0, machine->memory, memory_size,
			    1 << MSHV_SET_MEM_BIT_WRITABLE | 1 << MSHV_SET_MEM_BIT_EXECUTABLE));
}

void machine_destroy(struct machine *machine)
{
	close(machine->partition);
	close(machine->device);
	munmap(machine->memory, machine->memory_size);
}

void cpu_set(const struct cpu *cpu, uint32_t index, uint32_t name, union hv_register_value value)
{
	struct {
		struct hv_input_set_vp_registers head;
		struct hv_register_assoc element;
	} input = {.head.vp_index = index, .element = {.name = name, .value = value}};

	EXPECT(!hvcall(cpu->fd, HVCALL_SET_VP_REGISTERS, 1, &input, sizeof(input), NULL, 0));
}

uint64_t cpu_get64(const struct cpu *cpu, uint32_t index, uint32_t name)
{
	struct {
		struct hv_input_get_vp_registers head;
		uint32_t name;
	} input = {.head.vp_index = index, .name = name};
	union hv_register_value value;

	EXPECT(!hvcall(cpu->fd, HVCALL_GET_VP_REGISTERS, 1, &input, sizeof(input), &value,
		       sizeof(value)));
	return value.reg64;
}

static void flat_segment(const struct cpu *cpu, uint32_t index, uint32_t name, uint16_t selector,
			 uint16_t attributes)
{
	union hv_register_value value = {
		.segment = {.limit = 0xffffffff, .selector = selector, .attributes = attributes},
	};

	cpu_set(cpu, index, name, value);
}

static void protected_mode(const struct cpu *cpu, uint32_t index, uint32_t eip)
{
	static const uint32_t data[] = {HV_X64_REGISTER_DS, HV_X64_REGISTER_ES, HV_X64_REGISTER_SS,
					HV_X64_REGISTER_FS, HV_X64_REGISTER_GS};

	cpu_set(cpu, index, HV_X64_REGISTER_CR0, (union hv_register_value){.reg64 = 0x31});
	flat_segment(cpu, index, HV_X64_REGISTER_CS, 8, 0xc09b);
	for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++) {
		flat_segment(cpu, index, data[i], 16, 0xc093);
	}
	cpu_set(cpu, index, HV_X64_REGISTER_RSP, (union hv_register_value){.reg64 = 0x8000});
	cpu_set(cpu, index, HV_X64_REGISTER_RIP, (union hv_register_value){.reg64 = eip});
	cpu_set(cpu, index, HV_REGISTER_INTERNAL_ACTIVITY_STATE,
		(union hv_register_value){.reg64 = 0});
}

static void *map_page(int fd, long which)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, which * (long)PAGE);

	EXPECT(page != MAP_FAILED);
	return page;
}

void cpu_create(const struct machine *machine, struct cpu *cpu, uint32_t index, uint32_t eip)
{
	struct mshv_create_vp arguments = {.vp_index = index};

	cpu->fd = ioctl(machine->partition, MSHV_CREATE_VP, &arguments);
	EXPECT(cpu->fd >= 0);
	cpu->registers = map_page(cpu->fd, MSHV_VP_MMAP_OFFSET_REGISTERS);
	cpu->intercept = map_page(cpu->fd, MSHV_VP_MMAP_OFFSET_INTERCEPT_MESSAGE);
	protected_mode(cpu, index, eip);
}

void cpu_destroy(struct cpu *cpu)
{
	munmap(cpu->registers, PAGE);
	munmap(cpu->intercept, PAGE);
	close(cpu->fd);
}

static volatile sig_atomic_t rang;

static void ring(int number)
{
	(void)number;
	rang = 1;
}

/* The timer repeats, as its signal may come just before the VP is entered. */
static void set_timer(unsigned int milliseconds)
{
	struct timeval time = {.tv_sec = milliseconds / 1000,
			       .tv_usec = milliseconds % 1000 * 1000};
	struct itimerval timer = {.it_interval = {.tv_usec = milliseconds ? 20000 : 0},
				  .it_value = time};
	struct sigaction action = {.sa_handler = ring};

	rang = 0;
	EXPECT(!sigaction(SIGALRM, &action, NULL));
	EXPECT(!setitimer(ITIMER_REAL, &timer, NULL));
}

uint32_t cpu_run(const struct cpu *cpu, struct hv_message *message, unsigned int milliseconds)
{
	struct mshv_run_vp run;
	int ret;

	set_timer(milliseconds);
	do {
		ret = ioctl(cpu->fd, MSHV_RUN_VP, &run);
	} while (ret < 0 && errno == EINTR && !rang);
	set_timer(0);
	if (ret) {
		EXPECT(errno == EINTR);
		return 0;
	}
	memcpy(message, run.msg_buf, sizeof(*message));
	EXPECT(message->header.message_type != HVMSG_NONE);
	EXPECT(!memcmp(message, cpu->intercept,
		       sizeof(message->header) + message->header.payload_size));
	return message->header.message_type;
}

void cpu_skip(const struct cpu *cpu, unsigned int length)
{
	cpu->registers->rip += length;
	cpu->registers->dirty |= 1 << HV_X64_REGISTER_CLASS_IP;
}

long held(const char *name)
{
	char path[128];
	long value;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/module/mshv_vd/parameters/%s", name);
	file = fopen(path, "r");
	EXPECT(file != NULL);
	EXPECT(fscanf(file, "%ld", &value) == 1);
	fclose(file);
	return value;
}

void put_code(const struct machine *machine, uint32_t gpa, const void *code, size_t size)
{
	memcpy(machine->memory + gpa, code, size);
}

void expect_port(const struct cpu *cpu, uint8_t value)
{
	struct hv_message message;
	const struct hv_x64_io_port_intercept_message *io = (const void *)message.u.payload;
	uint32_t type = cpu_run(cpu, &message, 2000);

	if (type != HVMSG_X64_IO_PORT_INTERCEPT || (uint8_t)io->rax != value) {
		fprintf(stderr, "message %#x at rip %#llx, rax %#llx, not %#x to port 0x80\n", type,
			(unsigned long long)cpu->registers->rip,
			(unsigned long long)cpu->registers->rax, value);
		exit(1);
	}
	EXPECT(io->port_number == 0x80 && io->access_info.access_size == 1 &&
	       !io->access_info.string_op);
	EXPECT(io->header.intercept_access_type == HV_INTERCEPT_ACCESS_WRITE);
	EXPECT(io->header.instruction_length == 2);
	cpu_skip(cpu, 2);
}
