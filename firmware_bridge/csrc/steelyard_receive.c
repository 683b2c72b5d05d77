/* Frames to messages: COBS undone byte by byte, then CRC, then form. What does not prove itself is
 * counted and dropped, and the next zero byte begins anew. */
#include "steelyard_stream.h"

#include <string.h>

enum { HEADER_BYTES = 16, CRC_BYTES = 4, COUNT_BYTES = 3, EDGE_BYTES = 10, HELLO_FIXED = 21 };

/* Unread part of a body. */
struct reader {
    const uint8_t *at;
    size_t left;
};

void sy_receiver_init(struct sy_receiver *receiver, sy_heard heard, void *context)
{
    memset(receiver, 0, sizeof *receiver);
    receiver->heard = heard;
    receiver->context = context;
}

static uint64_t value_at(const uint8_t *bytes, unsigned n)
{
    uint64_t value = 0;
    while (n-- > 0) {
        value = value << 8 | bytes[n];
    }
    return value;
}

static uint64_t get(struct reader *reader, unsigned n)
{
    const uint64_t value = value_at(reader->at, n);
    reader->at += n;
    reader->left -= n;
    return value;
}

static double get_double(struct reader *reader)
{
    const uint64_t bits = get(reader, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float get_float(struct reader *reader)
{
    const uint32_t bits = (uint32_t)get(reader, 4);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static bool get_text(struct reader *reader, struct sy_text *text)
{
    if (reader->left == 0) {
        return false;
    }
    text->length = (uint8_t)get(reader, 1);
    text->bytes = reader->at;
    if (text->length > reader->left) {
        return false;
    }
    reader->at += text->length;
    reader->left -= text->length;
    return true;
}

static bool read_hello(struct reader *reader, struct sy_hello *hello)
{
    if (reader->left < HELLO_FIXED) {
        return false;
    }
    hello->boot_id = (uint32_t)get(reader, 4);
    hello->rate_hz = get_double(reader);
    hello->newton_per_count = get_double(reader);
    hello->channels = (uint8_t)get(reader, 1);
    return get_text(reader, &hello->serial) && get_text(reader, &hello->model) &&
           get_text(reader, &hello->firmware) && reader->left == 0 && sy_hello_fits(hello);
}

static bool read_samples(struct reader *reader, struct sy_samples *samples)
{
    if (reader->left < 4) {
        return false;
    }
    samples->channels = (uint8_t)get(reader, 1);
    const uint64_t reserved = get(reader, 1);
    samples->n = (uint16_t)get(reader, 2);
    samples->packed = reader->at;
    return samples->channels >= 1 && samples->channels <= SY_MAX_CHANNELS && samples->n >= 1 &&
           reserved == 0 && reader->left == (size_t)COUNT_BYTES * samples->channels * samples->n;
}

static bool read_inputs(struct reader *reader, struct sy_inputs *inputs)
{
    inputs->packed = reader->at;
    inputs->n = reader->left / EDGE_BYTES;
    for (size_t i = 0; i < inputs->n; i++) {
        const struct sy_edge edge = sy_edge_at(inputs, i);
        if (edge.input >= SY_MAX_INPUTS || inputs->packed[EDGE_BYTES * i + 9] > 1 ||
            (i > 0 && edge.sample < sy_edge_at(inputs, i - 1).sample)) {
            return false;
        }
    }
    return inputs->n >= 1 && reader->left % EDGE_BYTES == 0;
}

static bool read_status(struct reader *reader, struct sy_status *status)
{
    if (reader->left != SY_STATUS_BODY_BYTES) {
        return false;
    }
    status->temperature_c = get_float(reader);
    status->supply_v = get_float(reader);
    status->saturated_mask = (uint32_t)get(reader, 4);
    status->inputs_mask = (uint32_t)get(reader, 4);
    status->lost_samples = get(reader, 8);
    return sy_status_fits(status);
}

static bool read_body(struct reader *reader, struct sy_message *message)
{
    switch (message->type) {
    case SY_HELLO:
        return read_hello(reader, &message->body.hello);
    case SY_SAMPLES:
        return read_samples(reader, &message->body.samples);
    case SY_INPUTS:
        return read_inputs(reader, &message->body.inputs);
    case SY_STATUS:
        return read_status(reader, &message->body.status);
    case SY_ZERO:
        if (reader->left != 4) {
            return false;
        }
        message->body.channel_mask = (uint32_t)get(reader, 4);
        return true;
    case SY_TIME:
        if (reader->left != 8) {
            return false;
        }
        message->body.utc_ns = get(reader, 8);
        return true;
    default: /* START and STOP */
        return reader->left == 0;
    }
}

static bool is_known(uint64_t version, uint64_t type)
{
    return version == SY_VERSION &&
           ((type >= SY_HELLO && type <= SY_STATUS) || (type >= SY_START && type <= SY_TIME));
}

/* The counter that tells what became of the frame; a good one was given to `heard`. */
static uint32_t *judged(struct sy_receiver *receiver)
{
    struct sy_counters *counters = &receiver->counters;
    const uint32_t length = receiver->length;
    if (length > SY_RECEIVE_BYTES) {
        return &counters->oversize;
    }
    if (receiver->left > 0 || length < HEADER_BYTES + CRC_BYTES ||
        sy_crc32(0, receiver->frame, length - CRC_BYTES) !=
            value_at(receiver->frame + length - CRC_BYTES, CRC_BYTES)) {
        return &counters->damaged;
    }
    struct reader reader = {receiver->frame, length - CRC_BYTES};
    const uint64_t version = get(&reader, 1), type = get(&reader, 1);
    if (!is_known(version, type)) {
        return &counters->unknown;
    }
    struct sy_message message;
    message.type = (enum sy_type)type;
    message.device_id = (uint16_t)get(&reader, 2);
    message.sequence = (uint32_t)get(&reader, 4);
    message.sample = get(&reader, 8);
    if (!read_body(&reader, &message)) {
        return &counters->malformed;
    }
    receiver->heard(receiver->context, &message);
    return &counters->frames;
}

/* Bytes beyond the longest frame are not kept, only the fact that there was one. */
static void keep(struct sy_receiver *receiver, uint8_t byte)
{
    if (receiver->length < SY_RECEIVE_BYTES) {
        receiver->frame[receiver->length] = byte;
    }
    if (receiver->length <= SY_RECEIVE_BYTES) {
        receiver->length++;
    }
}

static void unstuff(struct sy_receiver *receiver, uint8_t byte)
{
    if (receiver->left > 0) {
        keep(receiver, byte);
        receiver->left--;
        return;
    }
    if (receiver->code != 0 && receiver->code != 0xFF) {
        keep(receiver, 0);
    }
    receiver->code = byte;
    receiver->left = (uint8_t)(byte - 1u);
}

void sy_receive(struct sy_receiver *receiver, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] != 0) {
            unstuff(receiver, bytes[i]);
            continue;
        }
        if (receiver->code != 0) {
            ++*judged(receiver);
        }
        receiver->length = 0;
        receiver->code = receiver->left = 0;
    }
}

int32_t sy_count_at(const struct sy_samples *samples, size_t index)
{
    const int32_t low = (int32_t)value_at(samples->packed + COUNT_BYTES * index, COUNT_BYTES);
    return low > SY_COUNT_MAX ? low - 0x1000000 : low;
}

struct sy_edge sy_edge_at(const struct sy_inputs *inputs, size_t index)
{
    const uint8_t *at = inputs->packed + EDGE_BYTES * index;
    const struct sy_edge edge = {value_at(at, 8), at[8], at[9] != 0};
    return edge;
}
