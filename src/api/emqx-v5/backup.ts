import type { BackupFile, BackupService } from "../../services/index.ts";
import {
  ApiError,
  type Caller,
  file,
  noContent,
  ok,
  PAGE_QUERY,
  pageSchema,
  paginate,
  type Route,
  route,
  timestampS,
} from "./kit/index.ts";

const TEST = "src/api/emqx-v5/backup.test.ts";

/** Longest backup that is taken. */
const MAX_UPLOAD_BYTES = 32 * 1024 * 1024;

const names = (description: string, example: string) =>
  ({ type: "array", items: { type: "string" }, description, example: [example] }) as const;

const NODE_PROPERTY = {
  type: "string",
  description: "Name of the node.",
  example: "tidegate@127.0.0.1",
} as const;

const FILENAME = {
  type: "string",
  description: "Name of the backup.",
  example: "emqx-export-2026-11-21-10-00-00.123.tar.gz",
} as const;

const FILE = {
  type: "object",
  properties: {
    filename: FILENAME,
    node: NODE_PROPERTY,
    created_at: {
      type: "string",
      description: "When it was made.",
      example: "2026-11-21T10:00:00+00:00",
    },
    created_at_sec: { type: "integer", description: "The same, s.", example: 1_795_255_200 },
    size: { type: "integer", description: "Bytes.", example: 4711 },
  },
  required: ["filename", "node", "created_at", "created_at_sec", "size"],
} as const;

const NODE_QUERY = { type: "object", properties: { node: NODE_PROPERTY } } as const;

/** `/data` (reference §5.13). */
export function backupRoutes({
  node,
  backup,
}: {
  readonly node: { readonly name: string };
  readonly backup: BackupService;
}): readonly Route[] {
  const described = { tag: "Data Backup", section: "5.13", priority: "P3", test: TEST } as const;
  const shown = ({ name, sizeBytes, createdMs }: BackupFile) => ({
    filename: name,
    node: node.name,
    created_at: timestampS(createdMs),
    created_at_sec: Math.floor(createdMs / 1000),
    size: sizeBytes,
  });
  const requireNode = (name: string | undefined): void => {
    if (name === undefined || name === node.name) return;
    throw new ApiError(404, "NOT_FOUND", `Node not found: ${name}`);
  };

  return [
    route({
      ...described,
      method: "POST",
      path: "/data/export",
      summary: "Make a backup",
      description: "Of the configuration, users, access rules and bans; of all unless told.",
      schema: {
        body: {
          type: "object",
          additionalProperties: false,
          properties: {
            table_sets: names("Tables.", "bans"),
            root_keys: names("Groups of the configuration.", "listeners"),
          },
        },
        answers: { 200: FILE },
      },
      async handle({ body: { table_sets: tables, root_keys: roots } }) {
        const wanted = { ...(tables ? { tables } : {}), ...(roots ? { roots } : {}) };
        return ok(shown(await backup.export(wanted)));
      },
    }),
    route({
      ...described,
      method: "GET",
      path: "/data/files",
      summary: "The backups kept here",
      description: "Newest first.",
      schema: {
        query: { type: "object", properties: PAGE_QUERY },
        answers: { 200: pageSchema(FILE) },
      },
      async handle({ query }) {
        const files = await backup.files();
        const options = { isCountKnown: true, count: files.length, pick: shown };
        return ok(await paginate(files, query, options));
      },
    }),
    route({
      ...described,
      method: "POST",
      path: "/data/files",
      summary: "Upload a backup",
      consumes: ["file"],
      maxBodyBytes: MAX_UPLOAD_BYTES,
      schema: {
        body: {
          type: "object",
          properties: {
            filename: { type: "string", format: "binary", description: "The backup." },
          },
        },
        answers: { 204: null },
      },
      async handle({ file: uploaded }) {
        if (uploaded === null) throw new ApiError(400, "BAD_REQUEST", "a file is missing");
        await backup.put(uploaded.name, uploaded.bytes);
        return noContent();
      },
    }),
    route({
      ...described,
      method: "GET",
      path: "/data/files/{filename}",
      summary: "Download a backup",
      description: "For administrators: it holds passwords of bridges and private keys.",
      produces: "application/octet-stream",
      schema: {
        query: NODE_QUERY,
        answers: { 200: { type: "string", format: "binary" } },
      },
      async handle({ params: { filename }, query, caller }) {
        requireAdministrator(caller);
        requireNode(query.node);
        return file(filename, "application/octet-stream", await backup.read(filename));
      },
    }),
    route({
      ...described,
      method: "DELETE",
      path: "/data/files/{filename}",
      summary: "Remove a backup",
      schema: { query: NODE_QUERY, answers: { 204: null } },
      async handle({ params: { filename }, query }) {
        requireNode(query.node);
        await backup.remove(filename);
        return noContent();
      },
    }),
    route({
      ...described,
      method: "POST",
      path: "/data/import",
      summary: "Read a backup back",
      description:
        "All of it is checked before anything is changed; the gateway restarts with it two seconds after the answer.",
      schema: {
        body: {
          type: "object",
          additionalProperties: false,
          properties: { filename: FILENAME, node: NODE_PROPERTY },
          required: ["filename"],
        },
        answers: { 204: null },
      },
      async handle({ body }) {
        requireNode(body.node);
        await backup.import(body.filename);
        return noContent();
      },
    }),
  ];
}

function requireAdministrator({ role }: Caller): void {
  if (role === "administrator") return;
  throw new ApiError(403, "UNAUTHORIZED_ROLE", "only administrators may read backups");
}
