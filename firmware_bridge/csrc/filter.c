/* The codec as a filter, for comparing it with another: standard input to standard output.
 *
 *     filter encode   fields of messages to frames
 *     filter decode   bytes of a line to fields of messages; the counters go to standard error
 *
 * Fields, little-endian: type u8, device u16, sequence u32, sample u64, then
 *   HELLO    boot u32, rate f64, scale f64, channels u8, three texts each u8 length and bytes
 *   SAMPLES  channels u8, n u16, n * channels counts i32
 *   INPUTS   n u16, n times: sample u64, input u8, active u8
 *   STATUS   temperature f32, supply f32, saturated u32, lost u64, inputs u32
 *   ZERO     mask u32
 *   TIME     utc u64
 */
#include "steelyard_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COUNTS = 11000, MAX_EDGES = 3300 };

static int32_t counts[MAX_COUNTS];
static struct sy_edge edges[MAX_EDGES];
static uint8_t texts[3][255];

static uint64_t take(unsigned n)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < n; i++) {
        const int byte = getchar();
        if (byte == EOF) {
            fprintf(stderr, "cut short\n");
            exit(1);
        }
        value |= (uint64_t)byte << 8 * i;
    }
    return value;
}

static double take_double(void)
{
    const uint64_t bits = take(8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float take_float(void)
{
    const uint32_t bits = (uint32_t)take(4);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static struct sy_text take_text(uint8_t *room)
{
    struct sy_text text;
    text.bytes = room;
    text.length = (uint8_t)take(1);
    for (unsigned i = 0; i < text.length; i++) {
        room[i] = (uint8_t)take(1);
    }
    return text;
}

static void give(uint64_t value, unsigned n)
{
    for (; n > 0; n--, value >>= 8) {
        putchar((int)(value & 0xFF));
    }
}

static void give_double(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    give(bits, 8);
}

static void give_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    give(bits, 4);
}

static void give_text(const struct sy_text *text)
{
    give(text->length, 1);
    fwrite(text->bytes, 1, text->length, stdout);
}

static void sink(void *context, const uint8_t *bytes, size_t n)
{
    (void)context;
    fwrite(bytes, 1, n, stdout);
}

static bool encode_hello(struct sy_sender *sender, uint64_t sample)
{
    struct sy_hello hello;
    hello.boot_id = (uint32_t)take(4);
    hello.rate_hz = take_double();
    hello.newton_per_count = take_double();
    hello.channels = (uint8_t)take(1);
    hello.serial = take_text(texts[0]);
    hello.model = take_text(texts[1]);
    hello.firmware = take_text(texts[2]);
    return sy_send_hello(sender, sample, &hello);
}

static bool encode_samples(struct sy_sender *sender, uint64_t sample)
{
    const uint8_t channels = (uint8_t)take(1);
    const uint16_t n = (uint16_t)take(2);
    for (size_t i = 0; i < (size_t)n * channels; i++) {
        counts[i % MAX_COUNTS] = (int32_t)(uint32_t)take(4);
    }
    return sy_send_samples(sender, sample, counts, n, channels);
}

static bool encode_inputs(struct sy_sender *sender, uint64_t sample)
{
    const size_t n = (size_t)take(2);
    for (size_t i = 0; i < n; i++) {
        struct sy_edge *edge = &edges[i % MAX_EDGES];
        edge->sample = take(8);
        edge->input = (uint8_t)take(1);
        edge->active = take(1) != 0;
    }
    return sy_send_inputs(sender, sample, edges, n);
}

static bool encode_status(struct sy_sender *sender, uint64_t sample)
{
    struct sy_status status;
    status.temperature_c = take_float();
    status.supply_v = take_float();
    status.saturated_mask = (uint32_t)take(4);
    status.lost_samples = take(8);
    status.inputs_mask = (uint32_t)take(4);
    return sy_send_status(sender, sample, &status);
}

static bool encode_one(struct sy_sender *sender, enum sy_type type, uint64_t sample)
{
    switch (type) {
    case SY_HELLO:
        return encode_hello(sender, sample);
    case SY_SAMPLES:
        return encode_samples(sender, sample);
    case SY_INPUTS:
        return encode_inputs(sender, sample);
    case SY_STATUS:
        return encode_status(sender, sample);
    case SY_ZERO:
        return sy_send_zero(sender, sample, (uint32_t)take(4));
    case SY_TIME:
        return sy_send_time(sender, sample, take(8));
    default:
        return sy_send_command(sender, sample, type);
    }
}

static void encode(void)
{
    static struct sy_sender sender;
    unsigned long refused = 0;
    sy_sender_init(&sender, 0, sink, NULL);
    for (int type = getchar(); type != EOF; type = getchar()) {
        sender.device_id = (uint16_t)take(2);
        sender.sequence = (uint32_t)take(4);
        const uint64_t sample = take(8);
        refused += !encode_one(&sender, (enum sy_type)type, sample);
    }
    fprintf(stderr, "refused=%lu\n", refused);
}

static void give_body(const struct sy_message *message)
{
    const struct sy_hello *hello = &message->body.hello;
    const struct sy_samples *samples = &message->body.samples;
    const struct sy_inputs *inputs = &message->body.inputs;
    const struct sy_status *status = &message->body.status;
    switch (message->type) {
    case SY_HELLO:
        give(hello->boot_id, 4);
        give_double(hello->rate_hz);
        give_double(hello->newton_per_count);
        give(hello->channels, 1);
        give_text(&hello->serial);
        give_text(&hello->model);
        give_text(&hello->firmware);
        break;
    case SY_SAMPLES:
        give(samples->channels, 1);
        give(samples->n, 2);
        for (size_t i = 0; i < (size_t)samples->n * samples->channels; i++) {
            give((uint32_t)sy_count_at(samples, i), 4);
        }
        break;
    case SY_INPUTS:
        give(inputs->n, 2);
        for (size_t i = 0; i < inputs->n; i++) {
            const struct sy_edge edge = sy_edge_at(inputs, i);
            give(edge.sample, 8);
            give(edge.input, 1);
            give(edge.active, 1);
        }
        break;
    case SY_STATUS:
        give_float(status->temperature_c);
        give_float(status->supply_v);
        give(status->saturated_mask, 4);
        give(status->lost_samples, 8);
        give(status->inputs_mask, 4);
        break;
    case SY_ZERO:
        give(message->body.channel_mask, 4);
        break;
    case SY_TIME:
        give(message->body.utc_ns, 8);
        break;
    default:
        break;
    }
}

static void heard(void *context, const struct sy_message *message)
{
    (void)context;
    give(message->type, 1);
    give(message->device_id, 2);
    give(message->sequence, 4);
    give(message->sample, 8);
    give_body(message);
}

static void decode(void)
{
    static struct sy_receiver receiver;
    static uint8_t bytes[4096];
    const struct sy_counters *counters = &receiver.counters;
    sy_receiver_init(&receiver, heard, NULL);
    for (size_t n = fread(bytes, 1, sizeof bytes, stdin); n > 0;
         n = fread(bytes, 1, sizeof bytes, stdin)) {
        sy_receive(&receiver, bytes, n);
    }
    fprintf(stderr, "frames=%lu damaged=%lu oversize=%lu unknown=%lu malformed=%lu\n",
            (unsigned long)counters->frames, (unsigned long)counters->damaged,
            (unsigned long)counters->oversize, (unsigned long)counters->unknown,
            (unsigned long)counters->malformed);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "encode") == 0) {
        encode();
    } else if (argc == 2 && strcmp(argv[1], "decode") == 0) {
        decode();
    } else {
        fprintf(stderr, "filter encode | filter decode\n");
        return 2;
    }
    return 0;
}
