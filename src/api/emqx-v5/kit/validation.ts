import { excerpt } from "../../json.ts";
import { ApiError } from "./answer.ts";

/** What Ajv says of a value that does not fit, with `verbose`. */
interface Violation {
  readonly keyword: string;
  readonly instancePath: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly message?: string;
  readonly data?: unknown;
  readonly parentSchema?: { readonly properties?: Readonly<Record<string, unknown>> };
}

/** The refusal of a value against its schema: the message holds a JSON text (reference §4.2). */
export function violationError(errors: readonly unknown[] | null | undefined): ApiError {
  // Of a union Ajv lists what is wrong with each member, and the union itself last.
  const violation = errors?.at(-1) as Violation | undefined;
  const details = violation === undefined ? {} : describe(violation);
  const message = JSON.stringify({ kind: "validation_error", ...details });
  return new ApiError(400, "BAD_REQUEST", message);
}

function describe(violation: Violation): Record<string, unknown> {
  const { keyword, params, data } = violation;
  const at = pathOf(violation.instancePath);
  switch (keyword) {
    case "required":
      return { path: join(at, String(params["missingProperty"])), reason: "required_field" };
    case "additionalProperties": {
      const known = Object.keys(violation.parentSchema?.properties ?? {});
      const given = typeof data === "object" && data !== null ? data : {};
      const unmatched = known.filter((name) => !Object.hasOwn(given, name)).join(",");
      const unknown = cut(String(params["additionalProperty"]));
      return { path: at || "root", reason: "unknown_fields", unknown, unmatched };
    }
    case "enum":
    case "const":
      return { path: at, reason: "unable_to_convert_to_enum_symbol", value: shown(data) };
    case "anyOf":
    case "oneOf":
      return { path: at || "root", reason: "matched_no_union_member", value: shown(data) };
    case "minimum":
    case "exclusiveMinimum":
      return { path: at, reason: "integer_too_small", value: shown(data) };
    case "maximum":
    case "exclusiveMaximum":
      return { path: at, reason: "integer_too_large", value: shown(data) };
    default:
      return { path: at || "root", reason: violation.message ?? keyword, value: shown(data) };
  }
}

/** JSON pointer → dots. */
function pathOf(pointer: string): string {
  const steps = pointer.slice(1).split("/");
  return cut(steps.map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~")).join("."));
}

function join(at: string, name: string): string {
  return at === "" ? name : `${at}.${name}`;
}

function shown(data: unknown): unknown {
  const short = excerpt(data);
  return typeof short === "string" ? short.toWellFormed() : short;
}

function cut(text: string): string {
  return text.slice(0, 200).toWellFormed();
}
