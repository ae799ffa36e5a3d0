/* See integration_host.h. */
#include "tests/fake/integration_host.h"

#include <stdio.h>

struct integration_host home;

uint64_t integration_host_clock(struct integration_host *host)
{
	return host->clock;
}

uint64_t integration_host_date(struct integration_host *host)
{
	return host->date;
}

int integration_host_reference_time(struct integration_host *host, uint64_t *time_100ns)
{
	/* Half of it before the clock is read. */
	*time_100ns = host->reference + host->reading_ns / 2 / 100;
	host->reference += host->reading_ns / 100;
	host->date += host->reading_ns;
	return host->no_reference;
}

bool integration_host_stands(struct integration_host *host)
{
	return host->stands;
}

void integration_host_changed(struct integration_host *host, unsigned int service)
{
	host->changed[service]++;
}

void integration_host_log(struct integration_host *host, const char *line)
{
	host->lines++;
	snprintf(host->line, sizeof(host->line), "%s", line);
}
