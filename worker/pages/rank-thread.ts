// The thread in which chunks.ts ranks many texts.
import { parentPort, workerData } from "node:worker_threads";
import { rankTexts } from "./rank.ts";

export type RankWork = { texts: readonly string[]; queries: readonly string[] };

const { texts, queries } = workerData as RankWork;
parentPort!.postMessage(rankTexts(texts, queries));
