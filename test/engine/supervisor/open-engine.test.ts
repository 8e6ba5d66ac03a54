// The engine a command works with: where it is, before it can serve.
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { loadConfig, type Variables } from "../../../worker/config/config.ts";
import { openEngine } from "../../../worker/engine/supervisor/open-engine.ts";
import { silentLog } from "../../../worker/logging/log.ts";

const open = (variables: Variables) =>
  openEngine(loadConfig({ KAMADO_BACKEND: "scripted", ...variables }, {}), silentLog);

test("on a port of its own choosing it is where its address says, though its model still loads", async () => {
  const engine = await open({ KAMADO_ENGINE_PORT: "0", KAMADO_SCRIPT: '{"loadMs": 60000}' });
  onTestFinished(() => engine.stop());
  expect(await (await fetch(`${engine.url}/health`)).json()).toMatchObject({ state: "STARTING" });
});

test("one that listens on all addresses is asked on this machine's", async () => {
  const token = "a-token-of-some-length";
  const engine = await open({
    KAMADO_ENGINE_PORT: "0",
    KAMADO_ENGINE_HOST: "0.0.0.0",
    KAMADO_ENGINE_TOKEN: token,
  });
  onTestFinished(() => engine.stop());
  expect(engine.url).toMatch(/^http:\/\/127\.0\.0\.1:[1-9]\d+$/);
  await engine.ready();
  const headers = { authorization: `Bearer ${token}` };
  expect((await fetch(`${engine.url}/v1/models`, { headers })).status).toBe(200);
});

test("one that never listens is not waited for", async () => {
  const opened = open({ KAMADO_ENGINE_PORT: "0", KAMADO_BACKEND: "auto", KAMADO_MODEL: "/no/such.gguf" });
  await expect(opened).rejects.toMatchObject({
    code: "engine_unavailable",
    message: expect.stringContaining("there is no file /no/such.gguf"),
  });
});

test("a port that others use is named", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  onTestFinished(() => void other.close());
  await once(other, "listening");
  const { port } = other.address() as AddressInfo;
  await expect(open({ KAMADO_ENGINE_PORT: `${port}` })).rejects.toMatchObject({
    code: "config_invalid",
    message: expect.stringMatching(
      `^KAMADO_ENGINE_PORT: port ${port} of 127.0.0.1 cannot be used \\(EADDRINUSE`,
    ),
  });
});
