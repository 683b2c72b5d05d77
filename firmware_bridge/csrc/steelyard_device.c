#include "steelyard_device.h"

#include <string.h>

static bool has_room(const struct sy_device *device, size_t body_bytes)
{
    return device->board.room(device->board.context) >= sy_wire_bytes(body_bytes);
}

static void say_hello(struct sy_device *device)
{
    if (has_room(device, sy_hello_body_bytes(device->hello))) {
        sy_send_hello(&device->sender, device->next_sample, device->hello);
    }
}

static void keep_edge(struct sy_device *device, const struct sy_edge *edge)
{
    if (device->n_edges == SY_EDGES_KEPT) {
        memmove(device->edges, device->edges + 1, (SY_EDGES_KEPT - 1) * sizeof *edge);
        device->n_edges--;
    }
    device->edges[device->n_edges++] = *edge;
}

/* Edges go before the samples they lie in; what the line has no room for waits. */
static void say_edges(struct sy_device *device)
{
    if (device->n_edges > 0 && has_room(device, sy_inputs_body_bytes(device->n_edges)) &&
        sy_send_inputs(&device->sender, device->next_sample, device->edges, device->n_edges)) {
        device->n_edges = 0;
    }
}

static void say_status(struct sy_device *device)
{
    const struct sy_status status = {
        device->board.temperature_c(device->board.context),
        device->board.supply_v(device->board.context),
        device->saturated_mask,
        device->inputs_mask,
        device->lost_samples,
    };
    /* While edges wait, the mask would run ahead of them. */
    if (device->n_edges == 0 && has_room(device, SY_STATUS_BODY_BYTES) &&
        sy_send_status(&device->sender, device->next_sample, &status)) {
        device->saturated_mask = 0;
    }
}

/* For the host every input is at rest until it hears of it. */
static void start(struct sy_device *device)
{
    const bool anew = !device->started;
    device->started = true;
    say_hello(device);
    if (!anew) {
        return;
    }
    device->n_edges = 0;
    for (uint8_t input = 0; input < SY_MAX_INPUTS; input++) {
        if (device->inputs_mask >> input & 1u) {
            const struct sy_edge edge = {device->next_sample, input, true};
            keep_edge(device, &edge);
        }
    }
    say_edges(device);
    say_status(device);
}

static void take_zero(struct sy_device *device, uint32_t channel_mask)
{
    for (uint8_t channel = 0; channel < device->hello->channels; channel++) {
        if (channel_mask >> channel & 1u) {
            device->zero[channel] = device->level[channel];
        }
    }
}

static void obey(void *context, const struct sy_message *message)
{
    struct sy_device *device = context;
    if (message->device_id != device->sender.device_id) {
        return;
    }
    switch (message->type) {
    case SY_START:
        start(device);
        break;
    case SY_STOP:
        device->started = false;
        break;
    case SY_ZERO:
        take_zero(device, message->body.channel_mask);
        break;
    case SY_TIME:
        device->board.told_time(device->board.context, message->body.utc_ns);
        break;
    default: /* words of devices */
        break;
    }
}

void sy_device_init(struct sy_device *device, const struct sy_board *board, uint16_t device_id,
                    const struct sy_hello *hello)
{
    memset(device, 0, sizeof *device);
    device->board = *board;
    device->hello = hello;
    sy_sender_init(&device->sender, device_id, board->sink, board->context);
    sy_receiver_init(&device->receiver, obey, device);
    say_hello(device);
}

void sy_device_hear(struct sy_device *device, const uint8_t *bytes, size_t n)
{
    sy_receive(&device->receiver, bytes, n);
}

static int32_t clipped(int64_t count)
{
    return count > SY_COUNT_MAX   ? SY_COUNT_MAX
           : count < SY_COUNT_MIN ? SY_COUNT_MIN
                                  : (int32_t)count;
}

/* Level and saturation are those of the converter, before the zero is taken off. */
static void take_off_zero(struct sy_device *device, int32_t *counts, uint16_t n)
{
    const uint8_t channels = device->hello->channels;
    for (uint8_t channel = 0; channel < channels; channel++) {
        int64_t sum = 0;
        for (size_t i = channel; i < (size_t)n * channels; i += channels) {
            if (counts[i] <= SY_COUNT_MIN || counts[i] >= SY_COUNT_MAX) {
                device->saturated_mask |= (uint32_t)1 << channel;
            }
            sum += counts[i];
            counts[i] = clipped((int64_t)counts[i] - device->zero[channel]);
        }
        device->level[channel] = clipped(sum / n);
    }
}

static void take_edges(struct sy_device *device, const struct sy_edge *edges, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (edges[i].input >= SY_MAX_INPUTS) {
            continue;
        }
        const uint32_t bit = (uint32_t)1 << edges[i].input;
        device->inputs_mask = edges[i].active ? device->inputs_mask | bit
                                              : device->inputs_mask & ~bit;
        if (device->started) {
            keep_edge(device, &edges[i]);
        }
    }
}

void sy_device_block(struct sy_device *device, int32_t *counts, uint16_t n,
                     const struct sy_edge *edges, size_t n_edges)
{
    const uint8_t channels = device->hello->channels;
    const uint64_t first = device->next_sample;
    device->next_sample = first + n;
    take_off_zero(device, counts, n);
    take_edges(device, edges, n_edges);
    if (!device->started) {
        return;
    }
    say_edges(device);
    /* Samples never overtake the edges in them. */
    if (device->n_edges > 0 || !has_room(device, sy_samples_body_bytes(n, channels)) ||
        !sy_send_samples(&device->sender, first, counts, n, channels)) {
        device->lost_samples += n;
    }
}

void sy_device_second(struct sy_device *device)
{
    say_hello(device);
    if (device->started) {
        say_edges(device);
        say_status(device);
    }
}
