/*
 * What a guest's exits cost, by the TSC: under --icount its ticks are instructions, all of them,
 * the hypervisor's too. The same program runs on our hypervisor (vmwp) and on KVM
 * (tests/bench/kvmrun), there with and without Hyper-V's interface. Each line: a name, ticks for
 * one round, rounded down. What the machine does not have is left out. SIGNALS_WORD chooses another
 * part, RUNNING_WORD that of two VPs which run all the time, each on an LP.
 */
#include "tests/bench/signals.h"
#include "tests/guest/guest.h"

#define ROUNDS      1000
#define BATCHES     10
#define TOUCH_FROM  0x1000000ull
#define TOUCH_PAGES 1000
#define MMIO        0xd0000000ull
#define DEBUG_PORT  0x80
/* Ticks from arming a timer to its deadline: more than arming costs, and less than the root's
 * kernel has between two of its own. */
#define AHEAD             30000
#define AHEAD_LONG        3000000 /* the same for a VP that halts: longer than KVM polls for it */
#define EVENT_TRIES       100
#define SPIN_INSTRUCTIONS 3

#define VECTOR_TIMER 0x60
#define VECTOR_SELF  0x61
#define VECTOR_PING  0x62

#define MSR_APIC_BASE     0x1b
#define MSR_TSC_DEADLINE  0x6e0
#define APIC_LVT_TIMER    0x832
#define APIC_SELF_IPI     0x83f
#define LVT_TSC_DEADLINE  (2u << 17)
#define LVT_MASKED        (1u << 16)
#define HV_TIME_REF_COUNT 0x40000020
#define HV_TSC_FREQUENCY  0x40000022
#define HV_SCONTROL       0x40000080
#define HV_STIMER0_CONFIG 0x400000b0
#define HV_STIMER0_COUNT  0x400000b1
#define STIMER_DIRECT     (1ull << 12 | (uint64_t)VECTOR_TIMER << 4 | 1)
#define STIMER_AHEAD      3000 /* of 100 ns */

#define FLUSH_VIRTUAL_ADDRESS_LIST 0x3
#define SEND_IPI                   0xb
#define POST_MESSAGE               0x5c
#define SIGNAL_EVENT               0x5d
#define FAST                       (1ull << 16)
#define FLUSH_PAGES                8

/* From bench32.S: one loop each in 32-bit code. */
void bench32_cpuid(uint64_t rounds);
void bench32_rdmsr(uint64_t rounds);
void bench32_port(uint64_t rounds);
void bench32_mmio(uint64_t rounds);
void bench32_nothing(uint64_t rounds);

struct flush_list {
	uint64_t address_space, flags, processors;
	uint64_t pages[FLUSH_PAGES];
};

static const void *page;
static uint64_t loop_ticks;
static uint8_t input[4096] __attribute__((aligned(4096)));
static uint8_t other_stack[16384] __attribute__((aligned(16)));
static volatile uint64_t taken_at, eoi_ticks;
static volatile uint32_t taken, turn;

/* ---- exits that come back at once ---- */

static void nothing(uint64_t i)
{
	asm volatile("" ::"r"(i));
}

static void exit_cpuid(uint64_t i)
{
	static const uint32_t leaves[] = {0x0, 0x1, 0x7, 0x40000003, 0x80000008};
	uint32_t leaf[4];

	cpuid(leaves[i % 5], leaf);
}

static void exit_rdmsr(uint64_t i)
{
	(void)i;
	rdmsr(MSR_APIC_BASE);
}

static void exit_port(uint64_t i)
{
	out8(DEBUG_PORT, (uint8_t)i);
}

static void exit_mmio(uint64_t i)
{
	*(volatile uint32_t *)MMIO = (uint32_t)i;
}

static void touch(uint64_t i)
{
	*(volatile uint64_t *)(TOUCH_FROM + i * 4096) = i;
}

/* What needs no exit where the processor translates twice: a switch of address spaces, a fault that
 * the guest sees to. */
static void switch_space(uint64_t i)
{
	uint64_t cr3;

	(void)i;
	asm volatile("mov %%cr3, %0; mov %0, %%cr3" : "=r"(cr3)::"memory");
}

static void unmapped(void *argument)
{
	*(volatile uint8_t *)argument = 0;
}

static void fault(uint64_t i)
{
	guest_try(unmapped, (void *)(0x100000000ull + i));
}

static void self_ipi(uint64_t i)
{
	(void)i;
	wrmsr(APIC_SELF_IPI, VECTOR_SELF);
}

static void arm_deadline(uint64_t i)
{
	wrmsr(MSR_TSC_DEADLINE, ~0ull >> 1 | i);
}

static void flush_of(uint64_t processors)
{
	struct flush_list *list = (void *)input;

	list->flags = 2; /* all address spaces */
	list->processors = processors;
	for (uint64_t i = 0; i < FLUSH_PAGES; i++) {
		list->pages[i] = TOUCH_FROM + i * 4096;
	}
}

static void flush(uint64_t i)
{
	(void)i;
	guest_hypercall(page, FLUSH_VIRTUAL_ADDRESS_LIST | (uint64_t)FLUSH_PAGES << 32,
			(uintptr_t)input, 0);
}

static void print_row(const char *name, uint64_t value)
{
	print("bench: ");
	print(name);
	print(" ");
	print_number(value);
	print("\n");
}

/* The least of several batches: one without an interrupt of the machine's, which would be an exit
 * of another kind. */
static uint64_t least_of_batches(void (*round)(uint64_t), uint64_t rounds)
{
	uint64_t begin, ticks, least = UINT64_MAX, batch = rounds / BATCHES;

	for (uint64_t first = 0; first < rounds; first += batch) {
		begin = rdtsc();
		for (uint64_t i = first; i < first + batch; i++) {
			round(i);
		}
		ticks = rdtsc() - begin;
		least = ticks < least ? ticks : least;
	}
	return least / batch;
}

static void measure(const char *name, void (*round)(uint64_t), uint64_t rounds)
{
	print_row(name, least_of_batches(round, rounds) - loop_ticks);
}

/* Once through, so that what is set up on first use is not in the figure; a page's first touch has
 * no second. */
static void measure_warm(const char *name, void (*round)(uint64_t))
{
	for (uint64_t i = 0; i < 10; i++) {
		round(i);
	}
	measure(name, round, ROUNDS);
}

static uint64_t measure_32(void (*rounds)(uint64_t))
{
	uint64_t begin, ticks, least = UINT64_MAX, batch = ROUNDS / BATCHES;

	rounds(10);
	for (int i = 0; i < BATCHES; i++) {
		begin = rdtsc();
		rounds(batch);
		ticks = rdtsc() - begin;
		least = ticks < least ? ticks : least;
	}
	return least / batch;
}

static void exits_of_32_bit_code(void)
{
	uint64_t loop = measure_32(bench32_nothing);

	print_row("cpuid32", measure_32(bench32_cpuid) - loop);
	print_row("rdmsr32", measure_32(bench32_rdmsr) - loop);
	print_row("port32", measure_32(bench32_port) - loop);
	print_row("mmio32", measure_32(bench32_mmio) - loop);
}

/* ---- interrupts ---- */

static void take(uint32_t vector)
{
	uint64_t now = rdtsc();

	wrmsr(APIC_EOI, 0);
	if (vector == VECTOR_PING) {
		turn++;
	} else {
		eoi_ticks = rdtsc() - now;
		taken_at = now;
		taken++;
	}
}

/* Until an interrupt is taken; the rounds, of SPIN_INSTRUCTIONS each. */
static uint64_t spin(uint32_t before)
{
	uint64_t rounds = 0;

	asm volatile("1: incq %0; cmpl %1, %2; je 1b"
		     : "+r"(rounds)
		     : "r"(before), "m"(taken)
		     : "cc");
	return rounds;
}

/*
 * What a timer takes from a VP that works: all that passes from before it is armed until its
 * interrupt is handled and ended, less the work, which goes on meanwhile.
 */
static uint64_t taken_by(void (*arm)(void))
{
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < EVENT_TRIES; i++) {
		uint32_t before = taken;
		uint64_t begin = rdtsc(), rounds, cost;

		arm();
		asm volatile("sti");
		rounds = spin(before);
		cost = rdtsc() - begin - rounds * SPIN_INSTRUCTIONS;
		asm volatile("cli");
		least = cost < least ? cost : least;
	}
	return least;
}

static void arm_soon(void)
{
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + AHEAD);
}

/* From the deadline to the handler of a VP that halts. */
static uint64_t wake_latency(void)
{
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < EVENT_TRIES; i++) {
		uint64_t deadline = rdtsc() + AHEAD_LONG, late;
		uint32_t before = taken;

		wrmsr(MSR_TSC_DEADLINE, deadline);
		while (taken == before) {
			asm volatile("sti; hlt; cli");
		}
		late = taken_at - deadline;
		least = late < least ? late : least;
	}
	return least;
}

static void deadlines(void)
{
	wrmsr(APIC_LVT_TIMER, LVT_TSC_DEADLINE | LVT_MASKED);
	measure_warm("arm", arm_deadline);
	wrmsr(MSR_TSC_DEADLINE, 0);
	wrmsr(APIC_LVT_TIMER, LVT_TSC_DEADLINE | VECTOR_TIMER);
	print_row("deadline", taken_by(arm_soon));
	print_row("wake", wake_latency());
	wrmsr(APIC_LVT_TIMER, LVT_MASKED);
}

/* A synthetic timer in direct mode, as Linux uses it: the reference time is read, too. */
static void arm_stimer(void)
{
	wrmsr(HV_STIMER0_COUNT, rdmsr(HV_TIME_REF_COUNT) + STIMER_AHEAD);
	wrmsr(HV_STIMER0_CONFIG, STIMER_DIRECT);
}

static void stimers(void)
{
	uint32_t leaf[4];

	cpuid(0x40000003, leaf);
	if (leaf[3] & 1u << 19) { /* direct mode */
		wrmsr(HV_SCONTROL, 1);
		print_row("stimer", taken_by(arm_stimer));
	}
}

static void interrupts(void)
{
	guest_on_interrupt = take;
	guest_apic();
	asm volatile("sti");
	measure_warm("self", self_ipi);
	asm volatile("cli");
	print_row("eoi", eoi_ticks);
	deadlines();
}

/* ---- two VPs, each halted until the other wakes it, or, where each has an LP, running all the
 * time ---- */

static volatile bool running;

/* A PAUSE gives the emulator's one thread to the other LP. */
static void await_turn(uint32_t wanted)
{
	for (;;) {
		asm volatile("cli");
		if (turn == wanted) {
			break;
		}
		if (running) {
			asm volatile("sti; pause");
		} else {
			asm volatile("sti; hlt");
		}
	}
}

static void send_icr(uint32_t to)
{
	wrmsr(APIC_ICR, (uint64_t)to << 32 | VECTOR_PING);
}

/* The fast form: vector in RDX, processors in R8. */
static void send_call(uint32_t to)
{
	guest_hypercall(page, SEND_IPI | FAST, VECTOR_PING, 1ull << to);
}

static void (*volatile send)(uint32_t to);

/* An APIC that is off loses what is sent to it. */
static volatile bool answers;

static void answer_pings(void)
{
	guest_apic();
	answers = true;
	for (uint32_t wanted = 1;; wanted += 2) {
		await_turn(wanted);
		send(0);
	}
}

static void ping(uint64_t i)
{
	uint32_t wanted = turn + 2;

	(void)i;
	send(1);
	await_turn(wanted);
}

static void start_answering(void)
{
	send = send_icr;
	guest_start_vp(1, answer_pings, other_stack + sizeof(other_stack));
	while (!answers) {
		asm volatile("pause");
	}
}

static void two_vps(void)
{
	start_answering();
	measure_warm("ping", ping);
	if (page != NULL) {
		send = send_call;
		measure_warm("call", ping);
	}
}

static void two_lps(void)
{
	guest_on_interrupt = take;
	guest_apic();
	running = true;
	start_answering();
	measure_warm("pingrun", ping);
	if (page != NULL) {
		send = send_call;
		measure_warm("callrun", ping);
		flush_of(2);
		measure_warm("flushrun", flush);
	}
}

static void hypercalls(void)
{
	flush_of(1);
	measure_warm("flush", flush);
	stimers();
}

/* ---- signals, where the program that runs the guest has them ---- */

struct post_message {
	uint32_t connection, reserved, type, size;
	uint8_t payload[240];
};

static void ring_doorbell(uint64_t i)
{
	*(volatile uint16_t *)(uintptr_t)SIGNALS_DOORBELL = (uint16_t)i;
}

static void answer_by_interrupt(uint64_t i)
{
	uint32_t before = taken;

	out8(SIGNALS_PORT, (uint8_t)i);
	while (taken == before) {
		asm volatile("pause");
	}
}

static void signal_event(uint64_t i)
{
	(void)i;
	guest_hypercall(page, SIGNAL_EVENT | FAST, SIGNALS_EVENT, 0);
}

static void answer_by_thread(uint64_t i)
{
	const volatile uint32_t *answer = (const volatile uint32_t *)SIGNALS_ANSWER_GPA;
	uint32_t before = *answer;

	(void)i;
	guest_hypercall(page, SIGNAL_EVENT | FAST, SIGNALS_THREAD_EVENT, 0);
	while (*answer == before) {
		asm volatile("pause");
	}
}

static void post_message(uint64_t i)
{
	struct post_message *message = (void *)input;

	*message = (struct post_message){
		.connection = SIGNALS_MESSAGE, .type = 1, .size = sizeof(message->payload)};
	message->payload[0] = (uint8_t)i;
	guest_hypercall(page, POST_MESSAGE, (uintptr_t)input, 0);
}

static void signals(void)
{
	guest_on_interrupt = take;
	guest_apic();
	measure_warm("doorbell", ring_doorbell);
	asm volatile("sti");
	measure_warm("irqfd", answer_by_interrupt);
	asm volatile("cli");
	if (page != NULL) {
		wrmsr(HV_SCONTROL, 1);
		measure_warm("signal", signal_event);
		measure_warm("thread", answer_by_thread);
		measure_warm("post", post_message);
	}
}

static void end(void) __attribute__((noreturn));
static void end(void)
{
	print("bench: end\n");
	guest_end();
}

void guest_main(uint32_t magic, const uint32_t *info)
{
	(void)magic;
	page = guest_hypercall_page();
	if (guest_has_word(info, SIGNALS_WORD)) {
		loop_ticks = least_of_batches(nothing, ROUNDS);
		signals();
		end();
	}
	loop_ticks = least_of_batches(nothing, ROUNDS);
	if (guest_has_word(info, RUNNING_WORD)) {
		two_lps();
		end();
	}
	measure_warm("cpuid", exit_cpuid);
	measure_warm("rdmsr", exit_rdmsr);
	measure_warm("port", exit_port);
	measure_warm("mmio", exit_mmio);
	measure("touch", touch, TOUCH_PAGES);
	measure_warm("space", switch_space);
	measure_warm("fault", fault);
	exits_of_32_bit_code();
	interrupts();
	if (page != NULL) {
		hypercalls();
	}
	two_vps();
	end();
}
