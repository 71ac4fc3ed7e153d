import type { Config } from "../../config/index.ts";
import { checkFailed } from "./check-failed.ts";

/**
 * Serial ports and Modbus lines together: each device belongs to one port, and a line polls on a port
 * of its own that is there for it.
 * @throws GatewayError CONFIG_CHECK_FAILED
 */
export function checkFieldDevices(next: Config, previous: Config): void {
  if (next.serial === previous.serial && next.modbus === previous.modbus) return;
  const owners = new Map<string, string>();
  for (const [name, { device, enable }] of Object.entries(next.serial)) {
    if (device === null || !enable) continue;
    const owner = owners.get(device);
    if (owner !== undefined) {
      throw checkFailed(`serial.${name}.device`, device, `serial.${owner} has it`);
    }
    owners.set(device, name);
  }
  const users = new Map<string, string>();
  for (const [name, { port, enable }] of Object.entries(next.modbus)) {
    if (port === null || !enable) continue;
    const key = `modbus.${name}.port`;
    const used = Object.hasOwn(next.serial, port) ? next.serial[port] : undefined;
    if (used === undefined) throw checkFailed(key, port, "there is no such serial port");
    if (used.use !== "modbus") throw checkFailed(key, port, "its use is not modbus");
    const other = users.get(port);
    if (other !== undefined) throw checkFailed(key, port, `modbus.${other} polls on it`);
    users.set(port, name);
  }
}
