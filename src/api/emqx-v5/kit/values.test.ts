import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { ApiError } from "./answer.ts";
import {
  formatDuration,
  formatSize,
  parseDuration,
  parseSize,
  parseTime,
  timestampMs,
  timestampS,
} from "./values.ts";

test.each([
  ["UTC", "2024-01-01T04:34:56.789+00:00"],
  ["Asia/Tokyo", "2024-01-01T13:34:56.789+09:00"],
  ["America/St_Johns", "2024-01-01T01:04:56.789-03:30"],
])("timestamps have the offset of the machine: %s", (TZ, expected) => {
  const script = `
    import { timestampMs, timestampS } from ${JSON.stringify(import.meta.resolve("./values.ts"))};
    process.stdout.write(timestampMs(1704083696789) + " " + timestampS(1704083696789));`;
  const output = execFileSync(process.execPath, ["--input-type=module", "-e", script], {
    env: { ...process.env, TZ },
    encoding: "utf8",
  });
  expect(output).toBe(`${expected} ${expected.replace(".789", "")}`);
});

test.each([0, 1_704_083_696_789, 253_402_300_799_999])("%i survives writing and reading", (ms) => {
  expect(parseTime(timestampMs(ms), "ms")).toBe(ms);
  expect(parseTime(timestampS(ms), "s")).toBe(Math.floor(ms / 1000) * 1000);
});

test("times no calendar has do not break the answer", () => {
  expect(parseTime(timestampMs(1e20), "ms")).toBe(253_402_300_799_999);
  expect(parseTime(timestampMs(-5), "ms")).toBe(0);
});

test("an epoch is read in its unit, as a number or digits", () => {
  expect(parseTime(1_704_083_696, "s")).toBe(1_704_083_696_000);
  expect(parseTime("1704083696", "s")).toBe(1_704_083_696_000);
  expect(parseTime("1704083696789", "ms")).toBe(1_704_083_696_789);
});

test.each([
  "",
  "tomorrow",
  "2024-01-01",
  "2024-13-01T00:00:00Z",
  "2024-01-01T00:00:00",
  "-1",
  "1e3",
])("%s is no time", (value) => {
  expect(() => parseTime(value, "ms")).toThrow(ApiError);
});

test.each([
  ["15s", 15_000],
  ["2h", 7_200_000],
  ["500ms", 500],
  ["1d", 86_400_000],
  ["1h30m", 5_400_000],
  ["0s", 0],
  [250, 250],
])("the duration %s is %i ms", (value, ms) => {
  expect(parseDuration(value)).toBe(ms);
  expect(parseDuration(formatDuration(ms))).toBe(ms);
});

test.each(["", "s", "15", "-1s", "1.5s", "infinity", -1, 1.5])("%s is no duration", (value) => {
  expect(() => parseDuration(value)).toThrow(ApiError);
});

test.each([
  ["1MB", 1_048_576],
  ["64KB", 65_536],
  ["2GB", 2_147_483_648],
  ["10B", 10],
  ["10", 10],
  [0, 0],
])("the size %s is %i bytes", (value, bytes) => {
  expect(parseSize(value)).toBe(bytes);
  expect(parseSize(formatSize(bytes))).toBe(bytes);
});

test.each(["", "MB", "-1KB", "1.5MB", "1TB", -1])("%s is no size", (value) => {
  expect(() => parseSize(value)).toThrow(ApiError);
});
