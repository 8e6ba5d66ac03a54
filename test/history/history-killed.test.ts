// A worker that is killed in the middle of a write loses nothing that was written before, and its file is whole.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openHistory } from "../../worker/history/history.ts";
import { silentLog } from "../../worker/logging/log.ts";

test("after kill -9 in the middle of writing everything that was written is there", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kamado-history-"));
  const writer = spawn(process.execPath, [join(import.meta.dirname, "endless-writer.ts"), folder], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let written = 0;
  for await (const line of writer.stdout.setEncoding("utf8")) {
    written = Number(String(line).trim().split("\n").at(-1));
    // It goes on writing while it is killed.
    if (written >= 400) writer.kill("SIGKILL");
  }
  const history = openHistory({ folder, worker: "w", days: 30, megabytes: 50, log: silentLog });
  const { retrying = 0, waiting = 0 } = await history.states();
  // They were received and never ended, so they come again.
  expect(waiting).toBe(0);
  expect(retrying).toBeGreaterThanOrEqual(written);
  expect((await history.get("job-0"))?.input).toHaveLength(5_000);
  await history.close();
  expect(readdirSync(folder).filter((name) => name.includes("damaged"))).toEqual([]);
});
