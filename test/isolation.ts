// Which test files may share a process, one after another, so that each finds the modules of the ones before it loaded: that
// saves half of what they cost. A file needs a process of its own when it, or what it imports of the tests, changes what the others would
// see: the environment, a mocked module, a clock, signals, native code, child processes that end with their file.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

const TESTS = import.meta.dirname;
const CHANGES = [
  /node:child_process|node:worker_threads|node:cluster/,
  /process\.env(\.\w+|\[[^\]]+\])?\s*=(?!=)|delete process\.env|Object\.assign\(process/,
  /\bvi\./,
  /process\.(chdir|on|once|exit|kill|emit|std\w+|umask|title|argv)\b/,
  /\bglobalThis\.\w+\s*=(?!=)|setFlagsFromString|setGlobalDispatcher|setDefault\w+\(/,
  /getLlama|openNodeLlamaCpp|openLlamaNode|openLlamaServer|openSized|startEngine|EngineProcess/,
];
/** A helper whose hooks are registered when it is loaded has them in the first file only. */
const HOOKS = /^(before|after)(All|Each)\(/m;
const IMPORT = /(?:from|import\()\s*"(\.[^"]+\.ts)"/g;

const isTest = (file: string) => file.endsWith(".test.ts");

function needsItsOwn(file: string, seen = new Set<string>()): boolean {
  if (seen.has(file) || !file.startsWith(TESTS)) return false;
  seen.add(file);
  const source = readFileSync(file, "utf8");
  if (CHANGES.some((change) => change.test(source)) || (!isTest(file) && HOOKS.test(source))) return true;
  const imported = [...source.matchAll(IMPORT)].map(([, path]) => resolve(dirname(file), path!));
  // Some of them are in files that a test writes.
  return imported.some((one) => existsSync(one) && needsItsOwn(one, seen));
}

/** The test files that may share processes, and the others. */
export function filesByIsolation(): { together: string[]; apart: string[] } {
  const files = readdirSync(TESTS, { recursive: true, encoding: "utf8" })
    .filter(isTest)
    .map((file) => join(TESTS, file));
  const { true: apart = [], false: together = [] } = Object.groupBy(files, (file) => `${needsItsOwn(file)}`);
  return { together, apart };
}
