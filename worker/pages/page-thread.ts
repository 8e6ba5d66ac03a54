// The thread that reads one page and ends. See article.ts for why it is a thread.
import { parentPort, workerData } from "node:worker_threads";
import { readPage } from "./read-page.ts";

parentPort!.postMessage(readPage(workerData as string));
