// Builds llama-server from the source that came with node-llama-cpp and puts it where it is looked for, whole or not at all:
// everything happens in a folder beside it, and the last step is one rename.
import { mkdirSync, readdirSync, renameSync, rmSync, statfsSync } from "node:fs";
import { basename, join } from "node:path";
import { KamadoError } from "../../errors.ts";
import { bundle, bundledTag, folderIn, placeOf } from "./place.ts";
import { type Steps, stepsIn } from "./progress.ts";
import { closeLog, diskFull, type Log, openLog, runStep } from "./step.ts";
import { findTools } from "./tools.ts";

const NEEDED_BYTES = 600 * 1024 * 1024;
const SCRATCH = ".building-";
// One file that needs nothing beside it, for this very machine, without what is not used here: TLS, downloads, a web page.
// Metal is on by itself on a Mac.
const OPTIONS = [
  "-DCMAKE_BUILD_TYPE=Release",
  "-DBUILD_SHARED_LIBS=OFF",
  "-DGGML_NATIVE=ON",
  "-DLLAMA_CURL=OFF",
  "-DLLAMA_OPENSSL=OFF",
  "-DLLAMA_BUILD_UI=OFF",
  "-DLLAMA_USE_PREBUILT_UI=OFF",
  "-DLLAMA_BUILD_TESTS=OFF",
  "-DLLAMA_BUILD_EXAMPLES=OFF",
];

export type Phase = "unpack" | "configure" | "build";
export type InstallOptions = {
  dataDir: string;
  jobs: number;
  onProgress(phase: Phase, steps: Steps | undefined): void;
  signal: AbortSignal;
};
export type Installed = { path: string; tag: string };

/** Throws `tool_missing`, `disk_full` and `build_failed`; the signal's reason when that fires. Leaves only the log then. */
export async function installLlamaServer(options: InstallOptions): Promise<Installed> {
  const { dataDir, signal } = options;
  const tag = bundledTag();
  const path = placeOf(dataDir, tag);
  const builder = await findTools();
  const scratch = openScratch(folderIn(dataDir));
  const log = openLog(join(folderIn(dataDir), "build.log"));
  try {
    const built = await build(scratch, builder === "ninja" ? "Ninja" : "Unix Makefiles", options, log);
    // Whoever runs the old one goes on with it: its file lives until they end.
    mkdirSync(join(path, ".."), { recursive: true });
    await runStep({ command: built, arguments: ["--version"], signal }, log);
    renameSync(built, path);
    return { path, tag };
  } catch (thrown) {
    throw (thrown as NodeJS.ErrnoException).code === "ENOSPC" ? diskFull("") : thrown;
  } finally {
    await closeLog(log);
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** A folder for one build, on the disk of its destination; what interrupted builds left behind goes. */
function openScratch(folder: string): string {
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder).filter((name) => name.startsWith(SCRATCH)))
    if (!isRunning(Number(name.slice(SCRATCH.length))))
      rmSync(join(folder, name), { recursive: true, force: true });
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize < NEEDED_BYTES)
    throw diskFull(` ${Math.round((bavail * bsize) / 2 ** 20)} MB are free.`);
  const scratch = join(folder, `${SCRATCH}${process.pid}`);
  mkdirSync(scratch);
  return scratch;
}

async function build(
  scratch: string,
  generator: string,
  { jobs, onProgress, signal }: InstallOptions,
  log: Log,
): Promise<string> {
  const [source, target] = [join(scratch, "source"), join(scratch, "build")];
  onProgress("unpack", undefined);
  await runStep({ command: "git", arguments: ["clone", "--quiet", bundle(), source], signal }, log);
  onProgress("configure", undefined);
  const configure = ["-S", source, "-B", target, "-G", generator, ...OPTIONS];
  await runStep({ command: "cmake", arguments: configure, signal }, log);
  const onLine = (line: string) => {
    const steps = stepsIn(line);
    if (steps) onProgress("build", steps);
  };
  const make = ["--build", target, "--target", "llama-server", "--parallel", String(jobs)];
  await runStep({ command: "cmake", arguments: make, onLine, signal }, log);
  const built = join(target, "bin", "llama-server");
  if (!readdirSync(join(target, "bin")).includes(basename(built)))
    throw new KamadoError("build_failed", `The build made no llama-server; its log is ${log.path}.`);
  return built;
}

function isRunning(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === "EPERM";
  }
}
