import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { GatewayError } from "../errors/index.ts";
import { isSecret } from "./collections.ts";
import { CONFIG_VARIABLE, DATA_VARIABLE, type Environment } from "./environment.ts";
import { shown } from "./format.ts";
import { KEY_BY_PATH, KEYS, nearest } from "./keys.ts";

/** Where the service keeps its data unless it is told otherwise. */
const DEFAULT_DATA_DIR = "/var/lib/tidegate";

/** What `tidegate --help` prints. */
export const USAGE = `Usage:
  tidegate run [--config FILE] [--data DIR] [--<key>=<value> ...]
      Runs the gateway. Any configuration key may be set, for instance --listeners.tcp.port=1884,
      except secrets, which other users of the machine could read there.
  tidegate check FILE
      Reports everything wrong with a configuration file and changes nothing.
  tidegate provision FILE [--config FILE] [--data DIR]
      Checks a configuration file against the one in force and prints what to install in its place:
      passwords hashed, comments kept. Its keys will win over what the API changed.
  tidegate import FILE [FILE ...]
      Prints what configuration files of NanoMQ are as a configuration of Tidegate; what has no
      equal is named. Installs nothing.
  tidegate hash-password
      Reads a password from standard input and prints the hash to put into a configuration file.
  tidegate reset-admin [--config FILE] [--data DIR]
      Gives the administrator a new password.
  tidegate update FILE|URL [--allow-downgrade] [--no-reboot]
      Installs an update of the device into its other slot and reboots; on an appliance, as root.
      Exit codes: 0 installed, 1 failed, 65 refused, 75 another one is under way.
  tidegate --help | --version

  --config FILE  operator's file, default $${CONFIG_VARIABLE}, else /etc/tidegate/tidegate.yaml if it exists
  --data DIR     data directory, default $${DATA_VARIABLE}, else $STATE_DIRECTORY, else ${DEFAULT_DATA_DIR}
`;

/** What the command line asks for. */
export type Command =
  | {
      readonly command: "run";
      /** Absolute path, or null for the default file if it exists. */
      readonly configFile: string | null;
      /** Absolute path. */
      readonly dataDir: string;
      /** Texts of `--key=value` options by key. */
      readonly options: ReadonlyMap<string, string>;
    }
  | { readonly command: "check"; readonly file: string }
  | {
      readonly command: "provision";
      readonly file: string;
      readonly configFile: string | null;
      readonly dataDir: string;
    }
  | { readonly command: "import"; readonly files: readonly string[] }
  | { readonly command: "hash-password" }
  | {
      readonly command: "reset-admin";
      readonly configFile: string | null;
      readonly dataDir: string;
    }
  | {
      readonly command: "update";
      /** A file or an address. */
      readonly from: string;
      readonly allowDowngrade: boolean;
      readonly reboot: boolean;
    }
  | { readonly command: "help" }
  | { readonly command: "version" };

const FILE_OPTIONS = ["config", "data"];

/** Options that stand for themselves. */
const FLAGS = ["allow-downgrade", "no-reboot"];

const ALLOWED = {
  run: { options: [...FILE_OPTIONS, ...KEYS.map((entry) => entry.key)], operands: [] },
  check: { options: [], operands: ["FILE"] },
  provision: { options: FILE_OPTIONS, operands: ["FILE"] },
  import: { options: [], operands: ["FILE", "..."] },
  "hash-password": { options: [], operands: [] },
  "reset-admin": { options: FILE_OPTIONS, operands: [] },
  update: { options: ["allow-downgrade", "no-reboot"], operands: ["FILE|URL"] },
} as const satisfies Readonly<
  Record<string, { options: readonly string[]; operands: readonly string[] }>
>;

/**
 * Reads the arguments after `tidegate`. Paths come back absolute; `--config` beats TIDEGATE_CONFIG,
 * `--data` beats TIDEGATE_DATA, which beats the STATE_DIRECTORY that systemd sets.
 * @throws GatewayError COMMAND_LINE_INVALID naming the argument.
 */
export function parseCommandLine(argv: readonly string[], env: Environment = process.env): Command {
  const { tokens } = parseArgs({
    args: [...argv],
    options: Object.fromEntries(
      ["config", "data", ...KEYS.map((entry) => entry.key)].map((name) => [
        name,
        { type: "string" as const },
      ]),
    ),
    // Strict mode's errors advise things that do not apply here, and name no near option.
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const words = tokens.flatMap((token) => (token.kind === "positional" ? [token.value] : []));
  const given = tokens.flatMap((token) => (token.kind === "option" ? [token] : []));
  if (given.some((token) => token.name === "help")) return { command: "help" };
  if (given.some((token) => token.name === "version")) return { command: "version" };

  const [name, ...operands] = words;
  if (name === undefined) throw invalid("(nothing)", `expected ${commandList()}`);
  if (!isCommandName(name)) throw invalid(name, `expected ${commandList()}`);
  const options = new Map<string, string>();
  for (const token of given) {
    const value = optionValue(name, token.name, token.rawName, token.value);
    options.set(token.name, value);
  }
  checkOperands(name, operands);

  const files = () => ({
    configFile: absolute(options.get("config") ?? nonEmpty(env[CONFIG_VARIABLE])),
    dataDir: resolve(options.get("data") ?? dataDirOf(env)),
  });
  switch (name) {
    case "run": {
      const overrides = [...options].filter(([option]) => !FILE_OPTIONS.includes(option));
      return { command: "run", ...files(), options: new Map(overrides) };
    }
    case "check":
      return { command: "check", file: operands[0] ?? "" };
    case "provision":
      return { command: "provision", file: operands[0] ?? "", ...files() };
    case "import":
      return { command: "import", files: operands };
    case "hash-password":
      return { command: "hash-password" };
    case "reset-admin":
      return { command: "reset-admin", ...files() };
    case "update":
      return {
        command: "update",
        from: operands[0] ?? "",
        allowDowngrade: options.has("allow-downgrade"),
        reboot: !options.has("no-reboot"),
      };
  }
}

type CommandName = keyof typeof ALLOWED;

function isCommandName(word: string): word is CommandName {
  return Object.hasOwn(ALLOWED, word);
}

function commandList(): string {
  return `one of ${Object.keys(ALLOWED).join(", ")}; tidegate --help explains them`;
}

function optionValue(
  command: CommandName,
  name: string,
  rawName: string,
  value: string | undefined,
): string {
  const allowed: readonly string[] = ALLOWED[command].options;
  if (!allowed.includes(name)) {
    const near = nearest(name, allowed);
    const hint = near === null ? "" : `, did you mean --${near}?`;
    throw invalid(rawName, `${command} has no such option${hint}`);
  }
  if (FLAGS.includes(name)) {
    if (value !== undefined) throw invalid(rawName, "it takes no value");
    return "";
  }
  if (value === undefined || value === "") {
    const isEmptyAllowed = value === "" && !FILE_OPTIONS.includes(name);
    if (!isEmptyAllowed) throw invalid(rawName, `expected a value: ${rawName}=…`);
  }
  const entry = KEY_BY_PATH.get(name);
  if (entry !== undefined && isSecret(entry.row)) {
    throw invalid(rawName, `a secret would be visible there, use a file or ${entry.variable}`);
  }
  return value ?? "";
}

function checkOperands(command: CommandName, operands: readonly string[]): void {
  const listed: readonly string[] = ALLOWED[command].operands;
  const expected = listed.filter((operand) => operand !== "...");
  const extra = operands[expected.length];
  if (extra !== undefined && expected.length === listed.length)
    throw invalid(extra, `${command} takes no further argument`);
  const missing = expected[operands.length];
  if (missing !== undefined) throw invalid(command, `expected ${command} ${missing}`);
}

function dataDirOf(env: Environment): string {
  // systemd separates several state directories by colons (systemd.exec(5)); ours is the first.
  const [stateDirectory] = (env["STATE_DIRECTORY"] ?? "").split(":");
  return nonEmpty(env[DATA_VARIABLE]) ?? nonEmpty(stateDirectory) ?? DEFAULT_DATA_DIR;
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

function absolute(path: string | undefined): string | null {
  return path === undefined ? null : resolve(path);
}

function invalid(argument: string, reason: string): GatewayError {
  return new GatewayError("COMMAND_LINE_INVALID", { argument: shown(argument), reason });
}
