// A whole worker in this process for tests of the jobs API: the embedded AWS, a handler that needs no model, the real history, and the
// worker's own address. Not a test.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { localCloud } from "../../worker/cli/cloud.ts";
import { loadConfig } from "../../worker/config/config.ts";
import { startWeb } from "../../worker/console/server.ts";
import { startLocalAws } from "../../worker/local/local-aws.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { openWorker } from "../../worker/main.ts";
import { createMounts } from "../../worker/mounts.ts";
import { engineServer, says } from "../model/engine-server.ts";

/** Answers with its text; `fail` makes it fail for good, `again` in its first attempt, and `hold` until the job is canceled. */
const ECHO = `
import { defineHandler } from "kamado/handler";
import { z } from "zod";
const seen = new Set();
export default defineHandler({
  kind: "echo",
  summary: "Answers with its text.",
  input: z.strictObject({ text: z.string().max(10_000), file: z.string().optional(), how: z.enum(["fail", "again", "hold"]).optional() }),
  output: z.strictObject({ text: z.string() }),
  async run({ text, how }, { signal, progress }) {
    progress(0.5, "half");
    if (how === "fail") return {};
    if (how === "again" && !seen.has(text)) { seen.add(text); throw new Error("the first time"); }
    if (how === "hold") await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    return { text };
  },
});
`;

export type Served = Awaited<ReturnType<typeof serveWorker>>;

export async function serveWorker(flags: Record<string, string> = {}, dataDir = newFolder("kamado-api-")) {
  const handlers = newFolder("kamado-handlers-");
  writeFileSync(join(handlers, "echo.js"), ECHO);
  const [aws, engine] = await Promise.all([
    startLocalAws({ port: 0 }),
    engineServer(({ path }) => (path.includes("completions") ? says("blue") : READY)),
  ]);
  const config = loadConfig(
    {
      KAMADO_DATA_DIR: dataDir,
      KAMADO_HANDLERS: handlers,
      KAMADO_ENGINE_URL: engine.url,
      KAMADO_SLOTS: "4",
      KAMADO_POLL_SECONDS: "1",
      KAMADO_RETRY_SECONDS: "1",
      KAMADO_WORKER_NAME: "api",
      ...flags,
    },
    {},
    undefined,
  );
  const worker = await openWorker(config, localCloud(aws), async () => ({ url: engine.url }), silentLog);
  const web = await startWeb({ port: 0, state: () => worker.state(), mounts: createMounts(worker) });
  worker.start();
  return {
    url: web.url,
    worker,
    aws,
    dataDir,
    async stop(): Promise<void> {
      const stopped = worker.stop();
      aws.endPolls();
      await stopped;
      await web.stop();
      await engine.close();
      await aws.stop();
    },
  };
}

const READY = { body: { status: "ok", slots: 4 } };
const newFolder = (name: string) => mkdtempSync(join(tmpdir(), name));
