// The older protocol of SQS, which the emulator does not know: forms in and XML out. boto3 before 1.28, AWS CLI v1, n8n and PHP speak
// it, some of them with GET. A request is turned into the newer one before the emulator sees it, and the answer is turned back. Also
// takes requests of both protocols that are sent to a queue's own address.
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { isForm, queryErrorXml, sendError, xml } from "./error-answers.ts";
import type { Fauxqs } from "./fauxqs.ts";

type Asked = { queuePath: string | undefined; search: URLSearchParams };
const QUEUE_PATH = /^\/\d{12}\/[\w.-]+\/?$/;
const VERSION = "2012-11-05";
const NAMESPACE = `http://queue.amazonaws.com/doc/${VERSION}/`;

export function speakQueryProtocol({ app }: Fauxqs): void {
  const asked = new WeakMap<IncomingMessage, Asked>();
  const actions = new WeakMap<IncomingMessage, string>();
  app.server.prependListener("request", (request: IncomingMessage) => {
    const found = toRoot(request);
    if (found) asked.set(request, found);
  });
  app.addHook("preHandler", async (request, reply) => {
    const { queuePath, search } = asked.get(request.raw) ?? {
      queuePath: undefined,
      search: new URLSearchParams(),
    };
    if (request.method === "GET" && search.has("Action"))
      return sendError(request, reply, {
        status: 403,
        code: "MissingAuthenticationToken",
        message: UNSIGNED,
      });
    if (request.url.replace(/\?.*/s, "") !== "/" || request.method !== "POST") return undefined;
    const queueUrl = queuePath === undefined ? undefined : `http://${request.headers.host}${queuePath}`;
    if (!isForm(request)) return void addQueueUrl(request.body, queueUrl);
    const form = { ...Object.fromEntries(search), ...(request.body as Record<string, string>) };
    request.body = form;
    if (!form.Action) return sendError(request, reply, NO_ACTION);
    if (!isForQueues(form, queueUrl)) return undefined;
    const { Action: action = "" } = form;
    const body = jsonOf(treeOf(form), action);
    actions.set(request.raw, action);
    if (typeof body === "string")
      return reply.code(400).send({ __type: "InvalidParameterValue", message: body });
    request.body = body;
    addQueueUrl(request.body, queueUrl);
    request.headers["x-amz-target"] = `AmazonSQS.${action}`;
    request.headers["content-type"] = "application/x-amz-json-1.0";
    return undefined;
  });
  app.addHook("onSend", async (request, reply, payload) => {
    const action = actions.get(request.raw);
    if (action === undefined || typeof payload !== "string") return payload;
    reply.header("content-type", "text/xml");
    const { statusCode: status } = reply;
    const answer = JSON.parse(payload);
    if (status < 400) return answerXml(action, answer);
    const code = reply.getHeader("x-amzn-query-error") ?? answer.__type ?? "InternalFailure";
    return queryErrorXml({ status, code: codeOf(String(code)), message: answer.message ?? "" });
  });
}

/** Of a client that posts a job itself to the queue's address, as it would to any web hook. */
const NO_ACTION = {
  status: 400,
  code: "MissingAction",
  message:
    "The request says not what to do. To send a job to a queue, POST a form with Action=SendMessage and the job's JSON as MessageBody, or use an AWS SDK.",
};

const UNSIGNED =
  "A GET with an Action must be signed: any page in the browser could send it otherwise. Sign it, or use POST.";

/** The emulator answers at `/` alone. A page cannot sign a GET without asking first, which it may not. */
function toRoot(request: IncomingMessage): Asked | undefined {
  const { method, headers } = request;
  const { pathname, searchParams: search } = new URL(request.url ?? "/", "http://localhost");
  const queuePath = QUEUE_PATH.test(pathname) ? pathname : undefined;
  const hasAction = search.has("Action");
  if ((queuePath === undefined && pathname !== "/") || (method === "GET" && !hasAction)) return undefined;
  if (method !== "POST" && method !== "GET") return undefined;
  // It is for the bucket that the host names.
  if (search.has("delete")) return undefined;
  if (method === "GET" && !headers.authorization) return { queuePath, search };
  const isMarked = headers["x-amz-target"] !== undefined || isForm(request);
  if (!isMarked && (queuePath !== undefined || hasAction))
    headers["content-type"] = "application/x-www-form-urlencoded";
  request.method = "POST";
  request.url = "/";
  return { queuePath, search };
}

function addQueueUrl(body: unknown, queueUrl: string | undefined): void {
  if (queueUrl !== undefined && typeof body === "object" && body !== null && !("QueueUrl" in body))
    Object.assign(body, { QueueUrl: queueUrl });
}

/** Topics speak the same protocol at the same address. */
const isForQueues = (form: Record<string, string>, queueUrl: string | undefined) =>
  queueUrl !== undefined || form.Version === VERSION || /Queue|Message|Visibility/.test(form.Action ?? "");

type Tree = { value?: string; parts: Map<string, Tree> };

/** `MessageAttribute.1.Value.DataType` is a path. */
function treeOf(form: Record<string, string>): Tree {
  const root: Tree = { parts: new Map() };
  for (const [path, value] of Object.entries(form)) {
    let tree = root;
    for (const part of path.split(".")) {
      const next = tree.parts.get(part) ?? { parts: new Map() };
      tree.parts.set(part, next);
      tree = next;
    }
    tree.value = value;
  }
  return root;
}

const NUMBERS = /^(DelaySeconds|MaxNumberOfMessages|VisibilityTimeout|WaitTimeSeconds|MaxResults)$/;
const LISTS = /^((Message|MessageSystem)?AttributeName|TagKey)$/;
const MAPS = /^((Message|MessageSystem)?Attribute|Tag)$/;

/** The same request in the newer protocol, or what is wrong with it. */
function jsonOf(tree: Tree, action: string): Record<string, unknown> | string {
  const wrong: string[] = [];
  const json = (part: Tree): Record<string, unknown> =>
    Object.fromEntries([...part.parts].map(([name, inner]) => field(name, inner)));
  const field = (name: string, inner: Tree): [string, unknown] => {
    if (name.endsWith("BatchRequestEntry")) return ["Entries", itemsOf(inner).map(json)];
    if (LISTS.test(name)) return [`${name}s`, itemsOf(inner).map(({ value }) => value)];
    if (MAPS.test(name)) {
      // The one name that two requests write in two ways.
      const key = action === "CreateQueue" && name === "Tag" ? "tags" : `${name}s`;
      return [key, Object.fromEntries(itemsOf(inner).map(pair))];
    }
    if (!NUMBERS.test(name)) return [name, inner.value];
    if (!/^-?\d{1,10}$/.test(inner.value ?? "")) wrong.push(name);
    return [name, Number(inner.value)];
  };
  const pair = ({ parts }: Tree): [string, unknown] => {
    const value = parts.get("Value");
    return [
      (parts.get("Name") ?? parts.get("Key"))?.value ?? "",
      value?.value ?? (value && json(value)) ?? "",
    ];
  };
  const body = json(tree);
  return wrong.length > 0 ? `${wrong.join(", ")}: expected a whole number.` : body;
}

/** What stands at .1, .2 and so on, in that order; or the thing itself, where a list of one was written without its number. */
function itemsOf(tree: Tree): Tree[] {
  const numbered = [...tree.parts].filter(([name]) => /^\d{1,9}$/.test(name));
  if (numbered.length === 0 && tree.value !== undefined) return [tree];
  return numbered.sort(([a], [b]) => Number(a) - Number(b)).map(([, item]) => item);
}

const NO_RESULT =
  /^(DeleteMessage|ChangeMessageVisibility|SetQueueAttributes|DeleteQueue|PurgeQueue|TagQueue|UntagQueue)$/;

function answerXml(action: string, answer: Record<string, unknown>): string {
  const result = NO_RESULT.test(action)
    ? ""
    : `<${action}Result>${fieldsXml(answer, action)}</${action}Result>`;
  return `<?xml version="1.0"?><${action}Response xmlns="${NAMESPACE}">${result}<ResponseMetadata><RequestId>${randomUUID()}</RequestId></ResponseMetadata></${action}Response>`;
}

const ITEMS: Record<string, string> = {
  Messages: "Message",
  QueueUrls: "QueueUrl",
  Failed: "BatchResultErrorEntry",
};
const PAIRS: Record<string, [item: string, key: string]> = {
  Attributes: ["Attribute", "Name"],
  MessageAttributes: ["MessageAttribute", "Name"],
  Tags: ["Tag", "Key"],
};

const fieldsXml = (fields: object, action: string): string =>
  Object.entries(fields)
    .map(([name, value]) => {
      const [item, key] = PAIRS[name] ?? [];
      if (item === undefined || key === undefined)
        return elementsXml(
          name === "Successful" ? `${action}ResultEntry` : (ITEMS[name] ?? name),
          value,
          action,
        );
      const pairs = Object.entries(value as object).map(([of, is]) => ({ [key]: of, Value: is }));
      return elementsXml(item, pairs, action);
    })
    .join("");

function elementsXml(name: string, value: unknown, action: string): string {
  if (value === undefined || value === null) return "";
  if (Array.isArray(value)) return value.map((one) => elementsXml(name, one, action)).join("");
  const inside = typeof value === "object" ? fieldsXml(value, action) : xml(String(value));
  return `<${name}>${inside}</${name}>`;
}

/** These codes have a namespace in the older protocol. The emulator gives one to all. */
const PREFIXED =
  /^AWS\.SimpleQueueService\.(NonExistentQueue|BatchEntryIdsNotDistinct|BatchRequestTooLong|EmptyBatchRequest|InvalidBatchEntryId|MessageNotInflight|PurgeQueueInProgress|QueueDeletedRecently|TooManyEntriesInBatchRequest|UnsupportedOperation)$/;

function codeOf(told: string): string {
  const code = told.replace(/;.*/, "").replace(/^.*#/, "");
  return PREFIXED.test(code) ? code : code.replace("AWS.SimpleQueueService.", "");
}
