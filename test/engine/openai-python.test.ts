// The official Python client on the scripted engine. It is installed once, beside our own packages; where there is no Python
// or no package index within reach the test says so and is skipped.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { scripted } from "./running.ts";

const CACHE = resolve(import.meta.dirname, "../../node_modules/.cache");
const INSTALL_MS = 20_000;
const run = promisify(execFile);

/** Where the client is installed, or why it is not. */
async function pythonClient(): Promise<{ folder: string } | { why: string }> {
  const version = await run("python3", ["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).catch(
    () => null,
  );
  if (!version) return { why: "there is no python3" };
  const folder = join(CACHE, `openai-python-${version.stdout.trim()}`);
  if (existsSync(folder)) return { folder };
  await mkdir(CACHE, { recursive: true });
  const fresh = await mkdtemp(join(CACHE, "openai-python-"));
  const pip = [
    "-m",
    "pip",
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "--retries",
    "0",
    "--timeout",
    "5",
  ];
  try {
    await run("python3", [...pip, "--target", fresh, "openai"], { timeout: INSTALL_MS });
    await rename(fresh, folder);
    return { folder };
  } catch {
    await rm(fresh, { recursive: true, force: true });
    // Another run may have been faster.
    return existsSync(folder) ? { folder } : { why: "pip could not install the openai package" };
  }
}

test("the official Python client works unchanged", { timeout: 60_000 }, async (context) => {
  const client = await pythonClient();
  if ("why" in client) return context.skip(client.why);
  const engine = await scripted({
    thought: "let me see",
    rules: [{ when: "JSON" }, { when: "Once", answer: " a time" }, { answer: ["It is.", "It is not."] }],
  });
  const script = join(import.meta.dirname, "openai_client.py");
  const env = {
    ...process.env,
    PYTHONPATH: client.folder,
    PYTHONDONTWRITEBYTECODE: "1",
    NO_PROXY: "127.0.0.1",
  };
  const { stdout } = await run("python3", [script, `${engine.url}/v1`], { env });
  await engine.close();
  expect(JSON.parse(stdout)).toEqual({
    models: ["scripted"],
    answers: ["It is.", "It is not."],
    usage: { prompt_tokens: 3, completion_tokens: 5 },
    streamed: "It is.",
    thought: "let me see",
    reasoning_tokens: 3,
    shaped: { locked: false },
    plain: " a time",
    refused: "context_length_exceeded",
  });
});
