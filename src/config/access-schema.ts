import { isAclTopic, isAddressBlock } from "./checks.ts";
import { listOf, type MemberFault, objectOf } from "./collections.ts";
import {
  bool,
  checkedText,
  int,
  nullable,
  oneOf,
  type SchemaTree,
  text,
  type Values,
} from "./format.ts";
import { key } from "./key.ts";
import { filter, secret } from "./schema-formats.ts";

const addressBlock = checkedText(
  "address or block",
  'an IP address or a block such as "192.168.0.0/16"',
  isAddressBlock,
);

const aclTopic = checkedText(
  "ACL filter",
  'a topic filter, "@" and a literal topic, or either with ${clientid} or ${username} in it',
  isAclTopic,
);

/** Lines of text: the line breaks and tabs that `text` refuses are part of it. */
const lines = (maxBytes: number) =>
  checkedText(
    `text of at most ${maxBytes} bytes`,
    `text of at most ${maxBytes} bytes without control characters but line breaks and tabs`,
    (value) =>
      value.isWellFormed() &&
      !/[^\P{Cc}\n\r\t]/u.test(value) &&
      Buffer.byteLength(value) <= maxBytes,
  );

const user = objectOf("user", {
  username: key(text(1024, 1), "", "User name."),
  password: key(secret, "", "scrypt hash as `tidegate hash-password` prints it, or clear text.", {
    sensitive: true,
    hashed: true,
  }),
} satisfies SchemaTree);

const aclWho = objectOf("who", {
  ipaddr: key(nullable(addressBlock), null, "Peer address or CIDR block."),
  username: key(nullable(text()), null, 'User name; "#" is anybody.'),
  clientid: key(nullable(text()), null, 'Client id; "#" is anybody.'),
} satisfies SchemaTree);

const aclRule = objectOf("ACL rule", {
  permit: key(oneOf(["allow", "deny"]), "deny", "What the rule decides."),
  action: key(oneOf(["publish", "subscribe", "pubsub"]), "pubsub", "What the rule is about."),
  topics: key(
    listOf(aclTopic, 1000),
    [],
    "Filters; none = every topic. `@x` compares literally; ${clientid} and ${username} are replaced.",
  ),
  ipaddr: key(nullable(addressBlock), null, "Peer address or CIDR block."),
  username: key(nullable(text()), null, 'User name; "#" is anybody.'),
  clientid: key(nullable(text()), null, 'Client id; "#" is anybody.'),
  and: key(listOf(aclWho, 100), [], "All of these must fit."),
  or: key(listOf(aclWho, 100), [], "One of these must fit."),
} satisfies SchemaTree);

const hashAlgorithm = objectOf(
  "hash algorithm",
  {
    name: key(
      oneOf(["plain", "md5", "sha", "sha256", "sha512", "bcrypt", "pbkdf2"]),
      "sha256",
      "Algorithm.",
    ),
    salt_position: key(
      nullable(oneOf(["disable", "prefix", "suffix"])),
      null,
      "Where a digest's salt goes; null = prefix. For plain, md5 and sha… only.",
    ),
    salt_rounds: key(nullable(int(4, 14)), null, "Cost of bcrypt; null = 10."),
    mac_fun: key(
      nullable(oneOf(["md5", "sha", "sha224", "sha256", "sha384", "sha512"])),
      null,
      "Digest of pbkdf2; null = sha256.",
    ),
    iterations: key(nullable(int(1, 1_000_000)), null, "Iterations of pbkdf2; null = 10000."),
    dk_length: key(
      nullable(int(1, 512)),
      null,
      "Bytes of a pbkdf2 key; null = as long as its digest.",
    ),
  } satisfies SchemaTree,
  hashAlgorithmFaults,
);

const builtInDatabase = objectOf("built-in database", {
  enable: key(bool, true, "Ask it."),
  user_id_type: key(
    oneOf(["username", "clientid"]),
    "username",
    "What its users are named by: the user name or the client id of a CONNECT.",
  ),
  password_hash_algorithm: key(
    nullable(hashAlgorithm),
    null,
    "How passwords are kept; null = scrypt, and salted SHA-256 for those that are imported.",
  ),
} satisfies SchemaTree);

const aclSource = objectOf(
  "ACL source",
  {
    type: key(oneOf(["file", "built_in_database"]), "file", "Kind of source, each once."),
    enable: key(bool, true, "Ask it."),
    rules: key(nullable(lines(32_768)), null, "Of a file: EMQX's ACL text, a rule on each line."),
    max_rules: key(
      nullable(int(1, 1000)),
      null,
      "Of the database: rules of one client or user; null = 100.",
    ),
  } satisfies SchemaTree,
  aclSourceFaults,
);

/** Who may connect. */
export const auth = {
  allow_anonymous: key(
    bool,
    false,
    "Accept clients without a user name; a user name that is given is always verified.",
    { reload: "live" },
  ),
  users: key(listOf(user, 10_000, "username"), [], "MQTT users."),
  built_in_database: key(
    nullable(builtInDatabase),
    null,
    "A database of MQTT users, kept through /api/v5/authentication; asked after `auth.users`.",
    { reload: "live" },
  ),
} satisfies SchemaTree;

/** Who may publish and subscribe to what. */
export const acl = {
  no_match: key(oneOf(["allow", "deny"]), "allow", "Decision when no rule fits.", {
    reload: "live",
  }),
  deny_action: key(
    oneOf(["ignore", "disconnect"]),
    "ignore",
    "What happens to a client whose PUBLISH is denied.",
    { reload: "live" },
  ),
  rules: key(listOf(aclRule, 10_000), [], "Rules, the first that fits decides."),
  sources: key(
    listOf(aclSource, 2, "type"),
    [],
    "Asked in turn when none of `acl.rules` fits; kept through /api/v5/authorization/sources.",
    { reload: "live" },
  ),
  cache: {
    enable: key(bool, true, "Remember decisions; every change of a rule drops them all.", {
      reload: "live",
    }),
    max_size: key(int(1, 1024), 32, "Topics remembered for one client.", { reload: "live" }),
    ttl_s: key(int(1, 86_400), 60, "Decisions are made anew after this long, seconds.", {
      reload: "live",
    }),
    excludes: key(listOf(filter, 100), [], "Topics whose decisions are not remembered.", {
      reload: "live",
    }),
  },
} satisfies SchemaTree;

const DIGEST_MEMBERS = ["salt_position"];

const MEMBERS_OF_ALGORITHM: Readonly<Record<string, readonly string[]>> = {
  bcrypt: ["salt_rounds"],
  pbkdf2: ["mac_fun", "iterations", "dk_length"],
};

/** What another algorithm would use must not be given: it would do nothing. */
function hashAlgorithmFaults(value: Values): MemberFault[] {
  const { name, ...members } = value;
  const used = MEMBERS_OF_ALGORITHM[String(name)] ?? DIGEST_MEMBERS;
  return Object.entries(members)
    .filter(([member, setting]) => setting !== null && !used.includes(member))
    .map(([member]) => ({ member, expected: `null, because ${name} has no such parameter` }));
}

function aclSourceFaults(value: Values): MemberFault[] {
  if (value["type"] === "file") {
    if (value["rules"] === null) return [{ member: "rules", expected: "the text of the rules" }];
    if (value["max_rules"] !== null) {
      return [{ member: "max_rules", expected: "null, because it is a file" }];
    }
  } else if (value["rules"] !== null) {
    return [{ member: "rules", expected: "null: the rules of the database are kept by the API" }];
  }
  return [];
}
