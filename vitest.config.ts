import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Native engines and child processes do not share a process well.
    pool: "forks",
    // Most files wait for sockets and child processes, not for a core.
    maxWorkers: Math.max(4, availableParallelism()),
    // How long something may take is for the tests that promise it; on a busy machine all else may take its time.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 10_000 } },
    // The processes that tests start find their code compiled, and its types stripped, by those before them.
    env: { NODE_COMPILE_CACHE: resolve(import.meta.dirname, "node_modules/.cache/kamado-tests") },
    reporters: ["default", "./test/reporter.ts"],
  },
});
