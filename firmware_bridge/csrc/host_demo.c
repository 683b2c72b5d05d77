/* A digitiser on a pseudo-terminal: streams a recording through the device's own code.
 *
 *     host_demo LINK COUNTS EDGES CHANNELS RATE_HZ NEWTON_PER_COUNT [DEVICE_ID]
 *
 * LINK becomes a symbolic link to the terminal; its name is printed when it is there. COUNTS holds int32, little-endian, conversion by
 * conversion; EDGES holds lines "sample input active". Before START the first conversion stands; from
 * the first START on the recording runs, again and again. POSIX; the rest is for any board.
 */
#define _XOPEN_SOURCE 700
#define _DEFAULT_SOURCE

#include "steelyard_device.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { MAX_BLOCK = 400, MAX_EDGES = 4096, BLOCKS_A_SECOND = 50, NAP_NS = 4000000 };

struct recording {
    const uint8_t *counts;
    uint64_t rows;
    struct sy_edge edges[MAX_EDGES];
    size_t n_edges;
};

struct line {
    int master;
    bool attached;
    uint8_t out[65536];
    size_t n_out;
};

static struct recording recording;
static struct line line;
static struct sy_device device;
static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* ------------------------------------------------------------------------------- the board */

static void sink(void *context, const uint8_t *bytes, size_t n)
{
    (void)context;
    memcpy(line.out + line.n_out, bytes, n);
    line.n_out += n;
}

static size_t room(void *context)
{
    (void)context;
    return line.attached ? sizeof line.out - line.n_out : 0;
}

static float temperature_c(void *context)
{
    (void)context;
    return 31.5f;
}

static float supply_v(void *context)
{
    (void)context;
    return 24.0f;
}

static void told_time(void *context, uint64_t utc_ns)
{
    (void)context;
    fprintf(stderr, "time %" PRIu64 "\n", utc_ns);
}

static const struct sy_board board = {sink, room, temperature_c, supply_v, told_time, NULL};

/* -------------------------------------------------------------------------------- the line */

static void open_line(const char *link_path)
{
    struct termios raw;
    line.master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (line.master < 0 || grantpt(line.master) < 0 || unlockpt(line.master) < 0) {
        fail("pseudo-terminal");
    }
    const int slave = open(ptsname(line.master), O_RDWR | O_NOCTTY);
    if (slave < 0 || tcgetattr(slave, &raw) < 0) {
        fail("pseudo-terminal");
    }
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    close(slave); /* so that it shows whether a host is there */
    unlink(link_path);
    if (symlink(ptsname(line.master), link_path) < 0) {
        fail(link_path);
    }
}

static void hear(void)
{
    uint8_t bytes[4096];
    const ssize_t n = read(line.master, bytes, sizeof bytes);
    line.attached = n >= 0 || errno != EIO;
    if (n > 0) {
        sy_device_hear(&device, bytes, (size_t)n);
    }
    if (!line.attached) {
        line.n_out = 0;
    }
}

static void flush(void)
{
    const ssize_t n = line.n_out > 0 ? write(line.master, line.out, line.n_out) : 0;
    if (n > 0) {
        line.n_out -= (size_t)n;
        memmove(line.out, line.out + n, line.n_out);
    }
}

/* --------------------------------------------------------------------------- the recording */

static void load(const char *counts_path, const char *edges_path, unsigned channels)
{
    struct stat found;
    const int file = open(counts_path, O_RDONLY);
    if (file < 0 || fstat(file, &found) < 0) {
        fail(counts_path);
    }
    recording.rows = (uint64_t)found.st_size / (4u * channels);
    recording.counts = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (recording.rows == 0 || recording.counts == MAP_FAILED) {
        fail(counts_path);
    }
    close(file);
    FILE *edges = fopen(edges_path, "r");
    if (edges == NULL) {
        fail(edges_path);
    }
    uint64_t sample;
    unsigned input, active;
    while (recording.n_edges < MAX_EDGES &&
           fscanf(edges, "%" SCNu64 " %u %u", &sample, &input, &active) == 3) {
        const struct sy_edge edge = {sample, (uint8_t)input, active != 0};
        recording.edges[recording.n_edges++] = edge;
    }
    fclose(edges);
}

static int32_t count_at(uint64_t index)
{
    const uint8_t *at = recording.counts + 4 * index;
    return (int32_t)((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
                     (uint32_t)at[3] << 24);
}

/* Converts the next `n`; `played` conversions of the recording went before. */
static void convert(uint64_t played, uint16_t n, bool running)
{
    static int32_t counts[MAX_BLOCK * SY_MAX_CHANNELS];
    static struct sy_edge edges[MAX_EDGES];
    const unsigned channels = device.hello->channels;
    size_t n_edges = 0;
    for (uint16_t i = 0; i < n; i++) {
        const uint64_t row = running ? (played + i) % recording.rows : 0;
        for (unsigned channel = 0; channel < channels; channel++) {
            counts[i * channels + channel] = count_at(row * channels + channel);
        }
        for (size_t k = 0; running && k < recording.n_edges && n_edges < MAX_EDGES; k++) {
            if (recording.edges[k].sample == row) {
                edges[n_edges] = recording.edges[k];
                edges[n_edges++].sample = device.next_sample + i;
            }
        }
    }
    sy_device_block(&device, counts, n, edges, n_edges);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void run(void)
{
    const struct timespec nap = {0, NAP_NS};
    const double rate_hz = device.hello->rate_hz, began_s = now_s();
    const uint16_t n = (uint16_t)(rate_hz > BLOCKS_A_SECOND ? rate_hz / BLOCKS_A_SECOND : 1);
    uint64_t played = 0;
    double second_s = began_s;
    while (!stopped) {
        hear();
        const double time_s = now_s();
        while ((double)(device.next_sample + n) <= (time_s - began_s) * rate_hz) {
            const bool running = device.started || played > 0;
            convert(played, n, running);
            played += running ? n : 0;
        }
        if (time_s >= second_s) {
            second_s += 1.0;
            sy_device_second(&device);
        }
        flush();
        nanosleep(&nap, NULL);
    }
}

int main(int argc, char **argv)
{
    if (argc < 7) {
        fprintf(stderr, "host_demo LINK COUNTS EDGES CHANNELS RATE_HZ NEWTON_PER_COUNT [ID]\n");
        return 2;
    }
    static const uint8_t serial[] = "C-0001", model[] = "steelyard-csrc", firmware[] = "1.0";
    const struct sy_hello hello = {
        (uint32_t)time(NULL) ^ (uint32_t)getpid() << 16,
        strtod(argv[5], NULL),
        strtod(argv[6], NULL),
        (uint8_t)atoi(argv[4]),
        {serial, sizeof serial - 1},
        {model, sizeof model - 1},
        {firmware, sizeof firmware - 1},
    };
    if (!sy_hello_fits(&hello) || hello.rate_hz > MAX_BLOCK * BLOCKS_A_SECOND) {
        fprintf(stderr, "channels, rate or scale\n");
        return 2;
    }
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    load(argv[2], argv[3], hello.channels);
    open_line(argv[1]);
    sy_device_init(&device, &board, (uint16_t)(argc > 7 ? atoi(argv[7]) : 1), &hello);
    printf("%s\n", argv[1]);
    fflush(stdout);
    run();
    unlink(argv[1]);
    return 0;
}
