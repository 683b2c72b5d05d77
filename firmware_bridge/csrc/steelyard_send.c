/* Messages to frames: fields to bytes, each byte through the CRC and through COBS, blocks out. */
#include "steelyard_stream.h"

#include <string.h>

enum { HEADER_BYTES = 16, CRC_BYTES = 4, FULL_BLOCK = 254 };

void sy_sender_init(struct sy_sender *sender, uint16_t device_id, sy_sink sink, void *context)
{
    memset(sender, 0, sizeof *sender);
    sender->device_id = device_id;
    sender->sink = sink;
    sender->context = context;
}

/* COBS (Cheshire and Baker, 1999): a block is its length + 1 and bytes that are not zero; a zero
 * follows, unless the block is full. */
static void end_block(struct sy_sender *sender)
{
    sender->block[0] = (uint8_t)(sender->length + 1u);
    sender->sink(sender->context, sender->block, sender->length + 1u);
    sender->full = sender->length == FULL_BLOCK;
    sender->length = 0;
}

static void stuff(struct sy_sender *sender, uint8_t byte)
{
    if (byte == 0) {
        end_block(sender);
        sender->full = false;
        return;
    }
    sender->block[1u + sender->length++] = byte;
    if (sender->length == FULL_BLOCK) {
        end_block(sender);
    }
}

static void put(struct sy_sender *sender, uint64_t value, unsigned bytes)
{
    for (; bytes > 0; bytes--, value >>= 8) {
        const uint8_t byte = (uint8_t)(value & 0xFFu);
        sender->crc = sy_crc32(sender->crc, &byte, 1);
        stuff(sender, byte);
    }
}

static void put_float(struct sy_sender *sender, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put(sender, bits, 4);
}

static void put_double(struct sy_sender *sender, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put(sender, bits, 8);
}

static void put_text(struct sy_sender *sender, const struct sy_text *text)
{
    put(sender, text->length, 1);
    for (size_t i = 0; i < text->length; i++) {
        put(sender, text->bytes[i], 1);
    }
}

static void put_delimiter(struct sy_sender *sender)
{
    static const uint8_t delimiter = 0;
    sender->sink(sender->context, &delimiter, 1);
}

static void begin(struct sy_sender *sender, enum sy_type type, uint64_t sample)
{
    sender->crc = 0;
    sender->length = 0;
    sender->full = false;
    put_delimiter(sender);
    put(sender, SY_VERSION, 1);
    put(sender, type, 1);
    put(sender, sender->device_id, 2);
    put(sender, sender->sequence, 4);
    put(sender, sample, 8);
}

static bool end(struct sy_sender *sender)
{
    put(sender, sender->crc, CRC_BYTES);
    if (sender->length > 0 || !sender->full) {
        end_block(sender);
    }
    put_delimiter(sender);
    sender->sequence++;
    return true;
}

bool sy_send_hello(struct sy_sender *sender, uint64_t sample, const struct sy_hello *hello)
{
    if (!sy_hello_fits(hello)) {
        return false;
    }
    begin(sender, SY_HELLO, sample);
    put(sender, hello->boot_id, 4);
    put_double(sender, hello->rate_hz);
    put_double(sender, hello->newton_per_count);
    put(sender, hello->channels, 1);
    put_text(sender, &hello->serial);
    put_text(sender, &hello->model);
    put_text(sender, &hello->firmware);
    return end(sender);
}

static bool counts_fit(const int32_t *counts, size_t total)
{
    for (size_t i = 0; i < total; i++) {
        if (counts[i] < SY_COUNT_MIN || counts[i] > SY_COUNT_MAX) {
            return false;
        }
    }
    return true;
}

static bool frame_fits(size_t body_bytes)
{
    return body_bytes <= SY_MAX_FRAME_BYTES - HEADER_BYTES - CRC_BYTES;
}

bool sy_send_samples(struct sy_sender *sender, uint64_t sample, const int32_t *counts, uint16_t n,
                     uint8_t channels)
{
    const size_t total = (size_t)n * channels;
    if (n == 0 || channels == 0 || channels > SY_MAX_CHANNELS ||
        !frame_fits(sy_samples_body_bytes(n, channels)) || !counts_fit(counts, total)) {
        return false;
    }
    begin(sender, SY_SAMPLES, sample);
    put(sender, channels, 1);
    put(sender, 0, 1);
    put(sender, n, 2);
    for (size_t i = 0; i < total; i++) {
        put(sender, (uint32_t)counts[i], 3);
    }
    return end(sender);
}

static bool edges_fit(const struct sy_edge *edges, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (edges[i].input >= SY_MAX_INPUTS ||
            (i > 0 && edges[i].sample < edges[i - 1].sample)) {
            return false;
        }
    }
    return n > 0;
}

bool sy_send_inputs(struct sy_sender *sender, uint64_t sample, const struct sy_edge *edges,
                    size_t n)
{
    if (n > SY_MAX_FRAME_BYTES || !frame_fits(sy_inputs_body_bytes(n)) || !edges_fit(edges, n)) {
        return false;
    }
    begin(sender, SY_INPUTS, sample);
    for (size_t i = 0; i < n; i++) {
        put(sender, edges[i].sample, 8);
        put(sender, edges[i].input, 1);
        put(sender, edges[i].active, 1);
    }
    return end(sender);
}

bool sy_send_status(struct sy_sender *sender, uint64_t sample, const struct sy_status *status)
{
    if (!sy_status_fits(status)) {
        return false;
    }
    begin(sender, SY_STATUS, sample);
    put_float(sender, status->temperature_c);
    put_float(sender, status->supply_v);
    put(sender, status->saturated_mask, 4);
    put(sender, status->inputs_mask, 4);
    put(sender, status->lost_samples, 8);
    return end(sender);
}

bool sy_send_command(struct sy_sender *sender, uint64_t sample, enum sy_type start_or_stop)
{
    if (start_or_stop != SY_START && start_or_stop != SY_STOP) {
        return false;
    }
    begin(sender, start_or_stop, sample);
    return end(sender);
}

bool sy_send_zero(struct sy_sender *sender, uint64_t sample, uint32_t channel_mask)
{
    begin(sender, SY_ZERO, sample);
    put(sender, channel_mask, 4);
    return end(sender);
}

bool sy_send_time(struct sy_sender *sender, uint64_t sample, uint64_t utc_ns)
{
    begin(sender, SY_TIME, sample);
    put(sender, utc_ns, 8);
    return end(sender);
}

size_t sy_wire_bytes(size_t body_bytes)
{
    const size_t frame = HEADER_BYTES + body_bytes + CRC_BYTES;
    return frame + frame / FULL_BLOCK + 3u;
}

size_t sy_hello_body_bytes(const struct sy_hello *hello)
{
    return 24u + hello->serial.length + hello->model.length + hello->firmware.length;
}

size_t sy_samples_body_bytes(uint16_t n, uint8_t channels)
{
    return 4u + 3u * (size_t)n * channels;
}

size_t sy_inputs_body_bytes(size_t n)
{
    return 10u * n;
}
