export type { SerialDevice } from "./devices.ts";
export { serialDevices } from "./devices.ts";
export type { FramePortStatus } from "./frame-port.ts";
export type { LineState, LineStatus } from "./line.ts";
export type { ReadingStamp } from "./payload.ts";
export type {
  RequestLine,
  Serial,
  SerialConfig,
  SerialDeps,
  SerialPortStatus,
} from "./serial.ts";
export { createSerial } from "./serial.ts";
