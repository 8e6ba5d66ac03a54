// The commands of docs/api.md do what the page says. They are run in order against one worker.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { blocksIn, fits, ROOT, read, stepsIn } from "../docs/pages.ts";
import { serveWorker } from "./served.ts";

test("every command of the page about the jobs API answers what the page says", async () => {
  const served = await serveWorker();
  try {
    const own = "test/api/api-page.test.ts";
    const steps = blocksIn(read("docs/api.md"))
      .filter(({ runBy }) => runBy === own)
      .flatMap(stepsIn);
    expect(steps.length).toBeGreaterThan(2);
    for (const { command, output } of steps) {
      const here = command.replaceAll("http://127.0.0.1:4780", served.url);
      const { stdout } = await promisify(execFile)("/bin/sh", ["-c", here], { cwd: join(ROOT) });
      expect(fits(stdout, output), `${command}\n${stdout}`).toBe(true);
    }
  } finally {
    await served.stop();
  }
});
