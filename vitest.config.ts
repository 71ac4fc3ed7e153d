import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

/** Tests run real processes, sockets and disks, so the limits are generous; a hang still fails. */
export default defineConfig({
  test: {
    // The image job has its own configuration.
    exclude: ["test/image/**", "node_modules/**"],
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // Most tests wait for something: on two cores the default of one leaves half of them idle.
    maxWorkers: Math.max(2, availableParallelism() - 1),
  },
});
