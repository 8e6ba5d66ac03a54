// The engine a command works with: where it is, before it can serve.
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { secret } from "../../../worker/config/secret.ts";
import { type OpenOptions, openEngine } from "../../../worker/engine/supervisor/open-engine.ts";
import { silentLog } from "../../../worker/logging/log.ts";

const folder = mkdtempSync(join(tmpdir(), "kamado-"));
const open = (more: Partial<OpenOptions>) =>
  openEngine(
    { backend: "scripted", host: "127.0.0.1", port: 0, dataDir: folder, environment: {}, ...more },
    silentLog,
  );

test("on a free port it answers at its address while its model still loads", async () => {
  const engine = await open({ script: '{"loadMs": 60000}' });
  onTestFinished(() => engine.stop());
  expect(await (await fetch(`${engine.url}/health`)).json()).toMatchObject({ state: "STARTING" });
});

test("an engine that listens on all addresses is reached by loopback", async () => {
  const token = "a-token-of-some-length";
  const engine = await open({ host: "0.0.0.0", token: secret(token) });
  onTestFinished(() => engine.stop());
  expect(engine.url).toMatch(/^http:\/\/127\.0\.0\.1:[1-9]\d+$/);
  await engine.ready();
  const headers = { authorization: `Bearer ${token}` };
  expect((await fetch(`${engine.url}/v1/models`, { headers })).status).toBe(200);
});

test("a model that does not exist is refused with its setting before anything listens", async () => {
  const opened = open({ backend: "auto", model: "/no/such.gguf" });
  await expect(opened).rejects.toMatchObject({
    code: "config_invalid",
    message: "KAMADO_MODEL: /no/such.gguf does not exist.",
  });
});

test("a port that another program uses is refused with its number", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  onTestFinished(() => void other.close());
  await once(other, "listening");
  const { port } = other.address() as AddressInfo;
  await expect(open({ port })).rejects.toMatchObject({
    code: "config_invalid",
    message: expect.stringMatching(`^KAMADO_ENGINE_PORT: port ${port} of 127.0.0.1 is taken by `),
  });
});
