/* A scale of the map generic-scale on libmodbus: server rtu PORT | server tcp NUMBER.
 * Its gross weight is 38,240.5 kg; the counter moves on with each request. */
#include <modbus/modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNIT = 1, GROSS_DIGITS = 382405, REGISTERS = 32 };

static void measure(uint16_t *words) {
    words[0] = 1;
    words[1] = words[3] = GROSS_DIGITS >> 16;
    words[2] = words[4] = GROSS_DIGITS & 0xFFFF;
    words[5] = 1;
    words[6]++;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    int serial = strcmp(argv[1], "rtu") == 0, listening = -1;
    modbus_t *line = serial ? modbus_new_rtu(argv[2], 115200, 'N', 8, 1)
                            : modbus_new_tcp("127.0.0.1", atoi(argv[2]));
    modbus_mapping_t *map = modbus_mapping_new(0, 0, REGISTERS, 0);
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    if (line == NULL || map == NULL) return 1;
    modbus_set_slave(line, UNIT);
    if (serial ? modbus_connect(line) == -1 : (listening = modbus_tcp_listen(line, 1)) == -1)
        return 1;
    puts("ready");
    fflush(stdout);
    for (;;) {
        if (!serial && modbus_tcp_accept(line, &listening) == -1) return 1;
        for (int size; (size = modbus_receive(line, query)) != -1 || serial;) {
            if (size <= 0) continue;
            measure(map->tab_registers);
            if (modbus_reply(line, query, size, map) == -1 && !serial) break;
        }
    }
}
