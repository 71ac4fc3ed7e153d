import { Ajv } from "ajv";
import { beforeEach, expect, test } from "vitest";
import { startGateway, TEST_CONFIG } from "../../helpers/gateway-process.ts";
import { connectDevice } from "../../helpers/mqtt.ts";
import { bodiesFor } from "./bodies.ts";
import { type Call, callsOf, type OpenApi, sample, wrongValues } from "./document.ts";

const CONFIG = `${TEST_CONFIG}
api_key:
  keys:
    - {name: boss, api_key: boss, secret: boss-secret}
    - {name: viewer, api_key: viewer, secret: viewer-secret, role: viewer}
`;

const basic = (name: string) => `Basic ${btoa(`${name}:${name}-secret`)}`;

let base: string;
let document: OpenApi;
let calls: Call[];
let ajv: Ajv;
let bodies: ReadonlyMap<string, unknown>;

beforeEach(async () => {
  const { ports } = await startGateway({ config: CONFIG });
  base = `http://127.0.0.1:${ports.http}`;
  bodies = bodiesFor(`127.0.0.1:${ports.tcp}`);
  document = (await (await fetch(`${base}/api-docs/swagger.json`)).json()) as OpenApi;
  calls = callsOf(document);
  ajv = new Ajv({ strict: false, validateFormats: false });
  ajv.addSchema(document, "document");
  await connectDevice(ports.tcp, { clientId: "sensor-7", subscribe: ["plant/line1/temp"] });
  const device = await connectDevice(ports.tcp, { clientId: "other" });
  const retained = { retain: true, qos: 1 } as const;
  await device.client.publishAsync("plant/line1/temp", "21.5", retained);
  await device.client.publishAsync("$delayed/3600/plant/line1/temp", "22", { qos: 1 });
});

interface Reply {
  readonly status: number;
  readonly body: unknown;
  readonly type: string;
}

async function send(
  { method, path }: Pick<Call, "method" | "path">,
  request: {
    readonly params?: Readonly<Record<string, string>>;
    readonly query?: string;
    readonly body?: string;
    readonly type?: string;
    readonly authorization?: string | undefined;
  },
): Promise<Reply> {
  const url = path.replace(/\{(\w+)\}/g, (_, name: string) => request.params?.[name] ?? "");
  const headers = new Headers();
  if (request.authorization !== undefined) headers.set("authorization", request.authorization);
  if (request.body !== undefined) headers.set("content-type", request.type ?? "application/json");
  const reply = await fetch(`${base}/api/v5${url}${request.query ?? ""}`, {
    method,
    headers,
    ...(request.body === undefined ? {} : { body: request.body }),
  });
  const type = reply.headers.get("content-type") ?? "";
  const text = await reply.text();
  const body: unknown = text === "" ? null : type.includes("json") ? JSON.parse(text) : text;
  return { status: reply.status, body, type };
}

async function logIn(): Promise<string> {
  const { body } = await send(
    { method: "POST", path: "/login" },
    { body: JSON.stringify({ username: "admin", password: "public" }) },
  );
  return `Bearer ${(body as { token: string }).token}`;
}

const isBearerOnly = ({ operation }: Call) => operation.security?.[0]?.["bearerAuth"] !== undefined;
const isPublic = ({ operation }: Call) => operation.security?.length === 0;
const nameOf = ({ method, path }: Call) => `${method} ${path}`;

function paramsOf({ operation }: Call): Record<string, string> {
  const path = operation.parameters?.filter((parameter) => parameter.in === "path") ?? [];
  return Object.fromEntries(
    path.map(({ name, schema }) => [name, encodeURIComponent(String(sample(schema)))]),
  );
}

/** Only what is required: optional filters would find nothing. */
function queryOf({ operation }: Call): string {
  const query = new URLSearchParams();
  for (const parameter of operation.parameters ?? []) {
    if (parameter.in === "query" && parameter.required === true) {
      query.append(parameter.name, String(sample(parameter.schema)));
    }
  }
  return query.size === 0 ? "" : `?${query}`;
}

const FILE = `--XX\r\ncontent-disposition: form-data; name="filename"; filename="a.csv"\r\n\r\nuser_id,password_hash,salt,is_superuser\r\nu1,${"ab".repeat(32)},s,false\r\n--XX--\r\n`;

function bodiesOf(call: Call): { body?: string; type?: string }[] {
  const { operation } = call;
  const own = bodies.get(nameOf(call));
  if (own !== undefined) return [{ body: JSON.stringify(own) }];
  const [type, content] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  if (type === undefined || content === undefined) return [{}];
  if (type === "multipart/form-data") return [{ body: FILE, type: `${type}; boundary=XX` }];
  if (type === "application/octet-stream") return [{ body: "no bundle", type }];
  if (type === "text/plain") return [{ body: String(sample(content.schema)), type }];
  return [false, true].map((isMinimal) => ({
    body: JSON.stringify(sample(content.schema, isMinimal), onThisMachine),
  }));
}

/** Examples name addresses; a test goes nowhere and takes free ports. */
const LOOPBACK: Readonly<Record<string, unknown>> = {
  bind: "127.0.0.1:0",
  host: "127.0.0.1",
  server: "127.0.0.1:9",
};

function onThisMachine(name: string, value: unknown): unknown {
  return typeof value === "string" && Object.hasOwn(LOOPBACK, name) ? LOOPBACK[name] : value;
}

/** Why a reply is not what the document says, or null. */
function faultOf({ operation }: Call, { status, body, type }: Reply): string | null {
  const key = operation.responses[status] === undefined ? "default" : String(status);
  if (key === "default" && (status < 400 || status >= 500)) return `status ${status}`;
  const content = operation.responses[key]?.content;
  if (content === undefined) return body === null ? null : `${status} with a body`;
  const media = Object.keys(content).find((name) => type.startsWith(name));
  if (media === undefined) return `${status} with ${type}`;
  const schema = content[media]?.schema ?? {};
  const text = JSON.stringify(schema).replaceAll('"#/', '"document#/');
  const validate = ajv.compile(JSON.parse(text) as object);
  return validate(body) ? null : `${status} ${JSON.stringify(validate.errors?.slice(0, 3))}`;
}

/** Makes before it reads, and takes away last. */
function order({ method, path }: Call): number {
  if (path === "/logout") return 9;
  // What others are built on.
  if (path.startsWith("/connectors") || path.startsWith("/authorization/sources")) {
    if (method === "POST" && !path.includes("/rules")) return path.includes("{") ? 5 : 0;
    if (method === "DELETE") return path.includes("rules") ? 7 : 8;
  }
  if (path === "/clients/kickout/bulk") return 8;
  if (/^(POST .*users|PUT .*rules\/\w+\/\{.*)$/.test(`${method} ${path}`)) return 2;
  const isItem = path.includes("{");
  const isPart = /\}\/./.test(path);
  if (method === "DELETE") return isPart ? 6 : isItem ? 7 : 8;
  if (method === "POST") return isItem ? 5 : 1;
  return method === "PUT" ? 4 : 3;
}

test("every operation, called as its examples say, answers what the document says", async () => {
  const faults: string[] = [];
  const refused = new Map<string, unknown>();
  let token = await logIn();
  for (const call of [...calls].sort((a, b) => order(a) - order(b))) {
    let best = 999;
    let reason: unknown = null;
    for (const body of bodiesOf(call)) {
      const authorization = isBearerOnly(call) ? token : basic("boss");
      const request = { params: paramsOf(call), query: queryOf(call), authorization, ...body };
      const reply = await send(call, request);
      const fault = faultOf(call, reply);
      if (fault !== null) faults.push(`${nameOf(call)}: ${fault}`);
      best = Math.min(best, reply.status);
      reason = reply.body;
      if (isBearerOnly(call)) token = await logIn();
      if (reply.status < 300) break;
    }
    if (best >= 300) refused.set(`${nameOf(call)} ${best}`, reason);
  }
  expect(faults).toEqual([]);
  expect([...refused.keys()].sort(), JSON.stringify([...refused], null, 1)).toEqual(REFUSED);
}, 60_000);

/** Operations whose examples name things that are not there, or not any more. */
const REFUSED: readonly string[] = [
  // Only while the source is disabled.
  "DELETE /authorization/sources/built_in_database/rules 400",
  // It went with its bridge.
  "DELETE /connectors/{id} 404",
  "DELETE /data/files/{filename} 404",
  "DELETE /mqtt/delayed/messages/{node}/{msgid} 404",
  "GET /data/files/{filename} 404",
  "GET /mqtt/delayed/messages/{node}/{msgid} 404",
  "GET /trace/{name}/download 404",
  // A workstation is no appliance.
  "GET /update 404",
  "POST /alarms/force_deactivate 400",
  // Their examples would start the gateway anew.
  "POST /configs_reset/{root} 400",
  // The file sent is no backup.
  "POST /data/files 400",
  "POST /data/import 404",
  // The older way to create a listener; `POST /listeners` has made this one.
  "POST /listeners/{id} 400",
  "POST /update 404",
  "PUT /configs 400",
];

/** Their answer to a wrong password is slowed, on purpose. */
const SLOW = new Set(["POST /login", "POST /users/{username}/change_pwd"]);
const TEXTS = ["__proto__", "%00", "..%2F..%2Fetc", "x".repeat(2_000), "%F0%9F%8C%8A", "%"];

test("every operation refuses wrong calls with 4xx, and none makes a 5xx", async () => {
  const faults: string[] = [];
  const token = await logIn();
  const note = (call: Call, what: string, { status, body }: Reply, wanted: readonly number[]) => {
    const isRight = wanted.length === 0 ? status < 500 : wanted.includes(status);
    if (!isRight) faults.push(`${nameOf(call)} ${what}: ${status} ${JSON.stringify(body)}`);
  };

  for (const call of calls) {
    const authorization = isBearerOnly(call) ? token : basic("boss");
    const good = { params: paramsOf(call), query: queryOf(call), authorization };
    const body = bodiesOf(call)[0] ?? {};

    if (!isPublic(call)) {
      const stranger = await send(call, { ...good, ...body, authorization: undefined });
      note(call, "without login", stranger, [401]);
      const viewer = await send(call, { ...good, ...body, authorization: basic("viewer") });
      const isRead = call.method === "GET" && !isBearerOnly(call);
      if (!isRead) note(call, "as a viewer", viewer, isBearerOnly(call) ? [401] : [403]);
    }

    for (const parameter of call.operation.parameters ?? []) {
      const { name, schema } = parameter;
      if (parameter.in === "path") {
        for (const text of TEXTS) {
          const params = { ...good.params, [name]: text };
          if (call.method === "GET")
            note(call, `${name}=${text}`, await send(call, { ...good, params }), []);
        }
        continue;
      }
      // The reference answers NODE_DOWN with 500 to a node that is not there.
      if (name === "node") continue;
      const isText = schema.type === "string" && schema.enum === undefined;
      for (const text of ["", "%00", "-1", "1.5", "99999999999999999999", "x", "[]"]) {
        const isNumber = schema.type === "integer" && /^-?\d+$/.test(text);
        const isUnion = schema.anyOf !== undefined || schema.type === "array";
        const wanted = isText || isNumber || isUnion ? [] : [400];
        if (call.method !== "GET") continue;
        note(
          call,
          `${name}=${text}`,
          await send(call, { ...good, query: `?${name}=${text}` }),
          wanted,
        );
      }
    }

    const schema = call.operation.requestBody?.content?.["application/json"]?.schema;
    if (schema === undefined || SLOW.has(nameOf(call))) continue;
    for (const text of ["{", "\u0000", "[1,]", `${"[".repeat(500)}${"]".repeat(500)}`]) {
      note(call, `body ${text.slice(0, 9)}`, await send(call, { ...good, body: text }), [400]);
    }
    const form = { body: "a=b", type: "application/x-www-form-urlencoded" };
    note(call, "a form", await send(call, { ...good, ...form }), [415]);
    for (const wrong of wrongValues(schema)) {
      const text = JSON.stringify(wrong);
      note(call, `body ${text}`, await send(call, { ...good, body: text }), [400]);
    }
    for (const [name, property] of Object.entries(schema.properties ?? {})) {
      for (const wrong of wrongValues(property)) {
        const members = { ...(sample(schema) as object), [name]: wrong };
        const reply = await send(call, { ...good, body: JSON.stringify(members) });
        note(call, `${name}: ${JSON.stringify(wrong)}`, reply, [400, 404, 409, 413]);
      }
    }
    for (const name of schema.required ?? []) {
      const { [name]: _, ...rest } = sample(schema) as Record<string, unknown>;
      note(
        call,
        `without ${name}`,
        await send(call, { ...good, body: JSON.stringify(rest) }),
        [400],
      );
    }
  }
  expect(faults).toEqual([]);
  expect((await fetch(`${base}/status`)).status).toBe(200);
}, 120_000);
