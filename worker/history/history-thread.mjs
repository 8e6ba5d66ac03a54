// Starts the thread of the history with the compiled code that the process has on disk: a thread would compile TypeScript anew, for which the
// compiler alone takes 30 MB.
import { enableCompileCache, flushCompileCache } from "node:module";
import { workerData } from "node:worker_threads";

if (workerData.compileCache !== undefined) enableCompileCache(workerData.compileCache);
await import("./history-thread.ts");
setTimeout(flushCompileCache, 5_000).unref();
