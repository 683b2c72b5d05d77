/* A digitiser's behaviour on its line: what it does with the host's words, and in which order it
 * speaks (docs/wire.md 1.4 and 1.5). The board brings conversions, edges and a tick a second.
 *
 *     init -> [ hear(bytes) | block(counts, edges) | second() ] ...
 *
 * All calls come from one task or one interrupt level.
 */
#ifndef STEELYARD_DEVICE_H
#define STEELYARD_DEVICE_H

#include "steelyard_stream.h"

/* Edges that wait for room on the line; older ones give way, STATUS mends the picture. */
#define SY_EDGES_KEPT 48u

/* The line and the board, as the device sees them. */
struct sy_board {
    sy_sink sink;
    size_t (*room)(void *context); /* bytes that the sink takes now */
    float (*temperature_c)(void *context);
    float (*supply_v)(void *context);
    void (*told_time)(void *context, uint64_t utc_ns); /* for the device's own log only */
    void *context;
};

struct sy_device {
    struct sy_board board;
    const struct sy_hello *hello;
    struct sy_sender sender;
    struct sy_receiver receiver;
    uint64_t next_sample; /* counter of conversions */
    uint64_t lost_samples;
    uint32_t saturated_mask, inputs_mask;
    int32_t zero[SY_MAX_CHANNELS];  /* taken off every count */
    int32_t level[SY_MAX_CHANNELS]; /* mean of the block before, as converted */
    struct sy_edge edges[SY_EDGES_KEPT];
    uint8_t n_edges;
    bool started;
};

SY_ASSERT(device_fits_in_4_kib, SY_RECEIVE_BYTES > 1024u || sizeof(struct sy_device) < 4096);

/* `hello` stays the caller's, and stays as it is until the device starts anew. Says HELLO. */
void sy_device_init(struct sy_device *device, const struct sy_board *board, uint16_t device_id,
                    const struct sy_hello *hello);

/* Bytes from the host. */
void sy_device_hear(struct sy_device *device, const uint8_t *bytes, size_t n);

/* The next `n` conversions of all channels and the edges in them, samples not falling, whether or
 * not the host listens: the counter counts them. The zeros are taken off `counts` in place. */
void sy_device_block(struct sy_device *device, int32_t *counts, uint16_t n,
                     const struct sy_edge *edges, size_t n_edges);

/* HELLO and STATUS, once a second. */
void sy_device_second(struct sy_device *device);

#endif
