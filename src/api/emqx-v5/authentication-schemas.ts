import type { BuiltInDatabase } from "../../services/index.ts";
import { ApiError } from "./kit/index.ts";

/** What EMQX calls the only authenticator there is. */
const MECHANISM = "password_based";
const BACKEND = "built_in_database";
export const AUTHENTICATOR_ID = `${MECHANISM}:${BACKEND}`;

type Algorithm = NonNullable<BuiltInDatabase["password_hash_algorithm"]>;

const DIGESTS = ["plain", "md5", "sha", "sha256", "sha512"] as const;

const ALGORITHM = {
  type: "object",
  description:
    "How passwords are kept. Left out: scrypt for those that come one by one, salted SHA-256 for imported ones; shown as the latter.",
  properties: {
    name: {
      type: "string",
      enum: [...DIGESTS, "bcrypt", "pbkdf2"],
      description: "Name of the algorithm.",
      example: "sha256",
    },
    salt_position: {
      type: "string",
      enum: ["disable", "prefix", "suffix"],
      description: "Of a digest: where the salt goes; left out = prefix.",
      example: "suffix",
    },
    salt_rounds: {
      type: "integer",
      minimum: 4,
      maximum: 14,
      description: "Cost of bcrypt; left out = 10.",
      example: 10,
    },
    mac_fun: {
      type: "string",
      enum: ["md5", "sha", "sha224", "sha256", "sha384", "sha512"],
      description: "Digest of pbkdf2; left out = sha256.",
      example: "sha256",
    },
    iterations: {
      type: "integer",
      minimum: 1,
      maximum: 1_000_000,
      description: "Iterations of pbkdf2; left out = 10000.",
      example: 10_000,
    },
    dk_length: {
      type: "integer",
      minimum: 1,
      maximum: 512,
      description: "Bytes of a pbkdf2 key; left out = as long as its digest.",
      example: 32,
    },
  },
  required: ["name"],
  additionalProperties: false,
} as const;

const SETTINGS = {
  mechanism: {
    type: "string",
    description: "How clients prove who they are; password_based is what there is.",
    example: MECHANISM,
  },
  backend: {
    type: "string",
    description: "Where the users are kept; built_in_database is what there is.",
    example: BACKEND,
  },
  enable: { type: "boolean", description: "Whether it is asked.", example: true },
  user_id_type: {
    type: "string",
    enum: ["username", "clientid"],
    description: "What of a CONNECT names its users.",
    example: "username",
  },
  password_hash_algorithm: ALGORITHM,
} as const;

export const AUTHENTICATOR = {
  type: "object",
  properties: {
    id: { type: "string", description: "mechanism:backend.", example: AUTHENTICATOR_ID },
    ...SETTINGS,
  },
  required: ["id", "mechanism", "backend", "enable", "user_id_type", "password_hash_algorithm"],
} as const;

/** Members of other mechanisms get past the schema, so that it is the mechanism that is refused. */
export const AUTHENTICATOR_BODY = {
  type: "object",
  properties: {
    id: { type: "string", description: "Ignored: it follows from the rest." },
    ...SETTINGS,
    enable: { ...SETTINGS.enable, default: true },
    user_id_type: { ...SETTINGS.user_id_type, default: "username" },
  },
  required: ["mechanism"],
} as const;

const KNOWN = new Set(Object.keys(AUTHENTICATOR_BODY.properties));

interface Body {
  readonly mechanism: string;
  readonly backend?: string;
  readonly enable?: boolean;
  readonly user_id_type?: BuiltInDatabase["user_id_type"];
  readonly password_hash_algorithm?: Partial<Omit<Algorithm, "name">> & Pick<Algorithm, "name">;
}

/** @throws ApiError 400 for a mechanism, backend or member that there is not */
export function databaseOf(body: Body): BuiltInDatabase {
  const { mechanism, backend = "", enable = true, user_id_type = "username" } = body;
  if (mechanism !== MECHANISM || backend !== BACKEND) {
    const message = `${mechanism}:${backend} is not supported; ${AUTHENTICATOR_ID} is`;
    throw new ApiError(400, "BAD_REQUEST", message);
  }
  const unknown = Object.keys(body).filter((member) => !KNOWN.has(member));
  if (unknown.length > 0) {
    const details = { kind: "validation_error", path: unknown[0], reason: "unknown_fields" };
    throw new ApiError(400, "BAD_REQUEST", JSON.stringify({ ...details, unknown: unknown.join() }));
  }
  const given = body.password_hash_algorithm;
  const none = {
    salt_position: null,
    salt_rounds: null,
    mac_fun: null,
    iterations: null,
    dk_length: null,
  };
  return {
    enable,
    user_id_type,
    password_hash_algorithm: given === undefined ? null : { ...none, ...given },
  };
}

/** Without a chosen algorithm the answer names the one of imported hashes, as EMQX would. */
const DEFAULT_ALGORITHM = { name: "sha256", salt_position: "suffix" } as const;

export function shownDatabase({ enable, user_id_type, password_hash_algorithm }: BuiltInDatabase) {
  return {
    id: AUTHENTICATOR_ID,
    mechanism: MECHANISM,
    backend: BACKEND,
    enable,
    user_id_type,
    password_hash_algorithm:
      password_hash_algorithm === null
        ? DEFAULT_ALGORITHM
        : shownAlgorithm(password_hash_algorithm),
  };
}

/** A form sends back what it was shown: that is no choice of an algorithm. */
export function changedDatabase(
  wanted: BuiltInDatabase,
  present: BuiltInDatabase,
): BuiltInDatabase {
  const { password_hash_algorithm: algorithm } = wanted;
  const isAsShown =
    algorithm?.name === DEFAULT_ALGORITHM.name &&
    algorithm.salt_position === DEFAULT_ALGORITHM.salt_position;
  const wasOpen = present.password_hash_algorithm === null;
  return wasOpen && isAsShown ? { ...wanted, password_hash_algorithm: null } : wanted;
}

function shownAlgorithm({ name, ...members }: Algorithm) {
  if (DIGESTS.some((digest) => digest === name)) {
    return { name, salt_position: members.salt_position ?? "prefix" };
  }
  if (name === "bcrypt") return { name, salt_rounds: members.salt_rounds ?? 10 };
  const { mac_fun, iterations, dk_length } = members;
  return {
    name,
    mac_fun: mac_fun ?? "sha256",
    iterations: iterations ?? 10_000,
    ...(dk_length === null ? {} : { dk_length }),
  };
}
