import { table } from "./section.ts";

/** The catalogue as a table: code, message, HTTP status. */
export function errorTable(
  catalogue: Readonly<Record<string, { readonly message: string; readonly status: number }>>,
): string {
  return table(
    ["Code", "Message", "HTTP status"],
    Object.entries(catalogue).map(([code, { message, status }]) => [
      `\`${code}\``,
      message,
      String(status),
    ]),
  );
}

/** How the process ends. */
export function exitCodeTable(codes: Readonly<Record<string, number>>): string {
  return table(
    ["Exit code", "Name"],
    Object.entries(codes).map(([name, code]) => [String(code), `\`${name}\``]),
  );
}
