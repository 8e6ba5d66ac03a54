// What other machines can reach when Kamado runs: nothing unless it is configured, and then only with the token. And which secrets
// the engine process gets.
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { describe, expect, onTestFinished, test } from "vitest";
import { SECRET_VARIABLES } from "../config/secret-variables.ts";
import { kamado, SCRIPTED } from "./process.ts";

const TOKEN = "a-token-of-some-length";

function start(args: string[], variables: Record<string, string> = {}): ChildProcess {
  const child = kamado(args, { ...SCRIPTED, ...variables });
  const exited = once(child, "exit");
  onTestFinished(async () => {
    child.kill("SIGTERM");
    await exited;
  });
  return child;
}
/** Rejects when the process ends without one. */
const firstLine = async (child: ChildProcess) => {
  const lines = createInterface(child.stdout!);
  const ended = once(child, "exit").then(([code]) => Promise.reject(new Error(`it ended with ${code}`)));
  return String((await Promise.race([once(lines, "line"), ended]))[0]);
};

/** The status of an answer. `fetch` does not send a Host header of our own. */
const statusOf = (url: string, headers: Record<string, string>) =>
  new Promise((resolve, reject) =>
    request(url, { headers }, (answer) => resolve(answer.resume().statusCode))
      .on("error", reject)
      .end(),
  );

// Each test starts several processes.
const LIMIT = { timeout: 120_000 };

describe("nothing is open to others without a token", LIMIT, () => {
  test.each([
    ["engine", "KAMADO_ENGINE_HOST", "0.0.0.0"],
    ["serve", "KAMADO_ENGINE_HOST", "::"],
    ["serve", "KAMADO_WEB_HOST", "0.0.0.0"],
  ])("%s with %s=%s says what to set, and ends", async (command, variable, host) => {
    const args = command === "serve" ? ["serve", "--in-memory"] : [command];
    const child = kamado(args, { ...SCRIPTED, [variable]: host });
    const [errors, [code]] = await Promise.all([text(child.stderr!), once(child, "exit")]);
    const token = variable.replace("HOST", "TOKEN");
    expect({ code, errors }).toEqual({
      code: 2,
      errors: expect.stringMatching(new RegExp(`${variable}: ${host} .*set ${token} or ${token}_FILE`)),
    });
  });
});

test(
  "a page elsewhere that reaches this machine under its own host name is refused everywhere",
  LIMIT,
  async () => {
    const { web } = JSON.parse(await firstLine(start(["serve", "--in-memory", "--json"])));
    const engine = /http:\/\/\S+/.exec(await firstLine(start(["engine"])))![0];
    expect(await statusOf(`${web}/state`, { host: "rebind.example" })).toBe(403);
    expect(await statusOf(`${engine}/models`, { host: "rebind.example" })).toBe(401);
    for (const url of [`${web}/state`, `${engine}/models`])
      expect([url, await statusOf(url, {})]).toEqual([url, 200]);
  },
);

test("when opened to others, engine and page require the token, from this machine too", LIMIT, async () => {
  const opened = start(["serve", "--in-memory", "--json"], {
    KAMADO_WEB_HOST: "0.0.0.0",
    KAMADO_WEB_TOKEN: TOKEN,
    KAMADO_ENGINE_HOST: "0.0.0.0",
    KAMADO_ENGINE_TOKEN: TOKEN,
  });
  const { web } = JSON.parse(await firstLine(opened));
  const engineAlone = start(["engine"], { KAMADO_ENGINE_HOST: "0.0.0.0", KAMADO_ENGINE_TOKEN: TOKEN });
  const engine = /http:\/\/\S+/.exec(await firstLine(engineAlone))![0];
  for (const url of [`${web.replace("0.0.0.0", "127.0.0.1")}/state`, `${engine}/models`]) {
    expect([url, await statusOf(url, {})]).toEqual([url, 401]);
    expect([url, await statusOf(url, { authorization: "Bearer wrong-token-of-length" })]).toEqual([url, 401]);
    expect([url, await statusOf(url, { authorization: `Bearer ${TOKEN}` })]).toEqual([url, 200]);
  }
  // The worker has its engine's token, so it sees that the engine answers.
  const state = async () =>
    (
      await fetch(`${web.replace("0.0.0.0", "127.0.0.1")}/health`, {
        headers: { authorization: `Bearer ${TOKEN}` },
      })
    ).json();
  await expect.poll(state, { timeout: 60_000 }).toMatchObject({ status: "READY", engine: true });
});

test.skipIf(!existsSync("/proc/self/environ"))(
  "the engine process, which native code runs in, sees nothing of the environment but what its libraries need (seen in /proc)",
  async () => {
    const canary = "canary-0123456789-canary";
    // These name files that the worker would read.
    const names = SECRET_VARIABLES.filter((name) => !/^(KAMADO|AWS)_.*_FILE$/.test(name));
    // Two tokens of the page must differ.
    const secrets = names.map((name) => [
      name,
      `${name.endsWith("_URL") ? "https://" : ""}${canary}-${name}`,
    ]);
    const engine = start(["engine"], { KAMADO_SEARCH: "brave", ...Object.fromEntries(secrets) });
    await firstLine(engine);
    const seen = (pid: number | string, what: string) => readFileSync(`/proc/${pid}/${what}`, "utf8");
    const [pid] = seen(engine.pid!, `task/${engine.pid}/children`).split(" ");
    expect(seen(engine.pid!, "environ")).toContain(canary);
    expect(seen(pid!, "cmdline")).toContain("engine/main.ts");
    expect(seen(pid!, "environ").split("\0")).toContain(`PATH=${process.env.PATH}`);
    for (const what of ["environ", "cmdline"]) expect(seen(pid!, what)).not.toContain(canary);
  },
);
