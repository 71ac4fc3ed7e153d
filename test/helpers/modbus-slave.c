/* A Modbus slave of Debian's libmodbus, to test against an implementation that is not ours.
 * Usage: modbus-slave rtu DEVICE UNIT | modbus-slave tcp PORT
 * Holding register n holds n, input register n holds 1000 + n, every third coil and every second
 * discrete input is on. Prints "ready" once it listens.
 */
#include <modbus/modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
  int isTcp = argc > 2 && strcmp(argv[1], "tcp") == 0;
  if (argc < (isTcp ? 3 : 4)) return 2;
  modbus_t *line = isTcp ? modbus_new_tcp("127.0.0.1", atoi(argv[2]))
                         : modbus_new_rtu(argv[2], 19200, 'N', 8, 1);
  modbus_mapping_t *map = modbus_mapping_new(200, 200, 200, 200);
  if (line == NULL || map == NULL) return 1;
  for (int n = 0; n < 200; n++) {
    map->tab_registers[n] = n;
    map->tab_input_registers[n] = 1000 + n;
    map->tab_bits[n] = n % 3 == 0;
    map->tab_input_bits[n] = n % 2 == 0;
  }
  uint8_t request[MODBUS_MAX_ADU_LENGTH];
  if (!isTcp) {
    modbus_set_slave(line, atoi(argv[3]));
    if (modbus_connect(line) < 0) { perror("connect"); return 1; }
    puts("ready");
    fflush(stdout);
    for (;;) {
      int length = modbus_receive(line, request);
      if (length > 0) modbus_reply(line, request, length, map);
    }
  }
  int listener = modbus_tcp_listen(line, 1);
  if (listener < 0) { perror("listen"); return 1; }
  puts("ready");
  fflush(stdout);
  for (;;) {
    if (modbus_tcp_accept(line, &listener) < 0) return 1;
    for (;;) {
      int length = modbus_receive(line, request);
      if (length < 0) break;
      if (length > 0) modbus_reply(line, request, length, map);
    }
    modbus_close(line);
  }
}
