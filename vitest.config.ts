import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

/** Only root can boot the container that these need; scripts/test makes it, or says that it did not. */
const withoutContainer = process.env["CONTAINER_ROOT"] === undefined ? ["test/systemd/**"] : [];

/** Tests run real processes, sockets and disks, so the limits are generous; a hang still fails. */
export default defineConfig({
  test: {
    // The image job has its own configuration.
    exclude: ["test/image/**", "node_modules/**", ...withoutContainer],
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // Most tests wait for something: on two cores the default of one leaves half of them idle.
    maxWorkers: Math.max(2, availableParallelism() - 1),
  },
});
