import type { ModbusConfig, SerialPortConfig } from "../config/index.ts";

/** A serial port or Modbus line with its settings and how it stands. */
export interface FieldDeviceView<C> {
  readonly name: string;
  readonly config: C;
  readonly status: Readonly<Record<string, unknown>>;
}

/** Ports, or lines; changes are stored and running once the promise resolves. Refusals are GatewayErrors. */
export interface FieldDevicesOf<C> {
  list(): readonly FieldDeviceView<C>[];
  get(name: string): FieldDeviceView<C>;
  create(name: string, values: Readonly<Record<string, unknown>>): Promise<FieldDeviceView<C>>;
  replace(name: string, values: Readonly<Record<string, unknown>>): Promise<FieldDeviceView<C>>;
  remove(name: string): Promise<void>;
}

/** Serial ports and Modbus lines. */
export interface FieldDevicesApi {
  readonly serialPorts: FieldDevicesOf<SerialPortConfig>;
  readonly modbusLines: FieldDevicesOf<ModbusConfig>;
  /** What is plugged in. */
  devices(): Promise<
    readonly {
      readonly path: string;
      readonly byId: string | null;
      readonly byPath: string | null;
    }[]
  >;
}
