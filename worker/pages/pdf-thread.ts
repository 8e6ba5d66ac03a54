// The thread in which article.ts reads one PDF. It ends with it, because the library for PDF keeps much memory.
import { parentPort, workerData } from "node:worker_threads";
import { type KnownPage, type Refused, refused } from "./document.ts";
import { readPdf } from "./pdf.ts";

export type PdfWork = { bytes: Uint8Array; maxPages: number };

const { bytes, ...limits } = workerData as PdfWork;
const answer: KnownPage | Refused = await readPdf(bytes, limits).catch(refused);
parentPort!.postMessage(answer);
