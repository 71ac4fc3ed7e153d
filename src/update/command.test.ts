import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { makeCertificates, readPem } from "../../test/helpers/certificates.ts";
import { tempDir } from "../../test/helpers/temp-dir.ts";
import { installUpdate } from "./index.ts";

/** A program that notes how it was called and what the file holds, and ends with `code`. */
function appliance(code = 0) {
  const directory = tempDir();
  const stateDir = join(directory, "state");
  mkdirSync(stateDir);
  const program = join(directory, "update");
  writeFileSync(
    program,
    `#!/bin/sh\necho "$@" >'${directory}/called'\ncat "$1" >'${directory}/bundle'\nexit ${code}\n`,
  );
  chmodSync(program, 0o755);
  return {
    program,
    stateDir,
    called: () => readFileSync(join(directory, "called"), "utf8").trim(),
    wasCalled: () => existsSync(join(directory, "called")),
    bundle: () => readFileSync(join(directory, "bundle"), "utf8"),
  };
}

async function serve(answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const wish = { allowDowngrade: false, reboot: true };

test("a file goes to the appliance's program, with the wishes, and its exit code comes back", async () => {
  const device = appliance(65);
  const from = join(tempDir(), "bundle.raucb");
  writeFileSync(from, "whole");
  expect(await installUpdate({ from, ...wish }, device)).toBe(65);
  expect(device.called()).toBe(`${from} --source cli`);
  await installUpdate({ from, allowDowngrade: true, reboot: false }, device);
  expect(device.called()).toBe(`${from} --source cli --allow-downgrade --no-reboot`);
});

test("an address is downloaded first, over redirects, and the download is removed", async () => {
  const device = appliance();
  const base = await serve((request, response) => {
    if (request.url === "/old") response.writeHead(302, { location: "/new" }).end();
    else response.end("whole");
  });
  expect(await installUpdate({ from: `${base}/old`, ...wish }, device)).toBe(0);
  expect(device.bundle()).toBe("whole");
  expect(existsSync(join(device.stateDir, "download.new"))).toBe(false);
});

test("a download that fails, breaks off or is too large says so, and nothing is installed", async () => {
  const device = appliance();
  const base = await serve((request, response) => {
    if (request.url === "/missing") response.writeHead(404).end("no");
    else if (request.url === "/large") response.writeHead(200, { "content-length": 2 ** 31 }).end();
    else {
      response.writeHead(200, { "content-length": 1000 });
      response.write("half", () => response.destroy());
    }
  });
  const failing = [
    ["/missing", "UPDATE_DOWNLOAD_FAILED"],
    ["/large", "UPDATE_TOO_LARGE"],
    ["/half", "UPDATE_DOWNLOAD_FAILED"],
  ] as const;
  for (const [path, code] of failing) {
    await expect(installUpdate({ from: base + path, ...wish }, device)).rejects.toMatchObject({
      code,
    });
  }
  const nobody = installUpdate({ from: "http://127.0.0.1:1/x", ...wish }, device);
  await expect(nobody).rejects.toMatchObject({ code: "UPDATE_DOWNLOAD_FAILED" });
  expect(device.wasCalled()).toBe(false);
  expect(existsSync(join(device.stateDir, "download.new"))).toBe(false);
});

test("a server with a certificate nobody vouches for is not believed", async () => {
  const device = appliance();
  const { server: files } = makeCertificates();
  const [key, cert] = [readPem(files.keyFile), readPem(files.certFile)];
  const server = createTlsServer({ key, cert }, (_, response) => response.end("whole"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const from = `https://127.0.0.1:${(server.address() as AddressInfo).port}/x`;
  const refused = installUpdate({ from, ...wish }, device);
  await expect(refused).rejects.toMatchObject({ code: "UPDATE_DOWNLOAD_FAILED" });
  await expect(refused).rejects.toThrow(/certificate/);
  expect(device.wasCalled()).toBe(false);
});

test("where there is no appliance, it says so", async () => {
  const device = { ...appliance(), program: "/nowhere/update" };
  const refused = installUpdate({ from: "x", ...wish }, device);
  await expect(refused).rejects.toMatchObject({ code: "UPDATE_NO_APPLIANCE" });
});
