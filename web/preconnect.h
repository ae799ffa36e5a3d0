/* What a viewer of RDP says in clear, before TLS: it may say anything. */
#ifndef WEB_PRECONNECT_H
#define WEB_PRECONNECT_H

#include "web/web.h"

/* Bytes of a preconnection PDU ([MS-RDPEPS] 2.2.1), and of an X.224 connection request
 * ([MS-RDPBCGR] 2.2.1.1), at most. */
#define PRECONNECT_MAX 1024
#define REQUEST_MAX    1024
#define CONFIRM_BYTES  19

/* The first bytes of either, and how long the whole is. 0: it is none. */
#define PRECONNECT_HEAD 4
#define REQUEST_HEAD    4
size_t preconnect_length(const uint8_t head[PRECONNECT_HEAD]);
size_t request_length(const uint8_t head[REQUEST_HEAD]);

/* The whole of it: the machine that VMConnect asks for, "" if none. False: it is none. */
bool preconnect_read(const uint8_t *pdu, size_t size, char machine[MACHINE_MAX]);

/* Kinds of security. */
#define PROTOCOL_TLS 1u

/* Those that it has. False: it is none. */
bool request_read(const uint8_t *pdu, size_t size, uint32_t *protocols);
/* The answer: TLS, or that it has to be TLS. */
void confirm_write(bool tls, uint8_t pdu[CONFIRM_BYTES]);

#endif
