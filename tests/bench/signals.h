/*
 * What the benchmarks' guest (tests/guest/bench.c, told so by the word SIGNALS_WORD) and the
 * programs that run it there agree on: ways to signal that the worker has no use for, or not by
 * themselves.
 */
#ifndef TESTS_BENCH_SIGNALS_H
#define TESTS_BENCH_SIGNALS_H

#include <stddef.h>
#include <stdint.h>

#define SIGNALS_WORD "signals"
#define RUNNING_WORD "running" /* two VPs run at the same time */

#define SIGNALS_INFO_GPA     0x7000
#define SIGNALS_DOORBELL     0xd0001000u /* a write of 2 bytes is an eventfd's */
#define SIGNALS_PORT         0x90 /* user space answers by writing an eventfd, which is an interrupt */
#define SIGNALS_VECTOR       0x61
#define SIGNALS_ANSWER_GPA   0x6000 /* 32 bits, counted up by the thread */
#define SIGNALS_EVENT        0x123  /* connections: an eventfd that nobody reads, */
#define SIGNALS_THREAD_EVENT 0x124  /* one that a thread reads, */
#define SIGNALS_MESSAGE      0x125  /* and messages for user space */

/* signals.c, for the programs. All end the process with a message where something fails. */

struct signals {
	int doorbell, interrupt, event, thread_event; /* eventfds */
};

/* Puts a multiboot image and its information, with the word, into guest memory; returns where it
 * starts. */
uint32_t signals_load(const char *path, uint8_t *memory, size_t bytes, const char *word);
/* Makes the eventfds, and starts the thread that counts at SIGNALS_ANSWER_GPA. */
void signals_begin(struct signals *signals, uint8_t *memory);
/* A guest's write to SIGNALS_PORT. */
void signals_interrupt(const struct signals *signals);

#endif
