/*
 * The host's PCI devices: which there are, whose they are, and how they come from a driver of the
 * root's to vfio-pci and back, which may take as long as the drivers do, so a thread does it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hosted/member.h"
#include "hosted/pci.h"
#include "hosted/say.h"
#include "service/service.h"

struct listing {
	const struct service *service;
	json_t *list;
};

static bool has_device(const json_t *config, const char *address)
{
	const json_t *device;
	size_t i;

	json_array_foreach(json_object_get(config, "devices"), i, device)
	{
		if (strcmp(member_text(device, "pci"), address) == 0) {
			return true;
		}
	}
	return false;
}

/* Whose documents name it. */
static json_t *machines_of(const struct service *service, const char *address)
{
	const struct machine *machine;
	json_t *list = json_array();

	for (machine = service->machines; machine != NULL; machine = machine->next) {
		if (has_device(machine->settings.document, address)) {
			json_array_append_new(list, json_string(machine->name));
		}
	}
	return list;
}

static json_t *device_object(const struct service *service, const struct pci_device *device)
{
	char id[16], class[16];
	json_t *object;

	snprintf(id, sizeof(id), "%04x:%04x", device->vendor, device->device);
	snprintf(class, sizeof(class), "%06x", device->class & 0xffffff);
	object = json_pack("{s:s, s:s, s:s, s:b, s:o}", "pci", device->address, "id", id, "class",
			   class, "assignable", strcmp(device->driver, PCI_DRIVER_GUEST) == 0,
			   "machines", machines_of(service, device->address));
	if (device->driver[0] != '\0') {
		json_object_set_new(object, "driver", json_string(device->driver));
	}
	if (device->physical[0] != '\0') {
		json_object_set_new(object, "function-of", json_string(device->physical));
	}
	if (device->functions_max != 0) {
		json_object_set_new(object, "functions", json_integer(device->functions));
		json_object_set_new(object, "functions-max", json_integer(device->functions_max));
	}
	if (device->group >= 0) {
		json_object_set_new(object, "group", json_integer(device->group));
	}
	return object;
}

static void append(void *user, const struct pci_device *device)
{
	const struct listing *listing = user;

	json_array_append_new(listing->list, device_object(listing->service, device));
}

void devices_list(struct request *request)
{
	struct listing listing = {request->service, json_array()};

	/* A host without PCI has none. */
	(void)!pci_each(append, &listing);
	request_answer(request, 200, json_pack("{s:o}", "devices", listing.list));
}

struct giving {
	struct request *request;
	char address[PCI_ADDRESS];
	bool to_guests;
	int ret;
	char why[400];
};

static void give(void *user)
{
	struct giving *giving = user;

	giving->ret =
		pci_give(giving->address, giving->to_guests, giving->why, sizeof(giving->why));
}

static const char *code_of(int ret)
{
	return ret == -ENODEV  ? SERVICE_BAD_NOT_FOUND
	       : ret == -EBUSY ? SERVICE_BAD_STATE
			       : SERVICE_BAD_IO;
}

static void given(void *user)
{
	struct giving *giving = user;
	struct request *request = giving->request;
	struct pci_device device;
	struct refusal why;

	say("%s: %s device %s%s%s", request->user, giving->to_guests ? "dismount" : "mount",
	    giving->address, giving->ret != 0 ? ": " : "", giving->ret != 0 ? giving->why : "");
	if (giving->ret == 0) {
		giving->ret = pci_read(giving->address, &device);
		snprintf(giving->why, sizeof(giving->why), "it has gone");
	}
	if (giving->ret != 0) {
		refuse(&why, code_of(giving->ret), "", "device %s: %s", giving->address,
		       giving->why);
		api_refuse(request, &why);
	} else {
		request_answer(request, 200, device_object(request->service, &device));
	}
	free(giving);
}

void devices_give(struct request *request, const char *address, bool to_guests)
{
	struct giving *giving = calloc(1, sizeof(*giving));
	struct refusal why;

	if (giving == NULL || !pci_is_address(address)) {
		free(giving);
		refuse(&why, SERVICE_BAD_NOT_FOUND, "write one as lspci -D does: 0000:00:05.0",
		       "'%s' is no address of a PCI device", address);
		api_refuse(request, &why);
		return;
	}
	giving->request = request;
	giving->to_guests = to_guests;
	snprintf(giving->address, sizeof(giving->address), "%s", address);
	helper_run(request->service->writes, give, given, giving);
}
