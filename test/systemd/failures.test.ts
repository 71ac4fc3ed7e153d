import { expect, it } from "vitest";
import { type Container, startContainer } from "./container.ts";

/** Every program of ours that runs before the gateway or beside it. */
const BROKEN = ["first-boot", "provision", "welcome", "health-and-commit", "boot-choice"];

async function withContainer(use: (container: Container) => Promise<void>): Promise<void> {
  const container = await startContainer({ broken: BROKEN });
  try {
    await container.booted();
    await use(container);
  } finally {
    await container.stop();
  }
}

it("nothing that fails around the gateway keeps it from serving, or restarts the device", {
  timeout: 150_000,
}, async () => {
  await withContainer(async (container) => {
    const failed = await container.run("systemctl", "--failed", "--plain", "--no-legend");
    const units = ["first-boot", "provision", "health"].map((name) => `tidegate-${name}.service`);
    for (const unit of units) expect(failed).toContain(unit);
    expect(await container.property("tidegate.service", "ActiveState")).toBe("active");
    const password = (await container.run("cat", "/var/lib/tidegate/admin-password")).trim();
    const answer = await container.api("/api/v1", { body: { req: 2, seq: 1 }, password });
    expect(answer).toMatchObject({ status: 200, body: { code: 0 } });
    for (const unit of ["avahi-daemon", "systemd-networkd", "tidegate-update.path"]) {
      expect((await container.run("systemctl", "is-active", unit)).trim()).toBe("active");
    }
    expect(await container.run("systemctl", "list-jobs")).toContain("No jobs");
  });
});
