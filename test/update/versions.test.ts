import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const STATE = fileURLToPath(
  new URL("../../firmware-image/rootfs/usr/lib/tidegate/update-state", import.meta.url),
);

/** What a line of shell prints that uses what the device's programs share. */
function shell(line: string): string {
  return execFileSync("sh", ["-c", `. ${STATE}; ${line}`], { encoding: "utf8" }).trimEnd();
}

it("versions are in the order of semver.org, newest last", () => {
  const ordered = [
    "0.9.10",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.9",
    "1.0.10",
    "1.2.0",
    "1.10.0",
    "2.0.0",
    "10.0.0",
  ];
  const pairs = ordered.flatMap((one) => ordered.map((other) => `${one} ${other}`));
  const found = shell(
    `for pair in ${pairs.map((pair) => `'${pair}'`).join(" ")}; do is_newer \${pair% *} \${pair#* } && echo "$pair"; done; true`,
  );
  const expected = pairs.filter((pair) => {
    const [one = "", other = ""] = pair.split(" ");
    return ordered.indexOf(one) > ordered.indexOf(other);
  });
  expect(found.split("\n")).toEqual(expected);
});

it("what follows a plus does not make a version newer", () => {
  expect(shell("is_newer 1.0.0+b 1.0.0+a || echo no")).toBe("no");
});

it("what is no version is none", () => {
  const none = ["", "1", "1.2", "v1.2.3", "1.2.3.4", "1.2.3-", "1.2.3-a b", "../1.2.3", "1.2.3;x"];
  for (const text of none) expect(shell(`is_version '${text}' || echo no`), text).toBe("no");
  for (const text of ["1.2.3", "1.2.3-rc.1", "1.2.3+build.5"]) {
    expect(shell(`is_version '${text}' && echo yes`), text).toBe("yes");
  }
});

it("any text becomes JSON of one line, bounded", () => {
  const text = shell('json_text "$(printf \'a"b\\\\c\\nd\\te\\001\\303\\244f\')"');
  expect(JSON.parse(text)).toBe('a"b\\c;d ef');
  expect(shell("json_text \"$(head -c 5000 /dev/zero | tr '\\0' x)\"")).toHaveLength(1002);
});
