import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

/** Boards whose files stand in test/fixtures/boards, as far as the gateway reads them. */
export const BOARDS = ["pi-3", "pi-4", "pi-5", "pi-zero-2-w"] as const;

export type Board = (typeof BOARDS)[number];

/** The files of a board by path: `--- path` lines, each with the content of its file below. */
export function recorded(board: Board): Readonly<Record<string, string>> {
  const fixture = new URL(`../../test/fixtures/boards/${board}.txt`, import.meta.url);
  const files = readFileSync(fixture, "utf8").split(/^--- /m).slice(1);
  return Object.fromEntries(
    files.map((file) => {
      const end = file.indexOf("\n");
      // A device tree's strings end in U+0000 and no line feed.
      return [file.slice(0, end), file.slice(end + 1).replace("\\0\n", "\0")] as const;
    }),
  );
}

/** Lays files out below `root`, and the directories of a board that telemetry asks statfs about. */
export function layOut(root: string, files: Readonly<Record<string, string>>): void {
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
    writeFileSync(path.join(root, file), text);
  }
  for (const directory of ["var/lib/tidegate", "boot/firmware"]) {
    mkdirSync(path.join(root, directory), { recursive: true });
  }
}
