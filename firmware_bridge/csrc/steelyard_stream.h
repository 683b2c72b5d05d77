/* The digitiser's stream, for the device: frames out, frames in. docs/wire.md gives every byte.
 *
 * C99 without heap, without globals and without any library beside the compiler's own headers.
 * A sender and a receiver share nothing, so that each may live in an interrupt or task of its own.
 * Both work byte by byte: the longest frame leaves through a block of 255 bytes.
 */
#ifndef STEELYARD_STREAM_H
#define STEELYARD_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SY_VERSION 1u
#define SY_MAX_FRAME_BYTES 32768u
#define SY_MAX_CHANNELS 32u
#define SY_MAX_INPUTS 32u
#define SY_COUNT_MAX 8388607
#define SY_COUNT_MIN (-SY_COUNT_MAX - 1)

/* Longest frame that a receiver takes, before COBS; a host's words have at most 28 bytes. */
#ifndef SY_RECEIVE_BYTES
#define SY_RECEIVE_BYTES 1024u
#endif

/* Fails to compile where `fits` is false: C99 has no other way to say it. */
#define SY_ASSERT(name, fits) typedef char sy_assert_##name[(fits) ? 1 : -1]

SY_ASSERT(float_is_binary32, sizeof(float) == 4);
SY_ASSERT(double_is_binary64, sizeof(double) == 8);

enum sy_type {
    SY_HELLO = 0x01,
    SY_SAMPLES = 0x02,
    SY_INPUTS = 0x03,
    SY_STATUS = 0x04,
    SY_START = 0x81,
    SY_STOP = 0x82,
    SY_ZERO = 0x83,
    SY_TIME = 0x84
};

/* UTF-8, not ended by a zero. */
struct sy_text {
    const uint8_t *bytes;
    uint8_t length;
};

struct sy_hello {
    uint32_t boot_id;
    double rate_hz;
    double newton_per_count;
    uint8_t channels;
    struct sy_text serial, model, firmware;
};

struct sy_edge {
    uint64_t sample;
    uint8_t input;
    bool active;
};

struct sy_status {
    float temperature_c;
    float supply_v;
    uint32_t saturated_mask;
    uint32_t inputs_mask;
    uint64_t lost_samples;
};

/* CRC-32 of ISO/IEC 8802-3; begin with crc = 0, go on with what came out. */
uint32_t sy_crc32(uint32_t crc, const uint8_t *bytes, size_t n);

/* What both ways ask of a field; the same on the wire and before it. */
bool sy_hello_fits(const struct sy_hello *hello);
bool sy_status_fits(const struct sy_status *status);

/* ---------------------------------------------------------------------------------- sending */

/* Takes the bytes of a frame, a block of at most 255 at a time. It can't refuse: ask for the room
 * of a whole frame, sy_wire_bytes(), before it is sent. */
typedef void (*sy_sink)(void *context, const uint8_t *bytes, size_t n);

struct sy_sender {
    sy_sink sink;
    void *context;
    uint32_t sequence; /* of the next frame */
    uint32_t crc;
    uint16_t device_id;
    uint8_t length;
    bool full;
    uint8_t block[255];
};

void sy_sender_init(struct sy_sender *sender, uint16_t device_id, sy_sink sink, void *context);

/* Each sends one frame with `sample` in its header. False: a field does not fit the wire; then
 * nothing was sent and the sequence did not move. */
bool sy_send_hello(struct sy_sender *sender, uint64_t sample, const struct sy_hello *hello);
bool sy_send_samples(struct sy_sender *sender, uint64_t sample, const int32_t *counts, uint16_t n,
                     uint8_t channels);
bool sy_send_inputs(struct sy_sender *sender, uint64_t sample, const struct sy_edge *edges,
                    size_t n);
bool sy_send_status(struct sy_sender *sender, uint64_t sample, const struct sy_status *status);
bool sy_send_command(struct sy_sender *sender, uint64_t sample, enum sy_type start_or_stop);
bool sy_send_zero(struct sy_sender *sender, uint64_t sample, uint32_t channel_mask);
bool sy_send_time(struct sy_sender *sender, uint64_t sample, uint64_t utc_ns);

/* The most that a frame with a body of that length takes on the wire. */
size_t sy_wire_bytes(size_t body_bytes);
size_t sy_hello_body_bytes(const struct sy_hello *hello);
size_t sy_samples_body_bytes(uint16_t n, uint8_t channels);
size_t sy_inputs_body_bytes(size_t n);
#define SY_STATUS_BODY_BYTES 24u

/* -------------------------------------------------------------------------------- receiving */

/* Counts and edges stay packed as they came, in the receiver's own room: read them by
 * sy_count_at() and sy_edge_at() before the next byte goes in. */
struct sy_samples {
    const uint8_t *packed;
    uint16_t n;
    uint8_t channels;
};

struct sy_inputs {
    const uint8_t *packed;
    size_t n;
};

struct sy_message {
    enum sy_type type;
    uint16_t device_id;
    uint32_t sequence;
    uint64_t sample;
    union {
        struct sy_hello hello;
        struct sy_samples samples;
        struct sy_inputs inputs;
        struct sy_status status;
        uint32_t channel_mask;
        uint64_t utc_ns;
    } body;
};

typedef void (*sy_heard)(void *context, const struct sy_message *message);

struct sy_counters {
    uint32_t frames;    /* messages given */
    uint32_t damaged;   /* COBS, CRC or too short */
    uint32_t oversize;  /* longer than SY_RECEIVE_BYTES */
    uint32_t unknown;   /* another version or type */
    uint32_t malformed; /* the CRC is right and the body is not as agreed */
};

struct sy_receiver {
    sy_heard heard;
    void *context;
    struct sy_counters counters;
    uint32_t length;
    uint8_t code; /* of the COBS block that runs; 0 between frames */
    uint8_t left; /* bytes of it that are still to come */
    uint8_t frame[SY_RECEIVE_BYTES];
};

void sy_receiver_init(struct sy_receiver *receiver, sy_heard heard, void *context);

/* Takes bytes in, in pieces of any length, and gives each message to `heard`. */
void sy_receive(struct sy_receiver *receiver, const uint8_t *bytes, size_t n);

int32_t sy_count_at(const struct sy_samples *samples, size_t index);
struct sy_edge sy_edge_at(const struct sy_inputs *inputs, size_t index);

#endif
