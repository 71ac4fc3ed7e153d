import { defineConfig } from "vitest/config";

/** The image job: minutes per step, one emulator at a time, not part of `vitest run`. */
export default defineConfig({
  test: {
    include: ["test/image/*.test.ts"],
    fileParallelism: false,
    maxWorkers: 1,
    // Every wait has a deadline of its own that says what did not happen; these only end a hang.
    testTimeout: 30 * 60_000,
    hookTimeout: 5 * 60_000,
  },
});
