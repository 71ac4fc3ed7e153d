import { CATALOGUE, type ErrorCode, type ErrorDetails } from "./catalogue.ts";

/** Longest text of one detail in a message, in characters. */
const MAX_SHOWN = 500;

/**
 * The one error class of the gateway: a stable code, the values that explain it, and the text that
 * the code's catalogue row makes of them. Whatever else is thrown is a defect.
 */
export class GatewayError<C extends ErrorCode = ErrorCode> extends Error {
  readonly code: C;
  readonly details: ErrorDetails<C>;

  constructor(code: C, details: ErrorDetails<C>, options?: { cause?: unknown }) {
    super(render(CATALOGUE[code].message, details), options);
    this.name = "GatewayError";
    this.code = code;
    this.details = details;
  }

  /** HTTP status a dialect answers with unless it has a stricter rule of its own. */
  get status(): number {
    return CATALOGUE[this.code].status;
  }
}

/** True for a GatewayError, narrowed to one code where it is given. */
export function isGatewayError<C extends ErrorCode>(
  err: unknown,
  code?: C,
): err is GatewayError<C> {
  return err instanceof GatewayError && (code === undefined || err.code === code);
}

/** The text of anything thrown, for a log line or a message that names its cause. */
export function reasonOf(err: unknown): string {
  return err instanceof Error ? err.message : String(err);
}

function render(template: string, details: Readonly<Record<string, unknown>>): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => show(details[name]));
}

/** Long values are cut, and of lists and objects only a start is shown: both come from outside. */
function show(value: unknown): string {
  const text = typeof value === "string" ? value : jsonOf(value);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    // Nested deeper than the stack, or in a circle.
    return Array.isArray(value) ? "a list" : "an object";
  }
}
