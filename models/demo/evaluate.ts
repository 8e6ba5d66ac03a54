// Held-out accuracy of the demo model, task by task, through real llama.cpp:
//   node models/demo/evaluate.ts [--cases 300] [--engine-url URL] [--model FILE --mmproj FILE] [--json] [--wrong]
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { messagesOf } from "../../worker/model/prompt.ts";
import { overHttp, overLlamaNode, type Respondent } from "./answer.ts";
import { type Asked, casesOf, TASKS, type Task, toSafeImage } from "./tasks.ts";

const INSTRUCTIONS = "The demo model never sees its instructions: its chat template drops them.";
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

const { values: flags } = parseArgs({
  options: {
    cases: { type: "string", default: "300" },
    task: { type: "string", default: "" },
    "engine-url": { type: "string" },
    model: { type: "string", default: here("kamado-demo.gguf") },
    mmproj: { type: "string", default: here("kamado-demo-mmproj.gguf") },
    json: { type: "boolean", default: false },
    wrong: { type: "boolean", default: false },
  },
});

async function isRight(respondent: Respondent, { content, picture, wish, expected, isRight }: Asked) {
  const image = picture && (await toSafeImage(picture));
  const messages = messagesOf({ instructions: INSTRUCTIONS, content, image });
  const text = await respondent.answer(messages, wish);
  const right = isRight(text);
  if (!right && flags.wrong) console.error(`${content}\n  expected ${expected}\n  got      ${text}\n`);
  return right;
}

async function accuracy(respondent: Respondent, task: Task) {
  const cases = [...casesOf(task, Number(flags.cases))];
  const began = performance.now();
  let right = 0;
  for (const asked of cases) right += Number(await isRight(respondent, asked));
  const milliseconds = (performance.now() - began) / cases.length;
  const share = right / cases.length;
  return { task: task.name, right, cases: cases.length, accuracy: share, target: task.target, milliseconds };
}

const respondent = flags["engine-url"]
  ? overHttp(flags["engine-url"])
  : await overLlamaNode(flags.model, flags.mmproj);
const results = [];
for (const task of TASKS.filter(({ name }) => name.startsWith(flags.task))) {
  const result = await accuracy(respondent, task);
  results.push(result);
  if (flags.json) continue;
  const percent = `${(100 * result.accuracy).toFixed(1)} %`.padStart(8);
  const count = `${result.right}/${result.cases}`.padStart(9);
  console.log(`${task.name.padEnd(42)}${percent}${count}${result.milliseconds.toFixed(0).padStart(6)} ms`);
}
await respondent.close();
const passed = results.every(({ accuracy, target = 0 }) => accuracy >= target);
if (flags.json) console.log(JSON.stringify({ passed, results }));
if (!passed) process.exitCode = 1;
