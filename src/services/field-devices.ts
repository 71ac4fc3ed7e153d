import type { Config, ModbusConfig, SerialPortConfig } from "../config/index.ts";
import { GatewayError } from "../errors/index.ts";
import type { Configuration } from "./configuration/index.ts";

/** A serial device of this machine, with the names that stay the same. */
export interface SerialDeviceView {
  readonly path: string;
  readonly byId: string | null;
  readonly byPath: string | null;
}

/** A serial port or Modbus line with its configuration and how it stands; units are in the names. */
export interface FieldDeviceView<C> {
  readonly name: string;
  readonly config: C;
  readonly status: Readonly<Record<string, unknown>>;
}

/** Where the running ports and lines are seen. */
export interface FieldDirectory {
  ports(): readonly { readonly name: string }[];
  lines(): readonly { readonly name: string }[];
  devices(): Promise<readonly SerialDeviceView[]>;
  /** Resolves when the newest change is in use. */
  settled(): Promise<void>;
}

/** Settings by the keys of the configuration; what is left out takes its default. */
export type FieldDeviceValues = Readonly<Record<string, unknown>>;

/** Ports, or lines, by name. A change is stored and running once its promise resolves. */
export interface FieldDevices<C> {
  list(): readonly FieldDeviceView<C>[];
  /** @throws GatewayError FIELD_DEVICE_NOT_FOUND */
  get(name: string): FieldDeviceView<C>;
  /** @throws GatewayError FIELD_DEVICE_EXISTS, CONFIG_VALUE_INVALID, CONFIG_CHECK_FAILED, CONFIG_WRITE_FAILED */
  create(name: string, values: FieldDeviceValues): Promise<FieldDeviceView<C>>;
  /** As create; the old settings are replaced. @throws GatewayError FIELD_DEVICE_NOT_FOUND as well */
  replace(name: string, values: FieldDeviceValues): Promise<FieldDeviceView<C>>;
  /** @throws GatewayError FIELD_DEVICE_NOT_FOUND, CONFIG_CHECK_FAILED */
  remove(name: string): Promise<void>;
}

/** What serial devices and Modbus lines offer to the dialects. */
export interface FieldDevicesService {
  readonly serialPorts: FieldDevices<SerialPortConfig>;
  readonly modbusLines: FieldDevices<ModbusConfig>;
  /** What is plugged in, opened or not. */
  devices(): Promise<readonly SerialDeviceView[]>;
}

export interface FieldDevicesDeps {
  readonly directory: FieldDirectory;
  readonly configuration: Pick<Configuration, "change" | "current">;
}

export function createFieldDevices(deps: FieldDevicesDeps): FieldDevicesService {
  const { directory, configuration } = deps;
  return {
    serialPorts: collection(deps, {
      kind: "serial port",
      key: "serial",
      members: () => configuration.current().serial,
      status: () => directory.ports(),
    }),
    modbusLines: collection(deps, {
      kind: "Modbus line",
      key: "modbus",
      members: () => configuration.current().modbus,
      status: () => directory.lines(),
    }),
    devices: () => directory.devices(),
  };
}

function collection<C>(
  { configuration, directory }: FieldDevicesDeps,
  of: {
    readonly kind: string;
    readonly key: "serial" | "modbus";
    members(): Readonly<Record<string, C>>;
    status(): readonly { readonly name: string }[];
  },
): FieldDevices<C> {
  const { kind, key } = of;

  function list(): readonly FieldDeviceView<C>[] {
    const status = new Map(of.status().map((each) => [each.name, each]));
    return Object.entries(of.members()).map(([name, config]) => ({
      name,
      config,
      status: { ...status.get(name) },
    }));
  }

  function get(name: string): FieldDeviceView<C> {
    const found = list().find((each) => each.name === name);
    if (found === undefined) throw new GatewayError("FIELD_DEVICE_NOT_FOUND", { kind, name });
    return found;
  }

  async function write(
    name: string,
    values: FieldDeviceValues | null,
    check: (isThere: boolean) => void,
  ): Promise<void> {
    const draft = async (stored: Config) => {
      check(Object.hasOwn(stored[key], name));
      return { patch: { [key]: { [name]: values } }, pems: {} };
    };
    await configuration.change(draft, { force: false });
    await directory.settled();
  }

  const mustBeThere = (name: string) => (isThere: boolean) => {
    if (!isThere) throw new GatewayError("FIELD_DEVICE_NOT_FOUND", { kind, name });
  };

  return {
    list,
    get,
    async create(name, values) {
      await write(name, values, (isThere) => {
        if (isThere) throw new GatewayError("FIELD_DEVICE_EXISTS", { kind, name });
      });
      return get(name);
    },
    async replace(name, values) {
      await write(name, values, mustBeThere(name));
      return get(name);
    },
    async remove(name) {
      await write(name, null, mustBeThere(name));
    },
  };
}
