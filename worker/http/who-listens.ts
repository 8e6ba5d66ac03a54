// What listens at an address of this machine, in words for a person who expected something else there. It asks as Kamado's own commands
// would: for a health, then for the list of queues.

/** `words` fit after "there is", and after "taken by". */
export type Listener = { is: "nothing" | "kamado" | "engine" | "queues" | "other"; words: string };

/** Of a worker and of an engine, in their healths. */
const STATES = new Set<unknown>([
  "STARTING",
  "READY",
  "BUSY",
  "PAUSED",
  "SETUP_FAILED",
  "UNHEALTHY",
  "DRAINING",
]);

const ANSWER_MS = 3_000;

/** `origin` is one such as http://127.0.0.1:4566. Never rejects. */
export async function whoListens(origin: string): Promise<Listener> {
  const health = await ask(`${origin}/health`);
  if ("is" in health) return health;
  const { status, pid, state } = fieldsOf(health.text);
  if (STATES.has(status))
    return { is: "kamado", words: `the page of another Kamado${pid ? ` (process ${pid})` : ""}` };
  if (STATES.has(state)) return { is: "engine", words: "the engine of another Kamado" };
  if (await hasQueues(origin))
    return { is: "queues", words: "a server of AWS queues, such as another Kamado's" };
  const name = health.server === null ? "" : ` (${shown(health.server)})`;
  return { is: "other", words: `another HTTP server${name}` };
}

/** Why a port could not be had, after its name: `is taken by …`. */
export async function whyNotFree(code: string | undefined, origin: string): Promise<string> {
  if (code !== "EADDRINUSE") return `cannot be used (${code})`;
  const { is, words } = await whoListens(origin);
  return `is taken by ${is === "nothing" ? "another program" : words}`;
}

const NO_CONNECTION =
  /^(ECONNREFUSED|ENOTFOUND|EAI_\w+|E(HOST|NET)UNREACH|E(HOST|NET)DOWN|EADDRNOTAVAIL|ETIMEDOUT|UND_ERR_CONNECT_TIMEOUT)$/;

type Answer = { text: string; server: string | null; type: string };

async function ask(address: string, init: RequestInit = {}): Promise<Answer | Listener> {
  const deadline = AbortSignal.timeout(ANSWER_MS);
  try {
    const response = await fetch(address, { redirect: "manual", ...init, signal: deadline });
    const { headers } = response;
    return {
      text: await startOf(response),
      server: headers.get("server"),
      type: headers.get("content-type") ?? "",
    };
  } catch (thrown) {
    if (deadline.aborted)
      return {
        is: "other",
        words: `a program that takes connections and does not answer for ${ANSWER_MS / 1_000} s`,
      };
    const { code = "", message = "" } = ((thrown as Error).cause ?? {}) as NodeJS.ErrnoException;
    const isNothing = NO_CONNECTION.test(code) || message === "bad port";
    if (isNothing) return { is: "nothing", words: `nothing that answers (${code || message})` };
    // A server of another protocol, or of TLS.
    return { is: "other", words: "a program that speaks no HTTP" };
  }
}

/** Of an answer. What is asked for here is short. Characters. */
const LONGEST = 20_000;

async function startOf(response: Response): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > LONGEST) break;
  }
  return text;
}

function fieldsOf(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

/** Signed with no key: whoever speaks SQS says so even when it refuses. */
async function hasQueues(origin: string): Promise<boolean> {
  const answer = await ask(origin, {
    method: "POST",
    headers: { "content-type": "application/x-amz-json-1.0", "x-amz-target": "AmazonSQS.ListQueues" },
    body: "{}",
  });
  if ("is" in answer) return false;
  const { QueueUrls, __type: type } = fieldsOf(answer.text);
  return QueueUrls !== undefined || type !== undefined || answer.type.includes("amz-json");
}

/** A server's name of itself is text from outside. */
const shown = (name: string) => name.replaceAll(/[^\x20-\x7e]/g, "").slice(0, 60);
