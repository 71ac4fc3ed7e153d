import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { tempDir } from "../../test/helpers/temp-dir.ts";
import { countedFiles } from "./counted-files.ts";
import { diskFiles } from "./durable-files.ts";

it("what is written and waited for is counted, and what fails is not", async () => {
  const files = countedFiles(diskFiles);
  const path = join(tempDir(), "a");
  await files.write(path, "häh");
  expect(readFileSync(path, "utf8")).toBe("häh");
  await files.rename(path, `${path}2`);
  await files.keep(`${path}2`, path);
  await files.remove(path);
  expect(files.writes()).toEqual({ bytes: 4, fsyncs: 5 });
  await expect(files.write("/nonexistent/a", "x")).rejects.toThrow();
  expect(files.writes()).toEqual({ bytes: 4, fsyncs: 5 });
});
