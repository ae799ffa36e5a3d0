/*
 * Loaded before Debian 12's testpmd. That does not forward from queues which their driver does not
 * call started, and its driver of netvsc has no word for that (the one of DPDK 24.03 has). Told
 * that nobody knows, testpmd does what it did in all versions before.
 */
#include <errno.h>
#include <stdint.h>

int rte_eth_rx_queue_info_get(uint16_t port, uint16_t queue, void *info);
int rte_eth_tx_queue_info_get(uint16_t port, uint16_t queue, void *info);

int rte_eth_rx_queue_info_get(uint16_t port, uint16_t queue, void *info)
{
	(void)port;
	(void)queue;
	(void)info;
	return -ENOTSUP;
}

int rte_eth_tx_queue_info_get(uint16_t port, uint16_t queue, void *info)
{
	(void)port;
	(void)queue;
	(void)info;
	return -ENOTSUP;
}
