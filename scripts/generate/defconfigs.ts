import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

/** Where Buildroot looks for `make <name>_defconfig`, below the top of the repository. */
const FOLDER = "firmware-image/configs";
const SHARED = "common.fragment";

/**
 * The boards Buildroot builds for: one `<board>.fragment` each, beside what they share.
 *
 * @param root the top of the repository
 */
export function boards(root: string): string[] {
  const files = readdirSync(path.join(root, FOLDER)).sort();
  return files
    .filter((file) => file.endsWith(".fragment") && file !== SHARED)
    .map((file) => file.replace(/\.fragment$/, ""));
}

/** Path of a board's defconfig below the top of the repository. */
export function defconfigOf(board: string): string {
  return `${FOLDER}/tidegate_${board}_defconfig`;
}

/**
 * A board's defconfig: its own part, then what all share. Buildroot reads one file, and its
 * merge_config.sh would be one more command to know.
 *
 * @param root the top of the repository
 */
export function renderDefconfig(root: string, board: string): string {
  const read = (file: string) => readFileSync(path.join(root, FOLDER, file), "utf8");
  const origin = `# Made by \`npm run generate\` of ${board}.fragment and ${SHARED}.\n`;
  return `${origin}\n${read(`${board}.fragment`)}\n${read(SHARED)}`;
}
