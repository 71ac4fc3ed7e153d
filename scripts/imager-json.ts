/**
 * Describes an image for Raspberry Pi Imager: prints a repository file, for people to choose
 * Tidegate in Imager's list, and have it downloaded, written and verified.
 *
 * Usage: node scripts/imager-json.ts --url ADDRESS [--boards 3,4] [--date DAY] [--website ADDRESS]
 *                                    IMAGE >tidegate.json
 *
 *   IMAGE      tidegate-<version>-arm64.img.xz (.zst needs Imager 1.7; as it is works too)
 *   --url      http or https address of the folder that the image lies in for download. Put
 *              firmware-image/imager/tidegate.svg beside it.
 *   --boards   of 3 (with Zero 2 W), 4 and 5 (default: those that images with this kernel are for, 3,4
 *              or with the kernel of backports 3,4,5)
 *   --date     YYYY-MM-DD (default: SOURCE_DATE_EPOCH, else the day of the file)
 *   --website  the project's page
 *
 * Exit codes: 0 printed, 1 the image cannot be described, 2 usage.
 */
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { BOARDS, type Board, dayOf, describeImage } from "./imager/repository.ts";

function refuse(message: string): never {
  console.error(`imager-json: ${message}`);
  process.exit(2);
}

function isBoard(name: string): name is Board {
  return BOARDS.some((board) => board === name);
}

function readArguments() {
  try {
    const text = { type: "string" } as const;
    const options = { url: text, boards: text, date: text, website: text };
    return parseArgs({ options, allowPositionals: true });
  } catch (err) {
    return refuse(err instanceof Error ? err.message : String(err));
  }
}

const { values, positionals } = readArguments();
const [image, ...rest] = positionals;
if (image === undefined || rest.length > 0) refuse("name one image");
if (!existsSync(image)) refuse(`${image} is not there`);
const { url, website } = values;
if (url === undefined || !/^https?:\/\/\S+$/.test(url)) refuse("--url http(s)://… is needed");
const named = values.boards ?? (/-backports\.img/.test(image) ? "3,4,5" : "3,4");
const boards = named.split(",").filter(isBoard);
if (boards.join(",") !== named) refuse("--boards is a list of 3, 4 and 5");
const date = values.date ?? dayOf(image, process.env["SOURCE_DATE_EPOCH"]);
if (!/^\d{4}-\d\d-\d\d$/.test(date)) refuse("--date is YYYY-MM-DD");

try {
  const page = website === undefined ? {} : { website };
  const repository = await describeImage(image, { url, date, boards, ...page });
  console.log(JSON.stringify(repository, null, 2));
} catch (err) {
  console.error(`imager-json: ${err instanceof Error ? err.message : String(err)}`);
  process.exitCode = 1;
}
