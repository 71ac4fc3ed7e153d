export type { MasterStatus } from "./master.ts";
export type { Modbus, ModbusConfig, ModbusDeps } from "./modbus.ts";
export { createModbus } from "./modbus.ts";
export type { SlaveStatus } from "./poller.ts";
