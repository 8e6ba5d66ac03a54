// Errors of the embedded AWS in the form that the SDKs of each protocol read: JSON for queues, XML for the bucket, and another XML for
// topics and for queues in the older protocol.
import { randomUUID } from "node:crypto";

/** What is used of the emulator's reply. */
interface Reply {
  code(status: number): Reply;
  header(name: string, value: string): Reply;
  send(body: string): Reply;
}
type Asked = { headers: Record<string, string | string[] | undefined> };
export type AwsError = { status: number; code: string; message: string };

export const isForm = ({ headers }: Asked) =>
  /^application\/x-www-form-urlencoded\b/i.test(String(headers["content-type"]));
const isJson = ({ headers }: Asked) =>
  headers["x-amz-target"] !== undefined || /\bx-amz-json\b/.test(String(headers["content-type"]));

export function sendError(request: Asked, reply: Reply, error: AwsError): Reply {
  const [type, body] = isJson(request)
    ? ["application/x-amz-json-1.0", JSON.stringify({ __type: error.code, message: error.message })]
    : ["application/xml", isForm(request) ? queryErrorXml(error) : bucketErrorXml(error)];
  return reply.code(error.status).header("content-type", type).send(body);
}

export const queryErrorXml = ({ status, code, message }: AwsError) =>
  `<?xml version="1.0"?><ErrorResponse><Error><Type>${status < 500 ? "Sender" : "Receiver"}</Type><Code>${xml(code)}</Code><Message>${xml(message)}</Message><Detail/></Error><RequestId>${randomUUID()}</RequestId></ErrorResponse>`;

const bucketErrorXml = ({ code, message }: AwsError) =>
  `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${xml(code)}</Code><Message>${xml(message)}</Message><RequestId>${randomUUID()}</RequestId></Error>`;

const ESCAPES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "\r": "&#13;",
};

/** A reader of XML takes a carriage return for a line feed unless it is escaped. */
export const xml = (text: string) => text.replaceAll(/[&<>"\r]/g, (char) => ESCAPES[char]!);
