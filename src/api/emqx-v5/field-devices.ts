import type { FieldDevicesService, Services } from "../../services/index.ts";
import { created, noContent, ok, type Route, route } from "./kit/index.ts";

/** What these operations are made of. */
export type FieldDeviceServices = Pick<Services, "fieldDevices">;

const TEST = "test/system/field-devices.test.ts";

const NAME = {
  type: "object",
  properties: { name: { type: "string", description: "Name of the port or line." } },
  required: ["name"],
} as const;

const STATUS = {
  type: "object",
  description: "How it stands, and what went over it since the start.",
  additionalProperties: true,
} as const;

/** What is told apart of the two kinds. */
interface Kind {
  readonly path: "/serial_ports" | "/modbus_lines";
  readonly key: "serial" | "modbus";
  readonly what: string;
  readonly example: Readonly<Record<string, unknown>>;
  readonly devices: Pick<
    FieldDevicesService["serialPorts"] | FieldDevicesService["modbusLines"],
    "list" | "get" | "create" | "replace" | "remove"
  >;
}

/**
 * `/serial_ports`, `/serial_devices` and `/modbus_lines`: Tidegate's own, EMQX has nothing like them.
 */
export function fieldDeviceRoutes({ fieldDevices }: FieldDeviceServices): readonly Route[] {
  return [
    ...routesOf({
      path: "/serial_ports",
      key: "serial",
      what: "serial port",
      example: { device: "/dev/serial/by-id/usb-FTDI_A1-if00", baud_rate: 115_200 },
      devices: fieldDevices.serialPorts,
    }),
    ...routesOf({
      path: "/modbus_lines",
      key: "modbus",
      what: "Modbus line",
      example: { host: "192.168.1.20", slaves: [] },
      devices: fieldDevices.modbusLines,
    }),
    route({
      method: "GET",
      path: "/serial_devices",
      tag: "Field devices",
      summary: "The serial devices that are plugged in",
      description: "With the names that stay the same, for `device` of a serial port.",
      section: "own",
      priority: "P2",
      schema: {
        answers: {
          200: {
            type: "array",
            items: {
              type: "object",
              properties: {
                path: { type: "string", description: "What it is called now." },
                by_id: { type: ["string", "null"], description: "Follows the adapter." },
                by_path: { type: ["string", "null"], description: "Follows the USB socket." },
              },
              required: ["path", "by_id", "by_path"],
            },
          },
        },
      },
      test: TEST,
      async handle() {
        const devices = await fieldDevices.devices();
        return ok(
          devices.map(({ path, byId, byPath }) => ({ path, by_id: byId, by_path: byPath })),
        );
      },
    }),
  ];
}

function routesOf({ path, key, what, example, devices }: Kind): readonly Route[] {
  const SETTINGS = {
    type: "object",
    description: `Keys of \`${key}.<name>\` in the configuration; what is left out takes its default.`,
    additionalProperties: true,
    example,
  } as const;
  const SHOWN = {
    type: "object",
    description: `A ${what}: its settings beside its name and status.`,
    properties: { name: { type: "string" }, status: STATUS },
    required: ["name", "status"],
    additionalProperties: true,
  } as const;
  const common = { tag: "Field devices", section: "own", priority: "P2", test: TEST } as const;
  const shown = ({ name, config, status }: ReturnType<Kind["devices"]["get"]>) => ({
    ...config,
    name,
    status,
  });
  return [
    route({
      ...common,
      method: "GET",
      path,
      summary: `All ${what}s`,
      schema: { answers: { 200: { type: "array", items: SHOWN } } },
      handle: () => ok(devices.list().map(shown)),
    }),
    route({
      ...common,
      method: "POST",
      path,
      summary: `Add a ${what}`,
      description: "It is in use when the answer comes, and after a restart.",
      schema: {
        body: {
          ...SETTINGS,
          properties: { name: { type: "string", description: `Name of the ${what}.` } },
          required: ["name"],
          example: { name: "meter", ...example },
        },
        answers: { 201: SHOWN },
      },
      async handle({ body: { name, ...settings } }) {
        return created(shown(await devices.create(name, settings)));
      },
    }),
    route({
      ...common,
      method: "GET",
      path: `${path}/{name}`,
      summary: `One ${what}`,
      schema: { params: NAME, answers: { 200: SHOWN } },
      handle: ({ params }) => ok(shown(devices.get(params.name))),
    }),
    route({
      ...common,
      method: "PUT",
      path: `${path}/{name}`,
      summary: `Replace the settings of a ${what}`,
      description: "`name` and `status`, as the answers have them, are passed over.",
      schema: { params: NAME, body: SETTINGS, answers: { 200: SHOWN } },
      async handle({ params, body: { name: _name, status: _status, ...settings } }) {
        return ok(shown(await devices.replace(params.name, settings)));
      },
    }),
    route({
      ...common,
      method: "DELETE",
      path: `${path}/{name}`,
      summary: `Remove a ${what}`,
      schema: { params: NAME, answers: { 204: null } },
      async handle({ params }) {
        await devices.remove(params.name);
        return noContent();
      },
    }),
  ];
}
