// Builds llama-server from the source that comes with node-llama-cpp. The build happens in a scratch folder, and the last
// step is a rename to the place where the program is looked for, so that a build that fails leaves no half of it there.
import { existsSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { sizeWords } from "../../amounts.ts";
import { makeScratchFolder, removeOrphanedFolders } from "../../async/scratch-folder.ts";
import { KamadoError } from "../../errors.ts";
import { freeBytesOf } from "../../free-disk.ts";
import { makeFolder } from "../../make-folder.ts";
import { bundle, bundledTag, folderIn, placeOf } from "./place.ts";
import { closeLog, diskFull, type Environment, type Log, openLog, runStep } from "./step.ts";
import { findTools } from "./tools.ts";

const NEEDED_BYTES = 600 * 1024 * 1024;
const SCRATCH = ".building-";
// One file without libraries of its own, for exactly this machine, and without parts that Kamado does not use: TLS,
// downloads, the web page. On a Mac, Metal is on by default.
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

/** `done` of `total`: steps where the build tool counts them, else percent. */
export type Steps = { done: number; total: number };
export type Phase = "unpack" | "configure" | "build";
export type InstallOptions = {
  dataDir: string;
  jobs: number;
  /** Of the programs that it runs. */
  environment: Environment;
  onProgress(phase: Phase, steps: Steps | undefined): void;
  signal: AbortSignal;
};
export type Installed = { path: string; tag: string };

/** Throws `tool_missing`, `disk_full`, `build_failed`, or the signal's reason; then it leaves nothing but the log. */
export async function installLlamaServer(options: InstallOptions): Promise<Installed> {
  const { dataDir, environment, signal } = options;
  const tag = bundledTag();
  const path = placeOf(dataDir, tag);
  const builder = await findTools(environment);
  const scratch = openScratch(folderIn(dataDir));
  const log = openLog(join(folderIn(dataDir), "build.log"));
  try {
    const built = await build(scratch, builder === "ninja" ? "Ninja" : "Unix Makefiles", options, log);
    makeFolder(dirname(path));
    await runStep({ command: built, arguments: ["--version"], environment, signal }, log);
    // An engine that runs the old program keeps it: the system deletes its file when that process ends.
    renameSync(built, path);
    return { path, tag };
  } catch (thrown) {
    throw (thrown as NodeJS.ErrnoException).code === "ENOSPC" ? diskFull("") : thrown;
  } finally {
    await closeLog(log);
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** A folder for one build, on the disk of its destination. Removes what interrupted builds left. */
function openScratch(folder: string): string {
  try {
    makeFolder(folder);
    removeOrphanedFolders(folder, SCRATCH);
    const free = freeBytesOf(folder) ?? NEEDED_BYTES;
    if (free < NEEDED_BYTES) throw diskFull(` ${sizeWords(free)} are free.`);
    return makeScratchFolder(folder, SCRATCH);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (cause instanceof KamadoError || code === "ENOSPC") throw cause;
    throw new KamadoError("config_invalid", `KAMADO_DATA_DIR: ${folder} cannot be written: ${message}`, {
      cause,
      hint: "Set KAMADO_DATA_DIR to a folder that this user may write.",
    });
  }
}

async function build(
  scratch: string,
  generator: string,
  { jobs, environment, onProgress, signal }: InstallOptions,
  log: Log,
): Promise<string> {
  const [source, target] = [join(scratch, "source"), join(scratch, "build")];
  onProgress("unpack", undefined);
  await runStep(
    { command: "git", arguments: ["clone", "--quiet", bundle(), source], environment, signal },
    log,
  );
  onProgress("configure", undefined);
  const configure = ["-S", source, "-B", target, "-G", generator, ...OPTIONS];
  await runStep({ command: "cmake", arguments: configure, environment, signal }, log);
  const onLine = (line: string) => {
    const steps = stepsIn(line);
    if (steps) onProgress("build", steps);
  };
  const make = ["--build", target, "--target", "llama-server", "--parallel", String(jobs)];
  await runStep({ command: "cmake", arguments: make, onLine, environment, signal }, log);
  const built = join(target, "bin", "llama-server");
  if (!existsSync(built))
    throw new KamadoError("build_failed", `The build produced no llama-server; its log is ${log.path}.`);
  return built;
}

/** Ninja counts steps, `[12/330] …`; make prints percent, `[ 45%] …`. Undefined for every other line. */
export function stepsIn(line: string): Steps | undefined {
  const counted = /^\[(\d+)\/(\d+)\]/.exec(line);
  if (counted) return { done: Number(counted[1]), total: Number(counted[2]) };
  const percent = /^\[ *(\d+)%\]/.exec(line);
  return percent ? { done: Number(percent[1]), total: 100 } : undefined;
}
