// The commands with the demo model through real llama.cpp: what a newcomer sees.
import { once } from "node:events";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { expect, test } from "vitest";
import { drawLock } from "../../models/demo/data/locks.ts";
import { HELD_OUT } from "../../models/demo/data/random.ts";
import { kamado } from "./process.ts";
import { whatHangs } from "./what-hangs.ts";

/** It never takes so long; what takes longer hangs, and says where before it is ended. */
const HANGS_MS = 60_000;

async function run(args: string[], input = ""): Promise<{ code: number; out: string; err: string }> {
  const child = kamado(args, {});
  child.stdin!.end(input);
  const said = { out: "", err: "" };
  child.stdout!.setEncoding("utf8").on("data", (more) => (said.out += more));
  child.stderr!.setEncoding("utf8").on("data", (more) => (said.err += more));
  const tooLong = Promise.withResolvers<never>();
  const watchdog = setTimeout(async () => {
    const told = await whatHangs(child).catch(String);
    tooLong.reject(new Error(`kamado ${args.join(" ")} hangs.\n${said.out}\n${said.err}\n${told}`));
  }, HANGS_MS);
  try {
    const [code] = await Promise.race([once(child, "close"), tooLong.promise]);
    return { code, ...said };
  } finally {
    clearTimeout(watchdog);
  }
}

test("npm run demo: every job right, delivered, none lost", async () => {
  const { code, out, err } = await run(["demo"]);
  expect(out + err).toMatch(/^demo: (\d+) jobs, \1 right, \1 delivered, 0 lost$/m);
  expect(code).toBe(0);
}, 120_000);

test("run image.check says y or n, and the answer turns when the bar turns", async () => {
  const folder = await mkdtemp(join(tmpdir(), "kamado-run-"));
  const answers = [];
  for (const orientation of ["horizontal", "vertical"] as const) {
    const { rgb, width, height } = drawLock({ seed: HELD_OUT + 77, orientation, present: true, width: 200 });
    await sharp(rgb, { raw: { width, height, channels: 3 } })
      .png()
      .toFile(join(folder, `${orientation}.png`));
    const file = join(folder, "input.json");
    await writeFile(
      file,
      JSON.stringify({ image: `file:${orientation}.png`, question: "Is the door locked?" }),
    );
    const { code, out, err } = await run(["run", "image.check", "--input", file, "--json"]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    answers.push(JSON.parse(out).output.answer);
  }
  expect(answers).toEqual(["y", "n"]);
}, 180_000);

test("run reads standard input; a failed job is reported and has an exit code of its own", async () => {
  const { code, out } = await run(
    ["run", "image.check", "--input", "-", "--json"],
    '{"image": "data:text/plain;base64,aGVsbG8=", "question": "?"}',
  );
  expect(code).toBe(1);
  expect(JSON.parse(out)).toMatchObject({ status: "failed", error: { code: "image_undecodable" } });
}, 120_000);

test("input that is not JSON is a usage error", async () => {
  const { code, err } = await run(["run", "prompt", "--input", "-"], "hello");
  expect(code).toBe(2);
  expect(err).toContain("not JSON");
}, 120_000);
