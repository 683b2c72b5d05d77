/* What sender and receiver share: the CRC and the limits of the fields. */
#include "steelyard_stream.h"

#include <float.h>

/* Four bits at a time: sixteen words of flash instead of 256. */
static const uint32_t crc_of_nibble[16] = {
    0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u,
    0x4DB26158u, 0x5005713Cu, 0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu,
    0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
};

uint32_t sy_crc32(uint32_t crc, const uint8_t *bytes, size_t n)
{
    crc = ~crc;
    while (n-- > 0) {
        crc ^= *bytes++;
        crc = crc >> 4 ^ crc_of_nibble[crc & 15u];
        crc = crc >> 4 ^ crc_of_nibble[crc & 15u];
    }
    return ~crc;
}

/* Neither infinite nor not a number; a comparison with either of the latter is false. */
static bool is_finite(double value)
{
    return value >= -DBL_MAX && value <= DBL_MAX;
}

/* RFC 3629: shortest form only, no surrogates, nothing above U+10FFFF. */
static bool is_utf8(const struct sy_text *text)
{
    size_t i = 0;
    while (i < text->length) {
        const uint8_t lead = text->bytes[i++];
        uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
        uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
        size_t more = lead < 0x80 ? 0 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
        if ((lead >= 0x80 && lead < 0xC2) || lead > 0xF4 || more > text->length - i) {
            return false;
        }
        for (; more > 0; more--, low = 0x80, high = 0xBF) {
            const uint8_t next = text->bytes[i++];
            if (next < low || next > high) {
                return false;
            }
        }
    }
    return true;
}

bool sy_hello_fits(const struct sy_hello *hello)
{
    return hello->channels >= 1 && hello->channels <= SY_MAX_CHANNELS &&
           is_finite(hello->rate_hz) && hello->rate_hz > 0 && is_finite(hello->newton_per_count) &&
           (hello->newton_per_count < 0 || hello->newton_per_count > 0) &&
           is_utf8(&hello->serial) && is_utf8(&hello->model) && is_utf8(&hello->firmware);
}

bool sy_status_fits(const struct sy_status *status)
{
    return is_finite(status->temperature_c) && is_finite(status->supply_v);
}
