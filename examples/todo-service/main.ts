// Runs the Todo service alone: npm run todo-service -- [--port 4790] [--file todos.db]
import { parseArgs } from "node:util";
import { findQueue } from "./queue.ts";
import { startTodoService } from "./service.ts";

const { values } = parseArgs({
  options: { port: { type: "string", default: "4790" }, file: { type: "string", default: "todos.db" } },
});
const { file } = values;
const service = await startTodoService({ port: Number(values.port), file, findQueue: () => findQueue() });
console.log(`Todos are at ${service.url}/todos, stored in ${file}. Ctrl-C stops it.`);
console.log(`The page is at ${service.url}/`);
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void service.stop());
