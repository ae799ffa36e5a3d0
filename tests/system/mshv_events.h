/* Of mshv_functions: what interrupts a guest, and what a guest signals. */
#ifndef TESTS_SYSTEM_MSHV_EVENTS_H
#define TESTS_SYSTEM_MSHV_EVENTS_H

void test_irqfd(void);
void test_level(void);
void test_ioeventfd(void);
void test_ioeventfd_sizes(void);
void test_signal_eventfd(void);
void test_signal_shares(void);

#endif
