/* What a sender left undone, done in software: checksums, and cutting TCP into frames. */
#ifndef SWITCH_OFFLOAD_H
#define SWITCH_OFFLOAD_H

#include "switch/frame.h"

/* The Internet checksum of RFC 1071 before its complement, `sum` added. */
uint16_t offload_sum(const struct iovec *iov, uint32_t count, uint32_t sum);

/* A frame of the same content whose head may be changed; its parts stay those of `from`. */
void offload_fork(struct frame *to, const struct frame *from);

/* Completes the checksum of a frame that has passed frame_check(). It is not to be cut. */
void offload_finish(struct frame *frame);

/* Into how many frames it is to be cut; 1 if it is not. */
uint32_t offload_count(const struct frame *frame);
/* The n-th of them, its checksum still to be finished. Its parts lie in `from` and in from's. */
void offload_cut(struct frame *to, const struct frame *from, uint32_t n);

#endif
