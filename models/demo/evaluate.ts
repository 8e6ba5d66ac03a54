// Held-out accuracy of the demo model, task by task, through real llama.cpp:
//   npm run accuracy -- [--cases 300] [--task NAME] [--engine-url URL] [--model FILE --mmproj FILE] [--json] [--wrong]
import { parseArgs } from "node:util";
import { engineOptions } from "../../worker/cli/engine-options.ts";
import { loadConfig } from "../../worker/config/config.ts";
import { openEngine } from "../../worker/engine/supervisor/open-engine.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { messagesOf } from "../../worker/model/prompt.ts";
import { type Answer, overHttp } from "./answer.ts";
import { type Asked, casesOf, TASKS, type Task, toSafeImage } from "./tasks.ts";

const INSTRUCTIONS = "The demo model never sees its instructions: its chat template drops them.";
/** As many questions at once as the engine has slots. */
const LANES = 8;

const { values: flags } = parseArgs({
  options: {
    cases: { type: "string", default: "300" },
    task: { type: "string", default: "" },
    "engine-url": { type: "string" },
    model: { type: "string" },
    mmproj: { type: "string" },
    json: { type: "boolean", default: false },
    wrong: { type: "boolean", default: false },
  },
});

async function isRight(answer: Answer, { content, picture, wish, expected, isRight }: Asked) {
  const image = picture && (await toSafeImage(picture));
  const messages = messagesOf({ instructions: INSTRUCTIONS, content, image });
  const text = await answer(messages, wish);
  const right = isRight(text);
  if (!right && flags.wrong) console.error(`${content}\n  expected ${expected}\n  got      ${text}\n`);
  return right;
}

async function accuracy(answer: Answer, task: Task) {
  const cases = casesOf(task, Number(flags.cases));
  const began = performance.now();
  let asked = 0;
  let right = 0;
  const lane = async () => {
    for (const one of cases) {
      asked++;
      if (await isRight(answer, one)) right++;
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  const milliseconds = (performance.now() - began) / asked;
  return { task: task.name, right, cases: asked, accuracy: right / asked, target: task.target, milliseconds };
}

const config = loadConfig({
  KAMADO_ENGINE_PORT: "0",
  KAMADO_ENGINE_URL: flags["engine-url"],
  KAMADO_MODEL: flags.model,
  KAMADO_MMPROJ: flags.mmproj,
});
const engine = await openEngine(engineOptions(config), silentLog);
await engine.ready();
const answer = overHttp(engine.url);
const results = [];
for (const task of TASKS.filter(({ name }) => name.startsWith(flags.task))) {
  const result = await accuracy(answer, task);
  results.push(result);
  if (flags.json) continue;
  const percent = `${(100 * result.accuracy).toFixed(1)} %`.padStart(8);
  const count = `${result.right}/${result.cases}`.padStart(9);
  console.log(`${task.name.padEnd(42)}${percent}${count}${result.milliseconds.toFixed(0).padStart(6)} ms`);
}
await engine.stop();
const passed = results.every(({ accuracy, target = 0 }) => accuracy >= target);
if (flags.json) console.log(JSON.stringify({ passed, results }));
if (!passed) process.exitCode = 1;
