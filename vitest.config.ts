import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { defineConfig } from "vitest/config";
import { filesByIsolation } from "./test/isolation.ts";

const { together, apart } = filesByIsolation();

export default defineConfig({
  test: {
    // Those with a process of their own come first, because their names do; they are the longest.
    projects: [
      { extends: true, test: { name: "apart", include: apart } },
      { extends: true, test: { name: "together", include: together, isolate: false } },
    ],
    globalSetup: "./test/temporary-folder.ts",
    // Native engines and child processes do not share a process well.
    pool: "forks",
    // Most files wait for sockets and child processes, not for a CPU. Vitest starts the longest first, by its last run.
    maxWorkers: Math.max(4, availableParallelism()),
    // These only end tests that hang. How long something may take is asserted only where a promise says so.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 10_000 } },
    // Node itself loads the handlers of tests, as in a worker.
    server: { deps: { external: [/\/kamado-handlers-[^/]*\//] } },
    // Engines that tests start reuse the compiled code of the engines before them. V8 refuses what a process with other flags compiled.
    env: { NODE_COMPILE_CACHE: resolve(import.meta.dirname, "node_modules/.cache/kamado/engine") },
    reporters: ["default", "./test/reporter.ts"],
  },
});
