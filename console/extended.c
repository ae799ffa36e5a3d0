/*
 * RFB's pseudo-encoding -258, QEMU Extended Key Event (the community's RFB specification,
 * rfbproto): the viewer says scan codes, so that its layout and the guest's need not be the same.
 * The library knows the names of it alone; so it is an extension.
 */
#include "console/vnc.h"

static const uint8_t tail_bytes = sz_rfbQemuExtendedKeyEventMsg - 1;

/* It is told by an empty rectangle of this encoding that it may. */
static rfbBool enable(rfbClientPtr client, void **data, int encoding)
{
	struct {
		rfbFramebufferUpdateMsg update;
		rfbFramebufferUpdateRectHeader rectangle;
	} __attribute__((packed)) answer = {
		.update = {.type = rfbFramebufferUpdate, .nRects = Swap16IfLE(1)},
		.rectangle = {.encoding = Swap32IfLE((uint32_t)encoding)},
	};

	(void)data;
	return encoding == (int)rfbEncodingQemuExtendedKeyEvent &&
	       rfbWriteExact(client, (const char *)&answer, sizeof(answer)) > 0;
}

static rfbBool handle(rfbClientPtr client, void *data, const rfbClientToServerMsg *message)
{
	rfbQemuExtendedKeyEventMsg event;
	uint32_t code;

	(void)data;
	if (message->type != rfbQemuEvent) {
		return FALSE;
	}
	if (rfbReadExact(client, (char *)&event + 1, tail_bytes) <= 0 || event.subtype != 0) {
		rfbCloseClient(client);
		return TRUE;
	}
	code = Swap32IfLE(event.keycode);
	/* With the prefix E0 it may also be said whole. */
	if (code >> 8 == 0xe0) {
		code = (code & 0x7f) | 0x80;
	}
	if (code != 0 && code < 0x100) {
		const struct viewer *viewer = client->screen->screenData;

		seat_press(&viewer->seat, (uint8_t)code, event.down != 0);
	}
	return TRUE;
}

void extended_register(void)
{
	static int encodings[] = {(int)rfbEncodingQemuExtendedKeyEvent, 0};
	static rfbProtocolExtension extension = {.pseudoEncodings = encodings,
						 .enablePseudoEncoding = enable,
						 .handleMessage = handle};

	rfbRegisterProtocolExtension(&extension);
}
