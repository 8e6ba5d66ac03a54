// The way into the command: turns V8's cache of compiled code on, keeps a worker small, and calls it. Without the cache
// every process would load the compiler that strips the types, and strip them anew: 25 MB and half a second. No TypeScript
// itself, for that reason.
// An older Node lacks some of its functions; naming them in the import would end the process before the line below.
import * as modules from "node:module";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";

const OLDEST = 24;
if (Number.parseInt(process.versions.node, 10) < OLDEST) {
  process.stderr.write(
    `kamado: this is Node ${process.versions.node}, and Kamado needs ${OLDEST} or later. Run ./kamado or an npm script such as \`npm start\` instead: they use the Node that Kamado installs.
`,
  );
  process.exit(1);
}

// A worker waits for the model and shares the machine's memory with it: it collects its garbage early, and compiles its
// code for size. That halves its memory, for a few milliseconds of CPU a job.
const SMALL = [
  "--semi-space-growth-factor=1",
  "--heap-growing-percent=10",
  "--optimize-for-size",
  "--no-opt",
  "--no-maglev",
];
const isSmall = process.argv[2] === "worker" || process.argv[2] === "serve";
if (isSmall) for (const flag of SMALL) setFlagsFromString(flag);

// Beside the code it was made from, and as trustworthy; a temporary folder would be anyone's. Where it cannot be written
// there is none. V8 refuses code that was compiled with other flags, so processes with other flags have a folder of their own.
const folder = `../../node_modules/.cache/kamado/${isSmall ? "small" : "commands"}`;
modules.enableCompileCache(join(import.meta.dirname, folder));
// It is written at the end of a process, which a process that is killed never sees.
setTimeout(modules.flushCompileCache, 5_000).unref();

await import("./kamado.ts");
