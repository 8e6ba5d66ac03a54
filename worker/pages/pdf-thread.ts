// The thread in which article.ts reads one PDF. It ends with it, because the library for PDF keeps much memory.
import { parentPort, workerData } from "node:worker_threads";
import { KamadoError } from "../errors.ts";
import type { KnownPage } from "./document.ts";
import type { Refused } from "./page-thread.ts";
import { readPdf } from "./pdf.ts";

export type PdfWork = { bytes: Uint8Array; maxPages: number };

const { bytes, ...limits } = workerData as PdfWork;
const answer: KnownPage | Refused = await readPdf(bytes, limits).catch((thrown: unknown) => {
  if (!(thrown instanceof KamadoError)) throw thrown;
  return { refused: { code: thrown.code, message: thrown.message } };
});
parentPort!.postMessage(answer);
