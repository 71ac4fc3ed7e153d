import { isDeepStrictEqual } from "node:util";
import { type Config, SCHEMA } from "../../config/index.ts";
import { ApiError, formatDuration, formatSize, parseDuration, parseSize } from "./kit/index.ts";

type Values = Readonly<Record<string, unknown>>;

/** One option of EMQX: what it is here, and what becomes of a wish to change it. */
export interface ConfigField {
  /** Path below its root, with dots. */
  readonly path: string;
  /** Our key, null for what has one value here. */
  readonly key: string | null;
  show(config: Config): unknown;
  /** The value for our key. @throws ApiError */
  read(value: unknown): unknown;
}

/** The options of one root. */
export type ConfigRoot = readonly ConfigField[];

/** A root as EMQX shows it. */
export function shownRoot(root: ConfigRoot, config: Config): Record<string, unknown> {
  const shown: Record<string, unknown> = {};
  for (const field of root) setAt(shown, field.path.split("."), field.show(config));
  return shown;
}

/**
 * The change that `body` wants, as a nested patch; what is left out stays.
 * @throws ApiError 400 BAD_REQUEST for options EMQX has not, UPDATE_FAILED for what cannot be had
 */
export function readRoot(name: string, root: ConfigRoot, body: unknown, config: Config): Values {
  const patch: Record<string, unknown> = {};
  for (const [path, value] of leaves(name, root, body)) {
    const field = root.find((one) => one.path === path);
    if (field === undefined) {
      throw new ApiError(400, "BAD_REQUEST", `${name}.${path}: unknown_fields`);
    }
    const now = field.show(config);
    if (field.key !== null) setAt(patch, field.key.split("."), field.read(value));
    else if (!isDeepStrictEqual(plain(value), plain(now))) {
      const text = `${name}.${path}: only ${JSON.stringify(now)} can be had`;
      throw new ApiError(400, "UPDATE_FAILED", text);
    }
  }
  return patch;
}

/** The change that puts the options at and below `path` back to their defaults; null = there are none. */
export function defaultsOfRoot(root: ConfigRoot, path: string | null): Values | null {
  const wanted = root.filter(
    (field) => path === null || field.path === path || field.path.startsWith(`${path}.`),
  );
  const patch: Record<string, unknown> = {};
  let count = 0;
  for (const { key } of wanted) {
    if (key === null) continue;
    setAt(patch, key.split("."), defaultOf(key));
    count++;
  }
  return count === 0 ? null : patch;
}

/** An option with one value here. */
export function fixed(path: string, value: unknown): ConfigField {
  return { path, key: null, show: () => value, read: (given) => given };
}

/** What EMQX has on its own account, by path; each has one value here. */
export function fixedAll(values: Values): ConfigField[] {
  return Object.entries(values).map(([path, value]) => fixed(path, value));
}

export function option(
  path: string,
  key: string,
  show: (value: unknown) => unknown = same,
  read: (value: unknown) => unknown = same,
): ConfigField {
  return { path, key, show: (config) => show(valueAt(config, key)), read };
}

/** A duration that we keep in whole seconds. */
export function seconds(path: string, key: string): ConfigField {
  return option(
    path,
    key,
    (value) => formatDuration(Number(value) * 1000),
    (value) => Math.ceil(parseDuration(scalar(path, value)) / 1000),
  );
}

/** As `seconds`, where 0 is EMQX's `disabled`. */
export function interval(path: string, key: string): ConfigField {
  const { show, read } = seconds(path, key);
  return {
    path,
    key,
    show: (config) => (valueAt(config, key) === 0 ? "disabled" : show(config)),
    read: (value) => (value === "disabled" ? 0 : read(value)),
  };
}

export function size(path: string, key: string): ConfigField {
  return option(
    path,
    key,
    (value) => formatSize(Number(value)),
    (value) => parseSize(scalar(path, value)),
  );
}

export function percent(path: string, key: string): ConfigField {
  return option(
    path,
    key,
    (value) => `${Number(value)}%`,
    (value) => {
      const [, digits] = /^(\d{1,3})%$/.exec(String(value)) ?? [];
      if (digits !== undefined) return Number(digits);
      throw new ApiError(400, "BAD_REQUEST", `${path}: expected a percentage like "80%"`);
    },
  );
}

const same = (value: unknown): unknown => value;

function scalar(path: string, value: unknown): string | number {
  if (typeof value === "string" || typeof value === "number") return value;
  throw new ApiError(400, "BAD_REQUEST", `${path}: expected text or a number`);
}

/** The values of a body by path, as deep as the root's options go. */
function leaves(name: string, root: ConfigRoot, body: unknown): [string, unknown][] {
  const found: [string, unknown][] = [];
  const visit = (value: unknown, path: string): void => {
    const isInside = path === "" || root.some((field) => field.path.startsWith(`${path}.`));
    if (!isInside) found.push([path, value]);
    else if (isTree(value)) {
      for (const [key, member] of Object.entries(value)) {
        visit(member, path === "" ? key : `${path}.${key}`);
      }
    } else throw new ApiError(400, "BAD_REQUEST", `${name}.${path}: expected an object`);
  };
  visit(body, "");
  return found;
}

function plain(value: unknown): unknown {
  return value === undefined ? null : JSON.parse(JSON.stringify(value));
}

function valueAt(config: Config, key: string): unknown {
  let here: unknown = config;
  for (const name of key.split(".")) here = isTree(here) ? here[name] : undefined;
  return here;
}

function defaultOf(key: string): unknown {
  let here: unknown = SCHEMA;
  for (const name of key.split(".")) here = isTree(here) ? here[name] : undefined;
  return isTree(here) ? here["default"] : undefined;
}

function setAt(tree: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [name = "", ...rest] = path;
  if (rest.length === 0) {
    tree[name] = value;
    return;
  }
  const inner = tree[name];
  const next = isTree(inner) ? inner : {};
  tree[name] = next;
  setAt(next, rest, value);
}

function isTree(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
