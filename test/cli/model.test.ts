// `kamado model` as a person meets it: list, pull, use, remove, and KAMADO_MODEL=NAME afterwards. In this process, with a file server.
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { initCommand } from "../../worker/cli/commands/init.ts";
import { modelCommand } from "../../worker/cli/commands/model.ts";
import { PullProgress } from "../../worker/cli/commands/model-view.ts";
import { engineOptions } from "../../worker/cli/engine-options.ts";
import { announceEngine } from "../../worker/cli/running-service.ts";
import { loadConfig } from "../../worker/config/config.ts";
import { checkFiles } from "../../worker/engine/generation/model-check.ts";
import type { KamadoError } from "../../worker/errors.ts";
import type { Log } from "../../worker/logging/log.ts";
import { type FileServer, fileServer } from "../engine/download/file-server.ts";

let server: FileServer;
let dataDir: string;
let home: string;
const HF = "hf:owner/repo/model.gguf";

beforeAll(async () => {
  server = await fileServer();
  server.behaviour.repository = {
    siblings: [{ rfilename: "mmproj-model-f16.gguf" }],
    cardData: { license: "mit" },
  };
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await server.close();
});
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "kamado-model-"));
  home = mkdtempSync(join(tmpdir(), "kamado-model-"));
  vi.stubEnv("KAMADO_DATA_DIR", dataDir);
  vi.stubEnv("HF_ENDPOINT", server.endpoint);
  vi.stubEnv("XDG_CONFIG_HOME", home);
  vi.stubEnv("KAMADO_MODEL", "");
  vi.stubEnv("KAMADO_MEMORY_LIMIT", "8G");
});

async function kamado(
  ...args: string[]
): Promise<{ out: string; errors: string; thrown: KamadoError | undefined }> {
  const [out, errors] = [[] as string[], [] as string[]];
  const spies = [
    vi.spyOn(process.stdout, "write").mockImplementation((text) => Boolean(out.push(String(text)))),
    vi.spyOn(process.stderr, "write").mockImplementation((text) => Boolean(errors.push(String(text)))),
  ];
  let thrown: KamadoError | undefined;
  try {
    await modelCommand().parseAsync(args, { from: "user" });
  } catch (error) {
    thrown = error as KamadoError;
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return { out: out.join(""), errors: errors.join(""), thrown };
}

const configOf = (model: string) => loadConfig({}, { KAMADO_DATA_DIR: dataDir, KAMADO_MODEL: model });

test("list fits 80 columns, and shows the catalogue with sizes, memory and licences", async () => {
  const { out } = await kamado("list");
  expect(
    Math.max(
      ...out
        .split("\n")
        .filter((line) => !line.includes(dataDir))
        .map((line) => line.length),
    ),
  ).toBeLessThan(80);
  expect(out).toMatch(/^qwen3-vl-4b +~3\.2 GB +~3\.9 GB +yes +Apache-2\.0 +no$/m);
});

describe("a model that was pulled", () => {
  test("is found by its name with its projector, listed, used, and removed", async () => {
    const { out, thrown } = await kamado("pull", HF, "--name", "toy");
    expect(thrown).toBeUndefined();
    expect(out).toMatch(
      /toy is here: 1\.9 MB, needs .*, pictures and texts\.\nFrom hf:owner\/repo\/model\.gguf; licence: mit\./,
    );
    expect(configOf("toy").engine).toMatchObject({
      model: join(dataDir, "models/toy/model.gguf"),
      mmproj: join(dataDir, "models/toy/mmproj-model-f16.gguf"),
      isDemo: false,
    });
    await kamado("use", "toy");
    expect(readFileSync(join(home, "kamado/kamado.toml"), "utf8")).toMatch(/^model = "toy"$/m);
    const listed = JSON.parse((await kamado("list", "--json")).out.split("\n")[0]!);
    expect(listed).toMatchObject({
      name: "toy",
      state: "in use",
      licence: "mit",
      pictures: true,
      memoryFrom: "header",
    });
    expect((await kamado("remove", "toy")).thrown).toMatchObject({
      code: "invalid_input",
      message: expect.stringContaining("--yes"),
    });
    expect((await kamado("remove", "toy", "--dry-run")).out).toContain("would be deleted");
    const removed = await kamado("remove", "toy", "--yes");
    expect(removed.out).toContain("toy is deleted");
    expect(removed.errors).toContain("still the model that KAMADO_MODEL or kamado.toml names");
    expect(existsSync(join(dataDir, "models/toy"))).toBe(false);
  });

  test("has no projector where the backend reads no pictures", async () => {
    await kamado("pull", HF, "--name", "toy");
    const text = { KAMADO_DATA_DIR: dataDir, KAMADO_MODEL: "toy", KAMADO_BACKEND: "node-llama-cpp" };
    expect(loadConfig({}, text).engine.mmproj).toBeUndefined();
  });

  test("is said in one line of JSON, and nothing else stands on that stream", async () => {
    const { out, errors } = await kamado("pull", HF, "--name", "toy", "--json");
    expect(JSON.parse(out)).toMatchObject({ is: "pulled", name: "toy", mmproj: "mmproj-model-f16.gguf" });
    expect(errors).toContain("of memory");
  });

  test("leaves what an interrupted download has, which remove deletes", async () => {
    const name = "toy";
    server.behaviour.onAnswer = ({ place }) => void (place === "store" && process.emit("SIGINT"));
    const { thrown } = await kamado("pull", HF, "--name", name, "--mmproj", "none");
    server.behaviour.onAnswer = () => {};
    expect(thrown).toMatchObject({ code: "canceled", message: expect.stringContaining("Interrupted") });
    mkdirSync(join(dataDir, "models", name), { recursive: true });
    writeFileSync(join(dataDir, "models", name, "model.gguf.part"), "GGUF");
    expect((await kamado("list")).out).toMatch(/^toy +.*unfinished$/m);
    await kamado("remove", name, "--yes");
    expect(existsSync(join(dataDir, "models", name))).toBe(false);
  });
});

test("a model of the catalogue is found however its name is written", () => {
  const folder = join(dataDir, "models", "qwen3-vl-4b");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "m.gguf"), "GGUF");
  writeFileSync(join(folder, "model.json"), JSON.stringify({ model: "m.gguf", added: "by a newer version" }));
  for (const name of ["qwen3-vl-4b", "Qwen3-VL:4B"])
    expect(configOf(name).engine.model).toBe(join(folder, "m.gguf"));
});

test("a model is found however its name is written, and a second one that differs only by that is refused", async () => {
  await kamado("pull", HF, "--name", "Toy");
  expect(configOf("tOY").engine.model).toBe(join(dataDir, "models/Toy/model.gguf"));
  const { thrown } = await kamado("pull", `${server.store}/model.gguf`, "--name", "toy");
  expect(thrown?.message).toContain("There is another model Toy here already");
  await kamado("use", "toy");
  expect(readFileSync(join(home, "kamado/kamado.toml"), "utf8")).toMatch(/^model = "Toy"$/m);
  await kamado("remove", "TOY", "--yes");
  expect(existsSync(join(dataDir, "models/Toy"))).toBe(false);
});

test("a worker asks an engine that is a service of its own for the model by a name that this knows", async () => {
  await kamado("pull", HF, "--name", "toy");
  for (const model of ["toy", "Toy", join(dataDir, "models/toy/model.gguf")]) {
    const variables = { KAMADO_DATA_DIR: dataDir, KAMADO_MODEL: model };
    const worker = loadConfig({}, { ...variables, KAMADO_ENGINE_URL: "http://127.0.0.1:4781" });
    expect(engineOptions(loadConfig({}, variables)).names).toContain(worker.engine.remoteModel);
    expect(engineOptions(loadConfig({}, variables)).model).toBe(join(dataDir, "models/toy/model.gguf"));
  }
});

test("the model of an engine that runs is not removed, and a new choice says that the engine must be restarted", async () => {
  await kamado("pull", HF, "--name", "toy");
  await kamado("pull", HF, "--name", "next");
  const engine = createServer((_, response) =>
    response.writeHead(200, { "content-type": "application/json" }).end("{}"),
  );
  await new Promise<void>((resolve) => engine.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void engine.close());
  const url = `http://127.0.0.1:${(engine.address() as AddressInfo).port}`;
  announceEngine(configOf("toy"), url, pino({ level: "silent" }) as Log);
  expect((await kamado("use", "next")).errors).toContain("keeps its model until it is restarted");
  expect((await kamado("use", "toy")).errors).toBe("");
  expect((await kamado("remove", "toy", "--yes")).thrown).toMatchObject({
    code: "model_busy",
    message: "toy is the model of the Kamado that runs on this machine.",
  });
  expect((await kamado("remove", "next", "--yes")).thrown).toBeUndefined();
});

test("a GGUF file that was put into models/ has a name too", () => {
  mkdirSync(join(dataDir, "models"));
  const path = join(dataDir, "models", "own.Q4_1.gguf");
  writeFileSync(path, "GGUF");
  expect([configOf("own.Q4_1").engine.model, configOf("own.Q4_1.gguf").engine.model]).toEqual([path, path]);
});

test("a name that is not here is refused with the command that fetches it", async () => {
  expect((await kamado("use", "qwen3vl:4b")).thrown).toMatchObject({
    code: "unknown_model",
    message: expect.stringContaining("`kamado model pull qwen3-vl-4b`"),
  });
  for (const [name, said] of [
    ["qwen3-vl-4b", "This is a name of the catalogue: `kamado model pull qwen3-vl-4b` fetches it."],
    ["gemma3:4b", "Did you mean gemma-4-e4b? `kamado model pull gemma-4-e4b` fetches it."],
  ] as const)
    await expect(checkFiles({ model: name })).rejects.toMatchObject({ hint: expect.stringContaining(said) });
});

test("use writes into the nearest kamado.toml, keeps its comments, and names what takes precedence", async () => {
  await kamado("pull", HF, "--name", "toy");
  const path = join(home, "kamado/kamado.toml");
  const mine = join(home, "dotfiles.toml");
  mkdirSync(join(home, "kamado"));
  writeFileSync(mine, "# mine\nslots = 2\n", { mode: 0o640 });
  symlinkSync(mine, path);
  vi.stubEnv("KAMADO_MODEL", "/elsewhere.gguf");
  const { errors } = await kamado("use", "toy");
  expect(readFileSync(mine, "utf8")).toBe('model = "toy"\n# mine\nslots = 2\n');
  expect([lstatSync(path).isSymbolicLink(), statSync(mine).mode & 0o777]).toEqual([true, 0o640]);
  expect(errors).toContain("takes precedence over the file");
});

test("init does not undo the model that was chosen, in the user's folder or in one above", async () => {
  await kamado("pull", HF, "--name", "toy");
  await kamado("use", "toy");
  const path = join(home, "kamado/kamado.toml");
  const before = readFileSync(path, "utf8");
  // Every setting stands in it, as init writes it.
  expect(before).toMatch(/^# web_port = 4780$/m);
  const place = mkdtempSync(join(tmpdir(), "kamado-model-"));
  const cwd = vi.spyOn(process, "cwd").mockReturnValue(place);
  onTestFinished(() => cwd.mockRestore());
  const init = (...args: string[]) => initCommand().parseAsync(args, { from: "user" });
  await expect(init()).rejects.toMatchObject({
    code: "config_invalid",
    message: expect.stringContaining(`${path} holds the settings here`),
    hint: expect.stringContaining("Edit that file"),
  });
  await expect(init("--user")).rejects.toMatchObject({
    message: expect.stringContaining("there already"),
  });
  expect(existsSync(join(place, "kamado.toml"))).toBe(false);
  expect(readFileSync(path, "utf8")).toBe(before);
  const above = join(place, "kamado.toml");
  writeFileSync(above, "slots = 2\n", { mode: 0o600 });
  mkdirSync(join(place, "inner"));
  cwd.mockReturnValue(join(place, "inner"));
  await expect(init()).rejects.toMatchObject({ message: expect.stringContaining(above) });
});

test("progress is one moving line on a terminal, and a line for every ten percent elsewhere", () => {
  const written: string[] = [];
  const stream = (isTTY: boolean) =>
    ({ isTTY, columns: 80, write: (text: string) => written.push(text) }) as unknown as NodeJS.WriteStream;
  const pipe = new PullProgress(stream(false));
  for (const done of [1, 150, 250, 255, 1_000]) pipe.update("download", "m.gguf", done * 1e6, 1e9);
  expect(written).toEqual([
    "m.gguf: 10 %, 150 MB of 1.0 GB\n",
    "m.gguf: 20 %, 250 MB of 1.0 GB\n",
    "m.gguf: 100 %, 1.0 GB of 1.0 GB\n",
  ]);
  written.length = 0;
  new PullProgress(stream(true)).update("download", "m.gguf", 5e8, 1e9);
  expect(written.join("")).toMatch(/^downloading ▕█████ {5}▏ 50 % {2}500 MB of 1\.0 GB/);
});
