// A process that runs commands for tests, one after another: it loads each of them once. What a command reads and writes, its environment
// and its exit code are what it would have in a process of its own. Commands that stay, or start processes, are not for it.
import { Readable } from "node:stream";

export type Call = { args: string[]; environment: Record<string, string>; cwd: string; input: string };
export type Answer = { out: string; errors: string; code: number };

const COMMAND_LINE = new URL("../../worker/cli/kamado.ts", import.meta.url);
/** What `process.exit` throws here, so that nothing after it runs. */
const EXIT = new Error("exit");
let calls = 0;
let said = { out: "", errors: "" };
let end: (code: number) => void = () => {};

const keep = (name: keyof typeof said) =>
  ((text: string | Uint8Array, ...more: unknown[]) => {
    said[name] += typeof text === "string" ? text : Buffer.from(text).toString();
    const done = more.find((one) => typeof one === "function");
    if (done) queueMicrotask(done as () => void);
    return true;
  }) as typeof process.stdout.write;
process.stdout.write = keep("out");
process.stderr.write = keep("errors");
process.exit = (code) => {
  end(Number(code ?? process.exitCode ?? 0));
  throw EXIT;
};
process.on("uncaughtException", (error) => {
  if (error === EXIT) return;
  said.errors += error.stack;
  end(1);
});
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));

process.on("message", async (call: Call) => process.send!(await run(call)));

function run({ args, environment, cwd, input }: Call): Promise<Answer> {
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, environment);
  process.chdir(cwd);
  process.argv = [process.execPath, "kamado", ...args];
  process.exitCode = undefined;
  const stdin = Readable.from(input === "" ? [] : [Buffer.from(input)]);
  Object.defineProperty(process, "stdin", { value: stdin, configurable: true });
  said = { out: "", errors: "" };
  const answer = new Promise<Answer>((resolve) => {
    // What is said after the end is not heard.
    end = (code) => {
      end = () => {};
      resolve({ ...said, code });
    };
  });
  // Its modules stay, and only itself runs again: it calls the command when it is loaded.
  import(`${COMMAND_LINE}?call=${++calls}`).then(
    () => end(Number(process.exitCode ?? 0)),
    (error) => {
      if (error === EXIT) return;
      said.errors += error.stack;
      end(1);
    },
  );
  return answer;
}
