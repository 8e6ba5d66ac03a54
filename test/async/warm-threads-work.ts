// The thread of warm-threads.test.ts: says how often it has worked, or does what is asked of it.
import { answerWork } from "../../worker/async/warm-threads.ts";

let count = 0;

answerWork(async (work: "count" | "throw" | "hang" | "exit" | "fill") => {
  if (work === "throw") throw new Error("thrown in the thread");
  if (work === "hang") for (;;);
  if (work === "exit") process.exit(0);
  const held: number[][] = [];
  while (work === "fill") held.push(Array(100_000).fill(count));
  return ++count;
});
