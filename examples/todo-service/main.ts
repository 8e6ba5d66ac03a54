// Runs the Todo service alone: npm run todo-service -- [--port 4790] [--file todos.db]
import { parseArgs } from "node:util";
import { startTodoService } from "./service.ts";

const { values } = parseArgs({
  options: { port: { type: "string", default: "4790" }, file: { type: "string", default: "todos.db" } },
});
const service = await startTodoService({ port: Number(values.port), file: values.file });
console.log(`Todos are at ${service.url}/todos, stored in ${values.file}. Ctrl-C stops it.`);
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void service.stop());
