/*
 * The machine's sockets (vsp/socket/): where programs of the root reach them. The listener is made
 * before the sandbox closes; what the guest connects to is found by the connector, a process of its
 * own.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/listen.h"
#include "vsp/socket/socket.h"
#include "worker/connector.h"
#include "worker/machine.h"
#include "worker/say.h"

bool hvsock_begin(struct machine *machine)
{
	const char *programs = machine->config->vsock.programs;

	machine->connector = programs != NULL ? connector_start(programs) : -1;
	return programs == NULL || machine->connector >= 0;
}

bool hvsock_create(struct machine *machine)
{
	const struct config_file *socket = &machine->config->vsock.socket;
	struct sockets_config config = {.listener = -1, .connector = machine->connector};
	int ret;

	if (socket->path != NULL) {
		config.listener =
			listen_privately(socket->path, socket->fd, SOCK_STREAM, 128, "--vsock ");
		if (config.listener < 0) {
			return false;
		}
	}
	ret = sockets_create(machine->bus, &config, &machine->sockets);
	if (ret != 0) {
		say("the guest's sockets cannot be set up: %s", strerror(-ret));
	}
	return ret == 0;
}

bool hvsock_start(struct machine *machine)
{
	int ret = sockets_start(machine->sockets);

	if (ret != 0) {
		say("the guest's sockets cannot be set up: %s", strerror(-ret));
		return false;
	}
	sockets_stand(machine->sockets, true);
	return true;
}

void hvsock_stand(struct machine *machine, bool stand)
{
	sockets_stand(machine->sockets, stand);
}

void hvsock_destroy(struct machine *machine)
{
	sockets_destroy(&machine->sockets);
}
