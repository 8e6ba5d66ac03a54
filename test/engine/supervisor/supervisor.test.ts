import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { TINY, writeTextModel } from "../../../models/random/models.ts";
import {
  type Engine,
  type SuperviseOptions,
  startEngine,
} from "../../../worker/engine/supervisor/supervisor.ts";
import { until, user } from "../running.ts";

let engine: Engine | undefined;
const start = (script: object, more: SuperviseOptions = {}) => {
  const { timing, ...options } = more;
  engine = startEngine({
    backend: "scripted",
    port: 0,
    script: JSON.stringify(script),
    timing: { firstDelayMs: 20, healthEveryMs: 50, ...timing },
    ...options,
  });
  return engine;
};
afterEach(() => engine?.stop());

const ask = (url: string, content: string) =>
  fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ messages: user(content) }),
  });
const answers = async ({ url }: Engine) => (await ask(url, "hello")).status === 200;
const alive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe("a supervised engine", () => {
  test("comes back on the same port after it is killed and after it crashes", async () => {
    const one = start({ rules: [{ when: "boom", do: "crash" }] });
    await one.ready();
    const { url, pid } = one;
    process.kill(pid!, "SIGKILL");
    await until(() => one.restarts === 1);
    await one.ready();
    expect(one.pid).not.toBe(pid);
    expect(await answers(one)).toBe(true);
    await ask(one.url, "boom").catch(() => {});
    await until(() => one.restarts === 2);
    await one.ready();
    expect([one.url, await answers(one)]).toEqual([url, true]);
  }, 60_000);

  test("is killed and started again when it hangs", async () => {
    const one = start({ rules: [{ when: "freeze", do: "freeze" }] }, { timing: { hungAfterMs: 3_000 } });
    await one.ready();
    await Promise.race([ask(one.url, "freeze").catch(() => {}), until(() => one.restarts === 1)]);
    await until(() => one.restarts === 1);
    await one.ready();
    expect(await answers(one)).toBe(true);
  }, 60_000);

  test("whose deaths are explained starts again after the shortest pause each time, and does not grow it", async () => {
    // Pauses that double from 1 s would add up to a minute.
    const one = start({}, { timing: { firstDelayMs: 1_000, maxDelayMs: 60_000 } });
    for (const restarts of [1, 2, 3, 4, 5, 6]) {
      await one.ready();
      process.kill(one.pid!, "SIGKILL");
      // The worker hears of a death by its broken connections, before or after the supervisor does.
      if (restarts % 2 === 0) await until(() => one.state === "STARTING");
      one.restartSoon();
      await until(() => one.restarts === restarts);
    }
  }, 45_000);

  test("is given up loudly when it never becomes ready", async () => {
    const states: string[] = [];
    const one = start({ loadFails: "the model is broken" }, { timing: { attempts: 2 } });
    one.onChange((state) => states.push(state));
    await expect(one.ready()).rejects.toThrow("the model is broken");
    expect([one.state, one.restarts, states.at(-1)]).toEqual(["SETUP_FAILED", 1, "SETUP_FAILED"]);
  }, 60_000);

  test("a listener to its state that throws is logged, and the others are called all the same", async () => {
    const [lines, states]: string[][] = [[], []];
    const one = start({}, { onLog: (line) => lines!.push(line) });
    one.onChange(() => {
      throw new Error("broken");
    });
    one.onChange((state) => states!.push(state));
    await one.ready();
    expect(await answers(one)).toBe(true);
    await one.stop();
    expect([states![0], states!.at(-1)]).toEqual(["READY", "STOPPED"]);
    expect(lines).toContain("A listener to the engine's state failed (broken).");
  }, 60_000);

  test("says which of its options is wrong, without trying again", async () => {
    const one = start({}, { backend: "node-llama-cpp", model: "/no/such.gguf" });
    await expect(one.ready()).rejects.toThrow("KAMADO_MODEL: /no/such.gguf does not exist.");
    expect([one.state, one.restarts]).toEqual(["SETUP_FAILED", 0]);
  }, 60_000);

  test("is not tried again when loading fails for what another try would meet too, and says it once", async () => {
    const lines: string[] = [];
    const one = start({}, { script: "wait=5,foo=2", onLog: (line) => lines.push(line) });
    await expect(one.ready()).rejects.toMatchObject({
      code: "config_invalid",
      message: expect.stringContaining("--script: there is no setting foo"),
    });
    expect([one.state, one.restarts, lines]).toEqual(["SETUP_FAILED", 0, []]);
  }, 60_000);

  test("says why it is not ready while it tries, the reason once", async () => {
    const lines: string[] = [];
    const script = { loadFails: "no room just now" };
    const one = start(script, { timing: { attempts: 3 }, onLog: (line) => lines.push(line) });
    expect(one.trouble).toBeUndefined();
    await until(() => one.restarts === 1);
    expect(one.trouble).toMatchObject({ code: "engine_unavailable", message: "no room just now" });
    await expect(one.ready()).rejects.toThrow("no room just now");
    expect(lines.map((line) => line.split(").")[0])).toEqual([
      "The engine could not start (engine_unavailable: no room just now, try 1 of 3",
      "The engine could not start (as before, try 2 of 3",
    ]);
  }, 60_000);

  test("that was ready goes on trying when its file is gone, says why, and comes back with it", async () => {
    const folder = mkdtempSync(join(tmpdir(), "kamado-"));
    const model = join(folder, "tiny.gguf");
    writeTextModel(model, TINY);
    const one = start({}, { backend: "node-llama-cpp", model, slots: 1, threads: 1 });
    await one.ready();
    renameSync(model, `${model}.away`);
    process.kill(one.pid!, "SIGKILL");
    await until(() => one.trouble?.code === "config_invalid");
    expect(one.trouble!.message).toBe(`KAMADO_MODEL: ${model} does not exist.`);
    renameSync(`${model}.away`, model);
    await until(() => one.state === "READY");
    expect(one.trouble).toBeUndefined();
    rmSync(folder, { recursive: true });
  }, 60_000);

  test("stops before it started, twice, and lets nothing live on", async () => {
    const one = start({});
    const waiting = one.ready().catch((error: Error) => error.message);
    const { pid } = one;
    await Promise.all([one.stop(), one.stop()]);
    await one.stop();
    expect(await waiting).toContain("it was stopped");
    expect([one.state, alive(pid!)]).toEqual(["STOPPED", false]);
  }, 60_000);

  test("finishes what runs when it is stopped", async () => {
    const words = "a b c d e f g h i j k l m n o p q r s t";
    const one = start({ rules: [{ answer: words, tokenMs: 300 }] });
    await one.ready();
    const answer = ask(one.url, "count");
    await until(async () => (await (await fetch(`${one.url}/health`)).json()).slots.busy === 1);
    await one.stop();
    expect((await (await answer).json()).choices[0].message.content).toBe(words);
  }, 60_000);

  test.each([
    ["is idle", {}, false],
    ["hangs in native code", { rules: [{ do: "freeze" }] }, true],
  ])(
    "ends when its parent is killed while it %s",
    async (_, script, asks) => {
      const folder = mkdtempSync(join(tmpdir(), "kamado-"));
      const [program, note, record] = ["parent.ts", "pid", "record"].map((name) => join(folder, name));
      const supervisor = new URL("../../../worker/engine/supervisor/supervisor.ts", import.meta.url);
      writeFileSync(
        program!,
        `import { existsSync, writeFileSync } from "node:fs";
       import { startEngine } from ${JSON.stringify(supervisor)};
       const engine = startEngine({ backend: "scripted", port: 0, script: ${JSON.stringify(JSON.stringify({ ...script, record }))} });
       await engine.ready();
       const headers = { "content-type": "application/json" };
       const body = '{"messages":[{"role":"user","content":"x"}]}';
       if (${asks}) {
         fetch(engine.url + "/v1/chat/completions", { method: "POST", headers, body }).catch(() => {});
         // From then on it hangs.
         while (!existsSync(${JSON.stringify(record)})) await new Promise((resolve) => setTimeout(resolve, 10));
       }
       writeFileSync(${JSON.stringify(note)}, String(engine.pid));
       process.stdout.write("ready");`,
      );
      const parent = spawn(process.execPath, [program!], { stdio: ["ignore", "pipe", "inherit"] });
      await once(parent.stdout, "data");
      const pid = Number(readFileSync(note!, "utf8"));
      expect(alive(pid)).toBe(true);
      parent.kill("SIGKILL");
      await until(() => !alive(pid));
    },
    60_000,
  );
});
